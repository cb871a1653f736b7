//! Precision, recall, and the counts they are made of.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::thresholds::{Counter, Counts, NOWHERE, check_class, is_even};
use super::{Metric, Thresholds, described, mean_of, ratio, same_shape};
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// Right ones among those predicted positive: `tp / (tp + fp)`. [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `thresholds` | 0.5 | what is above is positive; several give a value each |
/// | `top_k` | none | only the `k` largest of a row are positive |
/// | `class_id` | none | counts only this column of the last axis |
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, Precision};
/// let mut metric = Precision::default().thresholds([0.2, 0.8]);
/// metric.update_state(&[[0.0], [1.0], [1.0]], &[[0.5], [0.7], [0.9]])?;
/// assert_eq!(metric.results(), [2.0 / 3.0, 1.0]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Precision = ConfusionMetric<kinds::Precision>;

/// Those found among the positive: `tp / (tp + fn)`. [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `thresholds` | 0.5 | what is above is positive; several give a value each |
/// | `top_k` | none | only the `k` largest of a row are positive |
/// | `class_id` | none | counts only this column of the last axis |
pub type Recall = ConfusionMetric<kinds::Recall>;

/// Positive and predicted so. [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, TruePositives};
/// let mut metric = TruePositives::default().thresholds(0.6);
/// metric.update_state(&[[0.0], [1.0], [1.0]], &[[0.7], [0.5], [0.9]])?;
/// assert_eq!(metric.result(), 1.0);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type TruePositives = ConfusionMetric<kinds::TruePositives>;

/// Negative and predicted so. [Keras](https://keras.io/api/metrics/classification_metrics/)
pub type TrueNegatives = ConfusionMetric<kinds::TrueNegatives>;

/// Negative but predicted positive. [Keras](https://keras.io/api/metrics/classification_metrics/)
pub type FalsePositives = ConfusionMetric<kinds::FalsePositives>;

/// Positive but predicted negative. [Keras](https://keras.io/api/metrics/classification_metrics/)
pub type FalseNegatives = ConfusionMetric<kinds::FalseNegatives>;

/// What a [`ConfusionMetric`] reports.
pub trait Kind: Clone + Debug + Send + Sync + 'static {
    /// Keras's class name.
    const CLASS: &'static str;
    /// Name in logs.
    const NAME: &'static str;
    /// Whether it knows `top_k` and `class_id`.
    const SELECTS: bool;

    /// The number, from the counts at one threshold.
    fn report(counts: Counts) -> f64;
}

/// The kinds of [`ConfusionMetric`].
pub mod kinds {
    use super::{Counts, Kind, ratio};

    macro_rules! kinds {
        ($($kind:ident, $name:literal, $selects:literal, $report:expr;)+) => {$(
            #[doc = concat!("Of [`", stringify!($kind), "`](super::", stringify!($kind), ").")]
            #[derive(Clone, Copy, Debug)]
            pub struct $kind;

            impl Kind for $kind {
                const CLASS: &'static str = stringify!($kind);
                const NAME: &'static str = $name;
                const SELECTS: bool = $selects;

                fn report(counts: Counts) -> f64 {
                    let report: fn(Counts) -> f64 = $report;
                    report(counts)
                }
            }
        )+};
    }

    kinds! {
        Precision, "precision", true, |c| ratio(c.tp, c.tp + c.fp);
        Recall, "recall", true, |c| ratio(c.tp, c.tp + c.fn_);
        TruePositives, "true_positives", false, |c| c.tp;
        TrueNegatives, "true_negatives", false, |c| c.tn;
        FalsePositives, "false_positives", false, |c| c.fp;
        FalseNegatives, "false_negatives", false, |c| c.fn_;
    }
}

/// A number from the weighted counts of right and wrong at thresholds.
#[derive(Clone, Debug)]
pub struct ConfusionMetric<K> {
    name: String,
    arguments: Arguments,
    counter: Option<Counter>,
    kind: PhantomData<K>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Arguments {
    thresholds: Thresholds,
    top_k: Option<usize>,
    class_id: Option<usize>,
}

impl Arguments {
    /// What is above counts as positive when nothing else is said.
    fn default_threshold(&self) -> f64 {
        // With `top_k` the others are put at -1e10, and everything else is positive.
        if self.top_k.is_some() {
            NOWHERE.into()
        } else {
            0.5
        }
    }

