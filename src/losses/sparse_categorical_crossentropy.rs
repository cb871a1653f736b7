//! Between class ids and class probabilities.
//!
//! From logits `z` and class `c`: `ln sum e^z - z_c`, with gradient `softmax(z)`, less 1 at `c`. A model that ends in a softmax
//! is trained from its logits, as in Keras.

use std::sync::Arc;

use super::arguments::{identity, loss};
use super::{Loss, check_each, class_ids, clip, has_logits, inside, log};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::reduce;
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

loss! {
    /// Between class ids and class probabilities (or logits) over the last axis.
    /// [Keras](https://keras.io/api/losses/probabilistic_losses/)
    ///
    /// Targets have the shape of the predictions without the last axis, or with a last axis of 1.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `from_logits` | false | predictions are logits |
    /// | `ignore_class` | none | targets of this id count nothing, and the mean is that of the others |
    /// | `axis` | -1 | axis of the classes: the last one, as in Keras |
    /// | `reduction` | `sum_over_batch_size` | [`Reduction`](super::Reduction) |
    ///
    /// ```
    /// use oxhorn::losses::{LossExt, SparseCategoricalCrossentropy};
    /// let (t, p) = ([1.0, 2.0], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]]);
    /// assert!((SparseCategoricalCrossentropy::default().call(&t, &p)? - 1.176939).abs() < 1e-5);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    SparseCategoricalCrossentropy named "sparse_categorical_crossentropy" {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Axis of the classes.
        axis: i64 = -1,
        ;
        ignore_class: Option<i64> = None,
    }
}

impl SparseCategoricalCrossentropy {
    /// Targets of this id count nothing.
    pub fn ignore_class(mut self, class: i64) -> Self {
        self.ignore_class = Some(class);
        self
    }

    /// The class of a target, or none if it is ignored.
    #[inline(always)]
    fn class(&self, t: Float) -> Option<usize> {
        (self.ignore_class != Some(t as i64)).then_some(t as usize)
    }
}

impl Loss for SparseCategoricalCrossentropy {
    identity!("SparseCategoricalCrossentropy", axis);

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        if self.axis != -1 && self.axis != y_pred.rank() as i64 {
            return Err(Error::arg("axis", "-1, the last axis", self.axis));
        }
        class_ids(y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, y_pred: &[usize]) -> Result<()> {
        let classes = y_pred.last().copied().unwrap_or(0);
        check_each(y_true, &format!("a class id in 0..{classes}"), |t| {
            t.fract() == 0.0
                && ((t >= 0.0 && (t as usize) < classes) || self.ignore_class == Some(t as i64))
        })
    }

    fn mask(&self, y_true: View<'_>, _values: &[Float], keep: &mut [bool]) -> bool {
        let Some(ignored) = self.ignore_class else {
            return false;
        };
        for (keep, t) in keep.iter_mut().zip(y_true.data) {
            *keep &= *t as i64 != ignored;
        }
        true
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let n = y_pred.cols();
        if self.from_logits {
            reduce::logsumexp(y_pred.data, n, out);
        }
        for ((t, p), out) in y_true.data.iter().zip(y_pred.data.chunks_exact(n)).zip(out) {
            *out = match self.class(*t) {
                None => 0.0,
                Some(class) if self.from_logits => *out - p[class],
                // Keras takes the logarithms of the clipped probabilities as logits: they are normalised again.
                Some(class) => log(p.iter().map(|p| clip(*p)).sum()) - log(clip(p[class])),
            };
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        if self.from_logits {
            dy.data.copy_from_slice(y_pred.data);
            reduce::softmax(dy.data, n);
        }
        for (((t, p), dy), &coef) in y_true
            .data
            .iter()
            .zip(y_pred.data.chunks_exact(n))
            .zip(dy.data.chunks_exact_mut(n))
            .zip(coef)
        {
            match self.class(*t) {
                None => dy.fill(0.0),
                Some(class) if self.from_logits => {
                    dy[class] -= 1.0;
                    dy.iter_mut().for_each(|dy| *dy *= coef);
                }
                Some(class) => {
                    let total: Float = p.iter().map(|p| clip(*p)).sum();
                    for (j, (p, dy)) in p.iter().zip(dy).enumerate() {
                        let own = if j == class { 1.0 / clip(*p) } else { 0.0 };
                        *dy = if inside(*p) {
                            coef * (1.0 / total - own)
                        } else {
                            0.0
                        };
                    }
                }
            }
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        has_logits(last).then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}
