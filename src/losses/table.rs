//! Losses by name and from configurations.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::config::{Config, from_config as parse};
use crate::envelope::{Object, custom, envelope};

/// Reads a loss of one class.
type Reader = fn(&str, &Config) -> Result<Arc<dyn Loss>>;

fn read<L: Loss + DeserializeOwned + 'static>(
    class: &str,
    config: &Config,
) -> Result<Arc<dyn Loss>> {
    Ok(Arc::new(parse::<L>(class, config)?))
}

/// Keras's class name, the name of its function, other names.
struct Row(&'static str, &'static str, &'static [&'static str], Reader);

/// The table of losses.
const TABLE: &[Row] = &[
    Row(
        "MeanSquaredError",
        "mean_squared_error",
        &["mse", "MSE"],
        read::<MeanSquaredError>,
    ),
    Row(
        "MeanAbsoluteError",
        "mean_absolute_error",
        &["mae", "MAE"],
        read::<MeanAbsoluteError>,
    ),
    Row(
        "MeanAbsolutePercentageError",
        "mean_absolute_percentage_error",
        &["mape", "MAPE"],
        read::<MeanAbsolutePercentageError>,
    ),
    Row(
        "MeanSquaredLogarithmicError",
        "mean_squared_logarithmic_error",
        &["msle", "MSLE"],
        read::<MeanSquaredLogarithmicError>,
    ),
    Row(
        "CosineSimilarity",
        "cosine_similarity",
        &[],
        read::<CosineSimilarity>,
    ),
    Row("LogCosh", "log_cosh", &["logcosh"], read::<LogCosh>),
    Row("Huber", "huber", &[], read::<Huber>),
    Row("Hinge", "hinge", &[], read::<Hinge>),
    Row("SquaredHinge", "squared_hinge", &[], read::<SquaredHinge>),
    Row(
        "CategoricalHinge",
        "categorical_hinge",
        &[],
        read::<CategoricalHinge>,
    ),
    Row(
        "KLDivergence",
        "kl_divergence",
        &["kld", "KLD", "kullback_leibler_divergence"],
        read::<KLDivergence>,
    ),
    Row("Poisson", "poisson", &[], read::<Poisson>),
    Row(
        "BinaryCrossentropy",
        "binary_crossentropy",
        &["bce", "BCE"],
        read::<BinaryCrossentropy>,
    ),
    Row(
        "BinaryFocalCrossentropy",
        "binary_focal_crossentropy",
        &[],
        read::<BinaryFocalCrossentropy>,
    ),
    Row(
        "CategoricalCrossentropy",
        "categorical_crossentropy",
        &[],
        read::<CategoricalCrossentropy>,
    ),
    Row(
        "CategoricalFocalCrossentropy",
        "categorical_focal_crossentropy",
        &[],
        read::<CategoricalFocalCrossentropy>,
    ),
    Row(
        "SparseCategoricalCrossentropy",
        "sparse_categorical_crossentropy",
        &[],
        read::<SparseCategoricalCrossentropy>,
    ),
    Row(
        "CategoricalGeneralizedCrossEntropy",
        "categorical_generalized_cross_entropy",
        &[],
        read::<CategoricalGeneralizedCrossEntropy>,
    ),
    Row("CTC", "ctc", &[], read::<CTC>),
    Row("Dice", "dice", &[], read::<Dice>),
    Row("Tversky", "tversky", &[], read::<Tversky>),
    Row("Circle", "circle", &[], read::<Circle>),
];

fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|Row(class, function, others, _)| {
        *class == name || *function == name || others.contains(&name)
    })
}

/// Keras's `"crossentropy"` and `"ce"`, by that name.
#[derive(Clone, Debug)]
struct Crossentropy(&'static str);

impl Loss for Crossentropy {
    fn class_name(&self) -> &'static str {
        self.0
    }

    fn config(&self) -> Config {
        Config::new()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.resolved(y_true, y_pred).check(y_true, y_pred)
    }

    fn resolve(&self, y_true: &Shape, y_pred: &Shape) -> Option<Arc<dyn Loss>> {
        Some(self.resolved(y_true, y_pred))
    }

    // Stands for another loss until the shapes are known; see `resolve`.
    fn values(&self, _y_true: View<'_>, _y_pred: View<'_>, out: &mut [Float]) {
        out.fill(Float::NAN);
    }

    fn grad(&self, _y_true: View<'_>, _y_pred: View<'_>, _coef: &[Float], dy: ViewMut<'_>) {
        dy.data.fill(Float::NAN);
    }
}

