//! What concerns several losses: the cross-entropies together, names and configurations.

use serde_json::{Value, json};

use super::*;
use crate::testing::check_loss;

const P: [Float; 6] = [0.3, 0.2, 0.5, 0.6, 0.1, 0.3];
const Z: [Float; 6] = [0.3, -1.2, 2.5, -3.6, 0.1, 0.7];

#[test]
fn gradients_of_the_cross_entropies() {
    let binary = [0.0, 1.0, 0.25, 1.0, 0.0, 1.0];
    let hot = [0.0, 1.0, 0.0, 0.25, 0.25, 0.5];
    for s in [0.0, 0.2] {
        for (axis, shape) in [(-1, &[3][..]), (1, &[3, 2]), (2, &[3, 2])] {
            let loss = BinaryCrossentropy::default().label_smoothing(s).axis(axis);
            check_loss(&loss, &binary, shape, &P, shape);
            check_loss(&loss.from_logits(true), &binary, shape, &Z, shape);
            let loss = CategoricalCrossentropy::default()
                .label_smoothing(s)
                .axis(axis);
            check_loss(&loss, &hot, shape, &P, shape);
            check_loss(&loss.from_logits(true), &hot, shape, &Z, shape);
        }
    }
    let ids = [2.0, 0.0];
    let loss = SparseCategoricalCrossentropy::default();
    check_loss(&loss, &ids, &[], &P, &[3]);
    check_loss(&loss.clone().from_logits(true), &ids, &[1], &Z, &[3]);
    check_loss(&loss.clone().ignore_class(2), &ids, &[2], &P, &[2, 3]);
    check_loss(&loss.ignore_class(2).from_logits(true), &ids, &[], &Z, &[3]);
}

#[test]
fn logits_are_exact_where_probabilities_saturate() {
    let loss = BinaryCrossentropy::default().from_logits(true);
    assert!((loss.call(&[[0.0]], &[[30.0]]).unwrap() - 30.0).abs() < 1e-5);
}

#[test]
fn ignored_classes_are_no_part_of_the_mean() {
    let loss = SparseCategoricalCrossentropy::default();
    let p = [[0.25, 0.75], [0.5, 0.5]];
    let one = loss.call(&[0.0], &[[0.25, 0.75]]).unwrap();
    let both = loss.clone().ignore_class(-1);
    assert!((both.call(&[0.0, -1.0], &p).unwrap() - one).abs() < 1e-6);
    // All ignored: nothing.
    assert_eq!(both.call(&[-1.0, -1.0], &p).unwrap(), 0.0);
    assert!(loss.call(&[0.0, -1.0], &p).is_err());
}

#[test]
fn shapes_and_labels_are_checked() {
    let sparse = SparseCategoricalCrossentropy::default();
    assert!(sparse.check(&Shape::default(), &[3].into()).is_ok());
    assert!(sparse.check(&[1].into(), &[3].into()).is_ok());
    let message = |r: Result<()>| r.unwrap_err().to_string();
    assert!(message(sparse.check(&[3].into(), &[3].into())).contains("one-hot"));
    assert!(sparse.check(&Shape::default(), &[0].into()).is_err());
    assert!(message(sparse.clone().axis(1).check(&[2].into(), &[2, 3].into())).contains("`axis`"));
    let ids = View {
        data: &[0.0, 3.0],
        shape: &[],
        batch: 2,
    };
    assert_eq!(
        message(sparse.check_targets(ids, &[3])),
        "y: sample 1 holds 3, not a class id in 0..3"
    );
    let binary = BinaryCrossentropy::default();
    let e = message(binary.check(&Shape::default(), &[1].into()));
    assert!(e.contains("insert_axis"), "{e}");
    assert!(binary.call(&[[0.5], [-1.0]], &[[0.5], [0.5]]).is_err());
    assert!(
        MeanSquaredError::default()
            .check(&[0].into(), &[0].into())
            .is_err()
    );
    // Arguments that make no sense.
    let bad: [&dyn Loss; 7] = [
        &Huber::default().delta(0.0),
        &Huber::default().delta(f64::NAN),
        &BinaryCrossentropy::default().label_smoothing(1.5),
        &BinaryCrossentropy::default().axis(0),
        &CategoricalCrossentropy::default().axis(i64::MIN),
        &BinaryFocalCrossentropy::default().gamma(-1.0),
        &CosineSimilarity::default().axis(i64::MAX),
    ];
    for loss in bad {
        assert!(loss.check(&[2].into(), &[2].into()).is_err(), "{loss:?}");
    }
}

