//! F-scores: the weighted harmonic mean of precision and recall of each class.
//!
//! With `e = 1e-7`, `precision = tp / (tp + fp + e)`, `recall = tp / (tp + fn + e)` and
//! `F = (1 + beta^2) precision recall / (beta^2 precision + recall + e)`.

use serde::{Deserialize, Serialize};

use super::{Metric, described, mean_of, rows_of, same_shape, weight_at};
use crate::config::{Config, from_config, to_config};
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

/// `(1 + beta^2) precision recall / (beta^2 precision + recall)`, one score a class.
/// [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// Targets and predictions `(batch, classes)`. Without a threshold, the largest prediction of a row is its class.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `average` | none | how the scores become one; without, one value a class |
/// | `beta` | 1 | weight of recall against precision |
/// | `threshold` | none | what a prediction must exceed to be positive |
///
/// ```
/// use oxhorn::metrics::{FBetaScore, Metric, MetricExt};
/// let mut metric = FBetaScore::default().beta(2.0).threshold(0.5);
/// metric.update_state(&[[1.0], [1.0], [0.0], [0.0]], &[[0.9], [0.2], [0.8], [0.4]])?;
/// assert!((metric.result() - 0.5).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FBetaScore {
    score: Score,
}

/// [`FBetaScore`] with `beta` 1. [Keras](https://keras.io/api/metrics/classification_metrics/)
///
/// ```
/// use oxhorn::metrics::{Average, F1Score, Metric, MetricExt};
/// let mut metric = F1Score::default().average(Average::Micro);
/// metric.update_state(&[[1.0, 0.0], [0.0, 1.0]], &[[0.9, 0.1], [0.8, 0.2]])?;
/// assert!((metric.result() - 0.5).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct F1Score {
    score: Score,
}

#[derive(Clone, Debug)]
struct Score {
    name: String,
    arguments: Arguments,
    counts: Vec<Counts>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Arguments {
    average: Option<Average>,
    beta: f64,
    threshold: Option<f64>,
}

impl Default for Arguments {
    fn default() -> Self {
        Arguments {
            average: None,
            beta: 1.0,
            threshold: None,
        }
    }
}

/// Weights of what is predicted and wanted, of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    both: f64,
    predicted: f64,
    wanted: f64,
}

impl Score {
    fn new(name: &str, arguments: Arguments) -> Self {
        Score {
            name: name.into(),
            arguments,
            counts: Vec::new(),
        }
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        let Arguments {
            beta, threshold, ..
        } = self.arguments;
        if !(beta > 0.0 && beta.is_finite()) {
            return Err(Error::arg("beta", "a positive number", beta));
        }
        if let Some(t) = threshold.filter(|t| !(*t > 0.0 && *t <= 1.0)) {
            return Err(Error::arg("threshold", "a number above 0, at most 1", t));
        }
        if y_pred.rank() != 1 {
            return Err(Error::shape("outputs (batch, classes)", y_pred));
        }
        same_shape(y_true, y_pred)
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, rows) = (y_pred.cols(), y_pred.rows());
        let threshold = self.arguments.threshold.map(|t| t as Float);
        self.counts.resize(cols, Counts::default());
        let pairs = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols));
        for (r, (t, p)) in pairs.enumerate() {
            let weight = weight_at(weight, r, y_pred.batch, rows);
            let largest = p.iter().copied().fold(Float::NEG_INFINITY, Float::max);
            for ((t, p), c) in t.iter().zip(p).zip(&mut self.counts) {
                let positive = match threshold {
                    Some(threshold) => *p > threshold,
                    // Keras: the largest, and never a (near) zero.
                    None => *p >= largest && p.abs() > 1e-9,
                };
                let (positive, wanted) = (f64::from(u8::from(positive)), f64::from(*t));
                c.both += weight * positive * wanted;
                c.predicted += weight * positive;
                c.wanted += weight * wanted;
            }
        }
    }

    fn of(&self, c: &Counts) -> f64 {
        const EPSILON: f64 = 1e-7;
        let precision = c.both / (c.predicted + EPSILON);
        let recall = c.both / (c.wanted + EPSILON);
        let squared = self.arguments.beta * self.arguments.beta;
        (1.0 + squared) * precision * recall / (squared * precision + recall + EPSILON)
    }

    fn result(&self) -> f64 {
        let scores = self.counts.iter().map(|c| self.of(c));
        match self.arguments.average {
            Some(Average::Micro) => {
                let sum = |f: fn(&Counts) -> f64| self.counts.iter().map(f).sum();
                self.of(&Counts {
                    both: sum(|c| c.both),
                    predicted: sum(|c| c.predicted),
                    wanted: sum(|c| c.wanted),
                })
            }
            Some(Average::Weighted) => {
                let total: f64 = self.counts.iter().map(|c| c.wanted).sum();
                let pairs = self.counts.iter().zip(scores);
                pairs.map(|(c, s)| c.wanted * s).sum::<f64>() / (total + 1e-7)
            }
            Some(Average::Macro) | None => mean_of(scores),
        }
    }

    fn results(&self) -> Vec<f64> {
        if self.arguments.average.is_none() {
            self.counts.iter().map(|c| self.of(c)).collect()
        } else {
            Vec::new()
        }
    }
}

