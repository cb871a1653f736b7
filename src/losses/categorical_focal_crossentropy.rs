//! Categorical cross-entropy that attends to what is still wrong (Lin et al., 2018).
//!
//! With `q` the probabilities divided by their sum and clipped to `[1e-7, 1 - 1e-7]`:
//! `sum_j t_j alpha (1 - q_j)^gamma (-ln q_j)`. Slope in `q_j`, 0 where clipped:
//! `g_j = -t_j alpha ((1 - q_j)^gamma / q_j - gamma (1 - q_j)^(gamma - 1) ln q_j)`. From probabilities `p` with sum `s` the gradient
//! is `(g_j - sum_k g_k q_k) / s`, from logits `q_j (g_j - sum_k g_k q_k)`.

use super::Loss;
use super::arguments::{identity, loss};
use super::axis::{Lanes, without_axis};
use super::binary_focal_crossentropy::{check_focal, power};
use super::categorical_crossentropy::{check_classes, check_shares, log_sum_exp, smoothed};
use super::{clip, inside, log};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::math;
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// Categorical cross-entropy whose terms are weighed by `alpha (1 - q)^gamma`.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `from_logits` | false | predictions are logits |
    /// | `label_smoothing` | 0 | targets become `t (1 - s) + s / classes` |
    /// | `axis` | -1 | axis of the classes; the batch is 0 |
    /// | `alpha` | 0.25 | factor on everything |
    /// | `gamma` | 2 | how much less what is right counts |
    ///
    /// ```
    /// use oxhorn::losses::{CategoricalFocalCrossentropy, LossExt};
    /// let loss = CategoricalFocalCrossentropy::default().call(&[[0.0, 1.0]], &[[0.5, 0.5]])?;
    /// assert!((loss - 0.0433217).abs() < 1e-6);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    CategoricalFocalCrossentropy named "categorical_focal_crossentropy" {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards equal probabilities.
        label_smoothing: f64 = 0.0,
        /// Axis of the classes.
        axis: i64 = -1,
        /// Factor on everything.
        alpha: f64 = 0.25,
        /// How much less what is right counts.
        gamma: f64 = 2.0,
    }
}

impl CategoricalFocalCrossentropy {
    /// What turns predictions of a lane into probabilities `q`: the sum, or of logits the logarithm of the sum of exponentials.
    fn total(&self, p: &[Float], lane: impl Iterator<Item = usize> + Clone) -> Float {
        if self.from_logits {
            log_sum_exp(p, lane)
        } else {
            lane.map(|i| p[i]).sum()
        }
    }

    #[inline(always)]
    fn probability(&self, y: Float, total: Float) -> Float {
        if self.from_logits {
            math::exp_nonpositive::<false>(y - total)
        } else {
            y / total
        }
    }
}

impl Loss for CategoricalFocalCrossentropy {
    identity!("CategoricalFocalCrossentropy");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_focal(self.alpha, self.gamma, self.label_smoothing)?;
        check_classes(self.axis, y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        check_shares(y_true, "categorical_focal_crossentropy")
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        without_axis(batch, y_pred, self.axis)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let target = smoothed(self.label_smoothing, y_true);
        let (alpha, gamma) = (self.alpha as Float, self.gamma as Float);
        let lanes = Lanes::new(y_pred, self.axis);
        for (r, out) in out.iter_mut().enumerate() {
            let total = self.total(y_pred.data, lanes.at(r));
            let one = |i: usize| {
                let q = clip(self.probability(y_pred.data[i], total));
                -target(y_true.data[i]) * alpha * power(1.0 - q, gamma).0 * log(q)
            };
            *out = lanes.at(r).map(one).sum();
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let target = smoothed(self.label_smoothing, y_true);
        let (alpha, gamma) = (self.alpha as Float, self.gamma as Float);
        let lanes = Lanes::new(y_pred, self.axis);
        for (r, &coef) in coef.iter().enumerate() {
            let total = self.total(y_pred.data, lanes.at(r));
            let q = |i: usize| self.probability(y_pred.data[i], total);
            let slope = |i: usize| {
                let q = q(i);
                let (focus, focus_slope) = power(1.0 - q, gamma);
                if inside(q) {
                    -target(y_true.data[i]) * alpha * (focus / q - focus_slope * log(q))
                } else {
                    0.0
                }
            };
            let mean: Float = lanes.at(r).map(|i| slope(i) * q(i)).sum();
            for i in lanes.at(r) {
                let scale = if self.from_logits { q(i) } else { 1.0 / total };
                dy.data[i] = coef * scale * (slope(i) - mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let t = [0.0, 1.0, 0.0, 0.25, 0.25, 0.5];
        let p = [0.3, 0.2, 0.7, 0.6, 0.1, 0.4];
        let z = [0.3, -1.2, 2.5, -3.6, 0.1, 0.7];
        for gamma in [0.0, 1.0, 1.5, 2.0] {
            let loss = CategoricalFocalCrossentropy::default()
                .gamma(gamma)
                .alpha(0.6);
            check_loss(&loss, &t, &[3], &p, &[3]);
            check_loss(&loss.clone().axis(1), &t, &[3, 2], &p, &[3, 2]);
            let loss = loss.label_smoothing(0.1).from_logits(true);
            check_loss(&loss, &t, &[3], &z, &[3]);
            check_loss(&loss.axis(1), &t, &[3, 2], &z, &[3, 2]);
        }
    }
}