    fn counter(&self) -> Counter {
        let list = self.thresholds.list(self.default_threshold());
        Counter::new(&list, is_even(&list))
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.thresholds.check()?;
        check_class(self.class_id, y_pred)?;
        match (self.top_k, y_pred.last()) {
            (Some(0), _) => return Err(Error::arg("top_k", "a positive number", 0)),
            (Some(k), Some(classes)) if k > classes => {
                return Err(Error::arg(
                    "top_k",
                    format!("at most the {classes} classes"),
                    k,
                ));
            }
            _ => {}
        }
        same_shape(y_true, y_pred)
    }
}

impl<K: Kind> Default for ConfusionMetric<K> {
    fn default() -> Self {
        ConfusionMetric {
            name: K::NAME.into(),
            arguments: Arguments::default(),
            counter: None,
            kind: PhantomData,
        }
    }
}

impl<K: Kind> ConfusionMetric<K> {
    /// Name in logs and history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What is above is positive; several give a value each.
    pub fn thresholds(mut self, thresholds: impl Into<Thresholds>) -> Self {
        self.arguments.thresholds = thresholds.into();
        self
    }

    pub(super) fn read(name: Option<&str>, config: &Config) -> Result<Self> {
        let arguments = from_config(K::CLASS, config)?;
        if !K::SELECTS
            && let Some(key) = config.keys().find(|k| *k != "thresholds")
        {
            return Err(Error::Config {
                path: K::CLASS.into(),
                problem: format!("unknown argument `{key}`"),
            });
        }
        let metric = ConfusionMetric {
            arguments,
            ..ConfusionMetric::default()
        };
        Ok(match name {
            Some(name) => metric.name(name),
            None => metric,
        })
    }
}

macro_rules! selecting {
    ($($kind:ident)+) => {$(
        impl ConfusionMetric<kinds::$kind> {
            /// Only the `k` largest of a row are positive.
            pub fn top_k(mut self, k: usize) -> Self {
                self.arguments.top_k = Some(k);
                self
            }

            /// Counts only this column of the last axis.
            pub fn class_id(mut self, class: usize) -> Self {
                self.arguments.class_id = Some(class);
                self
            }
        }
    )+};
}

selecting!(Precision Recall);

impl<K: Kind> Metric for ConfusionMetric<K> {
    fn class_name(&self) -> &'static str {
        K::CLASS
    }

    fn config(&self) -> Config {
        let mut own = to_config(&self.arguments);
        own.retain(|key, _| K::SELECTS || key == "thresholds");
        described(&self.name, "float32", own)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.arguments.check(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.counter = None;
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let Arguments {
            top_k, class_id, ..
        } = self.arguments;
        self.counter
            .get_or_insert_with(|| self.arguments.counter())
            .add_batch(y_true, y_pred, weight, class_id, top_k);
    }

    fn result(&self) -> f64 {
        match &self.counter {
            None => 0.0,
            Some(counter) => mean_of(counter.ascending().map(K::report)),
        }
    }

    fn results(&self) -> Vec<f64> {
        match &self.counter {
            None => match self.arguments.thresholds.list(0.5).len() {
                1 => Vec::new(),
                n => vec![0.0; n],
            },
            // Asked after every batch: nothing is allocated for the usual single threshold.
            Some(counter) if counter.is_single() => Vec::new(),
            Some(counter) => counter.in_order().into_iter().map(K::report).collect(),
        }
    }

    fn state(&self) -> Option<Vec<f64>> {
        let counts = self.counter.as_ref().map(|c| c.state().to_vec());
        Some(counts.unwrap_or_default())
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        self.counter = None;
        let mut counter = self.arguments.counter();
        let fits = state.is_empty() || counter.set_state(state);
        if fits && !state.is_empty() {
            self.counter = Some(counter);
        }
        fits
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(ConfusionMetric {
            counter: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricExt;

    #[test]
    fn weights_and_batches_add_up() {
        let mut recall = Recall::default();
        recall
            .update_weighted(&[[0.0], [1.0]], &[[1.0], [0.0]], Some(&[1.0, 3.0]))
            .unwrap();
        recall
            .update_state(&[[1.0], [1.0]], &[[1.0], [0.7]])
            .unwrap();
        assert_eq!(recall.result(), 2.0 / 5.0);
        recall.reset();
        assert_eq!(recall.result(), 0.0);
    }

    #[test]
    fn the_largest_and_one_class() {
        let (t, p) = (
            [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
            [[0.1, 0.05, 0.02], [0.6, 0.9, 0.7]],
        );
        let value = |mut metric: Precision| {
            metric.update_state(&t, &p).unwrap();
            metric.result()
        };
        // The largest are right and wrong; what they are does not matter.
        assert_eq!(value(Precision::default().top_k(1)), 0.5);
        assert_eq!(value(Precision::default().top_k(2).class_id(2)), 1.0);
        assert_eq!(value(Precision::default().class_id(0)), 0.0);
        for bad in [
            Precision::default().class_id(3),
            Precision::default().top_k(4),
            Precision::default().top_k(0),
            Precision::default().thresholds(1.5),
            Precision::default().thresholds([]),
        ] {
            assert!(bad.check(&[3].into(), &[3].into()).is_err());
        }
    }
}
