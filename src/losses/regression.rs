//! Losses between numbers: means over the last axis of a function of the error `e = y_pred - y_true`.
//!
//! | loss | value | slope in `y_pred` |
//! |---|---|---|
//! | squared | `e^2` | `2 e` |
//! | absolute | `abs(e)` | `sign(e)` |
//! | percentage | `100 abs(e) / max(abs(y_true), 1e-7)` | `100 sign(e) / max(abs(y_true), 1e-7)` |
//! | squared logarithmic | `l^2`, `l = ln(1 + y_pred) - ln(1 + y_true)`, both at least 1e-7 | `2 l / (1 + y_pred)`, 0 below |
//! | log-cosh | `ln cosh e = e + ln(1 + e^(-2e)) - ln 2` | `tanh e` |
//! | Huber | `e^2 / 2` up to delta, then `delta (abs(e) - delta / 2)` | `e`, held within delta |

use super::arguments::{identity, loss};
use super::axis::Lanes;
use super::elementwise::{mean_grad, mean_values};
use super::{Loss, check_number, log, same_shape, sign};
use crate::error::Result;
use crate::float::{EPSILON, Float};
use crate::kernels::math;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

loss! {
    /// `mean((y_pred - y_true)^2)`. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, MeanSquaredError};
    /// assert_eq!(MeanSquaredError::default().call(&[[0.0, 1.0]], &[[1.0, 3.0]])?, 2.5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    MeanSquaredError named "mean_squared_error" {}
}

loss! {
    /// `mean(abs(y_pred - y_true))`. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, MeanAbsoluteError};
    /// assert_eq!(MeanAbsoluteError::default().call(&[[0.0, 1.0]], &[[1.0, 3.0]])?, 1.5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    MeanAbsoluteError named "mean_absolute_error" {}
}

loss! {
    /// `100 mean(abs((y_pred - y_true) / y_true))`. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, MeanAbsolutePercentageError};
    /// assert_eq!(MeanAbsolutePercentageError::default().call(&[[2.0, 4.0]], &[[1.0, 5.0]])?, 37.5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    MeanAbsolutePercentageError named "mean_absolute_percentage_error" {}
}

loss! {
    /// `mean((ln(1 + y_pred) - ln(1 + y_true))^2)`. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, MeanSquaredLogarithmicError};
    /// let loss = MeanSquaredLogarithmicError::default().call(&[[0.0]], &[[1.0]])?;
    /// assert!((loss - 0.480453).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    MeanSquaredLogarithmicError named "mean_squared_logarithmic_error" {}
}

loss! {
    /// `mean(ln cosh(y_pred - y_true))`. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LogCosh, LossExt};
    /// let loss = LogCosh::default().call(&[[0.0]], &[[1.0]])?;
    /// assert!((loss - 0.433781).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    LogCosh named "log_cosh" {}
}

loss! {
    /// Squared near 0, absolute beyond `delta`. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `delta` | 1 | where the square becomes linear |
    ///
    /// ```
    /// use oxhorn::losses::{Huber, LossExt};
    /// assert_eq!(Huber::default().delta(2.0).call(&[[0.0, 0.0]], &[[1.0, 3.0]])?, 2.25);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    Huber named "huber_loss" {
        /// Error up to which the loss is the square.
        delta: f64 = 1.0,
    }
}

impl Loss for MeanSquaredError {
    identity!("MeanSquaredError");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        mean_values(Lanes::rows(y_pred), y_true, y_pred, out, |t, p| {
            (p - t) * (p - t)
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        mean_grad(Lanes::rows(y_pred), y_true, y_pred, coef, dy, |t, p| {
            2.0 * (p - t)
        });
    }
}

impl Loss for MeanAbsoluteError {
    identity!("MeanAbsoluteError");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        mean_values(Lanes::rows(y_pred), y_true, y_pred, out, |t, p| {
            (p - t).abs()
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        mean_grad(Lanes::rows(y_pred), y_true, y_pred, coef, dy, |t, p| {
            sign(p - t)
        });
    }
}

impl Loss for MeanAbsolutePercentageError {
    identity!("MeanAbsolutePercentageError");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        mean_values(Lanes::rows(y_pred), y_true, y_pred, out, |t, p| {
            100.0 * ((p - t) / at_least_epsilon(t.abs())).abs()
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        mean_grad(Lanes::rows(y_pred), y_true, y_pred, coef, dy, |t, p| {
            100.0 * sign(p - t) / at_least_epsilon(t.abs())
        });
    }
}

impl Loss for MeanSquaredLogarithmicError {
    identity!("MeanSquaredLogarithmicError");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        mean_values(Lanes::rows(y_pred), y_true, y_pred, out, |t, p| {
            let l = log_error(t, p);
            l * l
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        mean_grad(Lanes::rows(y_pred), y_true, y_pred, coef, dy, |t, p| {
            if p >= EPSILON {
                2.0 * log_error(t, p) / (1.0 + p)
            } else {
                0.0
            }
        });
    }
}

impl Loss for LogCosh {
    identity!("LogCosh");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        mean_values(Lanes::rows(y_pred), y_true, y_pred, out, |t, p| {
            let e = p - t;
            e + math::softplus::<false>(-2.0 * e) - std::f64::consts::LN_2 as Float
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        mean_grad(Lanes::rows(y_pred), y_true, y_pred, coef, dy, |t, p| {
            math::tanh::<false>(p - t)
        });
    }
}

impl Loss for Huber {
    identity!("Huber", delta);

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_number("delta", self.delta, "a positive number", |d| d > 0.0)?;
        same_shape(y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        mean_values(Lanes::rows(y_pred), y_true, y_pred, out, |t, p| {
            let (e, delta) = (p - t, self.delta as Float);
            if e.abs() <= delta {
                0.5 * e * e
            } else {
                delta * e.abs() - 0.5 * delta * delta
            }
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        mean_grad(Lanes::rows(y_pred), y_true, y_pred, coef, dy, |t, p| {
            let delta = self.delta as Float;
            math::clamp(p - t, -delta, delta)
        });
    }
}

#[inline(always)]
fn at_least_epsilon(x: Float) -> Float {
    if x < EPSILON { EPSILON } else { x }
}

/// `ln(1 + p) - ln(1 + t)`
#[inline(always)]
fn log_error(t: Float, p: Float) -> Float {
    log(at_least_epsilon(p) + 1.0) - log(at_least_epsilon(t) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let t = [0.4, 1.0, 2.0, 3.0, -1.0, 0.5, 1.5, 0.2, 0.1, 0.9];
        let p = [0.3, 0.4, 2.5, 1.0, -2.0, 0.9, 9.0, -4.0, 0.7, 1.2];
        let losses: [&dyn Loss; 7] = [
            &MeanSquaredError::default(),
            &MeanAbsoluteError::default(),
            &MeanAbsolutePercentageError::default(),
            &MeanSquaredLogarithmicError::default(),
            &LogCosh::default(),
            &Huber::default(),
            &Huber::default().delta(0.45),
        ];
        for loss in losses {
            check_loss(loss, &t, &[5], &p, &[5]);
            check_loss(loss, &t, &[5, 1], &p, &[5, 1]);
            check_loss(loss, &t, &[10], &p, &[10]);
        }
    }
}
