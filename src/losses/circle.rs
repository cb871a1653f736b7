//! Circle loss over embeddings (Sun et al., 2020): pulls those of one label together and pushes the others apart.
//!
//! With the distances `d_ij = max(1 - y_i . y_j, 0)` of embeddings in a batch, for every sample `i`:
//! `softplus(ln sum_(j positive) e^a(d_ij) + ln sum_(j negative) e^b(d_ij))`, `a = -gamma (m + d)(m - d)`,
//! `b = gamma max(1 + m - d, 0)(1 - m - d)`. Slopes: `a' = 2 gamma d`, `b' = -2 gamma (1 - d)` (0 from `d = 1 + m` on). With the
//! softmax weights `p_j` and `n_j` of the two sums and `s` the sigmoid of the argument of softplus, `dL_i / dd_ij = s p_j a'` or
//! `s n_j b'`, and `d` falls by `y_j` in `y_i` and by `y_i` in `y_j`.

use super::arguments::{identity, loss};
use super::{Loss, check_each, check_number};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::{elementwise, math};
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

loss! {
    /// Circle loss of normalised embeddings `(batch, features)` and their labels `(batch,)`, over all pairs of a batch.
    ///
    /// A sample without a partner of its label in the batch counts nothing.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `gamma` | 80 | scale |
    /// | `margin` | 0.4 | relaxation |
    /// | `remove_diagonal` | true | a sample is no partner of itself |
    ///
    /// ```
    /// use oxhorn::losses::{Circle, LossExt};
    /// let y = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
    /// let loss = Circle::default().gamma(1.0).call(&[0.0, 0.0, 1.0], &y)?;
    /// assert!((loss - 0.545_893).abs() < 1e-6);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    Circle named "circle" {
        /// Scale.
        gamma: f64 = 80.0,
        /// Relaxation.
        margin: f64 = 0.4,
        /// Whether a sample is no partner of itself.
        remove_diagonal: bool = true,
    }
}

/// A sum of exponentials, kept as its largest exponent and the sum relative to it.
#[derive(Clone, Copy)]
struct LogSum {
    max: Float,
    sum: Float,
}

impl LogSum {
    const EMPTY: LogSum = LogSum {
        max: Float::NEG_INFINITY,
        sum: 0.0,
    };

    fn add(&mut self, x: Float) {
        if x > self.max {
            self.sum = self.sum * (self.max - x).exp() + 1.0;
            self.max = x;
        } else {
            self.sum += (x - self.max).exp();
        }
    }

    fn get(self) -> Float {
        if self.sum == 0.0 {
            Float::NEG_INFINITY
        } else {
            self.max + self.sum.ln()
        }
    }
}

/// A pair as sample `i` sees it: whether the labels agree, the exponent, its slope in the distance, and whether the distance moves
/// with the embeddings.
struct Pair {
    positive: bool,
    exponent: Float,
    slope: Float,
}

impl Circle {
    fn pair(&self, y_true: View<'_>, y_pred: View<'_>, i: usize, j: usize) -> Option<Pair> {
        let n = y_pred.cols();
        let (gamma, m) = (self.gamma as Float, self.margin as Float);
        let positive = y_true.data[i] == y_true.data[j];
        if positive && i == j && self.remove_diagonal {
            return None;
        }
        let row = |i: usize| &y_pred.data[i * n..][..n];
        let raw = 1.0 - elementwise::dot(row(i), row(j));
        let d = if raw > 0.0 { raw } else { 0.0 };
        let (exponent, slope) = if positive {
            (-gamma * (m + d) * (m - d), 2.0 * gamma * d)
        } else if 1.0 + m - d > 0.0 {
            (
                gamma * (1.0 + m - d) * (1.0 - m - d),
                -2.0 * gamma * (1.0 - d),
            )
        } else {
            (0.0, 0.0)
        };
        Some(Pair {
            positive,
            exponent,
            slope: if raw >= 0.0 { slope } else { 0.0 },
        })
    }

