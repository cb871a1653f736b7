//! The coefficient of determination: the share of the variance that is explained.

use serde::{Deserialize, Serialize};

use super::{Metric, described, mean_of, rows_of, same_shape, weight_at};
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// How the scores of the columns become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Their mean.
    UniformAverage,
    /// Their mean weighted by the variances of the targets.
    VarianceWeightedAverage,
}

/// `1 - sum (y_true - y_pred)^2 / sum (y_true - mean)^2`, one score a column of outputs `(batch, columns)`.
/// [Keras](https://keras.io/api/metrics/regression_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `class_aggregation` | uniform average | how the scores become one; none gives one value a column |
/// | `num_regressors` | 0 | number of independent regressors, for the adjusted score |
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, R2Score};
/// let mut metric = R2Score::default();
/// metric.update_state(&[[1.0], [4.0], [3.0]], &[[2.0], [4.0], [4.0]])?;
/// assert!((metric.result() - 0.571428).abs() < 1e-5);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct R2Score {
    name: String,
    arguments: Arguments,
    columns: Vec<Sums>,
    /// Numbers seen, which is what Keras calls the number of samples.
    numbers: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Arguments {
    class_aggregation: Option<Aggregation>,
    num_regressors: u64,
}

impl Default for Arguments {
    fn default() -> Self {
        Arguments {
            class_aggregation: Some(Aggregation::UniformAverage),
            num_regressors: 0,
        }
    }
}

/// Weighted sums of one column.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    target: f64,
    squared: f64,
    error: f64,
    weight: f64,
}

impl Default for R2Score {
    fn default() -> Self {
        R2Score {
            name: "r2_score".into(),
            arguments: Arguments::default(),
            columns: Vec::new(),
            numbers: 0.0,
        }
    }
}

impl R2Score {
    /// Name in logs and history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How the scores of the columns become one; `None` gives one value a column.
    pub fn class_aggregation(mut self, aggregation: impl Into<Option<Aggregation>>) -> Self {
        self.arguments.class_aggregation = aggregation.into();
        self
    }

    /// Number of independent regressors, for the adjusted score.
    pub fn num_regressors(mut self, n: u64) -> Self {
        self.arguments.num_regressors = n;
        self
    }

    pub(super) fn read(name: Option<&str>, config: &Config) -> Result<Self> {
        let metric = R2Score {
            arguments: from_config("R2Score", config)?,
            ..R2Score::default()
        };
        Ok(match name {
            Some(name) => metric.name(name),
            None => metric,
        })
    }

    /// Variance (times the weight) and score of each column.
    fn scores(&self) -> impl Iterator<Item = (f64, f64)> {
        let one = |s: &Sums| {
            let total = s.squared - s.target * (s.target / s.weight);
            let score = 1.0 - s.error / total;
            (total, if score.is_infinite() { 0.0 } else { score })
        };
        self.columns.iter().map(one)
    }

    /// The score for so many regressors; Keras falls back to the plain one where it is not defined.
    fn adjusted(&self, score: f64) -> f64 {
        let p = self.arguments.num_regressors as f64;
        if p == 0.0 || p >= self.numbers - 1.0 {
            return score;
        }
        1.0 - (1.0 - score) * (self.numbers - 1.0) / (self.numbers - p - 1.0)
    }
}

impl Metric for R2Score {
    fn class_name(&self) -> &'static str {
        "R2Score"
    }

    fn config(&self) -> Config {
        described(&self.name, "float32", to_config(&self.arguments))
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if y_pred.rank() != 1 {
            return Err(Error::shape("outputs (batch, columns)", y_pred));
        }
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.columns.fill(Sums::default());
        self.numbers = 0.0;
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, rows) = (y_pred.cols(), y_pred.rows());
        self.columns.resize(cols, Sums::default());
        self.numbers += y_true.data.len() as f64;
        let pairs = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols));
        for (r, (t, p)) in pairs.enumerate() {
            let weight = weight_at(weight, r, y_pred.batch, rows);
            for ((t, p), s) in t.iter().zip(p).zip(&mut self.columns) {
                let (t, p) = (f64::from(*t), f64::from(*p));
                s.target += weight * t;
                s.squared += weight * t * t;
                s.error += weight * (t - p) * (t - p);
                s.weight += weight;
            }
        }
    }

    fn result(&self) -> f64 {
        if self.columns.is_empty() {
            return f64::NAN;
        }
        match self.arguments.class_aggregation {
            Some(Aggregation::VarianceWeightedAverage) => {
                let (sum, weight) = self
                    .scores()
                    .fold((0.0, 0.0), |(sum, weight), (total, score)| {
                        (sum + total * score, weight + total)
                    });
                self.adjusted(sum / weight)
            }
            Some(Aggregation::UniformAverage) => {
                self.adjusted(mean_of(self.scores().map(|(_, score)| score)))
            }
            None => mean_of(self.scores().map(|(_, score)| self.adjusted(score))),
        }
    }

    fn results(&self) -> Vec<f64> {
        match self.arguments.class_aggregation {
            None => self.scores().map(|(_, s)| self.adjusted(s)).collect(),
            Some(_) => Vec::new(),
        }
    }

    fn state(&self) -> Option<Vec<f64>> {
        let columns = self.columns.iter();
        let columns = columns.flat_map(|s| [s.target, s.squared, s.error, s.weight]);
        Some(std::iter::once(self.numbers).chain(columns).collect())
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        let Some((numbers, columns)) = state.split_first() else {
            return false;
        };
        let Some(columns) = rows_of(columns) else {
            return false;
        };
        self.numbers = *numbers;
        let sums = |&[target, squared, error, weight]: &[f64; 4]| Sums {
            target,
            squared,
            error,
            weight,
        };
        self.columns = columns.iter().map(sums).collect();
        true
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(R2Score {
            columns: Vec::new(),
            numbers: 0.0,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricExt;

    #[test]
    fn columns_and_regressors() {
        let (t, p) = (
            [[1.0, 2.0], [4.0, 0.0], [3.0, 1.0]],
            [[2.0, 2.0], [4.0, 0.0], [4.0, 1.0]],
        );
        let value = |mut metric: R2Score| {
            metric.update_state(&t, &p).unwrap();
            (metric.result(), metric.results())
        };
        let first = 1.0 - 2.0 / (14.0 / 3.0);
        assert!((value(R2Score::default()).0 - (first + 1.0) / 2.0).abs() < 1e-12);
        let weighted = R2Score::default().class_aggregation(Aggregation::VarianceWeightedAverage);
        assert!((value(weighted).0 - (1.0 - 2.0 / (14.0 / 3.0 + 2.0))).abs() < 1e-12);
        let each = value(R2Score::default().class_aggregation(None)).1;
        assert!((each[0] - first).abs() < 1e-12 && each[1] == 1.0);
        // Six numbers, as Keras counts.
        let adjusted = 1.0 - (1.0 - (first + 1.0) / 2.0) * 5.0 / 3.0;
        assert!((value(R2Score::default().num_regressors(2)).0 - adjusted).abs() < 1e-12);
        assert!(
            R2Score::default()
                .check(&[2, 1].into(), &[2, 1].into())
                .is_err()
        );
    }
}
