//! F-scores: the weighted harmonic mean of precision and recall of each class.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Metric, positions, same_shape, weight_at};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// How the scores of the classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// Counts of all classes together.
    Micro,
    /// Mean of the scores.
    Macro,
    /// Mean weighted by the number of targets of each class.
    Weighted,
}

/// `(1 + beta^2) precision recall / (beta^2 precision + recall)`. [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// Targets and predictions `(batch, classes)`. Without a threshold, the largest prediction of a row is its class.
///
/// ```
/// use oxhorn::{metrics::{F1Score, Metric}, tensor::View};
/// let mut metric = F1Score::default().threshold(0.5);
/// let view = |data| View { data, shape: &[1], batch: 4 };
/// metric.update(view(&[1.0, 1.0, 0.0, 0.0]), view(&[0.9, 0.2, 0.8, 0.4]), None);
/// assert_eq!(metric.result(), 0.5);
/// ```
#[derive(Clone, Debug)]
pub struct FBetaScore {
    class: &'static str,
    name: String,
    beta: f64,
    average: Option<Average>,
    threshold: Option<Float>,
    counts: Vec<Counts>,
}

/// [`FBetaScore`] with `beta` 1.
#[derive(Clone, Copy, Debug)]
pub struct F1Score;

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    both: f64,
    predicted: f64,
    wanted: f64,
}

impl F1Score {
    /// One score a class; [`result`](Metric::result) is their mean.
    #[allow(clippy::should_implement_trait)] // gives the general form
    pub fn default() -> FBetaScore {
        FBetaScore {
            class: "F1Score",
            name: "f1_score".into(),
            ..FBetaScore::new(1.0)
        }
    }
}

impl FBetaScore {
    /// With this weight of recall against precision.
    pub fn new(beta: f64) -> Self {
        FBetaScore {
            class: "FBetaScore",
            name: "fbeta_score".into(),
            beta,
            average: None,
            threshold: None,
            counts: Vec::new(),
        }
    }

    /// How the scores of the classes become one.
    pub fn average(mut self, average: Average) -> Self {
        self.average = Some(average);
        self
    }

    /// What a prediction must exceed to count as positive. With one output and no threshold, every row would be positive.
    pub fn threshold(mut self, threshold: Float) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// Under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn score(&self, c: &Counts) -> f64 {
        let b2 = self.beta * self.beta;
        let denominator = b2 * c.wanted + c.predicted;
        if denominator == 0.0 {
            0.0
        } else {
            (1.0 + b2) * c.both / denominator
        }
    }
}

impl Metric for FBetaScore {
    fn class_name(&self) -> &'static str {
        self.class
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.insert("name".into(), Value::from(self.name.clone()));
        config.insert("average".into(), json!(self.average));
        config.insert("threshold".into(), json!(self.threshold));
        if self.class == "FBetaScore" {
            config.insert("beta".into(), json!(self.beta));
        }
        config
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if !(self.beta > 0.0 && self.beta.is_finite()) {
            return Err(Error::arg("beta", "a positive number", self.beta));
        }
        if y_pred.last() == Some(1) && self.threshold.is_none() {
            return Err(Error::arg(
                "threshold",
                "a number, because with one output the largest prediction is always the same",
                "none",
            ));
        }
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.counts.fill(Counts::default());
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, count) = (y_pred.cols(), positions(y_pred));
        self.counts.resize(cols, Counts::default());
        for (r, (t, p)) in y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols))
            .enumerate()
        {
            let weight = weight_at(weight, r, y_pred.batch, count);
            let largest = p.iter().copied().fold(Float::NEG_INFINITY, Float::max);
            for ((t, p), c) in t.iter().zip(p).zip(&mut self.counts) {
                let positive = match self.threshold {
                    Some(threshold) => *p > threshold,
                    // Keras: the largest, and never a (near) zero.
                    None => *p == largest && p.abs() > 1e-9,
                };
                let (positive, wanted) = (f64::from(u8::from(positive)), f64::from(*t));
                c.both += weight * positive * wanted;
                c.predicted += weight * positive;
                c.wanted += weight * wanted;
            }
        }
    }

    fn result(&self) -> f64 {
        let n = self.counts.len().max(1) as f64;
        match self.average {
            Some(Average::Micro) => {
                let sum = |f: fn(&Counts) -> f64| self.counts.iter().map(f).sum();
                self.score(&Counts {
                    both: sum(|c| c.both),
                    predicted: sum(|c| c.predicted),
                    wanted: sum(|c| c.wanted),
                })
            }
            Some(Average::Weighted) => {
                let total: f64 = self.counts.iter().map(|c| c.wanted).sum();
                let sum: f64 = self.counts.iter().map(|c| c.wanted * self.score(c)).sum();
                if total == 0.0 { 0.0 } else { sum / total }
            }
            Some(Average::Macro) | None => {
                self.counts.iter().map(|c| self.score(c)).sum::<f64>() / n
            }
        }
    }

    fn results(&self) -> Vec<f64> {
        if self.average.is_none() {
            self.counts.iter().map(|c| self.score(c)).collect()
        } else {
            Vec::new()
        }
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(FBetaScore {
            counts: Vec::new(),
            ..self.clone()
        })
    }
}
