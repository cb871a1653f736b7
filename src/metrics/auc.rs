//! Areas under curves, from counts at thresholds.

use serde::{Deserialize, Serialize};

use super::thresholds::{Counter, Counts, check_count, even, is_even};
use super::{Metric, described, mean_of, ratio, same_shape, weight_at};
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::math;
use crate::shape::Shape;
use crate::tensor::View;

/// Which curve an area is under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// True positive rate over false positive rate.
    #[default]
    #[serde(rename = "ROC", alias = "roc")]
    Roc,
    /// Precision over recall.
    #[serde(rename = "PR", alias = "pr")]
    Pr,
    /// Precision gain over recall gain (Flach & Kull, 2015).
    #[serde(rename = "PRGAIN", alias = "prgain")]
    PrGain,
}

/// How the area between two thresholds is summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Summation {
    /// With the mean of the heights; under the precision-recall curve by interpolated counts (Davis & Goadrich, 2006).
    #[default]
    #[serde(rename = "interpolation", alias = "Interpolation")]
    Interpolation,
    /// With the smaller height.
    #[serde(rename = "minoring", alias = "Minoring")]
    Minoring,
    /// With the larger height.
    #[serde(rename = "majoring", alias = "Majoring")]
    Majoring,
}

/// Area under the ROC, precision-recall or precision-recall-gain curve, from counts at thresholds.
/// [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_thresholds` | 200 | evenly spaced ones; more are more exact |
/// | `curve` | ROC | [`Curve`] |
/// | `summation_method` | interpolation | [`Summation`] |
/// | `thresholds` | none | these instead of evenly spaced ones; 0 and 1 are added |
/// | `multi_label` | false | one area a column of the last axis, and their mean |
/// | `num_labels` | none | how many columns there must be, with `multi_label` |
/// | `label_weights` | none | weight of each column |
/// | `from_logits` | false | predictions are logits |
///
/// ```
/// use oxhorn::metrics::{Auc, Metric, MetricExt};
/// let mut metric = Auc::default();
/// metric.update_state(&[[0.0], [0.0], [1.0], [1.0]], &[[0.0], [0.5], [0.3], [0.9]])?;
/// assert!((metric.result() - 0.75).abs() < 1e-7);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Auc {
    name: Option<String>,
    arguments: Arguments,
    /// One, or with `multi_label` one a column.
    counters: Vec<Counter>,
}

/// Keras's spelling of [`Auc`].
pub use Auc as AUC;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Arguments {
    num_thresholds: usize,
    curve: Curve,
    summation_method: Summation,
    multi_label: bool,
    num_labels: Option<usize>,
    label_weights: Option<Vec<f64>>,
    from_logits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<Vec<f64>>,
}

impl Default for Arguments {
    fn default() -> Self {
        Arguments {
            num_thresholds: 200,
            curve: Curve::Roc,
            summation_method: Summation::Interpolation,
            multi_label: false,
            num_labels: None,
            label_weights: None,
            from_logits: false,
            thresholds: None,
        }
    }
}

impl Auc {
    /// Name in logs and history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// So many evenly spaced thresholds, two at least.
    pub fn num_thresholds(mut self, n: usize) -> Self {
        self.arguments.num_thresholds = n;
        self
    }

    /// Under this curve.
    pub fn curve(mut self, curve: Curve) -> Self {
        self.arguments.curve = curve;
        self
    }

    /// How the area between two thresholds is summed up.
    pub fn summation_method(mut self, method: Summation) -> Self {
        self.arguments.summation_method = method;
        self
    }

    /// These thresholds instead of evenly spaced ones.
    pub fn thresholds(mut self, thresholds: impl Into<Vec<f64>>) -> Self {
        let thresholds = thresholds.into();
        self.arguments.num_thresholds = thresholds.len() + 2;
        self.arguments.thresholds = Some(thresholds);
        self
    }

    /// One area a column of the last axis, and their mean.
    pub fn multi_label(mut self, yes: bool) -> Self {
        self.arguments.multi_label = yes;
        self
    }

    /// How many columns there must be.
    pub fn num_labels(mut self, n: usize) -> Self {
        self.arguments.num_labels = Some(n);
        self
    }

