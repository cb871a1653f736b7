//! Metrics that are the mean of a loss function.

use serde_json::Value;

use super::{MeanClass, MeanMetric};
use crate::config::{Config, from_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::losses::{self, Loss};
use crate::tensor::View;

/// The mean of the squared error. [Keras](https://keras.io/api/metrics/regression_metrics/)
///
/// ```
/// use oxhorn::metrics::{MeanSquaredError, Metric, MetricExt};
/// let mut metric = MeanSquaredError::default();
/// metric.update_state(&[[0.0, 1.0]], &[[1.0, 3.0]])?;
/// assert_eq!(metric.result(), 2.5);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type MeanSquaredError = MeanMetric<losses::MeanSquaredError>;

/// The mean of the absolute error. [Keras](https://keras.io/api/metrics/regression_metrics/)
pub type MeanAbsoluteError = MeanMetric<losses::MeanAbsoluteError>;

/// The mean of the absolute error in percent of the target. [Keras](https://keras.io/api/metrics/regression_metrics/)
pub type MeanAbsolutePercentageError = MeanMetric<losses::MeanAbsolutePercentageError>;

/// The mean of the squared error of logarithms. [Keras](https://keras.io/api/metrics/regression_metrics/)
pub type MeanSquaredLogarithmicError = MeanMetric<losses::MeanSquaredLogarithmicError>;

/// The mean of the logarithm of the error's hyperbolic cosine. [Keras](https://keras.io/api/metrics/regression_metrics/)
pub type LogCoshError = MeanMetric<losses::LogCosh>;

/// The mean of the cosine between targets and predictions: 1 where they point the same way.
/// [Keras](https://keras.io/api/metrics/regression_metrics/)
///
/// ```
/// use oxhorn::metrics::{CosineSimilarity, Metric, MetricExt};
/// let mut metric = CosineSimilarity::default();
/// metric.update_state(&[[0.0, 1.0]], &[[3.0, 4.0]])?;
/// assert!((metric.result() - 0.8).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type CosineSimilarity = MeanMetric<losses::CosineSimilarity>;

/// The mean hinge loss. [Keras](https://keras.io/api/metrics/hinge_metrics/)
pub type Hinge = MeanMetric<losses::Hinge>;

/// The mean squared hinge loss. [Keras](https://keras.io/api/metrics/hinge_metrics/)
pub type SquaredHinge = MeanMetric<losses::SquaredHinge>;

/// The mean categorical hinge loss. [Keras](https://keras.io/api/metrics/hinge_metrics/)
pub type CategoricalHinge = MeanMetric<losses::CategoricalHinge>;

/// The mean Kullback-Leibler divergence. [Keras](https://keras.io/api/metrics/probabilistic_metrics/)
pub type KLDivergence = MeanMetric<losses::KLDivergence>;

/// The mean Poisson loss. [Keras](https://keras.io/api/metrics/probabilistic_metrics/)
pub type Poisson = MeanMetric<losses::Poisson>;

/// The mean binary cross-entropy. [Keras](https://keras.io/api/metrics/probabilistic_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `label_smoothing` | 0 | targets become `t (1 - s) + s / 2` |
pub type BinaryCrossentropy = MeanMetric<losses::BinaryCrossentropy>;

/// The mean categorical cross-entropy. [Keras](https://keras.io/api/metrics/probabilistic_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `label_smoothing` | 0 | targets become `t (1 - s) + s / classes` |
/// | `axis` | -1 | axis of the classes |
pub type CategoricalCrossentropy = MeanMetric<losses::CategoricalCrossentropy>;

/// The mean cross-entropy of class ids. [Keras](https://keras.io/api/metrics/probabilistic_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `ignore_class` | none | targets of this id count as 0, or nothing where there are weights (Keras's rule) |
/// | `axis` | -1 | axis of the classes: the last one |
pub type SparseCategoricalCrossentropy = MeanMetric<losses::SparseCategoricalCrossentropy>;

/// The root of the mean of all squared errors; padding counts (Keras's rule).
/// [Keras](https://keras.io/api/metrics/regression_metrics/)
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, RootMeanSquaredError};
/// let mut metric = RootMeanSquaredError::default();
/// metric.update_state(&[[0.0], [1.0]], &[[3.0], [5.0]])?;
/// assert_eq!(metric.result(), 12.5f64.sqrt());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type RootMeanSquaredError = MeanMetric<SquaredError>;

impl MeanMetric<losses::BinaryCrossentropy> {
    /// Predictions are logits.
    pub fn from_logits(self, yes: bool) -> Self {
        self.with(|f| f.from_logits(yes))
    }

    /// Moves targets towards one half.
    pub fn label_smoothing(self, smoothing: f64) -> Self {
        self.with(|f| f.label_smoothing(smoothing))
    }
}

