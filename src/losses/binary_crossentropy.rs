//! Between numbers in `[0, 1]` and probabilities, one by one.
//!
//! From logits `z`: `max(z, 0) - z t + ln(1 + e^-|z|)`, exact for any size, with gradient `sigmoid(z) - t`. From probabilities
//! Keras clips to `[e, 1 - e]`: `-t ln p - (1 - t) ln(1 - p)` with gradient `(p - t) / (p (1 - p))`, zero outside.
//! A model that ends in a sigmoid is trained from its logits, as in Keras.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Loss, Reduction, check_axis, check_smoothing, clip, inside, same_shape, sample_of};
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::{elementwise, math};
use crate::shape::Shape;
use crate::tensor::{View, ViewMut};

/// Between targets in `[0, 1]` and probabilities (or logits), number by number.
/// [Keras](https://keras.io/api/losses/probabilistic_losses/)
///
/// | name | default | meaning |
/// |---|---|---|
/// | `from_logits` | false | predictions are logits |
/// | `label_smoothing` | 0 | targets become `t (1 - s) + s / 2` |
/// | `reduction` | `sum_over_batch_size` | [`Reduction`] |
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinaryCrossentropy {
    name: String,
    reduction: Reduction,
    from_logits: bool,
    label_smoothing: Float,
    axis: i64,
}

impl Default for BinaryCrossentropy {
    fn default() -> Self {
        BinaryCrossentropy {
            name: "binary_crossentropy".into(),
            reduction: Reduction::default(),
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
        }
    }
}

impl BinaryCrossentropy {
    /// Predictions are logits.
    pub fn from_logits(mut self, yes: bool) -> Self {
        self.from_logits = yes;
        self
    }

    /// Moves targets towards one half.
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
    fn target(&self, t: Float) -> Float {
        t * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
    }
}

impl Loss for BinaryCrossentropy {
    fn class_name(&self) -> &'static str {
        "BinaryCrossentropy"
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
        same_shape(y_true, y_pred)
    }

    fn check_targets(&self, y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        match y_true.data.iter().position(|t| !(0.0..=1.0).contains(t)) {
            Some(i) => Err(Error::data(
                "y",
                format!(
                    "sample {} holds {}, not a number in [0, 1] for binary_crossentropy",
                    sample_of(y_true, i),
                    y_true.data[i]
                ),
            )),
            None => Ok(()),
        }
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let cols = y_pred.cols();
        let rows = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols));
        for ((t, p), out) in rows.zip(out) {
            let one = |(t, p): (&Float, &Float)| {
                let t = self.target(*t);
                if self.from_logits {
                    math::softplus::<false>(*p) - p * t
                } else {
                    let p = clip(*p);
                    -(t * math::log::<false>(p) + (1.0 - t) * math::log::<false>(1.0 - p))
                }
            };
            *out = t.iter().zip(p).map(one).sum::<Float>() / cols as Float;
        }
    }

    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>) {
        let cols = y_pred.cols();
        if self.from_logits {
            dy.data.copy_from_slice(y_pred.data);
            elementwise::sigmoid(dy.data);
        }
        let rows = y_true
            .data
            .chunks_exact(cols)
            .zip(y_pred.data.chunks_exact(cols))
            .zip(dy.data.chunks_exact_mut(cols));
        for (((t, p), dy), coef) in rows.zip(coef) {
            let coef = coef / cols as Float;
            for ((t, p), dy) in t.iter().zip(p).zip(dy) {
                let t = self.target(*t);
                *dy = if self.from_logits {
                    coef * (*dy - t)
                } else if inside(*p) {
                    coef * (p - t) / (p * (1.0 - p))
                } else {
                    0.0
                };
            }
        }
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Loss>> {
        (*last == Activation::Sigmoid && !self.from_logits)
            .then(|| Arc::new(self.clone().from_logits(true)) as _)
    }
}
