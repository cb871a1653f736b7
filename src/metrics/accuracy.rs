//! The accuracy family: the share of positions where prediction and target agree.

use serde::{Deserialize, Serialize};

use super::{Function, MeanClass, MeanMetric, Metric};
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::reduce::argmax;
use crate::losses::class_ids;
use crate::shape::Shape;
use crate::tensor::View;

/// Keras's `"accuracy"`: binary, categorical or sparse categorical accuracy, as the shapes of outputs and targets say.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("ones"));
/// model.compile("sgd", "mse", [Accuracy])?;
/// assert_eq!(model.evaluate(&[[1.0f32], [0.2]], &[[1.0f32], [1.0]])?.get("accuracy"), Some(0.5));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Accuracy;

/// [`Accuracy`] under the name by which it was asked for: `"acc"`.
#[derive(Clone, Debug)]
pub(super) struct Named(pub String);

/// Share of predictions equal to their targets (Keras's class `Accuracy`).
pub type ExactAccuracy = MeanMetric<Exact>;

/// Share of predictions on the right side of a threshold. [Keras](https://keras.io/api/metrics/accuracy_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `threshold` | 0.5 | predictions above are 1 |
///
/// ```
/// use oxhorn::metrics::{BinaryAccuracy, Metric, MetricExt};
/// let mut metric = BinaryAccuracy::default().threshold(0.3);
/// metric.update_state(&[[1.0], [1.0], [0.0], [0.0]], &[[0.9], [0.2], [0.1], [0.2]])?;
/// assert_eq!(metric.result(), 0.75);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type BinaryAccuracy = MeanMetric<Binary>;

/// Share of rows whose largest prediction is where the one-hot target's is.
/// [Keras](https://keras.io/api/metrics/accuracy_metrics/)
pub type CategoricalAccuracy = MeanMetric<Categorical>;

/// Share of rows whose largest prediction is at the target's class id. [Keras](https://keras.io/api/metrics/accuracy_metrics/)
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, SparseCategoricalAccuracy};
/// let mut metric = SparseCategoricalAccuracy::default();
/// metric.update_state(&[1, 2], &[[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])?;
/// assert_eq!(metric.result(), 0.5);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type SparseCategoricalAccuracy = MeanMetric<Sparse>;

/// Share of rows whose target is among the `k` largest predictions. [Keras](https://keras.io/api/metrics/accuracy_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `k` | 5 | how many of the largest |
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, TopKCategoricalAccuracy};
/// let mut metric = TopKCategoricalAccuracy::default().k(2);
/// metric.update_state(&[[0, 0, 1], [0, 1, 0]], &[[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]])?;
/// assert_eq!(metric.result(), 0.5);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type TopKCategoricalAccuracy = MeanMetric<TopK>;

/// Share of rows whose target class id is among the `k` largest predictions.
/// [Keras](https://keras.io/api/metrics/accuracy_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `k` | 5 | how many of the largest |
/// | `from_sorted_ids` | false | predictions are class ids, the likeliest first |
pub type SparseTopKCategoricalAccuracy = MeanMetric<SparseTopK>;

/// Whether the numbers are equal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exact {}

/// Whether `y_pred > threshold` is the target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Binary {
    threshold: f64,
}

/// Whether the largest are at the same place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Categorical {}

/// Whether the largest is at the id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparse {}

/// Whether the largest target is at one of the `k` largest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopK {
    k: usize,
}

/// Whether the id is that of one of the `k` largest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseTopK {
    k: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_sorted_ids: bool,
}

impl Default for Binary {
    fn default() -> Self {
        Binary { threshold: 0.5 }
    }
}

impl Default for TopK {
    fn default() -> Self {
        TopK { k: 5 }
    }
}

impl Default for SparseTopK {
    fn default() -> Self {
        SparseTopK {
            k: 5,
            from_sorted_ids: false,
        }
    }
}

impl MeanMetric<Binary> {
    /// Predictions above are 1.
    pub fn threshold(self, threshold: f64) -> Self {
        self.with(|_| Binary { threshold })
    }
}

impl MeanMetric<TopK> {
    /// How many of the largest.
    pub fn k(self, k: usize) -> Self {
        self.with(|_| TopK { k })
    }
}

