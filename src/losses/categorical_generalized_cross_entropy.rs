//! Between class ids and probabilities, forgiving wrong labels (Zhang & Sabuncu, 2018): `(1 - p_c^q) / q` with gradient
//! `-p_c^(q - 1)` at the class `c`. Near `q = 0` it is the cross-entropy, at 1 the absolute error.

use super::arguments::{identity, loss};
use super::{Loss, check_each, check_number, class_ids};
use crate::error::Result;
use crate::float::Float;
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// `(1 - p^q) / q` of the probability `p` of the target class; targets are class ids.
    ///
    /// Ids of shape `(batch,)` (or that of the output without its last axis) give one value a row. Ids with a last axis of 1 against
    /// outputs `(batch, classes)` are broadcast by Keras 3.15: every id is compared with every row of the batch, and so it is here,
    /// because the numbers are to be Keras's. Leave that axis away.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `q` | 0.5 | between 0 (cross-entropy) and 1 (absolute error), exclusive |
    ///
    /// ```
    /// use oxhorn::losses::{CategoricalGeneralizedCrossEntropy, LossExt};
    /// let loss = CategoricalGeneralizedCrossEntropy::default();
    /// assert_eq!(loss.call(&[0.0], &[[0.25, 0.75]])?, 1.0);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    CategoricalGeneralizedCrossEntropy named "categorical_generalized_cross_entropy" {
        /// Between 0 (cross-entropy) and 1 (absolute error), exclusive.
        q: f64 = 0.5,
    }
}

/// Calls `f(value, element)` for every value with the place of the probability it depends on.
fn each(y_true: View<'_>, y_pred: View<'_>, mut f: impl FnMut(usize, usize)) {
    let classes = y_pred.cols();
    if crossed(y_true.shape, y_pred.shape) {
        // The values of one row of predictions stand together: (prediction, target).
        for row in 0..y_pred.batch {
            for (i, t) in y_true.data.iter().enumerate() {
                f(row * y_true.batch + i, row * classes + *t as usize);
            }
        }
    } else {
        for (row, t) in y_true.data.iter().enumerate() {
            f(row, row * classes + *t as usize);
        }
    }
}

/// Whether every target meets every row.
fn crossed(y_true: &[usize], y_pred: &[usize]) -> bool {
    y_true.len() == y_pred.len()
}

impl Loss for CategoricalGeneralizedCrossEntropy {
    identity!("CategoricalGeneralizedCrossEntropy");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_number("q", self.q, "a number between 0 and 1, exclusive", |q| {
            q > 0.0 && q < 1.0
        })?;
        if y_pred.rank() != 1 && y_true.rank() == y_pred.rank() {
            let rows = Shape::from(y_pred.dims()[..y_pred.rank().saturating_sub(1)].to_vec());
            return Err(crate::error::Error::shape(
                format!("class ids of shape {rows}"),
                format!("targets of shape {y_true}"),
            ));
        }
        class_ids(y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, y_pred: &[usize]) -> Result<()> {
        let classes = y_pred.last().copied().unwrap_or(0);
        check_each(y_true, &format!("a class id in 0..{classes}"), |t| {
            t.fract() == 0.0 && t >= 0.0 && (t as usize) < classes
        })
    }

    fn values_shape(&self, batch: usize, y_true: &[usize], y_pred: &[usize]) -> Dims {
        if crossed(y_true, y_pred) {
            return Dims::from([batch, batch]);
        }
        let mut shape = Dims::from([batch]);
        y_true.iter().for_each(|&n| shape.push(n));
        shape
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let q = self.q as Float;
        each(y_true, y_pred, |value, i| {
            out[value] = (1.0 - y_pred.data[i].powf(q)) / q;
        });
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let q = self.q as Float;
        dy.data.fill(0.0);
        each(y_true, y_pred, |value, i| {
            dy.data[i] -= coef[value] * y_pred.data[i].powf(q - 1.0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::LossExt;
    use crate::testing::check_loss;

    const P: [Float; 6] = [0.3, 0.2, 0.5, 0.6, 0.1, 0.3];

    #[test]
    fn gradients() {
        for q in [0.1, 0.5, 0.9] {
            let loss = CategoricalGeneralizedCrossEntropy::default().q(q);
            check_loss(&loss, &[2.0, 0.0], &[], &P, &[3]);
            check_loss(&loss, &[2.0, 0.0], &[2], &P, &[2, 3]);
            check_loss(&loss, &[2.0, 0.0], &[1], &P, &[3]);
        }
    }

    #[test]
    fn ids_with_an_axis_meet_every_row() {
        // keras.losses.CategoricalGeneralizedCrossEntropy()([[1], [0]], [[0.25, 0.75], [0.64, 0.36]])
        let p = [[0.25, 0.75], [0.64, 0.36]];
        let loss = CategoricalGeneralizedCrossEntropy::default();
        let want: Float = [0.75, 0.36, 0.25, 0.64]
            .iter()
            .map(|p: &Float| 2.0 * (1.0 - p.sqrt()))
            .sum::<Float>()
            / 4.0;
        assert!((loss.call(&[[1.0], [0.0]], &p).unwrap() - want).abs() < 1e-6);
        assert!(
            loss.call(&[[1.0, 0.0]], &ndarray::array![[[0.5, 0.5]]])
                .is_err()
        );
    }
}
