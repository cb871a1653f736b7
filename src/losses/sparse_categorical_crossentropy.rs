//! Between class ids and class probabilities.
//!
//! From logits `z` and class `c`: `ln sum e^z - z_c`, with gradient `softmax(z)`, less 1 at `c`. A model that ends in a softmax
//! is trained from its logits, as in Keras.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Loss, Reduction, check_axis, clip, compatible, inside, sample_of};
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::{math, reduce};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Between class ids and class probabilities (or logits) over the last axis.
/// [Keras](https://keras.io/api/losses/probabilistic_losses/)
///
/// Targets have the shape of the predictions without the last axis, or with a last axis of 1.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `ignore_class` | none | targets of this id count nothing |
/// | `reduction` | `sum_over_batch_size` | [`Reduction`] |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseCategoricalCrossentropy {
    name: String,
    reduction: Reduction,
    from_logits: bool,
    ignore_class: Option<i64>,
    axis: i64,
}

impl Default for SparseCategoricalCrossentropy {
    fn default() -> Self {
        SparseCategoricalCrossentropy {
            name: "sparse_categorical_crossentropy".into(),
            reduction: Reduction::default(),
            from_logits: false,
            ignore_class: None,
            axis: -1,
        }
    }
}

impl SparseCategoricalCrossentropy {
    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Targets of this id count nothing.
    pub fn ignore_class(mut self, class: i64) -> Self {
        self.ignore_class = Some(class);
        self
    }

    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// The class of a target, or none if it is ignored.
    #[inline(always)]
    fn class(&self, t: Float) -> Option<usize> {
        (self.ignore_class != Some(t as i64)).then_some(t as usize)
    }
}

impl Loss for SparseCategoricalCrossentropy {
    fn class_name(&self) -> &'static str {
        "SparseCategoricalCrossentropy"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_axis(self.axis, y_pred)?;
        let rank = y_pred.rank();
        let front = |s: &Shape| Shape::from(s.dims()[..rank.saturating_sub(1)].to_vec());
        let fits = match y_true.rank() {
            r if r + 1 == rank => compatible(y_true, &front(y_pred)),
            r if r == rank && rank > 0 => {
                y_true.last() == Some(1) && compatible(&front(y_true), &front(y_pred))
            }
            _ => false,
        };
        if rank == 0 || !fits {
            let want = if rank == 0 {
                "outputs with a last axis of classes".into()
            } else {
                format!(
                    "class ids of shape {}, one for each row of the output {y_pred}",
                    front(y_pred)
                )
            };
            return Err(Error::shape(
                want,
                format!(
                    "targets of shape {y_true}{}",
                    if y_true == y_pred {
                        " (one-hot targets go with categorical_crossentropy)"
                    } else {
                        ""
                    }
                ),
            ));
        }
        Ok(())
    }

    fn check_targets(&self, y_true: View<'_>, y_pred: &[usize]) -> Result<()> {
        let classes = y_pred.last().copied().unwrap_or(0);
        let good = |t: &Float| {
            t.fract() == 0.0
                && ((*t >= 0.0 && (*t as usize) < classes) || self.ignore_class == Some(*t as i64))
        };
        match y_true.data.iter().position(|t| !good(t)) {
            Some(i) => Err(Error::data(
                "y",
                format!(
                    "sample {} holds {}, not a class id in 0..{classes}",
                    sample_of(y_true, i),
                    y_true.data[i]
                ),
            )),
            None => Ok(()),
        }
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
                Some(class) => {
                    math::log::<false>(p.iter().map(|p| clip(*p)).sum())
                        - math::log::<false>(clip(p[class]))
                }
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
        (*last == Activation::Softmax && !self.from_logits)
            .then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}
