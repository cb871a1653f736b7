//! Losses: [`Loss`], its reductions, and Keras's losses, one family a file.
//!
//! A loss gives values (one a row of the predictions, as a rule) and, for coefficients `coef` that already hold sample weights,
//! mask and reduction, the gradient of `sum_r coef[r] * value[r]`.

mod arguments;
pub(crate) mod axis;
mod binary_crossentropy;
mod binary_focal_crossentropy;
mod categorical_crossentropy;
mod categorical_focal_crossentropy;
mod categorical_generalized_cross_entropy;
mod circle;
mod cosine_similarity;
mod ctc;
mod elementwise;
mod hinge;
mod overlap;
mod probabilistic;
mod reduction;
mod regression;
mod sparse_categorical_crossentropy;
mod table;
#[cfg(test)]
mod tests;

pub use axis::Axes;
pub use binary_crossentropy::BinaryCrossentropy;
pub use binary_focal_crossentropy::BinaryFocalCrossentropy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub use categorical_focal_crossentropy::CategoricalFocalCrossentropy;
pub use categorical_generalized_cross_entropy::CategoricalGeneralizedCrossEntropy;
pub use circle::Circle;
pub use cosine_similarity::CosineSimilarity;
pub use ctc::CTC;
pub use hinge::{CategoricalHinge, Hinge, SquaredHinge};
pub use overlap::{Dice, Tversky};
pub use probabilistic::{KLDivergence, Poisson};
pub use reduction::Reduction;
pub use regression::{
    Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError,
};
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
pub use table::{deserialize, from_config, function, function_name, get, serialize};

use std::fmt::Debug;
use std::sync::Arc;

use crate::activation::Activation;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::{EPSILON, Float};
use crate::kernels::math;
use crate::shape::{Dims, Shape};
use crate::tensor::{ToTensor, View, ViewMut};

/// A loss function; implement it for your own.
pub trait Loss: Debug + Send + Sync {
    /// Keras's class name: the key in files.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// How the values become one number. Default: the mean over all of them.
    fn reduction(&self) -> Reduction {
        Reduction::SumOverBatchSize
    }

    /// Whether the arguments make sense, and targets of this shape go with predictions of that one (both of one sample). Default:
    /// if the shapes are the same; nothing is broadcast silently.
    ///
    /// # Errors
    /// Names the argument, or both shapes, and what was expected.
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)
    }

    /// Whether the targets are values that the loss can use (class ids in range, probabilities); asked once before training.
    ///
    /// # Errors
    /// Names the first bad target.
    fn check_targets(&self, _y_true: View<'_>, _y_pred: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Shape of the values of a whole batch, given the shapes of one sample. Default: one value a row, that is all axes but the
    /// last. A shape that does not begin with `batch` says that the samples are judged together; sample weights make no sense
    /// then, but for a single value (no axes at all).
    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        let mut shape = Dims::from([batch]);
        let rows = y_pred.split_last().map_or(&[][..], |(_, rows)| rows);
        rows.iter().for_each(|&n| shape.push(n));
        shape
    }

    /// The values, `out.len()` of them.
    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]);

    /// `d(sum_r coef[r] * value[r]) / d y_pred`, overwriting `dy`.
    fn grad(&self, y_true: View<'_>, y_pred: View<'_>, coef: &[Float], dy: ViewMut<'_>);

    /// Clears `keep` where a value counts nothing (targets of an ignored class) and says whether the loss has such a rule. The
    /// reduction then treats these values like padding.
    fn mask(&self, _y_true: View<'_>, _values: &[Float], _keep: &mut [bool]) -> bool {
        false
    }

    /// The loss that this one stands for, given the shapes: how `"crossentropy"` becomes the binary, categorical or sparse one.
    fn resolve(&self, _y_true: &Shape, _y_pred: &Shape) -> Option<Arc<dyn Loss>> {
        None
    }

    /// The same loss on what came before this last activation, where that is exact and better (cross-entropies). Keras does the same.
    fn on_logits(&self, _last: &Activation) -> Option<Arc<dyn Loss>> {
        None
    }
}

/// What every loss can do: be called on data.
pub trait LossExt: Loss {
    /// The loss of these predictions, reduced to one number.
    ///
    /// ```
    /// use oxhorn::losses::{Hinge, LossExt};
    /// assert_eq!(Hinge::default().call(&[[0.0, 1.0]], &[[0.6, 0.4]])?, 1.1);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the loss refuses the shapes or the targets.
    fn call<T: ToTensor + ?Sized, P: ToTensor + ?Sized>(
        &self,
        y_true: &T,
        y_pred: &P,
    ) -> Result<Float> {
        let (t, p) = (y_true.to_tensor()?, y_pred.to_tensor()?);
        let (t_shape, p_shape) = (t.sample(), p.sample());
        let view = |data, shape, batch| View { data, shape, batch };
        let (y_true, y_pred) = (
            view(t.data(), &t_shape[..], t.batch()),
            view(p.data(), &p_shape[..], p.batch()),
        );
        if y_true.batch != y_pred.batch {
            return Err(Error::shape(
                format!("{} samples as predicted", y_pred.batch),
                y_true.batch,
            )
            .owned_by(self.class_name()));
        }
        self.check(&t_shape.into(), &p_shape.into())
            .map_err(|e| e.owned_by(self.class_name()))?;
        self.check_targets(y_true, &p_shape)?;
        let n = self.values_shape(y_pred.batch, &t_shape, &p_shape).numel();
        let (mut values, mut coef, mut keep) = (vec![0.0; n], vec![1.0; n], vec![true; n]);
        self.values(y_true, y_pred, &mut values);
        let masked = self.mask(y_true, &values, &mut keep);
        self.reduction()
            .coefficients(&mut coef, masked.then_some(&keep[..]));
        Ok(values.iter().zip(coef).map(|(v, c)| v * c).sum())
    }
}