    /// Weight of each column.
    pub fn label_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.arguments.label_weights = Some(weights.into());
        self
    }

    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.arguments.from_logits = yes;
        self
    }

    pub(super) fn read(name: Option<&str>, config: &Config) -> Result<Self> {
        let mut arguments: Arguments = from_config("AUC", config)?;
        if let Some(thresholds) = &arguments.thresholds {
            arguments.num_thresholds = thresholds.len() + 2;
        }
        Ok(Auc {
            name: name.map(Into::into),
            arguments,
            counters: Vec::new(),
        })
    }

    fn counter(&self) -> Counter {
        // Keras's epsilon, so that predictions of exactly 0 and 1 lie between the outer thresholds.
        const MARGIN: f64 = 1e-7;
        match &self.arguments.thresholds {
            None => Counter::new(&even(self.arguments.num_thresholds, MARGIN), true),
            Some(given) => {
                let mut inner = given.clone();
                inner.sort_by(f64::total_cmp);
                let between = |low: f64, high: f64| [&[low][..], &inner, &[high]].concat();
                let is_even = is_even(&between(0.0, 1.0));
                Counter::new(&between(-MARGIN, 1.0 + MARGIN), is_even)
            }
        }
    }

    /// The area of one column.
    fn area(&self, counter: &Counter) -> f64 {
        let Arguments {
            curve,
            summation_method,
            ..
        } = &self.arguments;
        let point = |c: Counts| match curve {
            Curve::Roc => (ratio(c.fp, c.fp + c.tn), ratio(c.tp, c.tp + c.fn_)),
            Curve::Pr => (ratio(c.tp, c.tp + c.fn_), ratio(c.tp, c.tp + c.fp)),
            Curve::PrGain => gains(c),
        };
        let piece = |(a, b): (Counts, Counts)| {
            if *curve == Curve::Pr && *summation_method == Summation::Interpolation {
                return interpolated(a, b);
            }
            let ((x0, y0), (x1, y1)) = (point(a), point(b));
            let height = match summation_method {
                Summation::Interpolation => (y0 + y1) / 2.0,
                Summation::Minoring => y0.min(y1),
                Summation::Majoring => y0.max(y1),
            };
            (x0 - x1) * height
        };
        let counts = counter.ascending();
        counts.zip(counter.ascending().skip(1)).map(piece).sum()
    }
}

/// Recall gain and precision gain.
fn gains(c: Counts) -> (f64, f64) {
    if c.tp == 0.0 {
        return (0.0, 1.0);
    }
    let scale = ratio(c.tp + c.fn_, c.tn + c.fp);
    let recall = 1.0 - scale * ratio(c.fn_, c.tp);
    (recall.max(0.0), 1.0 - scale * ratio(c.fp, c.tp))
}

/// Area under the precision-recall curve between two thresholds, with the counts (not the ratios) interpolated.
fn interpolated(a: Counts, b: Counts) -> f64 {
    let (pa, pb) = (a.tp + a.fp, b.tp + b.fp);
    let dtp = a.tp - b.tp;
    let slope = ratio(dtp, (pa - pb).max(0.0));
    let intercept = b.tp - slope * pb;
    let safe = if pa > 0.0 && pb > 0.0 {
        ratio(pa, pb)
    } else {
        1.0
    };
    ratio(
        slope * (dtp + intercept * safe.ln()),
        (b.tp + b.fn_).max(0.0),
    )
}

