//! Hinge losses. Targets are -1 and 1; where all targets of a batch are 0 and 1, they become -1 and 1, as in Keras.
//!
//! `hinge = mean(max(1 - t p, 0))`, slope `-t` where positive; squared: slope `-2 t max(1 - t p, 0)`.
//! `categorical_hinge = max(max_j((1 - t_j) p_j) - sum_j t_j p_j + 1, 0)`: where positive the slope is `(1 - t_k) / m` at the `m`
//! largest, less `t_j` everywhere.

use super::Loss;
use super::arguments::{identity, loss};
use super::axis::Lanes;
use super::elementwise::{mean_grad, mean_values};
use crate::float::Float;
use crate::tensor::{View, ViewMut};

loss! {
    /// `mean(max(1 - y_true y_pred, 0))` for targets -1 and 1 (or 0 and 1). [Keras](https://keras.io/api/losses/hinge_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{Hinge, LossExt};
    /// assert_eq!(Hinge::default().call(&[[-1.0, 1.0]], &[[0.5, 0.5]])?, 1.0);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    Hinge named "hinge" {}
}

loss! {
    /// `mean(max(1 - y_true y_pred, 0)^2)` for targets -1 and 1 (or 0 and 1). [Keras](https://keras.io/api/losses/hinge_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, SquaredHinge};
    /// assert_eq!(SquaredHinge::default().call(&[[-1.0, 1.0]], &[[0.5, 0.5]])?, 1.25);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    SquaredHinge named "squared_hinge" {}
}

loss! {
    /// `max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0)` for one-hot targets.
    /// [Keras](https://keras.io/api/losses/hinge_losses/)
    ///
    /// ```
    /// use oxhorn::losses::{CategoricalHinge, LossExt};
    /// assert_eq!(CategoricalHinge::default().call(&[[0.0, 1.0]], &[[0.5, 0.25]])?, 1.25);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    CategoricalHinge named "categorical_hinge" {}
}

/// What a target becomes: 0 and 1 are spread to -1 and 1 if there are no others.
fn spread(y_true: View<'_>) -> impl Fn(Float) -> Float {
    let binary = y_true.data.iter().all(|&t| t == 0.0 || t == 1.0);
    move |t| if binary { 2.0 * t - 1.0 } else { t }
}

#[inline(always)]
fn positive(x: Float) -> Float {
    if x > 0.0 { x } else { 0.0 }
}

impl Loss for Hinge {
    identity!("Hinge");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (label, lanes) = (spread(y_true), Lanes::rows(y_pred));
        mean_values(lanes, y_true, y_pred, out, |t, p| {
            positive(1.0 - label(t) * p)
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (label, lanes) = (spread(y_true), Lanes::rows(y_pred));
        mean_grad(lanes, y_true, y_pred, coef, dy, |t, p| {
            let t = label(t);
            if 1.0 - t * p > 0.0 { -t } else { 0.0 }
        });
    }
}

impl Loss for SquaredHinge {
    identity!("SquaredHinge");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let (label, lanes) = (spread(y_true), Lanes::rows(y_pred));
        mean_values(lanes, y_true, y_pred, out, |t, p| {
            let h = positive(1.0 - label(t) * p);
            h * h
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (label, lanes) = (spread(y_true), Lanes::rows(y_pred));
        mean_grad(lanes, y_true, y_pred, coef, dy, |t, p| {
            let t = label(t);
            -2.0 * t * positive(1.0 - t * p)
        });
    }
}

/// The largest of `(1 - t_j) p_j`, and `sum_j t_j p_j`.
fn sides(t: &[Float], p: &[Float]) -> (Float, Float) {
    let pairs = t.iter().zip(p);
    let wrong = pairs.clone().map(|(t, p)| (1.0 - t) * p);
    (
        wrong.fold(Float::NEG_INFINITY, Float::max),
        pairs.map(|(t, p)| t * p).sum(),
    )
}

impl Loss for CategoricalHinge {
    identity!("CategoricalHinge");

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let n = y_pred.cols();
        let rows = y_true.data.chunks_exact(n).zip(y_pred.data.chunks_exact(n));
        for ((t, p), out) in rows.zip(out) {
            let (wrong, right) = sides(t, p);
            *out = positive(wrong - right + 1.0);
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        let rows = y_true.data.chunks_exact(n).zip(y_pred.data.chunks_exact(n));
        for (((t, p), dy), coef) in rows.zip(dy.data.chunks_exact_mut(n)).zip(coef) {
            let (wrong, right) = sides(t, p);
            let largest = |t: Float, p: Float| (1.0 - t) * p == wrong;
            let share = t.iter().zip(p).filter(|(t, p)| largest(**t, **p)).count() as Float;
            let coef = if wrong - right + 1.0 > 0.0 {
                *coef
            } else {
                0.0
            };
            for ((t, p), dy) in t.iter().zip(p).zip(dy) {
                let wrong = if largest(*t, *p) {
                    (1.0 - t) / share
                } else {
                    0.0
                };
                *dy = coef * (wrong - t);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::LossExt;
    use crate::testing::check_loss;

    const P: [Float; 8] = [0.3, -1.4, 2.5, 0.1, -0.2, 0.9, -3.0, 0.7];

    #[test]
    fn gradients() {
        let signs = [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0];
        let binary = signs.map(|s: Float| (s + 1.0) / 2.0);
        let hot = [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        for t in [signs, binary, P.map(|p| p * 0.3)] {
            check_loss(&Hinge::default(), &t, &[4], &P, &[4]);
            check_loss(&SquaredHinge::default(), &t, &[2, 2], &P, &[2, 2]);
        }
        check_loss(&CategoricalHinge::default(), &hot, &[4], &P, &[4]);
        check_loss(&CategoricalHinge::default(), &hot, &[4, 2], &P, &[4, 2]);
    }

    #[test]
    fn labels_of_a_batch_are_spread_together() {
        let loss = |t: &[[Float; 1]]| Hinge::default().call(t, &[[0.5], [0.5]]).unwrap();
        assert_eq!(loss(&[[0.0], [1.0]]), (1.5 + 0.5) / 2.0);
        // With another label among them, 0 stays 0.
        assert_eq!(loss(&[[0.0], [-1.0]]), (1.0 + 1.5) / 2.0);
    }
}
