//! The cosine of the angle between target and prediction, negative: -1 where they point the same way.
//!
//! `-sum_j u_j v_j` with `u = t / max(|t|, 1e-7)` and `v = p / max(|p|, 1e-7)`. The gradient in `p` is
//! `-(u - (u . v) v) / |p|`, and `-u / 1e-7` where `|p|` is less.

use super::arguments::{identity, loss};
use super::axis::{Lanes, check_axis, without_axis};
use super::{Loss, same_shape};
use crate::error::Result;
use crate::float::{EPSILON, Float};
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// `-sum(normalised y_true * normalised y_pred)` along one axis. [Keras](https://keras.io/api/losses/regression_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `axis` | -1 | axis of the vectors; the batch is 0 |
    ///
    /// ```
    /// use oxhorn::losses::{CosineSimilarity, LossExt};
    /// let loss = CosineSimilarity::default().call(&[[0.0, 2.0]], &[[3.0, 4.0]])?;
    /// assert!((loss + 0.8).abs() < 1e-6);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    CosineSimilarity named "cosine_similarity" {
        /// Axis of the vectors.
        axis: i64 = -1,
    }
}

/// The norm of a lane, 1e-7 at least.
fn norm(x: &[Float], lane: impl Iterator<Item = usize>) -> Float {
    let norm = lane.map(|i| x[i] * x[i]).sum::<Float>().sqrt();
    if norm < EPSILON { EPSILON } else { norm }
}

impl Loss for CosineSimilarity {
    identity!("CosineSimilarity", axis);

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
            let (t_norm, p_norm) = (norm(t, lanes.at(r)), norm(p, lanes.at(r)));
            let dot: Float = lanes.at(r).map(|i| t[i] / t_norm * (p[i] / p_norm)).sum();
            *out = -dot;
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (t, p, lanes) = (y_true.data, y_pred.data, Lanes::new(y_pred, self.axis));
        for (r, coef) in coef.iter().enumerate() {
            let (t_norm, p_norm) = (norm(t, lanes.at(r)), norm(p, lanes.at(r)));
            let dot: Float = lanes.at(r).map(|i| t[i] / t_norm * (p[i] / p_norm)).sum();
            let along = if p_norm > EPSILON { dot } else { 0.0 };
            for i in lanes.at(r) {
                dy.data[i] = -coef * (t[i] / t_norm - along * p[i] / p_norm) / p_norm;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::LossExt;
    use crate::testing::check_loss;

    #[test]
    fn gradients() {
        let t = [0.4, 1.0, 2.0, 3.0, -1.0, 0.5, 1.5, 0.2];
        let p = [0.3, 0.4, -2.5, 1.0, -2.0, 0.9, 1.0, -4.0];
        check_loss(&CosineSimilarity::default(), &t, &[4], &p, &[4]);
        check_loss(&CosineSimilarity::default(), &t, &[2, 2], &p, &[2, 2]);
        check_loss(
            &CosineSimilarity::default().axis(1),
            &t,
            &[2, 2],
            &p,
            &[2, 2],
        );
    }

    #[test]
    fn vectors_of_zeros_have_no_angle() {
        let loss = CosineSimilarity::default();
        assert_eq!(loss.call(&[[0.0, 0.0]], &[[1.0, 0.0]]).unwrap(), 0.0);
        assert!(loss.clone().axis(0).call(&[[1.0]], &[[1.0]]).is_err());
        assert!(loss.axis(2).call(&[[1.0]], &[[1.0]]).is_err());
    }
}
