//! Losses of segmentation: one less the overlap of target and prediction, summed over the whole batch or over some axes.
//!
//! With `I = sum t p`: Dice is `1 - 2 I / S`, `S = sum t + sum p + 1e-7`, slope `-2 (t S - I) / S^2`. Tversky is `1 - I / D`,
//! `D = I + alpha sum (1 - p) t + beta sum p (1 - t) + 1e-7`, slope `-(t D - I d) / D^2` with `d = t - alpha t + beta (1 - t)`.

use super::arguments::{identity, loss};
use super::axis::Axes;
use super::{Loss, check_number, same_shape};
use crate::error::Result;
use crate::float::{EPSILON, Float};
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// `1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred))`. [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `axis` | all | axes of the sums, the batch being 0: `[1, 2, 3]` gives one value an image |
    ///
    /// ```
    /// use oxhorn::losses::{Dice, LossExt};
    /// let loss = Dice::default().call(&[[0.0, 1.0]], &[[0.5, 0.5]])?;
    /// assert!((loss - 0.5).abs() < 1e-6);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    Dice named "dice" {
        ;
        axis: Axes = Axes::All,
    }
}

loss! {
    /// As [`Dice`], with weights for what was found wrongly and what was missed.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `alpha` | 0.5 | weight of `sum((1 - y_pred) y_true)` |
    /// | `beta` | 0.5 | weight of `sum(y_pred (1 - y_true))` |
    /// | `axis` | all | axes of the sums, the batch being 0 |
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, Tversky};
    /// let loss = Tversky::default().alpha(0.25).beta(0.75).call(&[[0.0, 1.0]], &[[0.5, 0.5]])?;
    /// assert!((loss - 0.5).abs() < 1e-6);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    Tversky named "tversky" {
        /// Weight of `sum((1 - y_pred) y_true)`.
        alpha: f64 = 0.5,
        /// Weight of `sum(y_pred (1 - y_true))`.
        beta: f64 = 0.5,
        ;
        axis: Axes = Axes::All,
    }
}

impl Dice {
    /// Axes of the sums.
    pub fn axis(mut self, axis: impl Into<Axes>) -> Self {
        self.axis = axis.into();
        self
    }
}

impl Tversky {
    /// Axes of the sums.
    pub fn axis(mut self, axis: impl Into<Axes>) -> Self {
        self.axis = axis.into();
        self
    }
}

/// Sums that a value is made of: `sum t p`, `sum t`, `sum p`. All three losses of overlap follow from them, because
/// `sum (1 - p) t = sum t - sum t p`.
#[derive(Clone, Copy, Default)]
struct Sums {
    both: Float,
    t: Float,
    p: Float,
}

/// For every value: its place, its sums, and where its elements are.
fn each<'a>(
    axes: &Axes,
    y_true: View<'a>,
    y_pred: View<'a>,
) -> impl Iterator<Item = (usize, Sums, impl Iterator<Item = usize>)> {
    let (kept, summed) = axes.grids(y_pred);
    kept.offsets().enumerate().map(move |(value, start)| {
        let elements = summed.offsets().map(move |i| start + i);
        let mut sums = Sums::default();
        for i in elements.clone() {
            let (t, p) = (y_true.data[i], y_pred.data[i]);
            sums.both += t * p;
            sums.t += t;
            sums.p += p;
        }
        (value, sums, elements)
    })
}

impl Loss for Dice {
    identity!("Dice");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)?;
        self.axis.check(y_pred)
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        self.axis.left(batch, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        for (value, s, _) in each(&self.axis, y_true, y_pred) {
            out[value] = 1.0 - 2.0 * s.both / (s.t + s.p + EPSILON);
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        for (value, s, elements) in each(&self.axis, y_true, y_pred) {
            let whole = s.t + s.p + EPSILON;
            let scale = -2.0 * coef[value] / (whole * whole);
            elements.for_each(|i| dy.data[i] = scale * (y_true.data[i] * whole - s.both));
        }
    }
}

impl Loss for Tversky {
    identity!("Tversky");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_number("alpha", self.alpha, "a number", |_| true)?;
        check_number("beta", self.beta, "a number", |_| true)?;
        same_shape(y_true, y_pred)?;
        self.axis.check(y_pred)
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        self.axis.left(batch, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        for (value, s, _) in each(&self.axis, y_true, y_pred) {
            out[value] = 1.0 - s.both / self.divisor(s);
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let (alpha, beta) = (self.alpha as Float, self.beta as Float);
        for (value, s, elements) in each(&self.axis, y_true, y_pred) {
            let whole = self.divisor(s);
            let scale = -coef[value] / (whole * whole);
            for i in elements {
                let t = y_true.data[i];
                let slope = t - alpha * t + beta * (1.0 - t);
                dy.data[i] = scale * (t * whole - s.both * slope);
            }
        }
    }
}

impl Tversky {
    fn divisor(&self, s: Sums) -> Float {
        let (alpha, beta) = (self.alpha as Float, self.beta as Float);
        s.both + alpha * (s.t - s.both) + beta * (s.p - s.both) + EPSILON
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::LossExt;
    use crate::testing::check_loss;

    const T: [Float; 12] = [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.2];
    const P: [Float; 12] = [0.3, 0.2, 0.5, 0.6, 0.1, 0.3, 0.9, 0.4, 0.5, 0.7, 0.8, 0.6];

    #[test]
    fn gradients() {
        let axes = [
            Axes::All,
            Axes::from([1, 2]),
            Axes::from(-1),
            Axes::from(0),
            Axes::from([0, 2]),
            Axes::from(1),
        ];
        for axis in axes {
            let dice = Dice::default().axis(axis.clone());
            check_loss(&dice, &T, &[2, 3], &P, &[2, 3]);
            let tversky = Tversky::default().alpha(0.3).beta(0.7).axis(axis);
            check_loss(&tversky, &T, &[2, 3], &P, &[2, 3]);
        }
    }

    #[test]
    fn axes() {
        let t = [[0.0, 1.0], [1.0, 1.0]];
        let p = [[0.5, 0.5], [1.0, 0.0]];
        let loss = |dice: Dice| dice.call(&t, &p).unwrap();
        assert!((loss(Dice::default()) - 0.4).abs() < 1e-6);
        let rows = (0.5 + 1.0 / 3.0) / 2.0;
        assert!((loss(Dice::default().axis(-1)) - rows).abs() < 1e-6);
        let columns = (1.0 - 2.0 / 2.5 + 1.0 - 1.0 / 2.5) / 2.0;
        assert!((loss(Dice::default().axis(0)) - columns).abs() < 1e-6);
        for axis in [Axes::from(2), Axes::from([1, -1]), Axes::Some(vec![])] {
            assert!(Dice::default().axis(axis).call(&t, &p).is_err());
        }
    }
}
