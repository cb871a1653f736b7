//! Counts of right and wrong at thresholds: precision, recall, and the areas under curves.

use serde_json::{Value, json};

use super::{Metric, positions, same_shape, weight_at};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// Weighted counts at one threshold.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    tp: f64,
    tn: f64,
    fp: f64,
    fn_: f64,
}

impl Counts {
    fn add(&mut self, wanted: bool, positive: bool, weight: f64) {
        let count = match (wanted, positive) {
            (true, true) => &mut self.tp,
            (true, false) => &mut self.fn_,
            (false, true) => &mut self.fp,
            (false, false) => &mut self.tn,
        };
        *count += weight;
    }
}

/// 0 where nothing can be divided.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// Which number of the counts is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Precision,
    Recall,
    TruePositives,
    TrueNegatives,
    FalsePositives,
    FalseNegatives,
}

/// A number from the confusion counts at one threshold; see [`Precision`], [`Recall`], [`TruePositives`] and the like.
///
/// ```
/// use oxhorn::{metrics::{Metric, Precision}, tensor::View};
/// let mut metric = Precision::default();
/// let view = |data| View { data, shape: &[1], batch: 4 };
/// metric.update(view(&[0.0, 1.0, 1.0, 1.0]), view(&[1.0, 0.0, 1.0, 1.0]), None);
/// assert_eq!(metric.result(), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug)]
pub struct ConfusionCount {
    report: Report,
    name: String,
    threshold: Float,
    class_id: Option<usize>,
    counts: Counts,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $report:expr, $stem:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $name {
            #[doc = concat!("At this threshold, named `", $stem, "`.")]
            #[allow(clippy::new_ret_no_self)] // the family is one type
            pub fn new(threshold: Float) -> ConfusionCount {
                ConfusionCount { report: $report, name: $stem.into(), threshold, class_id: None, counts: Counts::default() }
            }

            /// At Keras's threshold, 0.5.
            #[allow(clippy::should_implement_trait)] // gives the general form
            pub fn default() -> ConfusionCount {
                $name::new(0.5)
            }
        }
    )+};
}

counts! {
    /// Right ones among those predicted positive: `tp / (tp + fp)`.
    Precision = Report::Precision, "precision";
    /// Those found among the positive: `tp / (tp + fn)`.
    Recall = Report::Recall, "recall";
    /// Positive and predicted so.
    TruePositives = Report::TruePositives, "true_positives";
    /// Negative and predicted so.
    TrueNegatives = Report::TrueNegatives, "true_negatives";
    /// Negative but predicted positive.
    FalsePositives = Report::FalsePositives, "false_positives";
    /// Positive but predicted negative.
    FalseNegatives = Report::FalseNegatives, "false_negatives";
}

impl ConfusionCount {
    /// Counts only this class (column of the last axis).
    pub fn class_id(mut self, class: usize) -> Self {
        self.class_id = Some(class);
        self
    }

    /// Under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl Metric for ConfusionCount {
    fn class_name(&self) -> &'static str {
        match self.report {
            Report::Precision => "Precision",
            Report::Recall => "Recall",
            Report::TruePositives => "TruePositives",
            Report::TrueNegatives => "TrueNegatives",
            Report::FalsePositives => "FalsePositives",
            Report::FalseNegatives => "FalseNegatives",
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.insert("name".into(), Value::from(self.name.clone()));
        config.insert("thresholds".into(), json!(self.threshold));
        if matches!(self.report, Report::Precision | Report::Recall) {
            config.insert("class_id".into(), json!(self.class_id));
        }
        config
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(Error::arg(
                "thresholds",
                "a number in [0, 1]",
                self.threshold,
            ));
        }
        if let (Some(class), Some(classes)) = (self.class_id, y_pred.last())
            && class >= classes
        {
            return Err(Error::arg(
                "class_id",
                format!("less than the {classes} classes"),
                class,
            ));
        }
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.counts = Counts::default();
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, rows) = (y_pred.cols(), positions(y_pred));
        for (r, (t, p)) in y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols))
            .enumerate()
        {
            let weight = weight_at(weight, r, y_pred.batch, rows);
            for (j, (t, p)) in t.iter().zip(p).enumerate() {
                if self.class_id.is_none_or(|c| c == j) {
                    self.counts.add(*t != 0.0, *p > self.threshold, weight);
                }
            }
        }
    }

    fn result(&self) -> f64 {
        let Counts { tp, tn, fp, fn_ } = self.counts;
        match self.report {
            Report::Precision => ratio(tp, tp + fp),
            Report::Recall => ratio(tp, tp + fn_),
            Report::TruePositives => tp,
            Report::TrueNegatives => tn,
            Report::FalsePositives => fp,
            Report::FalseNegatives => fn_,
        }
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(ConfusionCount {
            counts: Counts::default(),
            ..self.clone()
        })
    }
}

