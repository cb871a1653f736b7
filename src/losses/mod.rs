//! Losses: [`Loss`], its reductions, and Keras's losses, one file each.
//!
//! A loss gives one value a position (the last axis is reduced) and, for coefficients `coef` that already hold sample weights,
//! mask and reduction, the gradient of `sum_r coef[r] * value[r]`.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::config::Config;
use crate::error::Result;
use crate::float::Float;
use crate::shape::{Dims, Shape};
use crate::tensor::{View, ViewMut};

/// A loss function; implement it for your own.
pub trait Loss: Debug + Send + Sync {
    /// Keras's class name: the key in files.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// How the values become one number. Default: the mean over all positions.
    fn reduction(&self) -> Reduction {
        Reduction::SumOverBatchSize
    }

    /// Whether targets of this shape go with predictions of that one (both of one sample). Nothing is broadcast silently.
    ///
    /// # Errors
    /// Names both shapes and what was expected.
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()>;

    /// Whether the targets are values that the loss can use (class ids in range, probabilities); asked once before training.
    ///
    /// # Errors
    /// Names the first bad target.
    fn check_targets(&self, _y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Shape of the values of one sample: without the last axis, as a rule.
    fn positions(&self, y_pred: &Dims) -> Dims {
        y_pred.without_last()
    }

    /// One value a position.
    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]);

    /// d(sum_r coef[r] * value[r]) / d y_pred, overwriting `dy`.
    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>);

    /// The same loss on what came before this last activation, where that is exact and better (cross-entropies). Keras does the same.
    fn on_logits(&self, _last: &Activation) -> Option<Arc<dyn Loss>> {
        None
    }
}

/// How the values of a loss become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Sum divided by the number of values (not by the sum of the weights): Keras's default.
    #[default]
    SumOverBatchSize,
    /// The same as `SumOverBatchSize`.
    Mean,
    /// Sum.
    Sum,
    /// Sum divided by the sum of the weights.
    MeanWithSampleWeight,
    /// As `Sum`: `fit` needs one number.
    None,
}

impl Reduction {
    /// Turns weights into coefficients, in place: `coef` holds the sample weight of every value (all ones without), `mask` the
    /// mask of every value. After it, the loss is `sum coef * value`. Keras's divisors and mask rule, literally.
    pub fn coefficients(self, coef: &mut [Float], mask: Option<&[bool]>) {
        let total = coef.len() as Float;
        if let Some(mask) = mask {
            // A valid value weighs total / valid, so that the mean over all is the mean over the valid ones.
            let valid = mask.iter().filter(|&&m| m).count() as Float;
            let scale = match self {
                Reduction::SumOverBatchSize | Reduction::Mean => total / (valid + crate::float::EPSILON),
                _ => 1.0,
            };
            coef.iter_mut().zip(mask).for_each(|(c, &m)| *c *= if m { scale } else { 0.0 });
        }
        let divisor = match self {
            Reduction::SumOverBatchSize | Reduction::Mean => total,
            Reduction::MeanWithSampleWeight => coef.iter().sum(),
            Reduction::Sum | Reduction::None => return,
        };
        if divisor != 0.0 {
            coef.iter_mut().for_each(|c| *c /= divisor);
        }
    }
}
