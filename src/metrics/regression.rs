//! Mean errors between numbers.

use serde_json::Value;

use super::{Mean, Metric, positions, same_shape, weight_at};
use crate::config::Config;
use crate::error::Result;
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// What is averaged over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Squared,
    Absolute,
    RootSquared,
}

/// One of the mean errors; see [`MeanSquaredErrorMetric`], [`MeanAbsoluteErrorMetric`] and [`RootMeanSquaredError`].
///
/// ```
/// use oxhorn::{metrics::{Metric, RootMeanSquaredError}, tensor::View};
/// let mut metric = RootMeanSquaredError::new();
/// let view = |data| View { data, shape: &[1], batch: 2 };
/// metric.update(view(&[0.0, 1.0]), view(&[3.0, 5.0]), None);
/// assert_eq!(metric.result(), 12.5f64.sqrt());
/// ```
#[derive(Clone, Debug)]
pub struct RegressionMetric {
    kind: Kind,
    name: String,
    mean: Mean,
}

/// `mean((y_pred - y_true)^2)`, Keras's metric `MeanSquaredError`.
#[derive(Clone, Copy, Debug)]
pub struct MeanSquaredErrorMetric;
/// `mean(|y_pred - y_true|)`, Keras's metric `MeanAbsoluteError`.
#[derive(Clone, Copy, Debug)]
pub struct MeanAbsoluteErrorMetric;
/// The root of the mean of all squared differences.
#[derive(Clone, Copy, Debug)]
pub struct RootMeanSquaredError;

#[allow(clippy::new_ret_no_self)] // the family is one type
impl MeanSquaredErrorMetric {
    /// The metric, named `mean_squared_error`.
    pub fn new() -> RegressionMetric {
        RegressionMetric::new(Kind::Squared, "mean_squared_error")
    }
}

#[allow(clippy::new_ret_no_self)] // the family is one type
impl MeanAbsoluteErrorMetric {
    /// The metric, named `mean_absolute_error`.
    pub fn new() -> RegressionMetric {
        RegressionMetric::new(Kind::Absolute, "mean_absolute_error")
    }
}

#[allow(clippy::new_ret_no_self)] // the family is one type
impl RootMeanSquaredError {
    /// The metric, named `root_mean_squared_error`.
    pub fn new() -> RegressionMetric {
        RegressionMetric::new(Kind::RootSquared, "root_mean_squared_error")
    }
}

impl RegressionMetric {
    fn new(kind: Kind, name: &str) -> Self {
        RegressionMetric {
            kind,
            name: name.into(),
            mean: Mean::default(),
        }
    }

    /// Under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// The metric of a short name (`"mse"`), under that name.
pub(super) fn short_name(metric: Box<dyn Metric>, name: &str) -> RegressionMetric {
    let kind = match metric.class_name() {
        "MeanSquaredError" => Kind::Squared,
        "MeanAbsoluteError" => Kind::Absolute,
        _ => Kind::RootSquared,
    };
    RegressionMetric::new(kind, &name.to_lowercase())
}

impl Metric for RegressionMetric {
    fn class_name(&self) -> &'static str {
        match self.kind {
            Kind::Squared => "MeanSquaredError",
            Kind::Absolute => "MeanAbsoluteError",
            Kind::RootSquared => "RootMeanSquaredError",
        }
    }

    fn config(&self) -> Config {
        [("name".to_string(), Value::from(self.name.clone()))]
            .into_iter()
            .collect()
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)
    }

    fn reset(&mut self) {
        self.mean = Mean::default();
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let (cols, count) = (y_pred.cols(), positions(y_pred));
        for (r, (t, p)) in y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols))
            .enumerate()
        {
            let differences = t.iter().zip(p).map(|(t, p)| f64::from(*p) - f64::from(*t));
            let sum: f64 = match self.kind {
                Kind::Absolute => differences.map(f64::abs).sum(),
                Kind::Squared | Kind::RootSquared => differences.map(|d| d * d).sum(),
            };
            self.mean
                .add(sum / cols as f64, weight_at(weight, r, y_pred.batch, count));
        }
    }

    fn result(&self) -> f64 {
        if self.kind == Kind::RootSquared {
            self.mean.get().sqrt()
        } else {
            self.mean.get()
        }
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(RegressionMetric {
            mean: Mean::default(),
            ..self.clone()
        })
    }
}
