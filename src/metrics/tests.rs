//! Names and configurations of all metrics.

use serde_json::json;

use super::*;
use crate::losses;

/// Every class by its name, and what it writes (from `keras.metrics.serialize`).
#[test]
fn names_and_configurations() {
    let with = |name: &str, more: Value| {
        let mut config = described(name, "float32", Config::new());
        config.extend(more.as_object().unwrap().clone());
        Value::Object(config)
    };
    let none = json!({});
    let thresholds = json!({"thresholds": null});
    let selecting = json!({"thresholds": null, "top_k": null, "class_id": null});
    for (class, name, own) in [
        ("Accuracy", "accuracy", none.clone()),
        (
            "BinaryAccuracy",
            "binary_accuracy",
            json!({"threshold": 0.5}),
        ),
        ("CategoricalAccuracy", "categorical_accuracy", none.clone()),
        (
            "SparseCategoricalAccuracy",
            "sparse_categorical_accuracy",
            none.clone(),
        ),
        (
            "TopKCategoricalAccuracy",
            "top_k_categorical_accuracy",
            json!({"k": 5}),
        ),
        (
            "SparseTopKCategoricalAccuracy",
            "sparse_top_k_categorical_accuracy",
            json!({"k": 5}),
        ),
        ("MeanSquaredError", "mean_squared_error", none.clone()),
        (
            "RootMeanSquaredError",
            "root_mean_squared_error",
            none.clone(),
        ),
        ("MeanAbsoluteError", "mean_absolute_error", none.clone()),
        (
            "MeanAbsolutePercentageError",
            "mean_absolute_percentage_error",
            none.clone(),
        ),
        (
            "MeanSquaredLogarithmicError",
            "mean_squared_logarithmic_error",
            none.clone(),
        ),
        ("LogCoshError", "logcosh", none.clone()),
        ("CosineSimilarity", "cosine_similarity", none.clone()),
        ("Hinge", "hinge", none.clone()),
        ("SquaredHinge", "squared_hinge", none.clone()),
        ("CategoricalHinge", "categorical_hinge", none.clone()),
        ("KLDivergence", "kl_divergence", none.clone()),
        ("Poisson", "poisson", none),
        (
            "BinaryCrossentropy",
            "binary_crossentropy",
            json!({"from_logits": false, "label_smoothing": 0.0}),
        ),
        (
            "CategoricalCrossentropy",
            "categorical_crossentropy",
            json!({"from_logits": false, "label_smoothing": 0.0, "axis": -1}),
        ),
        (
            "SparseCategoricalCrossentropy",
            "sparse_categorical_crossentropy",
            json!({"from_logits": false, "ignore_class": null, "axis": -1}),
        ),
        (
            "PearsonCorrelation",
            "pearson_correlation",
            json!({"axis": -1}),
        ),
        (
            "ConcordanceCorrelation",
            "concordance_correlation",
            json!({"axis": -1}),
        ),
        ("Precision", "precision", selecting.clone()),
        ("Recall", "recall", selecting),
        ("TruePositives", "true_positives", thresholds.clone()),
        ("TrueNegatives", "true_negatives", thresholds.clone()),
        ("FalsePositives", "false_positives", thresholds.clone()),
        ("FalseNegatives", "false_negatives", thresholds),
        (
            "AUC",
            "auc",
            json!({"num_thresholds": 200, "curve": "ROC", "summation_method": "interpolation", "multi_label": false,
                   "num_labels": null, "label_weights": null, "from_logits": false}),
        ),
        (
            "F1Score",
            "f1_score",
            json!({"average": null, "threshold": null}),
        ),
        (
            "FBetaScore",
            "fbeta_score",
            json!({"average": null, "beta": 1.0, "threshold": null}),
        ),
        (
            "R2Score",
            "r2_score",
            json!({"class_aggregation": "uniform_average", "num_regressors": 0}),
        ),
        (
            "BinaryIoU",
            "binary_io_u",
            json!({"target_class_ids": [0, 1], "threshold": 0.5, "dtype": "int64"}),
        ),
    ] {
        let metric = from_config(class, &Config::new()).unwrap();
        let config = Value::Object(metric.config());
        assert_eq!(metric.class_name(), class);
        assert_eq!(config, with(name, own));
        let named = get(class).unwrap();
        assert_eq!(named.name(), class);
        let read = deserialize(&serialize(&*metric)).unwrap();
        assert_eq!((read.class_name(), read.config()), (class, metric.config()));
        assert_eq!(metric.fresh().config(), metric.config());
    }
    for (class, name, own) in [
        (
            "SensitivityAtSpecificity",
            "sensitivity_at_specificity",
            "specificity",
        ),
        (
            "SpecificityAtSensitivity",
            "specificity_at_sensitivity",
            "sensitivity",
        ),
        ("PrecisionAtRecall", "precision_at_recall", "recall"),
        ("RecallAtPrecision", "recall_at_precision", "precision"),
    ] {
        let mut config = Config::new();
        assert!(from_config(class, &config).is_err());
        config.insert(own.into(), 0.25.into());
        let metric = from_config(class, &config).unwrap();
        let want = with(
            name,
            json!({"class_id": null, "num_thresholds": 200, own: 0.25}),
        );
        assert_eq!(Value::Object(metric.config()), want);
        assert_eq!(
            deserialize(&serialize(&*metric)).unwrap().config(),
            metric.config()
        );
    }
    let written = |metric: &dyn Metric| Value::Object(metric.config());
    assert_eq!(
        written(&IoU::new(4, [0, 2]).sparse_y_pred(false)),
        json!({"name": "io_u", "dtype": "int64", "num_classes": 4, "target_class_ids": [0, 2], "ignore_class": null,
               "sparse_y_true": true, "sparse_y_pred": false, "axis": -1})
    );
    assert_eq!(
        written(&OneHotMeanIoU::new(4)),
        json!({"name": "one_hot_mean_io_u", "dtype": "int64", "num_classes": 4, "ignore_class": null,
               "sparse_y_pred": false, "axis": -1})
    );
    assert_eq!(
        written(&BinaryIoU::default()),
        json!({"name": "binary_io_u", "dtype": "int64", "target_class_ids": [0, 1], "threshold": 0.5})
    );
    for metric in [
        Box::new(IoU::new(4, [0, 2])) as Box<dyn Metric>,
        Box::new(MeanIoU::new(4).ignore_class(1)),
        Box::new(OneHotIoU::new(4, [1])),
        Box::new(OneHotMeanIoU::new(4).sparse_y_pred(true)),
        Box::new(BinaryIoU::default().target_class_ids([1])),
        Box::new(
            Auc::default()
                .thresholds([0.2, 0.45])
                .summation_method(Summation::Majoring),
        ),
        Box::new(Precision::default().thresholds([0.2, 0.45]).top_k(2)),
        Box::new(CosineSimilarity::default().axis(1)),
        Box::new(MeanMetricWrapper::of(
            "wrapped",
            losses::Huber::default().delta(0.7),
        )),
    ] {
        let read = deserialize(&serialize(&*metric)).unwrap();
        assert_eq!(
            (read.class_name(), read.config()),
            (metric.class_name(), metric.config())
        );
    }
}

