//! Between one-hot (or soft) targets and class probabilities.
//!
//! From logits `z`: `sum_j t_j (ln sum e^z - z_j)`, with gradient `softmax(z) sum t - t`. From probabilities Keras divides by
//! their sum and clips: `-sum_j t_j ln q_j`. A model that ends in a softmax is trained from its logits, as in Keras.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Loss, Reduction, check_axis, check_smoothing, clip, inside, same_shape, sample_of};
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::{math, reduce};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Between one-hot (or soft) targets and class probabilities (or logits) over the last axis.
/// [Keras](https://keras.io/api/losses/probabilistic_losses/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `label_smoothing` | 0 | targets become `t (1 - s) + s / classes` |
/// | `reduction` | `sum_over_batch_size` | [`Reduction`] |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CategoricalCrossentropy {
    name: String,
    reduction: Reduction,
    from_logits: bool,
    label_smoothing: Float,
    axis: i64,
}

impl Default for CategoricalCrossentropy {
    fn default() -> Self {
        CategoricalCrossentropy {
            name: "categorical_crossentropy".into(),
            reduction: Reduction::default(),
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
        }
    }
}

impl CategoricalCrossentropy {
    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Moves targets towards equal probabilities.
    pub fn label_smoothing(mut self, smoothing: Float) -> Self {
        self.label_smoothing = smoothing;
        self
    }

    /// How the values become one number.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    #[inline(always)]
    fn target(&self, t: Float, classes: usize) -> Float {
        t * (1.0 - self.label_smoothing) + self.label_smoothing / classes as Float
    }
}

impl Loss for CategoricalCrossentropy {
    fn class_name(&self) -> &'static str {
        "CategoricalCrossentropy"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        check_axis(self.axis, y_pred)?;
        check_smoothing(self.label_smoothing)?;
        if y_pred.last() == Some(1) {
            return Err(Error::shape(
                "two classes or more in the last axis of the output (one: binary_crossentropy)",
                y_pred,
            ));
        }
        same_shape(y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        match y_true
            .data
            .iter()
            .position(|t| !(t.is_finite() && *t >= 0.0))
        {
            Some(i) => Err(Error::data(
                "y",
                format!(
                    "sample {} holds {}, not a probability for categorical_crossentropy",
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
        let rows = y_true.data.chunks_exact(n).zip(y_pred.data.chunks_exact(n));
        for ((t, p), out) in rows.zip(out) {
            let pairs = t.iter().map(|t| self.target(*t, n)).zip(p);
            *out = if self.from_logits {
                let lse = *out;
                pairs.map(|(t, z)| t * (lse - z)).sum()
            } else {
                let total: Float = p.iter().sum();
                -pairs
                    .map(|(t, p)| t * math::log::<false>(clip(p / total)))
                    .sum::<Float>()
            };
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let n = y_pred.cols();
        if self.from_logits {
            dy.data.copy_from_slice(y_pred.data);
            reduce::softmax(dy.data, n);
        }
        let rows = y_true
            .data
            .chunks_exact(n)
            .zip(y_pred.data.chunks_exact(n))
            .zip(dy.data.chunks_exact_mut(n));
        for (((t, p), dy), &coef) in rows.zip(coef) {
            if self.from_logits {
                let mass: Float = t.iter().map(|t| self.target(*t, n)).sum();
                t.iter()
                    .zip(dy)
                    .for_each(|(t, dy)| *dy = coef * (*dy * mass - self.target(*t, n)));
                continue;
            }
            // q = p / sum p; dL/dq = -t / q where not clipped; dL/dp = (dL/dq - sum_j dL/dq_j q_j) / sum p.
            let total: Float = p.iter().sum();
            let slope = |t: Float, p: Float| {
                if inside(p / total) {
                    -self.target(t, n) / (p / total)
                } else {
                    0.0
                }
            };
            let mean: Float = t
                .iter()
                .zip(p)
                .map(|(t, p)| slope(*t, *p) * p / total)
                .sum();
            t.iter()
                .zip(p)
                .zip(dy)
                .for_each(|((t, p), dy)| *dy = coef * (slope(*t, *p) - mean) / total);
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        (*last == Activation::Softmax && !self.from_logits)
            .then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}
