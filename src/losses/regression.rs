//! Losses between numbers: the mean over the last axis of a function of the difference.

use serde::{Deserialize, Serialize};

use super::{Loss, Reduction, same_shape};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// `mean((y_pred - y_true)^2)` over the last axis. [Keras](https://keras.io/api/losses/regression_losses/)
///
/// ```
/// use oxhorn::{losses::{Loss, MeanSquaredError}, tensor::View};
/// let view = |data| View { data, shape: &[2], batch: 1 };
/// let mut values = [0.0];
/// MeanSquaredError::default().values(view(&[0.0, 1.0]), view(&[1.0, 3.0]), &mut values);
/// assert_eq!(values, [2.5]);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeanSquaredError {
    name: String,
    reduction: Reduction,
}

/// `mean(|y_pred - y_true|)` over the last axis. [Keras](https://keras.io/api/losses/regression_losses/)
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeanAbsoluteError {
    name: String,
    reduction: Reduction,
}

impl Default for MeanSquaredError {
    fn default() -> Self {
        MeanSquaredError {
            name: "mean_squared_error".into(),
            reduction: Reduction::default(),
        }
    }
}

impl Default for MeanAbsoluteError {
    fn default() -> Self {
        MeanAbsoluteError {
            name: "mean_absolute_error".into(),
            reduction: Reduction::default(),
        }
    }
}

impl MeanSquaredError {
    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }
}

impl MeanAbsoluteError {
    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }
}

impl Loss for MeanSquaredError {
    fn class_name(&self) -> &'static str {
        "MeanSquaredError"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        values(y_true, y_pred, out, |d| d * d);
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        grad(y_true, y_pred, coef, dy, |d| 2.0 * d);
    }
}

impl Loss for MeanAbsoluteError {
    fn class_name(&self) -> &'static str {
        "MeanAbsoluteError"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        values(y_true, y_pred, out, Float::abs);
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        // The sign, 0 at 0.
        grad(y_true, y_pred, coef, dy, |d| {
            if d == 0.0 { 0.0 } else { d.signum() }
        });
    }
}

/// `out[r] = mean_j f(y_pred[r, j] - y_true[r, j])`
fn values(y_true: View<'_>, y_pred: View<'_>, out: &mut [Float], f: impl Fn(Float) -> Float) {
    let cols = y_pred.cols();
    for ((t, p), out) in y_true
        .data
        .chunks_exact(cols)
        .zip(y_pred.data.chunks_exact(cols))
        .zip(out)
    {
        *out = t.iter().zip(p).map(|(t, p)| f(p - t)).sum::<Float>() / cols as Float;
    }
}

/// `dy[r, j] = coef[r] / cols * f'(y_pred[r, j] - y_true[r, j])`
fn grad(
    y_true: View<'_>,
    y_pred: View<'_>,
    coef: &[Float],
    dy: ViewMut<'_>,
    slope: impl Fn(Float) -> Float,
) {
    let cols = y_pred.cols();
    let rows = y_true
        .data
        .chunks_exact(cols)
        .zip(y_pred.data.chunks_exact(cols))
        .zip(dy.data.chunks_exact_mut(cols));
    for (((t, p), dy), coef) in rows.zip(coef) {
        let coef = coef / cols as Float;
        for ((t, p), dy) in t.iter().zip(p).zip(dy) {
            *dy = coef * slope(p - t);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let (t, p) = (
            [0.0, 1.0, 2.0, 3.0, -1.0, 0.5],
            [0.3, 0.4, 2.5, 1.0, -2.0, 0.9],
        );
        check_loss(&MeanSquaredError::default(), &t, &[3], &p, &[3]);
        check_loss(&MeanAbsoluteError::default(), &t, &[3], &p, &[3]);
    }
}