/// Every name of Keras's table, and what its class writes (taken from `keras.losses.serialize`).
#[test]
fn names_and_configurations() {
    let config = |name: &str| Value::Object(get(name).unwrap().config());
    let plain = |name: &str| json!({"name": name, "reduction": "sum_over_batch_size"});
    for (aliases, class) in [
        (
            &["mean_squared_error", "mse", "MSE"][..],
            "MeanSquaredError",
        ),
        (&["mean_absolute_error", "mae", "MAE"], "MeanAbsoluteError"),
        (
            &["mean_absolute_percentage_error", "mape", "MAPE"],
            "MeanAbsolutePercentageError",
        ),
        (
            &["mean_squared_logarithmic_error", "msle", "MSLE"],
            "MeanSquaredLogarithmicError",
        ),
        (&["log_cosh"], "LogCosh"),
        (&["cosine_similarity"], "CosineSimilarity"),
        (&["hinge"], "Hinge"),
        (&["squared_hinge"], "SquaredHinge"),
        (&["categorical_hinge"], "CategoricalHinge"),
        (&["kl_divergence", "kld", "KLD"], "KLDivergence"),
        (&["poisson"], "Poisson"),
        (&["ctc"], "CTC"),
    ] {
        for name in aliases.iter().chain([&class]) {
            assert_eq!(get(name).unwrap().class_name(), class);
        }
        assert_eq!(config(class), plain(aliases[0]));
    }
    assert_eq!(config("huber"), plain("huber_loss"));
    let with = |name: &str, more: Value| {
        let Value::Object(mut map) = plain(name) else {
            unreachable!("an object")
        };
        map.extend(more.as_object().unwrap().clone());
        Value::Object(map)
    };
    let logits = json!({"from_logits": false, "label_smoothing": 0.0, "axis": -1});
    for (name, more) in [
        ("binary_crossentropy", logits.clone()),
        ("categorical_crossentropy", logits),
        (
            "sparse_categorical_crossentropy",
            json!({"from_logits": false, "ignore_class": null}),
        ),
        (
            "binary_focal_crossentropy",
            json!({"from_logits": false, "label_smoothing": 0.0, "axis": -1, "apply_class_balancing": false,
                   "alpha": 0.25, "gamma": 2.0}),
        ),
        (
            "categorical_focal_crossentropy",
            json!({"from_logits": false, "label_smoothing": 0.0, "axis": -1, "alpha": 0.25, "gamma": 2.0}),
        ),
        ("categorical_generalized_cross_entropy", json!({"q": 0.5})),
        ("dice", json!({"axis": null})),
        ("tversky", json!({"alpha": 0.5, "beta": 0.5, "axis": null})),
        (
            "circle",
            json!({"gamma": 80.0, "margin": 0.4, "remove_diagonal": true}),
        ),
    ] {
        assert_eq!(config(name).to_string(), with(name, more).to_string());
        let loss = get(name).unwrap();
        let read = deserialize(&serialize(&*loss)).unwrap();
        assert_eq!(
            (read.class_name(), read.config()),
            (loss.class_name(), loss.config())
        );
    }
    assert!(
        get("mes")
            .unwrap_err()
            .to_string()
            .starts_with("unknown loss `mes`")
    );
}

#[test]
fn what_keras_does_not_write_is_written_where_it_says_something() {
    let delta = Huber::default().delta(0.5);
    assert_eq!(delta.config()["delta"], 0.5);
    let read = deserialize(&serialize(&delta)).unwrap();
    assert_eq!(read.config(), delta.config());
    let axes = Dice::default().axis([1, 2]);
    assert_eq!(axes.config()["axis"], json!([1, 2]));
    assert_eq!(Dice::default().axis(-1).config()["axis"], -1);
    let read = deserialize(&serialize(&axes)).unwrap();
    assert_eq!(read.config(), axes.config());
}

#[test]
fn the_forms_of_files() {
    let function = json!({"module": "builtins", "class_name": "function", "config": "huber", "registered_name": "function"});
    assert_eq!(deserialize(&function).unwrap().class_name(), "Huber");
    let wrapper = json!({"module": "keras.losses", "class_name": "LossFunctionWrapper", "registered_name": null,
        "config": {"name": "mine", "reduction": "sum", "fn": function, "delta": 0.25}});
    let loss = deserialize(&wrapper).unwrap();
    assert_eq!(
        Value::Object(loss.config()),
        json!({"name": "mine", "reduction": "sum", "delta": 0.25})
    );
    let dtype = json!({"class_name": "Hinge", "config": {"name": "hinge", "dtype": "float32", "reduction": null}, "module": "keras.losses"});
    assert_eq!(deserialize(&dtype).unwrap().reduction(), Reduction::None);
    let unknown = json!({"class_name": "Hinge", "config": {"delta": 1.0}});
    assert!(
        deserialize(&unknown)
            .unwrap_err()
            .to_string()
            .contains("delta")
    );
    for bad in [
        json!(3),
        json!({"class_name": "Hunge"}),
        json!({"class_name": "function", "config": "f"}),
    ] {
        assert!(deserialize(&bad).is_err());
    }

    let by_shape = |t: &[usize], p: &[usize]| {
        let loss = get("ce").unwrap();
        loss.resolve(&t.into(), &p.into()).unwrap().class_name()
    };
    assert_eq!(by_shape(&[1], &[1]), "BinaryCrossentropy");
    assert_eq!(by_shape(&[], &[3]), "SparseCategoricalCrossentropy");
    assert_eq!(by_shape(&[3], &[3]), "CategoricalCrossentropy");
    assert_eq!(
        serialize(get("CrossEntropy").unwrap().as_ref()),
        json!("crossentropy")
    );

    #[derive(Debug)]
    struct Mine;
    impl Loss for Mine {
        fn class_name(&self) -> &'static str {
            "Mine"
        }
        fn config(&self) -> Config {
            Config::new()
        }
        fn values(&self, _: View<'_>, _: View<'_>, _: &mut [Float]) {}
        fn grad(&self, _: View<'_>, _: View<'_>, _: &[Float], _: ViewMut<'_>) {}
    }
    assert_eq!(serialize(&Mine)["registered_name"], "Custom>Mine");
}
