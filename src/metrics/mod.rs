//! Metrics: [`Metric`] and Keras's metrics, one family a file.
//!
//! Most are the mean of a function of target and prediction: [`MeanMetric`]. The names are Keras's, so some are those of losses
//! too: `metrics::MeanSquaredError` is the metric.

mod accuracy;
mod auc;
mod confusion;
mod correlation;
mod f_score;
mod iou;
mod mean_metric;
mod of_losses;
mod operating_points;
mod r2_score;
mod reduction;
mod table;
#[cfg(test)]
mod tests;
mod thresholds;
mod wrapper;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, ExactAccuracy, SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy,
};
pub use auc::{AUC, Auc, Curve, Summation};
pub use confusion::{
    ConfusionMetric, FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives,
    TruePositives,
};
pub use correlation::{ConcordanceCorrelation, PearsonCorrelation};
pub use f_score::{Average, F1Score, FBetaScore};
pub use iou::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use mean_metric::{Function, MeanClass, MeanMetric};
pub use of_losses::{
    BinaryCrossentropy, CategoricalCrossentropy, CategoricalHinge, CosineSimilarity, Hinge,
    KLDivergence, LogCoshError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, Poisson, RootMeanSquaredError, SparseCategoricalCrossentropy,
    SquaredHinge,
};
pub use operating_points::{
    OperatingPoint, PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity,
    SpecificityAtSensitivity,
};
pub use r2_score::{Aggregation, R2Score};
pub use reduction::{Mean, Sum};
pub use table::{deserialize, from_config, get, serialize};
pub use thresholds::Thresholds;
pub use wrapper::MeanMetricWrapper;

use std::fmt::Debug;

use serde_json::Value;

use crate::activation::Activation;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
pub(crate) use crate::losses::same_shape;
use crate::shape::Shape;
use crate::tensor::{ToTensor, View};

/// A metric: state that batches are added to. Implement it for your own.
pub trait Metric: Debug + Send + Sync {
    /// Keras's class name: the key in files.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// Name in logs and history.
    fn name(&self) -> String;

    /// Whether the arguments make sense, for these shapes (of one sample).
    ///
    /// # Errors
    /// Names the argument, or both shapes, and what was expected.
    fn check(&self, _y_true: &Shape, _y_pred: &Shape) -> Result<()> {
        Ok(())
    }

    /// The metric that this one stands for, given the shapes: how `"accuracy"` becomes the binary, categorical or sparse one.
    fn resolve(&self, _y_true: &Shape, _y_pred: &Shape) -> Option<Box<dyn Metric>> {
        None
    }

    /// Whether positions that the mask of the output marks as padding count nothing: the mask then comes as `weight`, times the
    /// sample weights of a weighted metric. Keras does so for metrics that are the mean of a function.
    fn masked(&self) -> bool {
        false
    }

    /// The same metric on what came before this last activation; see [`Loss::on_logits`](crate::losses::Loss::on_logits).
    fn on_logits(&self, _last: &Activation) -> Option<Box<dyn Metric>> {
        None
    }

    /// Forgets everything.
    fn reset(&mut self);

    /// Adds a batch. `weight` has one number a sample, or one a row of `y_pred` (all axes but the last).
    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>);

    /// The value so far. A metric with several values gives their mean here.
    fn result(&self) -> f64;

    /// The values so far of a metric that has several (`F1Score` without averaging, `Precision` at several thresholds); empty for
    /// all others.
    fn results(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Everything that was added, as numbers from which [`set_state`](Self::set_state) of the same metric makes it again to the
    /// bit: what a backup in the middle of an epoch keeps. `None` where a metric cannot tell.
    fn state(&self) -> Option<Vec<f64>> {
        None
    }

    /// Takes it back; whether it was a state of this metric.
    fn set_state(&mut self, _state: &[f64]) -> bool {
        false
    }

    /// A copy with empty state.
    fn fresh(&self) -> Box<dyn Metric>;
}

/// What every metric can do: be given data directly, as Keras's `update_state`.
pub trait MetricExt: Metric {
    /// Adds a batch.
    ///
    /// ```
    /// use oxhorn::metrics::{Metric, MetricExt, Precision};
    /// let mut metric = Precision::default();
    /// metric.update_state(&[[0.0], [1.0], [1.0], [1.0]], &[[1.0], [0.0], [1.0], [1.0]])?;
    /// assert_eq!(metric.result(), 2.0 / 3.0);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the metric refuses the shapes.
    fn update_state<T: ToTensor + ?Sized, P: ToTensor + ?Sized>(
        &mut self,
        y_true: &T,
        y_pred: &P,
    ) -> Result<()> {
        self.update_weighted(y_true, y_pred, None)
    }

    /// Adds a batch with one weight a sample (or row).
    ///
    /// # Errors
    /// If the metric refuses the shapes, or the number of weights does not fit.
    fn update_weighted<T: ToTensor + ?Sized, P: ToTensor + ?Sized>(
        &mut self,
        y_true: &T,
        y_pred: &P,
        weight: Option<&[Float]>,
    ) -> Result<()> {
        let (t, p) = (y_true.to_tensor()?, y_pred.to_tensor()?);
        let (t_shape, p_shape) = (t.sample(), p.sample());
        let owner = self.name();
        if t.batch() != p.batch() {
            let want = format!("{} samples as predicted", p.batch());
            return Err(Error::shape(want, t.batch()).owned_by(&owner));
        }
        self.check(&t_shape.into(), &p_shape.into())
            .map_err(|e| e.owned_by(&owner))?;
        let view = |data, shape, batch| View { data, shape, batch };
        let y_pred = view(p.data(), &p_shape[..], p.batch());
        if let Some(w) = weight
            && w.len() != y_pred.batch
            && w.len() != y_pred.rows()
        {
            let want = format!("{} weights", y_pred.batch);
            return Err(Error::shape(want, w.len()).owned_by(&owner));
        }
        self.update(view(t.data(), &t_shape[..], t.batch()), y_pred, weight);
        Ok(())
    }
}

impl<M: Metric + ?Sized> MetricExt for M {}

/// The weight of row `r` of `rows`: by row, by sample, or 1.
pub(crate) fn weight_at(weight: Option<&[Float]>, r: usize, batch: usize, rows: usize) -> f64 {
    match weight {
        None => 1.0,
        Some(w) if w.len() == rows => w[r].into(),
        Some(w) => {
            let (each, samples) = (rows / batch.max(1), w.len() / batch.max(1));
            w[r / each.max(1) * samples.max(1)].into()
        }
    }
}

/// Rows of `N` numbers, from a state that holds nothing else.
fn rows_of<const N: usize>(state: &[f64]) -> Option<&[[f64; N]]> {
    let (rows, rest) = state.as_chunks::<N>();
    rest.is_empty().then_some(rows)
}

/// 0 where nothing can be divided.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// The mean of several values, which is what logs show of them; 0 of none.
fn mean_of(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    ratio(sum, n)
}

/// A configuration: `name`, `dtype` and a metric's own arguments.
fn described(name: &str, dtype: &str, own: Config) -> Config {
    let mut config = Config::new();
    config.insert("name".into(), Value::from(name));
    config.insert("dtype".into(), Value::from(dtype));
    config.extend(own);
    config
}