impl Crossentropy {
    fn resolved(&self, y_true: &Shape, y_pred: &Shape) -> Arc<dyn Loss> {
        if y_pred.last().unwrap_or(1) == 1 {
            Arc::new(BinaryCrossentropy::default())
        } else if y_true.rank() < y_pred.rank() || y_true.last() == Some(1) {
            Arc::new(SparseCategoricalCrossentropy::default())
        } else {
            Arc::new(CategoricalCrossentropy::default())
        }
    }
}

/// The loss of this name (`"mse"`, `"mean_squared_error"`, `"MeanSquaredError"`) with default arguments. `"crossentropy"` is the one
/// that fits the shapes.
///
/// # Errors
/// If there is none: the error lists the names.
pub fn get(name: &str) -> Result<Arc<dyn Loss>> {
    if let Some(name) = ["crossentropy", "ce"]
        .into_iter()
        .find(|n| n.eq_ignore_ascii_case(name))
    {
        return Ok(Arc::new(Crossentropy(name)));
    }
    match find(name) {
        Some(Row(class, _, _, read)) => read(class, &Config::new()),
        None => Err(Error::unknown("loss", name, TABLE.iter().map(|row| row.1))),
    }
}

/// The loss of this class with these arguments; `dtype` is accepted everywhere and means nothing here.
///
/// `LossFunctionWrapper`, which is how Keras writes a function as a loss, is read too.
///
/// # Errors
/// If the class or an argument is unknown, or a value makes no sense.
pub fn from_config(class: &str, config: &Config) -> Result<Arc<dyn Loss>> {
    let mut config = config.clone();
    config.shift_remove("dtype");
    if class == "LossFunctionWrapper"
        && let Some(function) = config.shift_remove("fn").as_ref().and_then(function)
    {
        return from_config(function, &config);
    }
    match TABLE.iter().find(|row| row.0 == class) {
        Some(Row(class, _, _, read)) => read(class, &config),
        None => Err(Error::unknown("loss", class, TABLE.iter().map(|row| row.0))),
    }
}

/// The class of the loss that is meant by a function: its name, or Keras's object for a function. None if it is no loss.
pub fn function(value: &Value) -> Option<&'static str> {
    let name = match value {
        Value::String(name) => name,
        Value::Object(map) if map.get("class_name")? == "function" => {
            map.get("config")?.as_str()?
        }
        _ => return None,
    };
    find(name).map(|row| row.0)
}

/// The loss that Keras means by a string, a function or an object `{"class_name": .., "config": ..}`.
///
/// # Errors
/// As [`get`] and [`from_config`].
pub fn deserialize(value: &Value) -> Result<Arc<dyn Loss>> {
    if let Some(name) = value.as_str() {
        return get(name);
    }
    if let Some(class) = function(value) {
        return from_config(class, &Config::new());
    }
    let object = Object::read(value.clone()).map_err(|problem| Error::Config {
        path: "loss".into(),
        problem,
    })?;
    from_config(&object.class, &object.args.into_config())
}

/// How Keras writes this loss; one that is not Keras's is written as a registered object of the user's.
pub fn serialize(loss: &dyn Loss) -> Value {
    let (class, config) = (loss.class_name(), Value::Object(loss.config()));
    if ["crossentropy", "ce"].contains(&class) {
        return class.into();
    }
    if TABLE.iter().any(|row| row.0 == class) {
        return envelope("keras.losses", class, config);
    }
    custom(class, config)
}

/// Keras's name of the function of this class.
pub fn function_name(class: &str) -> Option<&'static str> {
    TABLE.iter().find(|row| row.0 == class).map(|row| row.1)
}
