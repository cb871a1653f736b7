//! Metrics by name and from configurations.

use serde_json::Value;

use super::wrapper::MeanMetricWrapper;
use super::*;
use crate::config::Config;
use crate::envelope::{Object, custom, envelope};
use crate::layer::default_name;
use crate::losses;

/// Reads a metric of one class: its name and type, if given, and its other arguments.
type Reader = fn(Option<&str>, Option<&str>, &Config) -> Result<Box<dyn Metric>>;

/// Keras's class name, other names (the class in snake case is always one), and how it is read.
struct Row(&'static str, &'static [&'static str], Reader);

fn mean<F: MeanClass>(
    name: Option<&str>,
    _dtype: Option<&str>,
    arguments: &Config,
) -> Result<Box<dyn Metric>> {
    Ok(Box::new(MeanMetric::<F>::read(name, arguments)?))
}

fn confusion<K: confusion::Kind>(
    name: Option<&str>,
    _dtype: Option<&str>,
    arguments: &Config,
) -> Result<Box<dyn Metric>> {
    Ok(Box::new(ConfusionMetric::<K>::read(name, arguments)?))
}

fn point<P: operating_points::Point>(
    name: Option<&str>,
    _dtype: Option<&str>,
    arguments: &Config,
) -> Result<Box<dyn Metric>> {
    Ok(Box::new(OperatingPoint::<P>::read(name, arguments)?))
}

fn iou<K: super::iou::Kind>(
    name: Option<&str>,
    dtype: Option<&str>,
    arguments: &Config,
) -> Result<Box<dyn Metric>> {
    Ok(Box::new(super::iou::IoUMetric::<K>::read(
        name, dtype, arguments,
    )?))
}

/// The table of metrics.
const TABLE: &[Row] = &[
    Row("Accuracy", &[], mean::<accuracy::Exact>),
    Row("BinaryAccuracy", &[], mean::<accuracy::Binary>),
    Row("CategoricalAccuracy", &[], mean::<accuracy::Categorical>),
    Row("SparseCategoricalAccuracy", &[], mean::<accuracy::Sparse>),
    Row("TopKCategoricalAccuracy", &[], mean::<accuracy::TopK>),
    Row(
        "SparseTopKCategoricalAccuracy",
        &[],
        mean::<accuracy::SparseTopK>,
    ),
    Row(
        "MeanSquaredError",
        &["mse", "MSE"],
        mean::<losses::MeanSquaredError>,
    ),
    Row(
        "RootMeanSquaredError",
        &["rmse", "RMSE"],
        mean::<of_losses::SquaredError>,
    ),
    Row(
        "MeanAbsoluteError",
        &["mae", "MAE"],
        mean::<losses::MeanAbsoluteError>,
    ),
    Row(
        "MeanAbsolutePercentageError",
        &["mape", "MAPE"],
        mean::<losses::MeanAbsolutePercentageError>,
    ),
    Row(
        "MeanSquaredLogarithmicError",
        &["msle", "MSLE"],
        mean::<losses::MeanSquaredLogarithmicError>,
    ),
    Row("LogCoshError", &[], mean::<losses::LogCosh>),
    Row("CosineSimilarity", &[], mean::<losses::CosineSimilarity>),
    Row("Hinge", &[], mean::<losses::Hinge>),
    Row("SquaredHinge", &[], mean::<losses::SquaredHinge>),
    Row("CategoricalHinge", &[], mean::<losses::CategoricalHinge>),
    Row("KLDivergence", &[], mean::<losses::KLDivergence>),
    Row("Poisson", &[], mean::<losses::Poisson>),
    Row(
        "BinaryCrossentropy",
        &["bce", "BCE"],
        mean::<losses::BinaryCrossentropy>,
    ),
    Row(
        "CategoricalCrossentropy",
        &[],
        mean::<losses::CategoricalCrossentropy>,
    ),
    Row(
        "SparseCategoricalCrossentropy",
        &[],
        mean::<losses::SparseCategoricalCrossentropy>,
    ),
    Row("PearsonCorrelation", &[], mean::<correlation::Pearson>),
    Row(
        "ConcordanceCorrelation",
        &[],
        mean::<correlation::Concordance>,
    ),
    Row("Precision", &[], confusion::<confusion::kinds::Precision>),
    Row("Recall", &[], confusion::<confusion::kinds::Recall>),
    Row(
        "TruePositives",
        &[],
        confusion::<confusion::kinds::TruePositives>,
    ),
    Row(
        "TrueNegatives",
        &[],
        confusion::<confusion::kinds::TrueNegatives>,
    ),
    Row(
        "FalsePositives",
        &[],
        confusion::<confusion::kinds::FalsePositives>,
    ),
    Row(
        "FalseNegatives",
        &[],
        confusion::<confusion::kinds::FalseNegatives>,
    ),
    Row(
        "SensitivityAtSpecificity",
        &[],
        point::<operating_points::points::SensitivityAtSpecificity>,
    ),
    Row(
        "SpecificityAtSensitivity",
        &[],
        point::<operating_points::points::SpecificityAtSensitivity>,
    ),
    Row(
        "PrecisionAtRecall",
        &[],
        point::<operating_points::points::PrecisionAtRecall>,
    ),
    Row(
        "RecallAtPrecision",
        &[],
        point::<operating_points::points::RecallAtPrecision>,
    ),
    Row("AUC", &[], |name, _, arguments| {
        Ok(Box::new(Auc::read(name, arguments)?))
    }),
    Row("F1Score", &[], |name, _, arguments| {
        Ok(Box::new(F1Score::read(name, arguments)?))
    }),
    Row("FBetaScore", &["fbeta_score"], |name, _, arguments| {
        Ok(Box::new(FBetaScore::read(name, arguments)?))
    }),
    Row("R2Score", &[], |name, _, arguments| {
        Ok(Box::new(R2Score::read(name, arguments)?))
    }),
    Row("IoU", &[], iou::<super::iou::kinds::IoU>),
    Row("BinaryIoU", &[], iou::<super::iou::kinds::BinaryIoU>),
    Row("MeanIoU", &[], iou::<super::iou::kinds::MeanIoU>),
    Row("OneHotIoU", &[], iou::<super::iou::kinds::OneHotIoU>),
    Row(
        "OneHotMeanIoU",
        &[],
        iou::<super::iou::kinds::OneHotMeanIoU>,
    ),
    Row("MeanMetricWrapper", &[], |name, _, arguments| {
        Ok(Box::new(MeanMetricWrapper::read(name, arguments)?))
    }),
];

fn known() -> impl Iterator<Item = String> {
    std::iter::once("accuracy".to_string()).chain(
        TABLE
            .iter()
            .map(|row| default_name(row.0))
            .filter(|name| name != "accuracy"),
    )
}

/// The metric of this name (`"accuracy"`, `"auc"`, `"mse"`, a class name, the name of a function) with default arguments; it
/// reports under the name given, as in Keras.
///
/// # Errors
/// If there is none: the error lists the names. If it has an argument without a default.
pub fn get(name: &str) -> Result<Box<dyn Metric>> {
    if ["accuracy", "acc"].contains(&name.to_lowercase().as_str()) {
        return Ok(Box::new(accuracy::Named(name.into())));
    }
    let row = TABLE
        .iter()
        .find(|row| row.0 == name || row.1.contains(&name) || default_name(row.0) == name);
    match row {
        Some(Row(_, _, read)) => read(Some(name), None, &Config::new()),
        None => MeanMetricWrapper::function(Some(name), name, &Config::new())
            .unwrap_or_else(|| Err(Error::unknown("metric", name, known()))?)
            .map(|metric| Box::new(metric) as _),
    }
}

/// The metric of this class with these arguments.
///
/// # Errors
/// If the class or an argument is unknown, or a value makes no sense.
pub fn from_config(class: &str, config: &Config) -> Result<Box<dyn Metric>> {
    let mut config = config.clone();
    let (name, dtype) = (config.shift_remove("name"), config.shift_remove("dtype"));
    // A type may be written as an object that has it as its name.
    let dtype = dtype.as_ref().and_then(|d| match d {
        Value::String(name) => Some(name.as_str()),
        other => other.pointer("/config/name").and_then(Value::as_str),
    });
    match TABLE.iter().find(|row| row.0 == class) {
        Some(Row(_, _, read)) => read(name.as_ref().and_then(Value::as_str), dtype, &config),
        None => Err(Error::unknown(
            "metric",
            class,
            TABLE.iter().map(|row| row.0),
        )),
    }
}

/// The metric that Keras means by a string, a function or an object `{"class_name": .., "config": ..}`.
///
/// # Errors
/// As [`get`] and [`from_config`].
pub fn deserialize(value: &Value) -> Result<Box<dyn Metric>> {
    if let Some(name) = value.as_str() {
        return get(name);
    }
    let wrong = |problem: String| Error::Config {
        path: "metric".into(),
        problem,
    };
    if let Value::Object(map) = value
        && map.get("class_name").is_some_and(|c| c == "function")
    {
        let function = map.get("config").and_then(Value::as_str);
        return function
            .and_then(|f| MeanMetricWrapper::function(None, f, &Config::new()))
            .unwrap_or_else(|| Err(wrong(format!("unknown function {value}"))))
            .map(|metric| Box::new(metric) as _);
    }
    let object = Object::read(value.clone()).map_err(wrong)?;
    from_config(&object.class, &object.args.into_config())
}

/// How Keras writes this metric: `"accuracy"` as that string, one that is not Keras's as a registered object of the user's.
pub fn serialize(metric: &dyn Metric) -> Value {
    let class = metric.class_name();
    if class == "accuracy" {
        return metric.name().into();
    }
    let config = Value::Object(metric.config());
    if TABLE.iter().any(|row| row.0 == class) {
        return envelope("keras.metrics", class, config);
    }
    custom(class, config)
}