impl MeanMetric<SparseTopK> {
    /// How many of the largest.
    pub fn k(self, k: usize) -> Self {
        self.with(|f| SparseTopK { k, ..f })
    }

    /// Predictions are class ids, the likeliest first.
    pub fn from_sorted_ids(self, yes: bool) -> Self {
        self.with(|f| SparseTopK {
            from_sorted_ids: yes,
            ..f
        })
    }
}

/// `out[row] = f(row of y_true, row of y_pred)`; targets have rows of `true_cols`.
fn by_row(
    y_true: View<'_>,
    y_pred: View<'_>,
    true_cols: usize,
    out: &mut [Float],
    f: impl Fn(&[Float], &[Float]) -> Float,
) {
    let rows = y_true.data.chunks_exact(true_cols);
    for ((t, p), out) in rows.zip(y_pred.data.chunks_exact(y_pred.cols())).zip(out) {
        *out = f(t, p);
    }
}

/// Share of a row's pairs that agree.
fn share(t: &[Float], p: &[Float], agree: impl Fn(Float, Float) -> bool) -> Float {
    t.iter().zip(p).filter(|(t, p)| agree(**t, **p)).count() as Float / p.len() as Float
}

fn yes(is: bool) -> Float {
    if is { 1.0 } else { 0.0 }
}

/// Whether fewer than `k` predictions are larger than that of `class`; a prediction that is not finite is never among them.
fn in_top(p: &[Float], class: Float, k: usize) -> bool {
    class >= 0.0
        && p.get(class as usize)
            .is_some_and(|own| own.is_finite() && p.iter().filter(|v| *v > own).count() < k)
}

fn check_k(k: usize) -> Result<()> {
    if k == 0 {
        return Err(Error::arg("k", "a positive number", k));
    }
    Ok(())
}

impl Function for Exact {
    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        by_row(y_true, y_pred, y_pred.cols(), out, |t, p| {
            share(t, p, |t, p| t == p)
        });
    }
}

impl Function for Binary {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if !self.threshold.is_finite() {
            return Err(Error::arg("threshold", "a number", self.threshold));
        }
        super::same_shape(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let threshold = self.threshold as Float;
        by_row(y_true, y_pred, y_pred.cols(), out, |t, p| {
            share(t, p, |t, p| t == yes(p > threshold))
        });
    }
}

impl Function for Categorical {
    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        by_row(y_true, y_pred, y_pred.cols(), out, |t, p| {
            yes(argmax(t) == argmax(p))
        });
    }
}

impl Function for Sparse {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        class_ids(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        by_row(y_true, y_pred, 1, out, |t, p| {
            yes(t[0] == argmax(p) as Float)
        });
    }
}

impl Function for TopK {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_k(self.k)?;
        super::same_shape(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        by_row(y_true, y_pred, y_pred.cols(), out, |t, p| {
            yes(in_top(p, argmax(t) as Float, self.k))
        });
    }
}

impl Function for SparseTopK {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_k(self.k)?;
        class_ids(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        by_row(y_true, y_pred, 1, out, |t, p| {
            yes(if self.from_sorted_ids {
                p.iter().take(self.k).any(|p| *p == t[0])
            } else {
                in_top(p, t[0], self.k)
            })
        });
    }
}

macro_rules! accuracies {
    ($($function:ident = $class:literal, $name:literal;)+) => {$(
        impl MeanClass for $function {
            const CLASS: &'static str = $class;
            const NAME: &'static str = $name;

            fn arguments(&self) -> Config {
                to_config(self)
            }

            fn from_arguments(arguments: &Config) -> Result<Self> {
                from_config($class, arguments)
            }
        }
    )+};
}

accuracies! {
    Exact = "Accuracy", "accuracy";
    Binary = "BinaryAccuracy", "binary_accuracy";
    Categorical = "CategoricalAccuracy", "categorical_accuracy";
    Sparse = "SparseCategoricalAccuracy", "sparse_categorical_accuracy";
    TopK = "TopKCategoricalAccuracy", "top_k_categorical_accuracy";
    SparseTopK = "SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy";
}

