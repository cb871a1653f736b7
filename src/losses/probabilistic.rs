//! Between distributions and between counts.
//!
//! Kullback-Leibler: with both clipped to `[1e-7, 1]`, `sum_j t_j ln(t_j / p_j)`, slope `-t_j / p_j`, 0 where clipped.
//! Poisson: `mean(p - t ln(p + 1e-7))`, slope `1 - t / (p + 1e-7)`.

use super::arguments::{identity, loss};
use super::axis::Lanes;
use super::elementwise::{mean_grad, mean_values};
use super::{Loss, log};
use crate::float::{EPSILON, Float};
use crate::kernels::math;
use crate::tensor::{View, ViewMut};

loss! {
    /// `sum(y_true ln(y_true / y_pred))` over the last axis. [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{KLDivergence, LossExt};
    /// let loss = KLDivergence::default().call(&[[0.5, 0.5]], &[[0.25, 0.75]])?;
    /// assert!((loss - 0.143841).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    KLDivergence named "kl_divergence" {}
}

loss! {
    /// `mean(y_pred - y_true ln(y_pred))`, for counts and their expected values.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, Poisson};
    /// let loss = Poisson::default().call(&[[1.0, 2.0]], &[[1.0, 1.0]])?;
    /// assert!((loss - 1.0).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    Poisson named "poisson" {}
}

impl Loss for KLDivergence {
    identity!("KLDivergence");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let n = y_pred.cols();
        let rows = y_true.data.chunks_exact(n).zip(y_pred.data.chunks_exact(n));
        for ((t, p), out) in rows.zip(out) {
            let one = |(t, p): (&Float, &Float)| {
                let (t, p) = (math::clamp(*t, EPSILON, 1.0), math::clamp(*p, EPSILON, 1.0));
                t * log(t / p)
            };
            *out = t.iter().zip(p).map(one).sum();
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        let rows = y_true.data.chunks_exact(n).zip(y_pred.data.chunks_exact(n));
        for (((t, p), dy), coef) in rows.zip(dy.data.chunks_exact_mut(n)).zip(coef) {
            for ((t, p), dy) in t.iter().zip(p).zip(dy) {
                *dy = if (EPSILON..=1.0).contains(p) {
                    -coef * math::clamp(*t, EPSILON, 1.0) / p
                } else {
                    0.0
                };
            }
        }
    }
}

impl Loss for Poisson {
    identity!("Poisson");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let lanes = Lanes::rows(y_pred);
        mean_values(lanes, y_true, y_pred, out, |t, p| p - t * log(p + EPSILON));
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let lanes = Lanes::rows(y_pred);
        mean_grad(lanes, y_true, y_pred, coef, dy, |t, p| {
            1.0 - t / (p + EPSILON)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let (t, p) = (
            [0.2, 0.3, 0.5, 0.0, 1.0, 0.0],
            [0.3, 0.2, 0.5, 0.6, 0.1, 0.3],
        );
        for shape in [&[3][..], &[6], &[2, 1]] {
            check_loss(&KLDivergence::default(), &t, shape, &p, shape);
            check_loss(&Poisson::default(), &t, shape, &p, shape);
        }
    }
}
