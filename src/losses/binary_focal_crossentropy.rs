//! Binary cross-entropy that attends to what is still wrong (Lin et al., 2018).
//!
//! `w (1 - p_t)^gamma bce` with `p_t = t p + (1 - t)(1 - p)` and `w = t alpha + (1 - t)(1 - alpha)` where classes are balanced.
//! With `f = (1 - p_t)^gamma` and `d p_t / d p = 2 t - 1` the slope in `p` is `w (f bce' - gamma (1 - p_t)^(gamma - 1) (2 t - 1) bce)`.
//! From logits it is that times `p (1 - p)`, where `bce' p (1 - p) = p - t`.

use std::sync::Arc;

use super::arguments::{identity, loss};
use super::axis::{Lanes, check_axis, without_axis};
use super::binary_crossentropy::{check_probabilities, smoothed};
use super::categorical_crossentropy::log_sum_exp;
use super::elementwise::{mean_grad, mean_values};
use super::{Loss, Reduction, check_number, check_smoothing, clip, inside, log, same_shape};
use crate::activation::Activation;
use crate::config::Config;
use crate::error::Result;
use crate::float::Float;
use crate::kernels::math;
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// Binary cross-entropy times `(1 - p_t)^gamma`, where `p_t` is the probability of the target.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `from_logits` | false | predictions are logits |
    /// | `label_smoothing` | 0 | targets become `t (1 - s) + s / 2` |
    /// | `axis` | -1 | axis of the mean; the batch is 0 |
    /// | `apply_class_balancing` | false | weigh 1 by `alpha` and 0 by `1 - alpha` |
    /// | `alpha` | 0.25 | weight of the targets 1 |
    /// | `gamma` | 2 | how much less what is right counts |
    ///
    /// ```
    /// use oxhorn::losses::{BinaryFocalCrossentropy, LossExt};
    /// let loss = BinaryFocalCrossentropy::default().call(&[[0.0, 1.0]], &[[0.6, 0.4]])?;
    /// assert!((loss - 0.329865).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    BinaryFocalCrossentropy named "binary_focal_crossentropy" {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards one half.
        label_smoothing: f64 = 0.0,
        /// Axis of the mean.
        axis: i64 = -1,
        /// Whether targets 1 are weighed by `alpha`, and 0 by `1 - alpha`.
        apply_class_balancing: bool = false,
        /// Weight of the targets 1.
        alpha: f64 = 0.25,
        /// How much less what is right counts.
        gamma: f64 = 2.0,
    }
}

impl BinaryFocalCrossentropy {
    /// Probability, cross-entropy, and the cross-entropy's slope in the prediction.
    #[inline(always)]
    fn entropy(&self, t: Float, y: Float) -> (Float, Float, Float) {
        if self.from_logits {
            let p = math::sigmoid::<false>(y);
            return (p, math::softplus::<false>(y) - y * t, p - t);
        }
        let p = clip(y);
        let slope = if inside(y) {
            (p - t) / (p * (1.0 - p))
        } else {
            0.0
        };
        (y, -(t * log(p) + (1.0 - t) * log(1.0 - p)), slope)
    }

    /// The weight of a target.
    #[inline(always)]
    fn weight(&self, t: Float) -> Float {
        let alpha = self.alpha as Float;
        if self.apply_class_balancing {
            t * alpha + (1.0 - t) * (1.0 - alpha)
        } else {
            1.0
        }
    }
}

/// `x^gamma` and its slope.
#[inline(always)]
pub(super) fn power(x: Float, gamma: Float) -> (Float, Float) {
    if gamma == 2.0 {
        (x * x, 2.0 * x)
    } else if gamma == 0.0 {
        (1.0, 0.0)
    } else {
        (x.powf(gamma), gamma * x.powf(gamma - 1.0))
    }
}

/// The arguments that both focal losses have.
pub(super) fn check_focal(alpha: f64, gamma: f64, label_smoothing: f64) -> Result<()> {
    check_smoothing(label_smoothing)?;
    check_number("alpha", alpha, "a number", |_| true)?;
    check_number("gamma", gamma, "a number that is not negative", |g| {
        g >= 0.0
    })
}

