//! The accuracy family: the share of positions where prediction and target agree.

use serde_json::{Value, json};

use super::{Mean, Metric, positions, same_shape, weight_at};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::reduce::argmax;
use crate::shape::Shape;
use crate::tensor::View;

/// Keras's `"accuracy"`: binary, categorical or sparse categorical accuracy, as the shapes of outputs and targets say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accuracy;

/// What one of the accuracies compares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// Numbers themselves.
    Exact,
    /// `y_pred > threshold` with `y_true`.
    Binary(Float),
    /// The places of the largest.
    Categorical,
    /// The place of the largest with the id.
    Sparse,
    /// Whether the target's place is among the `k` largest.
    TopK(usize),
    /// Whether the id is among the `k` largest.
    SparseTopK(usize),
}

/// One of Keras's accuracies; see its constructors.
///
/// ```
/// use oxhorn::{metrics::{BinaryAccuracy, Metric}, tensor::View};
/// let mut metric = BinaryAccuracy::new(0.5);
/// let view = |data| View { data, shape: &[1], batch: 4 };
/// metric.update(view(&[1.0, 1.0, 0.0, 0.0]), view(&[0.9, 0.2, 0.1, 0.4]), None);
/// assert_eq!(metric.result(), 0.75);
/// ```
#[derive(Clone, Debug)]
pub struct AccuracyMetric {
    rule: Rule,
    name: String,
    mean: Mean,
}

macro_rules! accuracies {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $t:ty),*) = $rule:expr, $stem:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $name {
            #[doc = concat!("The metric, named `", $stem, "`.")]
            #[allow(clippy::new_ret_no_self)] // the family is one type
            pub fn new($($arg: $t),*) -> AccuracyMetric {
                AccuracyMetric { rule: $rule, name: $stem.into(), mean: Mean::default() }
            }
        }
    )+};
}

accuracies! {
    /// Share of predictions equal to their targets (Keras's class `Accuracy`).
    ExactAccuracy() = Rule::Exact, "accuracy";
    /// Share of predictions on the right side of a threshold (Keras's default: 0.5).
    BinaryAccuracy(threshold: Float) = Rule::Binary(threshold), "binary_accuracy";
    /// Share of rows whose largest prediction is where the one-hot target's is.
    CategoricalAccuracy() = Rule::Categorical, "categorical_accuracy";
    /// Share of rows whose largest prediction is at the target's class id.
    SparseCategoricalAccuracy() = Rule::Sparse, "sparse_categorical_accuracy";
    /// Share of rows whose target is among the `k` largest predictions (Keras's default: 5).
    TopKCategoricalAccuracy(k: usize) = Rule::TopK(k), "top_k_categorical_accuracy";
    /// Share of rows whose target class id is among the `k` largest predictions (Keras's default: 5).
    SparseTopKCategoricalAccuracy(k: usize) = Rule::SparseTopK(k), "sparse_top_k_categorical_accuracy";
}

impl AccuracyMetric {
    /// Under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn sparse(&self) -> bool {
        matches!(self.rule, Rule::Sparse | Rule::SparseTopK(_))
    }
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
        let sparse = y_true.rank() < y_pred.rank() || y_true.last() == Some(1);
        let metric = if y_pred.last().unwrap_or(1) == 1 {
            BinaryAccuracy::new(0.5)
        } else if sparse {
            SparseCategoricalAccuracy::new()
        } else {
            CategoricalAccuracy::new()
        };
        Some(Box::new(metric.named("accuracy")))
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

