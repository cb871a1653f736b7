//! Correlations of targets and predictions along one axis.
//!
//! With the means `m` and the variances `v` of a lane: Pearson's is `mean((t - m_t)(p - m_p)) / sqrt(v_t v_p)`. The concordance is
//! Keras's formula, `mean(2 (t - m_p)(p - m_p) / (v_t + v_p + (m_t - m_p)^2 + 1e-7))`.

use serde::{Deserialize, Serialize};

use super::{Function, MeanClass, MeanMetric, same_shape};
use crate::config::{Config, from_config, to_config};
use crate::error::Result;
use crate::float::{EPSILON, Float};
use crate::losses::axis::{Lanes, check_axis, without_axis};
use crate::shape::{Dims, Shape};
use crate::tensor::View;

/// The mean of Pearson's correlation of each lane. [Keras](https://keras.io/api/metrics/correlation_metrics/)
///
/// A lane without variance makes it NaN.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | axis of the lanes; the batch is 0 |
///
/// ```
/// use oxhorn::metrics::{Metric, MetricExt, PearsonCorrelation};
/// let mut metric = PearsonCorrelation::default();
/// metric.update_state(&[[0.0, 1.0, 0.5]], &[[1.0, 3.0, 2.0]])?;
/// assert!((metric.result() - 1.0).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type PearsonCorrelation = MeanMetric<Pearson>;

/// The mean of the concordance correlation of each lane. [Keras](https://keras.io/api/metrics/correlation_metrics/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | axis of the lanes; the batch is 0 |
///
/// ```
/// use oxhorn::metrics::{ConcordanceCorrelation, Metric, MetricExt};
/// let mut metric = ConcordanceCorrelation::default();
/// metric.update_state(&[[0.0, 2.0]], &[[1.0, 3.0]])?;
/// assert!((metric.result() - 2.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type ConcordanceCorrelation = MeanMetric<Concordance>;

/// Pearson's correlation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pearson {
    axis: i64,
}

/// The concordance correlation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Concordance {
    axis: i64,
}

impl Default for Pearson {
    fn default() -> Self {
        Pearson { axis: -1 }
    }
}

impl Default for Concordance {
    fn default() -> Self {
        Concordance { axis: -1 }
    }
}

impl MeanMetric<Pearson> {
    /// Axis of the lanes.
    pub fn axis(self, axis: i64) -> Self {
        self.with(|_| Pearson { axis })
    }
}

impl MeanMetric<Concordance> {
    /// Axis of the lanes.
    pub fn axis(self, axis: i64) -> Self {
        self.with(|_| Concordance { axis })
    }
}

/// Mean and variance.
fn moments(x: impl Iterator<Item = Float> + Clone) -> (Float, Float) {
    let n = x.clone().count() as Float;
    let mean = x.clone().sum::<Float>() / n;
    (mean, x.map(|x| (x - mean) * (x - mean)).sum::<Float>() / n)
}

impl Function for Pearson {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)?;
        check_axis(self.axis, y_pred)
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        without_axis(batch, y_pred, self.axis)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (t, p, lanes) = (y_true.data, y_pred.data, Lanes::new(y_pred, self.axis));
        for (r, out) in out.iter_mut().enumerate() {
            let (t_mean, t_var) = moments(lanes.at(r).map(|i| t[i]));
            let (p_mean, p_var) = moments(lanes.at(r).map(|i| p[i]));
            let product =
                |i: usize| (t[i] - t_mean) / t_var.sqrt() * ((p[i] - p_mean) / p_var.sqrt());
            *out = lanes.at(r).map(product).sum::<Float>() / lanes.n as Float;
        }
    }
}

impl Function for Concordance {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)?;
        check_axis(self.axis, y_pred)
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        without_axis(batch, y_pred, self.axis)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (t, p, lanes) = (y_true.data, y_pred.data, Lanes::new(y_pred, self.axis));
        for (r, out) in out.iter_mut().enumerate() {
            let (t_mean, t_var) = moments(lanes.at(r).map(|i| t[i]));
            let (p_mean, p_var) = moments(lanes.at(r).map(|i| p[i]));
            let apart = t_mean - p_mean;
            let norm = t_var + p_var + apart * apart + EPSILON;
            let product = |i: usize| 2.0 * (t[i] - p_mean) * (p[i] - p_mean) / norm;
            *out = lanes.at(r).map(product).sum::<Float>() / lanes.n as Float;
        }
    }
}

impl MeanClass for Pearson {
    const CLASS: &'static str = "PearsonCorrelation";
    const NAME: &'static str = "pearson_correlation";

    fn arguments(&self) -> Config {
        to_config(self)
    }

    fn from_arguments(arguments: &Config) -> Result<Self> {
        from_config(Self::CLASS, arguments)
    }
}

impl MeanClass for Concordance {
    const CLASS: &'static str = "ConcordanceCorrelation";
    const NAME: &'static str = "concordance_correlation";

    fn arguments(&self) -> Config {
        to_config(self)
    }

    fn from_arguments(arguments: &Config) -> Result<Self> {
        from_config(Self::CLASS, arguments)
    }
}