    /// The logarithms of the two sums of sample `i`.
    fn sums(&self, y_true: View<'_>, y_pred: View<'_>, i: usize) -> (Float, Float) {
        let (mut positive, mut negative) = (LogSum::EMPTY, LogSum::EMPTY);
        for pair in (0..y_pred.batch).filter_map(|j| self.pair(y_true, y_pred, i, j)) {
            let sum = if pair.positive {
                &mut positive
            } else {
                &mut negative
            };
            sum.add(pair.exponent);
        }
        (positive.get(), negative.get())
    }
}

impl Loss for Circle {
    identity!("Circle");

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_number("gamma", self.gamma, "a positive number", |g| g > 0.0)?;
        check_number("margin", self.margin, "a number", |_| true)?;
        if y_pred.rank() != 1 || y_pred.last() == Some(0) {
            return Err(Error::shape("embeddings (batch, features)", y_pred));
        }
        if y_true.rank() == 0 || (y_true.rank() == 1 && y_true.last() == Some(1)) {
            return Ok(());
        }
        Err(Error::shape("one label a sample", y_true))
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        check_each(y_true, "an integer label", |t| t.fract() == 0.0)
    }

    fn values_shape(&self, batch: usize, _y_true: &[usize], _y_pred: &[usize]) -> Dims {
        Dims::from([batch])
    }

    fn mask(&self, _y_true: View<'_>, values: &[Float], keep: &mut [bool]) -> bool {
        keep.iter_mut()
            .zip(values)
            .for_each(|(k, v)| *k &= *v > 0.0);
        true
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        for (i, out) in out.iter_mut().enumerate() {
            let (positive, negative) = self.sums(y_true, y_pred, i);
            *out = if (positive + negative).is_finite() {
                math::softplus::<false>(positive + negative)
            } else {
                // No partner of either kind: softplus of negative infinity.
                0.0
            };
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        dy.data.fill(0.0);
        for (i, coef) in coef.iter().enumerate() {
            let (positive, negative) = self.sums(y_true, y_pred, i);
            if !(positive + negative).is_finite() {
                continue;
            }
            let scale = coef * math::sigmoid::<false>(positive + negative);
            for j in 0..y_pred.batch {
                let Some(pair) = self.pair(y_true, y_pred, i, j) else {
                    continue;
                };
                let total = if pair.positive { positive } else { negative };
                // The distance falls as the product of the embeddings grows.
                let slope = -scale * (pair.exponent - total).exp() * pair.slope;
                for k in 0..n {
                    dy.data[i * n + k] += slope * y_pred.data[j * n + k];
                    dy.data[j * n + k] += slope * y_pred.data[i * n + k];
                }
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
        let labels = [0.0, 1.0, 0.0, 2.0, 1.0];
        let p = [
            0.3, 0.4, -0.5, 0.1, -0.2, 0.9, 0.8, -0.4, 0.2, 0.5, 0.3, 0.6, -0.7, 0.1, 0.4,
        ];
        for gamma in [0.5, 2.0] {
            let loss = Circle::default().gamma(gamma).margin(0.3);
            check_loss(&loss, &labels, &[], &p, &[3]);
            check_loss(&loss.remove_diagonal(false), &labels, &[1], &p, &[3]);
        }
    }

    #[test]
    fn a_sample_alone_counts_nothing() {
        let y = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let loss = Circle::default().gamma(1.0);
        let pair = loss.call(&[0.0, 0.0, 1.0], &y).unwrap();
        // All labels different: no positive pair, no loss.
        assert_eq!(loss.call(&[0.0, 1.0, 2.0], &y).unwrap(), 0.0);
        // softplus of a(0) = -0.16 and b(1) = 0.4 (-0.4) = -0.16
        assert!((f64::from(pair) - (1.0 + (-0.32f64).exp()).ln()).abs() < 1e-5);
    }
}