#[test]
fn strings_are_names() {
    for name in [
        "mse", "MSE", "acc", "accuracy", "auc", "AUC", "io", "huber", "bce", "r2_score", "f1_score",
    ] {
        match get(name) {
            Ok(metric) => assert_eq!(metric.name(), name),
            Err(e) => assert_eq!(
                (name, e.to_string().starts_with("unknown metric `io`")),
                ("io", true)
            ),
        }
    }
    // Of the class where there is one: the similarity, not the loss.
    assert_eq!(
        get("cosine_similarity").unwrap().class_name(),
        "CosineSimilarity"
    );
    assert_eq!(
        get("binary_focal_crossentropy").unwrap().class_name(),
        "MeanMetricWrapper"
    );
    assert!(
        get("acuracy")
            .unwrap_err()
            .to_string()
            .contains("did you mean `accuracy`?")
    );
    assert!(
        get("mean_io_u")
            .unwrap_err()
            .to_string()
            .contains("num_classes")
    );
    assert_eq!(serialize(&Accuracy), json!("accuracy"));
    assert_eq!(serialize(&*get("acc").unwrap()), json!("acc"));
}

#[test]
fn the_forms_of_files() {
    let function = |name: &str| json!({"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"});
    let metric = deserialize(&function("huber")).unwrap();
    assert_eq!(
        (metric.name().as_str(), metric.class_name()),
        ("huber", "MeanMetricWrapper")
    );
    assert!(deserialize(&function("hubert")).is_err());
    let wrapper = json!({"module": "keras.metrics", "class_name": "MeanMetricWrapper", "registered_name": null,
        "config": {"name": "wrapped", "dtype": "float32", "fn": function("huber"), "delta": 0.7}});
    assert_eq!(
        deserialize(&wrapper).unwrap().config(),
        wrapper["config"].as_object().unwrap().clone()
    );
    for (class, key) in [
        ("F1Score", "beta"),
        ("TruePositives", "top_k"),
        ("Hinge", "reduction"),
        ("MeanIoU", "target_class_ids"),
        ("AUC", "x"),
    ] {
        let bad = json!({"class_name": class, "config": {key: 1, "num_classes": 2}, "module": "keras.metrics"});
        assert!(deserialize(&bad).is_err(), "{class}");
    }

    #[derive(Clone, Debug)]
    struct Mine;
    impl Metric for Mine {
        fn class_name(&self) -> &'static str {
            "Mine"
        }
        fn config(&self) -> Config {
            Config::new()
        }
        fn name(&self) -> String {
            "mine".into()
        }
        fn reset(&mut self) {}
        fn update(&mut self, _: View<'_>, _: View<'_>, _: Option<&[Float]>) {}
        fn result(&self) -> f64 {
            0.0
        }
        fn fresh(&self) -> Box<dyn Metric> {
            Box::new(Mine)
        }
    }
    assert_eq!(serialize(&Mine)["registered_name"], "Custom>Mine");
}