impl Metric for Accuracy {
    fn class_name(&self) -> &'static str {
        "accuracy"
    }

    fn config(&self) -> Config {
        Config::new()
    }

    fn name(&self) -> String {
        "accuracy".into()
    }

    fn resolve(&self, y_true: &Shape, y_pred: &Shape) -> Option<Box<dyn Metric>> {
        Named("accuracy".into()).resolve(y_true, y_pred)
    }

    fn reset(&mut self) {}

    fn update(&mut self, _y_true: View<'_>, _y_pred: View<'_>, _weight: Option<&[Float]>) {}

    fn result(&self) -> f64 {
        f64::NAN
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(*self)
    }
}

impl Metric for Named {
    fn class_name(&self) -> &'static str {
        "accuracy"
    }

    fn config(&self) -> Config {
        Config::new()
    }

    fn name(&self) -> String {
        self.0.clone()
    }

    fn resolve(&self, y_true: &Shape, y_pred: &Shape) -> Option<Box<dyn Metric>> {
        let sparse = y_true.rank() < y_pred.rank() || y_true.last() == Some(1);
        Some(if y_pred.last().unwrap_or(1) == 1 {
            Box::new(BinaryAccuracy::default().name(&self.0))
        } else if sparse {
            Box::new(SparseCategoricalAccuracy::default().name(&self.0))
        } else {
            Box::new(CategoricalAccuracy::default().name(&self.0))
        })
    }

    fn reset(&mut self) {}

    fn update(&mut self, _y_true: View<'_>, _y_pred: View<'_>, _weight: Option<&[Float]>) {}

    fn result(&self) -> f64 {
        f64::NAN
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricExt;

    #[test]
    fn accuracy_is_chosen_by_the_shapes() {
        let class =
            |t: &[usize], p: &[usize]| Accuracy.resolve(&t.into(), &p.into()).unwrap().class_name();
        assert_eq!(class(&[1], &[1]), "BinaryAccuracy");
        assert_eq!(class(&[], &[3]), "SparseCategoricalAccuracy");
        assert_eq!(class(&[1], &[3]), "SparseCategoricalAccuracy");
        assert_eq!(class(&[3], &[3]), "CategoricalAccuracy");
        assert_eq!(class(&[7], &[7, 3]), "SparseCategoricalAccuracy");
    }

    #[test]
    fn values() {
        let p = [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]];
        let mut sparse = SparseCategoricalAccuracy::default();
        sparse
            .update_weighted(&[1.0, 2.0], &p, Some(&[3.0, 1.0]))
            .unwrap();
        assert_eq!(sparse.result(), 0.75);
        sparse.reset();
        // An id beyond the classes is never right.
        sparse.update_state(&[-1.0, 7.0], &p).unwrap();
        assert_eq!(sparse.result(), 0.0);
        let mut hot = CategoricalAccuracy::default();
        hot.update_state(&[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], &p)
            .unwrap();
        assert_eq!(hot.result(), 0.5);
        let mut top = SparseTopKCategoricalAccuracy::default().k(2);
        top.update_state(&[2.0, 2.0], &p).unwrap();
        top.update_state(&[-1.0, 3.0], &p).unwrap();
        assert_eq!(top.result(), 0.25);
        let mut sorted = SparseTopKCategoricalAccuracy::default()
            .k(2)
            .from_sorted_ids(true);
        sorted
            .update_state(&[4.0, 5.0], &[[9.0, 4.0, 5.0], [9.0, 4.0, 5.0]])
            .unwrap();
        assert_eq!(sorted.result(), 0.5);
        let mut exact = ExactAccuracy::default();
        exact.update_state(&[[1.0, 2.0]], &[[1.0, 2.5]]).unwrap();
        assert_eq!(exact.result(), 0.5);
        assert!(
            sparse
                .update_state(&[[1.0, 0.0, 0.0]], &[[1.0, 0.0, 0.0]])
                .is_err()
        );
        assert!(
            TopKCategoricalAccuracy::default()
                .k(0)
                .update_state(&[[1.0, 0.0]], &[[1.0, 0.0]])
                .is_err()
        );
    }
}