impl Metric for AccuracyMetric {
    fn class_name(&self) -> &'static str {
        match self.rule {
            Rule::Exact => "Accuracy",
            Rule::Binary(_) => "BinaryAccuracy",
            Rule::Categorical => "CategoricalAccuracy",
            Rule::Sparse => "SparseCategoricalAccuracy",
            Rule::TopK(_) => "TopKCategoricalAccuracy",
            Rule::SparseTopK(_) => "SparseTopKCategoricalAccuracy",
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.insert("name".into(), Value::from(self.name.clone()));
        match self.rule {
            Rule::Binary(threshold) => config.insert("threshold".into(), json!(threshold)),
            Rule::TopK(k) | Rule::SparseTopK(k) => config.insert("k".into(), json!(k)),
            _ => None,
        };
        config
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if !self.sparse() {
            return same_shape(y_true, y_pred);
        }
        let ids = y_true.rank() + 1 == y_pred.rank()
            || (y_true.rank() == y_pred.rank() && y_true.last() == Some(1));
        if ids {
            Ok(())
        } else {
            Err(Error::shape(
                format!("class ids, one for each row of the output {y_pred}"),
                format!("targets of shape {y_true}"),
            ))
        }
    }

    fn reset(&mut self) {
        self.mean = Mean::default();
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let cols = y_pred.cols();
        let true_cols = if self.sparse() { 1 } else { cols };
        let rows = y_true
            .data
            .chunks_exact(true_cols)
            .zip(y_pred.data.chunks_exact(cols));
        let count = positions(y_pred);
        for (r, (t, p)) in rows.enumerate() {
            let right = match self.rule {
                Rule::Exact => share(t, p, |t, p| t == p),
                Rule::Binary(threshold) => {
                    share(t, p, |t, p| t == if p > threshold { 1.0 } else { 0.0 })
                }
                Rule::Categorical => f64::from(u8::from(argmax(t) == argmax(p))),
                Rule::Sparse => f64::from(u8::from(t[0] as usize == argmax(p))),
                Rule::TopK(k) => f64::from(u8::from(in_top(p, argmax(t), k))),
                Rule::SparseTopK(k) => f64::from(u8::from(in_top(p, t[0] as usize, k))),
            };
            self.mean
                .add(right, weight_at(weight, r, y_pred.batch, count));
        }
    }

    fn result(&self) -> f64 {
        self.mean.get()
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(AccuracyMetric {
            mean: Mean::default(),
            ..self.clone()
        })
    }
}

/// Share of a row's pairs that agree.
fn share(t: &[Float], p: &[Float], agree: impl Fn(Float, Float) -> bool) -> f64 {
    t.iter().zip(p).filter(|(t, p)| agree(**t, **p)).count() as f64 / p.len() as f64
}

/// Whether fewer than `k` predictions are larger than that of `class`; a prediction that is not finite is never among them.
fn in_top(p: &[Float], class: usize, k: usize) -> bool {
    p.get(class)
        .is_some_and(|own| own.is_finite() && p.iter().filter(|v| *v > own).count() < k)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view<'a>(data: &'a [Float], shape: &'a [usize]) -> View<'a> {
        View {
            data,
            shape,
            batch: data.len() / shape.iter().product::<usize>().max(1),
        }
    }

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
        let p = [0.1, 0.7, 0.2, 0.5, 0.3, 0.2];
        let mut sparse = SparseCategoricalAccuracy::new();
        sparse.update(view(&[1.0, 2.0], &[]), view(&p, &[3]), None);
        assert_eq!(sparse.result(), 0.5);
        sparse.reset();
        sparse.update(view(&[1.0, 2.0], &[]), view(&p, &[3]), Some(&[3.0, 1.0]));
        assert_eq!(sparse.result(), 0.75);
        let mut hot = CategoricalAccuracy::new();
        hot.update(
            view(&[0.0, 1.0, 0.0, 0.0, 0.0, 1.0], &[3]),
            view(&p, &[3]),
            None,
        );
        assert_eq!(hot.result(), 0.5);
        let mut top = SparseTopKCategoricalAccuracy::new(2);
        top.update(view(&[2.0, 2.0], &[]), view(&p, &[3]), None);
        assert_eq!(top.result(), 0.5);
        assert!(
            SparseCategoricalAccuracy::new()
                .check(&[3].into(), &[3].into())
                .is_err()
        );
    }
}