/// Which curve an area is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// True positive rate over false positive rate.
    Roc,
    /// Precision over recall.
    Pr,
}

/// Area under the ROC or precision-recall curve, from counts at evenly spaced thresholds.
/// [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_thresholds` | 200 | more are more exact |
/// | `curve` | ROC | [`Curve`] |
/// | `from_logits` | false | predictions are logits |
///
/// ```
/// use oxhorn::{metrics::{Auc, Metric}, tensor::View};
/// let mut metric = Auc::default();
/// let view = |data| View { data, shape: &[1], batch: 4 };
/// metric.update(view(&[0.0, 0.0, 1.0, 1.0]), view(&[0.0, 0.5, 0.3, 0.9]), None);
/// assert!((metric.result() - 0.75).abs() < 1e-7);
/// ```
#[derive(Clone, Debug)]
pub struct Auc {
    name: String,
    num_thresholds: usize,
    curve: Curve,
    from_logits: bool,
    /// Weight of the positive and negative targets whose prediction lies above exactly `i` thresholds.
    buckets: Vec<[f64; 2]>,
}

/// Keras's spelling of [`Auc`].
pub use Auc as AUC;

impl Default for Auc {
    fn default() -> Self {
        Auc {
            name: "auc".into(),
            num_thresholds: 200,
            curve: Curve::Roc,
            from_logits: false,
            buckets: vec![[0.0; 2]; 201],
        }
    }
}

impl Auc {
    /// So many thresholds, two at least.
    pub fn num_thresholds(mut self, n: usize) -> Self {
        self.num_thresholds = n;
        self.buckets = vec![[0.0; 2]; n + 1];
        self
    }

    /// Under this curve.
    pub fn curve(mut self, curve: Curve) -> Self {
        self.curve = curve;
        self
    }

    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Threshold number `i`: evenly in (0, 1), the outer ones a little outside.
    fn threshold(&self, i: usize) -> Float {
        let last = self.num_thresholds - 1;
        match i {
            0 => -1e-7,
            i if i == last => 1.0 + 1e-7,
            i => (i as f64 / last as f64) as Float,
        }
    }

    /// How many thresholds the prediction is above.
    fn bucket(&self, p: Float) -> usize {
        if p.is_nan() {
            return 0;
        }
        let mut i =
            ((p * (self.num_thresholds - 1) as Float).max(0.0) as usize).min(self.num_thresholds);
        while i < self.num_thresholds && p > self.threshold(i) {
            i += 1;
        }
        while i > 0 && p <= self.threshold(i - 1) {
            i -= 1;
        }
        i
    }

    /// Counts at every threshold, from the lowest.
    fn counts(&self) -> impl Iterator<Item = Counts> {
        let total = self
            .buckets
            .iter()
            .fold([0.0; 2], |t, b| [t[0] + b[0], t[1] + b[1]]);
        self.buckets[..self.num_thresholds]
            .iter()
            .scan([0.0; 2], move |below, bucket| {
                *below = [below[0] + bucket[0], below[1] + bucket[1]];
                Some(Counts {
                    fn_: below[0],
                    tn: below[1],
                    tp: total[0] - below[0],
                    fp: total[1] - below[1],
                })
            })
    }
}