impl<L: Loss + ?Sized> LossExt for L {}

/// Whether two shapes may be the same once all sizes are known.
fn compatible(a: &Shape, b: &Shape) -> bool {
    a.rank() == b.rank()
        && a.dims()
            .iter()
            .zip(b.dims())
            .all(|(a, b)| a.is_none() || b.is_none() || a == b)
}

/// The usual [`Loss::check`]: targets must have the shape of the output; an error says how to mend the usual mistake.
///
/// # Errors
/// If they have another.
pub fn same_shape(y_true: &Shape, y_pred: &Shape) -> Result<()> {
    if y_pred.last() == Some(0) {
        return Err(Error::shape("outputs that are not empty", y_pred));
    }
    if compatible(y_true, y_pred) {
        return Ok(());
    }
    let hint = if y_true.rank() + 1 == y_pred.rank() && y_pred.last() == Some(1) {
        " (add the axis: `y.insert_axis(Axis(1))`)"
    } else if y_true.rank() == y_pred.rank() + 1 && y_true.last() == Some(1) {
        " (remove the axis: `y.remove_axis(Axis(1))`)"
    } else {
        ""
    };
    Err(Error::shape(
        format!("targets of the shape of the output, {y_pred}"),
        format!("{y_true}{hint}"),
    ))
}

/// Targets must be class ids: the shape of the output without its last axis, or with a last axis of 1.
pub(crate) fn class_ids(y_true: &Shape, y_pred: &Shape) -> Result<()> {
    let rank = y_pred.rank();
    let front = |s: &Shape| Shape::from(s.dims()[..rank.saturating_sub(1)].to_vec());
    let fits = match y_true.rank() {
        r if r + 1 == rank => compatible(y_true, &front(y_pred)),
        r if r == rank && rank > 0 => {
            y_true.last() == Some(1) && compatible(&front(y_true), &front(y_pred))
        }
        _ => false,
    };
    if fits && y_pred.last() != Some(0) {
        return Ok(());
    }
    let want = if rank == 0 || y_pred.last() == Some(0) {
        "outputs with a last axis of classes".into()
    } else {
        format!(
            "class ids of shape {}, one for each row of the output {y_pred}",
            front(y_pred)
        )
    };
    let hint = if y_true == y_pred {
        " (one-hot targets go with categorical_crossentropy)"
    } else {
        ""
    };
    Err(Error::shape(
        want,
        format!("targets of shape {y_true}{hint}"),
    ))
}

/// The first target that is not as it should be is an error that says what it is not.
fn check_each(y_true: View<'_>, want: &str, good: impl Fn(Float) -> bool) -> Result<()> {
    match y_true.data.iter().position(|t| !good(*t)) {
        None => Ok(()),
        Some(i) => {
            let sample = i / y_true.shape.iter().product::<usize>().max(1);
            let problem = format!("sample {sample} holds {}, not {want}", y_true.data[i]);
            Err(Error::data("y", problem))
        }
    }
}

/// Whether this is an activation behind which Keras's cross-entropies take the logits. It is sigmoid and softmax for all of them,
/// whether they belong together or not, and whatever `from_logits` says.
fn has_logits(last: &Activation) -> bool {
    matches!(last, Activation::Sigmoid | Activation::Softmax)
}

fn check_number(arg: &str, value: f64, want: &str, good: impl Fn(f64) -> bool) -> Result<()> {
    if value.is_finite() && good(value) {
        Ok(())
    } else {
        Err(Error::arg(arg, want, value))
    }
}

fn check_smoothing(smoothing: f64) -> Result<()> {
    check_number("label_smoothing", smoothing, "a number in [0, 1]", |s| {
        (0.0..=1.0).contains(&s)
    })
}

/// Whether `p` is where Keras does not clip: elsewhere the gradient is zero.
#[inline(always)]
fn inside(p: Float) -> bool {
    (EPSILON..=1.0 - EPSILON).contains(&p)
}

#[inline(always)]
fn clip(p: Float) -> Float {
    math::clamp(p, EPSILON, 1.0 - EPSILON)
}

#[inline(always)]
fn log(x: Float) -> Float {
    math::log::<false>(x)
}

/// The sign, 0 at 0.
#[inline(always)]
fn sign(x: Float) -> Float {
    if x == 0.0 { 0.0 } else { x.signum() }
}