impl MeanMetric<losses::CategoricalCrossentropy> {
    /// Predictions are logits.
    pub fn from_logits(self, yes: bool) -> Self {
        self.with(|f| f.from_logits(yes))
    }

    /// Moves targets towards equal probabilities.
    pub fn label_smoothing(self, smoothing: f64) -> Self {
        self.with(|f| f.label_smoothing(smoothing))
    }

    /// Axis of the classes.
    pub fn axis(self, axis: i64) -> Self {
        self.with(|f| f.axis(axis))
    }
}

impl MeanMetric<losses::SparseCategoricalCrossentropy> {
    /// Predictions are logits.
    pub fn from_logits(self, yes: bool) -> Self {
        self.with(|f| f.from_logits(yes))
    }

    /// Targets of this id count nothing.
    pub fn ignore_class(self, class: i64) -> Self {
        self.with(|f| f.ignore_class(class))
    }
}

impl MeanMetric<losses::CosineSimilarity> {
    /// Axis of the vectors.
    pub fn axis(self, axis: i64) -> Self {
        self.with(|f| f.axis(axis))
    }
}

/// The squared error, row by row: what [`RootMeanSquaredError`] averages.
#[derive(Clone, Debug, Default)]
pub struct SquaredError(losses::MeanSquaredError);

impl super::Function for SquaredError {
    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        Loss::values(&self.0, y_true, y_pred, out);
    }
}

impl MeanClass for SquaredError {
    const CLASS: &'static str = "RootMeanSquaredError";
    const NAME: &'static str = "root_mean_squared_error";
    const MASKED: bool = false;

    fn from_arguments(arguments: &Config) -> Result<Self> {
        loss_of(Self::CLASS, arguments, &[]).map(SquaredError)
    }

    fn finish(mean: f64) -> f64 {
        mean.sqrt()
    }
}

/// The loss with these arguments of a metric, of which the metric knows only some.
fn loss_of<L: serde::de::DeserializeOwned>(
    class: &str,
    arguments: &Config,
    known: &[&str],
) -> Result<L> {
    match arguments.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::Config {
            path: class.into(),
            problem: format!("unknown argument `{key}`"),
        }),
        None => from_config(class, arguments),
    }
}

/// The metrics that are means of losses: class, name in logs, and the arguments of the loss that the metric has too.
macro_rules! means_of_losses {
    ($($loss:ident = $class:literal, $name:literal, [$($arg:literal),*] $(, $finish:expr)?;)+) => {$(
        impl MeanClass for losses::$loss {
            const CLASS: &'static str = $class;
            const NAME: &'static str = $name;

            fn arguments(&self) -> Config {
                let known: &[&str] = &[$($arg),*];
                let mut config = Loss::config(self);
                config.retain(|key, _| known.contains(&key.as_str()));
                config
            }

            fn from_arguments(arguments: &Config) -> Result<Self> {
                loss_of($class, arguments, &[$($arg),*])
            }

            $(fn finish(mean: f64) -> f64 {
                $finish(mean)
            })?
        }
    )+};
}

means_of_losses! {
    MeanSquaredError = "MeanSquaredError", "mean_squared_error", [];
    MeanAbsoluteError = "MeanAbsoluteError", "mean_absolute_error", [];
    MeanAbsolutePercentageError = "MeanAbsolutePercentageError", "mean_absolute_percentage_error", [];
    MeanSquaredLogarithmicError = "MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", [];
    LogCosh = "LogCoshError", "logcosh", [];
    CosineSimilarity = "CosineSimilarity", "cosine_similarity", ["axis"], |mean: f64| -mean;
    Hinge = "Hinge", "hinge", [];
    SquaredHinge = "SquaredHinge", "squared_hinge", [];
    CategoricalHinge = "CategoricalHinge", "categorical_hinge", [];
    KLDivergence = "KLDivergence", "kl_divergence", [];
    Poisson = "Poisson", "poisson", [];
    BinaryCrossentropy = "BinaryCrossentropy", "binary_crossentropy", ["from_logits", "label_smoothing"];
    CategoricalCrossentropy = "CategoricalCrossentropy", "categorical_crossentropy", ["from_logits", "label_smoothing", "axis"];
}

impl MeanClass for losses::SparseCategoricalCrossentropy {
    const CLASS: &'static str = "SparseCategoricalCrossentropy";
    const NAME: &'static str = "sparse_categorical_crossentropy";

    fn arguments(&self) -> Config {
        let mut config = Loss::config(self);
        config.shift_remove("name");
        config.shift_remove("reduction");
        // The loss leaves it out where it is the default; the metric does not.
        config.entry("axis").or_insert(Value::from(-1));
        config
    }

    fn from_arguments(arguments: &Config) -> Result<Self> {
        loss_of(
            Self::CLASS,
            arguments,
            &["from_logits", "ignore_class", "axis"],
        )
    }
}