impl Loss for BinaryFocalCrossentropy {
    identity!("BinaryFocalCrossentropy");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_focal(self.alpha, self.gamma, self.label_smoothing)?;
        same_shape(y_true, y_pred)?;
        check_axis(self.axis, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        check_probabilities(y_true, "binary_focal_crossentropy")
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        without_axis(batch, y_pred, self.axis)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (target, gamma) = (smoothed(self.label_smoothing), self.gamma as Float);
        let lanes = Lanes::new(y_pred, self.axis);
        mean_values(lanes, y_true, y_pred, out, |t, y| {
            let t = target(t);
            let (p, bce, _) = self.entropy(t, y);
            let p_t = t * p + (1.0 - t) * (1.0 - p);
            self.weight(t) * power(1.0 - p_t, gamma).0 * bce
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (target, gamma) = (smoothed(self.label_smoothing), self.gamma as Float);
        let lanes = Lanes::new(y_pred, self.axis);
        mean_grad(lanes, y_true, y_pred, coef, dy, |t, y| {
            let t = target(t);
            let (p, bce, slope) = self.entropy(t, y);
            let p_t = t * p + (1.0 - t) * (1.0 - p);
            let (focus, focus_slope) = power(1.0 - p_t, gamma);
            let dp = if self.from_logits { p * (1.0 - p) } else { 1.0 };
            self.weight(t) * (focus * slope - focus_slope * (2.0 * t - 1.0) * dp * bce)
        });
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        if self.from_logits {
            // The predictions are taken as logits as they are.
            return None;
        }
        match last {
            Activation::Sigmoid => Some(Arc::new(self.clone().from_logits(true))),
            Activation::Softmax => Some(Arc::new(OverSoftmax(self.clone()))),
            _ => None,
        }
    }
}

/// The loss of a model that ends in a softmax, from its logits `z`: Keras takes the factor `(1 - p_t)^gamma` from the
/// probabilities `p`, and the cross-entropy from `z` as if it came before a sigmoid. With `a_j` the slope in `p_j` of the first and
/// `b_j` that in `z_j` of the second, `dz_j = p_j (a_j - sum_k a_k p_k) + b_j`.
#[derive(Clone, Debug)]
struct OverSoftmax(BinaryFocalCrossentropy);

impl OverSoftmax {
    /// Calls `f(i, t, z, p)` for every element, `p` being the softmax of its row.
    fn each(
        &self,
        y_true: View<'_>,
        y_pred: View<'_>,
        mut f: impl FnMut(usize, Float, Float, Float),
    ) {
        let (target, n) = (smoothed(self.0.label_smoothing), y_pred.cols());
        for (r, z) in y_pred.data.chunks_exact(n).enumerate() {
            let lse = log_sum_exp(z, 0..n);
            for (j, &z) in z.iter().enumerate() {
                let i = r * n + j;
                f(
                    i,
                    target(y_true.data[i]),
                    z,
                    math::exp_nonpositive::<false>(z - lse),
                );
            }
        }
    }
}

impl Loss for OverSoftmax {
    fn class_name(&self) -> &'static str {
        self.0.class_name()
    }

    fn config(&self) -> Config {
        self.0.config()
    }

    fn reduction(&self) -> Reduction {
        self.0.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.0.check(y_true, y_pred)
    }

    fn values_shape(&self, batch: usize, y_true: &[usize], y_pred: &[usize]) -> Dims {
        self.0.values_shape(batch, y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (gamma, lanes) = (self.0.gamma as Float, Lanes::new(y_pred, self.0.axis));
        out.fill(0.0);
        self.each(y_true, y_pred, |i, t, z, p| {
            let p_t = t * p + (1.0 - t) * (1.0 - p);
            let bce = math::softplus::<false>(z) - z * t;
            let value = self.0.weight(t) * power(1.0 - p_t, gamma).0 * bce;
            out[lanes.of(i)] += value / lanes.n as Float;
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (gamma, lanes) = (self.0.gamma as Float, Lanes::new(y_pred, self.0.axis));
        let n = y_pred.cols();
        let slopes = |i: usize, t: Float, z: Float, p: Float| {
            let coef = coef[lanes.of(i)] / lanes.n as Float * self.0.weight(t);
            let (focus, slope) = power(1.0 - (t * p + (1.0 - t) * (1.0 - p)), gamma);
            let bce = math::softplus::<false>(z) - z * t;
            let a = -coef * slope * (2.0 * t - 1.0) * bce;
            (a, coef * focus * (math::sigmoid::<false>(z) - t))
        };
        let dy = dy.data;
        self.each(y_true, y_pred, |i, t, z, p| {
            dy[i] = slopes(i, t, z, p).0 * p
        });
        // The elements of a row hold a_j p_j; their sum is what every element of the row subtracts, times its p.
        let mut row = (usize::MAX, 0.0);
        self.each(y_true, y_pred, |i, t, z, p| {
            if row.0 != i / n {
                row = (i / n, dy[i / n * n..][..n].iter().sum());
            }
            let (a, b) = slopes(i, t, z, p);
            dy[i] = p * (a - row.1) + b;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let t = [0.0, 1.0, 0.25, 1.0, 0.0, 1.0];
        let p = [0.3, 0.2, 0.5, 0.6, 0.1, 0.9];
        let z = [0.3, -1.2, 2.5, -3.6, 0.1, 0.7];
        for gamma in [0.0, 1.0, 1.5, 2.0] {
            for balanced in [false, true] {
                let loss = BinaryFocalCrossentropy::default()
                    .gamma(gamma)
                    .alpha(0.3)
                    .apply_class_balancing(balanced);
                check_loss(&loss, &t, &[3], &p, &[3]);
                check_loss(&loss.clone().axis(1), &t, &[3, 2], &p, &[3, 2]);
                let loss = loss.label_smoothing(0.1).from_logits(true);
                check_loss(&loss, &t, &[3], &z, &[3]);
                check_loss(&loss.clone().axis(1), &t, &[3, 2], &z, &[3, 2]);
                let loss = loss.from_logits(false);
                for axis in [-1, 1] {
                    let softmax = loss.clone().axis(axis).on_logits(&Activation::Softmax);
                    check_loss(softmax.unwrap().as_ref(), &t, &[3, 2], &z, &[3, 2]);
                }
            }
        }
    }
}