impl Metric for Auc {
    fn class_name(&self) -> &'static str {
        "AUC"
    }

    fn config(&self) -> Config {
        described(&Metric::name(self), "float32", to_config(&self.arguments))
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| "auc".into())
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        let a = &self.arguments;
        check_count(a.num_thresholds, 2)?;
        if let Some(t) = a.thresholds.iter().flatten().find(|t| !t.is_finite()) {
            return Err(Error::arg("thresholds", "finite numbers", t));
        }
        if a.multi_label && y_pred.rank() != 1 {
            return Err(Error::shape(
                "outputs (batch, labels) with `multi_label`",
                y_pred,
            ));
        }
        if a.num_labels.is_some() && !a.multi_label {
            let got = "false";
            return Err(Error::arg("multi_label", "true with `num_labels`", got));
        }
        let columns = y_pred.last();
        for (arg, n) in [
            ("num_labels", a.num_labels),
            ("label_weights", a.label_weights.as_ref().map(Vec::len)),
        ] {
            if let (Some(n), Some(columns)) = (n, columns)
                && n != columns
            {
                return Err(Error::arg(
                    arg,
                    format!("as many as the {columns} columns"),
                    n,
                ));
            }
        }
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.counters.clear();
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, rows) = (y_pred.cols(), y_pred.rows());
        let a = &self.arguments;
        if self.counters.is_empty() {
            let n = if a.multi_label { cols } else { 1 };
            self.counters = vec![self.counter(); n];
        }
        let pairs = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols));
        for (r, (t, p)) in pairs.enumerate() {
            let weight = weight_at(weight, r, y_pred.batch, rows);
            for (j, (t, p)) in t.iter().zip(p).enumerate() {
                let p = if a.from_logits {
                    math::sigmoid::<false>(*p)
                } else {
                    *p
                };
                let label = match &a.label_weights {
                    Some(weights) if !a.multi_label => weights[j],
                    _ => 1.0,
                };
                let counter = if a.multi_label { j } else { 0 };
                self.counters[counter].add(*t != 0.0, p, weight * label);
            }
        }
    }

    fn result(&self) -> f64 {
        let areas = self.counters.iter().map(|c| self.area(c));
        match &self.arguments.label_weights {
            Some(weights) if self.arguments.multi_label => ratio(
                areas.zip(weights).map(|(a, w)| a * w).sum(),
                weights.iter().sum(),
            ),
            _ => mean_of(areas),
        }
    }

    fn state(&self) -> Option<Vec<f64>> {
        let counters = self.counters.iter();
        Some(counters.flat_map(|c| c.state().to_vec()).collect())
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        let empty = self.counter();
        let each = empty.state().len();
        self.counters.clear();
        for part in state.chunks(each) {
            let mut counter = empty.clone();
            if !counter.set_state(part) {
                return false;
            }
            self.counters.push(counter);
        }
        true
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(Auc {
            counters: Vec::new(),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricExt;

    const T: [[Float; 1]; 4] = [[0.0], [0.0], [1.0], [1.0]];
    const P: [[Float; 1]; 4] = [[0.0], [0.5], [0.3], [0.9]];

    #[test]
    fn areas_are_keras_s() {
        // keras.metrics.AUC(num_thresholds=3): the examples of its documentation.
        let mut auc = Auc::default().num_thresholds(3);
        auc.update_state(&T, &P).unwrap();
        assert!((auc.result() - 0.75).abs() < 1e-7);
        auc.reset();
        auc.update_weighted(&T, &P, Some(&[1.0, 0.0, 0.0, 1.0]))
            .unwrap();
        assert!((auc.result() - 1.0).abs() < 1e-7);
        assert_eq!(Auc::default().result(), 0.0);
    }

    #[test]
    fn columns() {
        let t = [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0]];
        let p = [[0.0, 0.9], [0.5, 0.1], [0.3, 0.8], [0.9, 0.2]];
        let area = |auc: Auc| {
            let mut auc = auc.num_thresholds(3);
            auc.update_state(&t, &p).unwrap();
            auc.result()
        };
        // The second column is right everywhere.
        assert!((area(Auc::default().multi_label(true)) - 0.875).abs() < 1e-7);
        let weighted = Auc::default().multi_label(true).label_weights([3.0, 1.0]);
        assert!((area(weighted) - 0.8125).abs() < 1e-7);
        let first = Auc::default().label_weights([1.0, 0.0]);
        assert!((area(first) - 0.75).abs() < 1e-7);
        for bad in [
            Auc::default().num_labels(2),
            Auc::default().multi_label(true).num_labels(3),
            Auc::default().label_weights([1.0]),
            Auc::default().num_thresholds(1),
            Auc::default().num_thresholds(usize::MAX),
        ] {
            assert!(bad.check(&[2].into(), &[2].into()).is_err());
        }
    }
}
