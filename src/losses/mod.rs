//! Losses: [`Loss`], its reductions, and Keras's losses, one file each.
//!
//! A loss gives one value a position (the last axis is reduced) and, for coefficients `coef` that already hold sample weights,
//! mask and reduction, the gradient of `sum_r coef[r] * value[r]`.

mod binary_crossentropy;
mod categorical_crossentropy;
#[cfg(test)]
mod crossentropy_tests;
mod regression;
mod sparse_categorical_crossentropy;

pub use binary_crossentropy::BinaryCrossentropy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub use regression::{MeanAbsoluteError, MeanSquaredError};
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use serde::de::DeserializeOwned;

use crate::config::{Config, from_config as parse};
use crate::error::{Error, Result};
use crate::float::{EPSILON, Float};
use crate::kernels::math;
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

    /// `d(sum_r coef[r] * value[r]) / d y_pred`, overwriting `dy`.
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
                Reduction::SumOverBatchSize | Reduction::Mean => total / (valid + EPSILON),
                _ => 1.0,
            };
            coef.iter_mut()
                .zip(mask)
                .for_each(|(c, &m)| *c *= if m { scale } else { 0.0 });
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

/// Reads a loss of one class.
type Reader = fn(&str, &Config) -> Result<Arc<dyn Loss>>;

fn read<L: Loss + DeserializeOwned + 'static>(
    class: &str,
    config: &Config,
) -> Result<Arc<dyn Loss>> {
    Ok(Arc::new(parse::<L>(class, config)?))
}

/// The table of losses: Keras's class name, the name of its function, other names.
const TABLE: &[(&str, &str, &[&str], Reader)] = &[
    (
        "MeanSquaredError",
        "mean_squared_error",
        &["mse", "MSE"],
        read::<MeanSquaredError>,
    ),
    (
        "MeanAbsoluteError",
        "mean_absolute_error",
        &["mae", "MAE"],
        read::<MeanAbsoluteError>,
    ),
    (
        "BinaryCrossentropy",
        "binary_crossentropy",
        &["bce", "BCE"],
        read::<BinaryCrossentropy>,
    ),
    (
        "CategoricalCrossentropy",
        "categorical_crossentropy",
        &[],
        read::<CategoricalCrossentropy>,
    ),
    (
        "SparseCategoricalCrossentropy",
        "sparse_categorical_crossentropy",
        &[],
        read::<SparseCategoricalCrossentropy>,
    ),
];

/// The loss of this name (`"mse"`, `"mean_squared_error"`, `"MeanSquaredError"`) with default arguments.
///
/// # Errors
/// If there is none: the error lists the names.
pub fn get(name: &str) -> Result<Arc<dyn Loss>> {
    let row = TABLE.iter().find(|(class, function, others, _)| {
        *class == name || *function == name || others.contains(&name)
    });
    match row {
        Some((class, _, _, read)) => read(class, &Config::new()),
        None => Err(Error::unknown("loss", name, TABLE.iter().map(|row| row.1))),
    }
}

/// The loss of this class with these arguments.
///
/// # Errors
/// If the class or an argument is unknown.
pub fn from_config(class: &str, config: &Config) -> Result<Arc<dyn Loss>> {
    match TABLE.iter().find(|row| row.0 == class) {
        Some((class, _, _, read)) => read(class, config),
        None => Err(Error::unknown("loss", class, TABLE.iter().map(|row| row.0))),
    }
}

/// Whether two shapes may be the same once all sizes are known.
fn compatible(a: &Shape, b: &Shape) -> bool {
    a.rank() == b.rank()
        && a.dims()
            .iter()
            .zip(b.dims())
            .all(|(a, b)| a.is_none() || b.is_none() || a == b)
}

/// Targets must have the shape of the output; an error says how to mend the usual mistake.
fn same_shape(y_true: &Shape, y_pred: &Shape) -> Result<()> {
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

fn check_axis(axis: i64, y_pred: &Shape) -> Result<()> {
    let last = axis == -1 || axis == y_pred.rank() as i64;
    if last {
        Ok(())
    } else {
        Err(Error::arg("axis", "-1, the last axis", axis))
    }
}

fn check_smoothing(smoothing: Float) -> Result<()> {
    if (0.0..=1.0).contains(&smoothing) {
        Ok(())
    } else {
        Err(Error::arg(
            "label_smoothing",
            "a number in [0, 1]",
            smoothing,
        ))
    }
}

/// Whether `p` is where Keras does not clip: elsewhere the gradient is zero.
#[inline(always)]
fn inside(p: Float) -> bool {
    p > EPSILON && p < 1.0 - EPSILON
}

#[inline(always)]
fn clip(p: Float) -> Float {
    math::clamp(p, EPSILON, 1.0 - EPSILON)
}

/// Which sample element `i` of a view belongs to.
fn sample_of(view: View<'_>, i: usize) -> usize {
    i / view.shape.iter().product::<usize>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_configurations() {
        for (class, function, others, _) in TABLE {
            for name in [class, function].into_iter().chain(*others) {
                assert_eq!(get(name).unwrap().class_name(), *class);
            }
            let loss = get(function).unwrap();
            assert_eq!(
                from_config(class, &loss.config()).unwrap().config(),
                loss.config()
            );
        }
        assert!(
            get("mes")
                .unwrap_err()
                .to_string()
                .starts_with("unknown loss `mes`")
        );
    }

    #[test]
    fn reductions_have_keras_s_divisors() {
        let run = |reduction: Reduction, mask: Option<&[bool]>| {
            let mut coef = [2.0, 0.0, 1.0, 1.0];
            reduction.coefficients(&mut coef, mask);
            coef
        };
        assert_eq!(
            run(Reduction::SumOverBatchSize, None),
            [0.5, 0.0, 0.25, 0.25]
        );
        assert_eq!(run(Reduction::Sum, None), [2.0, 0.0, 1.0, 1.0]);
        assert_eq!(
            run(Reduction::MeanWithSampleWeight, None),
            [0.5, 0.0, 0.25, 0.25]
        );
        let masked = run(Reduction::Mean, Some(&[true, true, false, false]));
        assert!((masked[0] - 1.0).abs() < 1e-6 && masked[2] == 0.0);
    }
}
