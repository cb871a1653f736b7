//! Between one-hot (or soft) targets and class probabilities.
//!
//! From logits `z`: `sum_j t_j (ln sum e^z - z_j)`, with gradient `softmax(z) sum t - t`. From probabilities Keras divides by
//! their sum and clips: `-sum_j t_j ln q_j`. A model that ends in a softmax is trained from its logits, as in Keras.

use std::sync::Arc;

use super::arguments::{identity, loss};
use super::axis::{Lanes, check_axis, without_axis};
use super::{Loss, check_each, check_smoothing, clip, has_logits, inside, log, same_shape};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::{math, reduce};
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// Between one-hot (or soft) targets and class probabilities (or logits) over one axis.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `from_logits` | false | predictions are logits |
    /// | `label_smoothing` | 0 | targets become `t (1 - s) + s / classes` |
    /// | `axis` | -1 | axis of the classes; the batch is 0 |
    /// | `reduction` | `sum_over_batch_size` | [`Reduction`](super::Reduction) |
    ///
    /// ```
    /// use oxhorn::losses::{CategoricalCrossentropy, LossExt};
    /// let (t, p) = ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]]);
    /// assert!((CategoricalCrossentropy::default().call(&t, &p)? - 1.176939).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    CategoricalCrossentropy named "categorical_crossentropy" {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards equal probabilities.
        label_smoothing: f64 = 0.0,
        /// Axis of the classes.
        axis: i64 = -1,
    }
}

/// The target after label smoothing; the number of classes is the size of the last axis, whatever `axis` says (Keras's rule).
pub(super) fn smoothed(smoothing: f64, y_true: View<'_>) -> impl Fn(Float) -> Float + Copy {
    let keep = (1.0 - smoothing) as Float;
    let share = (smoothing / y_true.cols() as f64) as Float;
    move |t| t * keep + share
}

/// What all losses over classes ask of shapes.
pub(super) fn check_classes(axis: i64, y_true: &Shape, y_pred: &Shape) -> Result<()> {
    same_shape(y_true, y_pred)?;
    check_axis(axis, y_pred)?;
    if y_pred.last() == Some(1) && (axis == -1 || axis == y_pred.rank() as i64) {
        return Err(Error::shape(
            "two classes or more in the last axis of the output (one: binary_crossentropy)",
            y_pred,
        ));
    }
    Ok(())
}

/// Targets must be finite and not negative.
pub(super) fn check_shares(y_true: View<'_>, loss: &str) -> Result<()> {
    check_each(y_true, &format!("a probability for {loss}"), |t| {
        t.is_finite() && t >= 0.0
    })
}

/// `ln sum e^z` over the elements at `lane`.
pub(super) fn log_sum_exp(z: &[Float], lane: impl Iterator<Item = usize> + Clone) -> Float {
    let max = lane
        .clone()
        .map(|i| z[i])
        .fold(Float::NEG_INFINITY, Float::max);
    max + log(lane
        .map(|i| math::exp_nonpositive::<false>(z[i] - max))
        .sum())
}

impl Loss for CategoricalCrossentropy {
    identity!("CategoricalCrossentropy");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_smoothing(self.label_smoothing)?;
        check_classes(self.axis, y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        check_shares(y_true, "categorical_crossentropy")
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        without_axis(batch, y_pred, self.axis)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let target = smoothed(self.label_smoothing, y_true);
        let lanes = Lanes::new(y_pred, self.axis);
        let (t, p) = (y_true.data, y_pred.data);
        if self.from_logits && lanes.inner == 1 {
            reduce::logsumexp(p, lanes.n, out);
        }
        for (r, out) in out.iter_mut().enumerate() {
            let lane = lanes.at(r);
            *out = if self.from_logits {
                let lse = if lanes.inner == 1 {
                    *out
                } else {
                    log_sum_exp(p, lane.clone())
                };
                lane.map(|i| target(t[i]) * (lse - p[i])).sum()
            } else {
                let total: Float = lane.clone().map(|i| p[i]).sum();
                -lane
                    .map(|i| target(t[i]) * log(clip(p[i] / total)))
                    .sum::<Float>()
            };
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let target = smoothed(self.label_smoothing, y_true);
        let lanes = Lanes::new(y_pred, self.axis);
        let (t, p, dy) = (y_true.data, y_pred.data, dy.data);
        if self.from_logits && lanes.inner == 1 {
            dy.copy_from_slice(p);
            reduce::softmax(dy, lanes.n);
        } else if self.from_logits {
            for lane in (0..lanes.count).map(|r| lanes.at(r)) {
                let lse = log_sum_exp(p, lane.clone());
                lane.for_each(|i| dy[i] = math::exp_nonpositive::<false>(p[i] - lse));
            }
        }
        for (r, &coef) in coef.iter().enumerate() {
            let lane = lanes.at(r);
            if self.from_logits {
                let mass: Float = lane.clone().map(|i| target(t[i])).sum();
                lane.for_each(|i| dy[i] = coef * (dy[i] * mass - target(t[i])));
                continue;
            }
            // q = p / sum p; dL/dq = -t / q where not clipped; dL/dp = (dL/dq - sum_j dL/dq_j q_j) / sum p.
            let total: Float = lane.clone().map(|i| p[i]).sum();
            let slope = |i: usize| {
                let q = p[i] / total;
                if inside(q) { -target(t[i]) / q } else { 0.0 }
            };
            let mean: Float = lane.clone().map(|i| slope(i) * p[i] / total).sum();
            lane.for_each(|i| dy[i] = coef * (slope(i) - mean) / total);
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        has_logits(last).then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}