impl Metric for Auc {
    fn class_name(&self) -> &'static str {
        "AUC"
    }

    fn config(&self) -> Config {
        let curve = if self.curve == Curve::Roc {
            "ROC"
        } else {
            "PR"
        };
        let Value::Object(config) = json!({"name": self.name, "num_thresholds": self.num_thresholds, "curve": curve,
            "summation_method": "interpolation", "multi_label": false, "num_labels": null, "label_weights": null, "from_logits": self.from_logits})
        else {
            unreachable!("an object literal")
        };
        config
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if self.num_thresholds < 2 {
            return Err(Error::arg(
                "num_thresholds",
                "two at least",
                self.num_thresholds,
            ));
        }
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.buckets.fill([0.0; 2]);
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, rows) = (y_pred.cols(), positions(y_pred));
        for (r, (t, p)) in y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols))
            .enumerate()
        {
            let weight = weight_at(weight, r, y_pred.batch, rows);
            for (t, p) in t.iter().zip(p) {
                let p = if self.from_logits {
                    1.0 / (1.0 + (-p).exp())
                } else {
                    *p
                };
                let bucket = self.bucket(p);
                self.buckets[bucket][usize::from(*t == 0.0)] += weight;
            }
        }
    }

    fn result(&self) -> f64 {
        let point = |c: Counts| (ratio(c.fp, c.fp + c.tn), ratio(c.tp, c.tp + c.fn_));
        let piece = |(a, b): (Counts, Counts)| match self.curve {
            Curve::Pr => pr_piece(a, b),
            Curve::Roc => {
                let ((x0, y0), (x1, y1)) = (point(a), point(b));
                (x0 - x1) * (y0 + y1) / 2.0
            }
        };
        self.counts().zip(self.counts().skip(1)).map(piece).sum()
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(Auc {
            buckets: vec![[0.0; 2]; self.num_thresholds + 1],
            ..self.clone()
        })
    }
}

/// Area under the precision-recall curve between two thresholds, with the counts (not the ratios) interpolated
/// (Davis & Goadrich, 2006).
fn pr_piece(a: Counts, b: Counts) -> f64 {
    let (dtp, dp) = (a.tp - b.tp, (a.tp + a.fp) - (b.tp + b.fp));
    let slope = ratio(dtp, dp.max(0.0));
    let intercept = b.tp - slope * (b.tp + b.fp);
    let (pa, pb) = (a.tp + a.fp, b.tp + b.fp);
    let safe = if pa > 0.0 && pb > 0.0 {
        ratio(pa, pb.max(0.0))
    } else {
        1.0
    };
    ratio(
        slope * (dtp + intercept * safe.ln()),
        (b.tp + b.fn_).max(0.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(data: &[Float]) -> View<'_> {
        View {
            data,
            shape: &[1],
            batch: data.len(),
        }
    }

    #[test]
    fn weights_and_batches_add_up() {
        let (t, p) = ([0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.7]);
        let mut recall = Recall::default();
        recall.update(view(&t[..2]), view(&p[..2]), Some(&[1.0, 3.0]));
        recall.update(view(&t[2..]), view(&p[2..]), None);
        assert_eq!(recall.result(), 2.0 / 5.0);
        let mut wrong = FalsePositives::default();
        wrong.update(view(&t), view(&p), None);
        assert_eq!(wrong.result(), 1.0);
        assert!(
            Precision::default()
                .class_id(3)
                .check(&[2].into(), &[2].into())
                .is_err()
        );
    }

    #[test]
    fn areas_are_keras_s() {
        // keras.metrics.AUC(num_thresholds=3): 0.75 on this, the example of its documentation.
        let mut auc = Auc::default().num_thresholds(3);
        auc.update(
            view(&[0.0, 0.0, 1.0, 1.0]),
            view(&[0.0, 0.5, 0.3, 0.9]),
            None,
        );
        assert!((auc.result() - 0.75).abs() < 1e-7);
        auc.reset();
        auc.update(
            view(&[0.0, 0.0, 1.0, 1.0]),
            view(&[0.0, 0.5, 0.3, 0.9]),
            Some(&[1.0, 0.0, 0.0, 1.0]),
        );
        assert!((auc.result() - 1.0).abs() < 1e-7);
    }

    #[test]
    fn buckets_are_the_count_of_thresholds_below() {
        let auc = Auc::default().num_thresholds(7);
        for p in [-1.0, 0.0, 0.1, 1.0 / 6.0, 0.5, 0.9999, 1.0, 2.0] {
            assert_eq!(
                auc.bucket(p),
                (0..7).filter(|&i| p > auc.threshold(i)).count(),
                "{p}"
            );
        }
    }
}