/// A metric that is given the state of another goes on with the same bits.
#[test]
fn states_go_on() {
    let y_true: [[[Float; 3]; 4]; 2] = [
        [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.], [1., 0., 0.]],
        [[0., 1., 0.], [0., 1., 0.], [1., 0., 0.], [0., 0., 1.]],
    ];
    let y_pred: [[[Float; 3]; 4]; 2] = [
        [
            [0.6, 0.3, 0.1],
            [0.2, 0.5, 0.3],
            [0.7, 0.2, 0.1],
            [0.1, 0.8, 0.1],
        ],
        [
            [0.4, 0.4, 0.2],
            [0.1, 0.6, 0.3],
            [0.9, 0.1, 0.0],
            [0.3, 0.3, 0.4],
        ],
    ];
    let metrics: Vec<Box<dyn Metric>> = vec![
        get("categorical_accuracy").unwrap(),
        get("mse").unwrap(),
        get("RootMeanSquaredError").unwrap(),
        get("huber").unwrap(),
        get("auc").unwrap(),
        Box::new(Auc::default().multi_label(true)),
        Box::new(Precision::default().thresholds([0.3, 0.6])),
        get("recall").unwrap(),
        get("true_negatives").unwrap(),
        Box::new(F1Score::default()),
        Box::new(FBetaScore::default().average(Average::Weighted)),
        get("r2_score").unwrap(),
        Box::new(OneHotMeanIoU::new(3)),
        Box::new(PrecisionAtRecall::new(0.5)),
        get("CosineSimilarity").unwrap(),
    ];
    for mut metric in metrics {
        let mut other = metric.fresh();
        assert!(other.set_state(&metric.state().unwrap()), "{metric:?}");
        metric.update_state(&y_true[0], &y_pred[0]).unwrap();
        let state = metric.state().unwrap();
        assert!(other.set_state(&state));
        metric.update_state(&y_true[1], &y_pred[1]).unwrap();
        other.update_state(&y_true[1], &y_pred[1]).unwrap();
        assert_eq!(metric.result().to_bits(), other.result().to_bits());
        assert_eq!(metric.results(), other.results());
        assert_ne!(metric.state().unwrap(), state, "{metric:?}");
        assert!(!other.set_state(&state[1..]), "{metric:?}");
    }
    assert!(get("accuracy").unwrap().state().is_none());
}
