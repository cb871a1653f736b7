//! Between numbers in `[0, 1]` and probabilities, one by one.
//!
//! From logits `z`: `max(z, 0) - z t + ln(1 + e^-|z|)`, exact for any size, with gradient `sigmoid(z) - t`. From probabilities
//! Keras clips to `[e, 1 - e]`: `-t ln p - (1 - t) ln(1 - p)` with gradient `(p - t) / (p (1 - p))`, zero outside.
//! A model that ends in a sigmoid is trained from its logits, as in Keras.

use std::sync::Arc;

use super::arguments::{identity, loss};
use super::axis::{Lanes, check_axis, without_axis};
use super::elementwise::{mean_grad, mean_values};
use super::{Loss, check_each, check_smoothing, clip, has_logits, inside, log, same_shape};
use crate::activation::Activation;
use crate::error::Result;
use crate::float::Float;
use crate::kernels::{elementwise, math};
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// Between targets in `[0, 1]` and probabilities (or logits), number by number; the mean over one axis.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `from_logits` | false | predictions are logits |
    /// | `label_smoothing` | 0 | targets become `t (1 - s) + s / 2` |
    /// | `axis` | -1 | axis of the mean; the batch is 0 |
    /// | `reduction` | `sum_over_batch_size` | [`Reduction`](super::Reduction) |
    ///
    /// ```
    /// use oxhorn::losses::{BinaryCrossentropy, LossExt};
    /// let loss = BinaryCrossentropy::default().call(&[[0.0, 1.0], [0.0, 0.0]], &[[0.6, 0.4], [0.4, 0.6]])?;
    /// assert!((loss - 0.814924).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    BinaryCrossentropy named "binary_crossentropy" {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards one half.
        label_smoothing: f64 = 0.0,
        /// Axis of the mean.
        axis: i64 = -1,
    }
}

/// The target after label smoothing between two classes.
pub(super) fn smoothed(smoothing: f64) -> impl Fn(Float) -> Float {
    let smoothing = smoothing as Float;
    move |t| t * (1.0 - smoothing) + 0.5 * smoothing
}

/// Targets must be in `[0, 1]`.
pub(super) fn check_probabilities(y_true: View<'_>, loss: &str) -> Result<()> {
    check_each(y_true, &format!("a number in [0, 1] for {loss}"), |t| {
        (0.0..=1.0).contains(&t)
    })
}

impl Loss for BinaryCrossentropy {
    identity!("BinaryCrossentropy");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_smoothing(self.label_smoothing)?;
        same_shape(y_true, y_pred)?;
        check_axis(self.axis, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        check_probabilities(y_true, "binary_crossentropy")
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        without_axis(batch, y_pred, self.axis)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (target, lanes) = (
            smoothed(self.label_smoothing),
            Lanes::new(y_pred, self.axis),
        );
        if self.from_logits {
            mean_values(lanes, y_true, y_pred, out, |t, z| {
                math::softplus::<false>(z) - z * target(t)
            });
        } else {
            mean_values(lanes, y_true, y_pred, out, |t, p| {
                let (t, p) = (target(t), clip(p));
                -(t * log(p) + (1.0 - t) * log(1.0 - p))
            });
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (target, lanes) = (
            smoothed(self.label_smoothing),
            Lanes::new(y_pred, self.axis),
        );
        if self.from_logits && lanes.inner == 1 {
            dy.data.copy_from_slice(y_pred.data);
            elementwise::sigmoid(dy.data);
            let rows = y_true.data.chunks_exact(lanes.n);
            for ((t, dy), coef) in rows.zip(dy.data.chunks_exact_mut(lanes.n)).zip(coef) {
                let coef = coef / lanes.n as Float;
                t.iter()
                    .zip(dy)
                    .for_each(|(t, dy)| *dy = coef * (*dy - target(*t)));
            }
        } else if self.from_logits {
            mean_grad(lanes, y_true, y_pred, coef, dy, |t, z| {
                math::sigmoid::<false>(z) - target(t)
            });
        } else {
            mean_grad(lanes, y_true, y_pred, coef, dy, |t, p| {
                if inside(p) {
                    (p - target(t)) / (p * (1.0 - p))
                } else {
                    0.0
                }
            });
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        has_logits(last).then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}