macro_rules! f_scores {
    ($($metric:ident = $class:literal, $name:literal;)+) => {$(
        impl Default for $metric {
            fn default() -> Self {
                $metric {
                    score: Score::new($name, Arguments::default()),
                }
            }
        }

        impl $metric {
            /// Name in logs and history.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.score.name = name.into();
                self
            }

            /// How the scores of the classes become one.
            pub fn average(mut self, average: Average) -> Self {
                self.score.arguments.average = Some(average);
                self
            }

            /// What a prediction must exceed to be positive. Without it the largest of a row is.
            pub fn threshold(mut self, threshold: f64) -> Self {
                self.score.arguments.threshold = Some(threshold);
                self
            }

            pub(super) fn read(name: Option<&str>, config: &Config) -> Result<Self> {
                if $class == "F1Score" && config.contains_key("beta") {
                    return Err(Error::Config {
                        path: $class.into(),
                        problem: "unknown argument `beta`".into(),
                    });
                }
                Ok($metric {
                    score: Score::new(name.unwrap_or($name), from_config($class, config)?),
                })
            }
        }

        impl Metric for $metric {
            fn class_name(&self) -> &'static str {
                $class
            }

            fn config(&self) -> Config {
                let mut own = to_config(&self.score.arguments);
                if $class == "F1Score" {
                    own.shift_remove("beta");
                }
                described(&self.score.name, "float32", own)
            }

            fn name(&self) -> String {
                self.score.name.clone()
            }

            fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
                self.score.check(y_true, y_pred)
            }

            fn reset(&mut self) {
                self.score.counts.fill(Counts::default());
            }

            fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
                self.score.update(y_true, y_pred, weight);
            }

            fn result(&self) -> f64 {
                self.score.result()
            }

            fn results(&self) -> Vec<f64> {
                self.score.results()
            }

            fn state(&self) -> Option<Vec<f64>> {
                let counts = self.score.counts.iter();
                Some(counts.flat_map(|c| [c.both, c.predicted, c.wanted]).collect())
            }

            fn set_state(&mut self, state: &[f64]) -> bool {
                let Some(rows) = rows_of(state) else {
                    return false;
                };
                let counts = |&[both, predicted, wanted]: &[f64; 3]| Counts {
                    both,
                    predicted,
                    wanted,
                };
                self.score.counts = rows.iter().map(counts).collect();
                true
            }

            fn fresh(&self) -> Box<dyn Metric> {
                Box::new($metric {
                    score: Score::new(&self.score.name, self.score.arguments.clone()),
                })
            }
        }
    )+};
}

f_scores! {
    FBetaScore = "FBetaScore", "fbeta_score";
    F1Score = "F1Score", "f1_score";
}

impl FBetaScore {
    /// Weight of recall against precision.
    pub fn beta(mut self, beta: f64) -> Self {
        self.score.arguments.beta = beta;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricExt;

    #[test]
    fn averages() {
        let t = [[1, 0, 0], [0, 1, 0], [0, 1, 0]];
        let p = [[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]];
        let value = |average: Option<Average>| {
            let mut metric = F1Score::default();
            metric.score.arguments.average = average;
            metric.update_state(&t, &p).unwrap();
            (metric.result(), metric.results())
        };
        let two_thirds = 2.0 / 3.0;
        let (mean, each) = value(None);
        assert!((mean - 2.0 * two_thirds / 3.0).abs() < 1e-6 && each.len() == 3);
        assert!((each[0] - two_thirds).abs() < 1e-6 && each[2] == 0.0);
        assert!((value(Some(Average::Macro)).0 - mean).abs() < 1e-12);
        assert!((value(Some(Average::Micro)).0 - two_thirds).abs() < 1e-6);
        assert!((value(Some(Average::Weighted)).0 - two_thirds).abs() < 1e-6);
        assert!(value(Some(Average::Micro)).1.is_empty());
        let f2 = FBetaScore::default().beta(0.0);
        assert!(f2.check(&[3].into(), &[3].into()).is_err());
        assert!(
            F1Score::default()
                .check(&[2, 3].into(), &[2, 3].into())
                .is_err()
        );
    }
}
