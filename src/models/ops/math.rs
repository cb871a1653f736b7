//! Products, and functions with arguments.

use serde_json::json;

use super::{Arguments, Operand, binary, unary};
use crate::error::Result;
use crate::models::symbolic::{KerasTensor, Symbolic};

/// Matrix product of the last two axes; axes before them broadcast.
///
/// # Errors
/// If the shapes do not fit.
pub fn matmul(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Matmul", x1, x2)
}

/// Sum over the last axis of `x1` and the last but one of `x2`.
///
/// # Errors
/// If the shapes do not fit.
pub fn dot(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Dot", x1, x2)
}

/// `x` within `x_min..=x_max`, else the nearer end.
///
/// # Errors
/// If `x_min` is larger than `x_max`.
pub fn clip(x: impl Symbolic, x_min: f64, x_max: f64) -> Result<KerasTensor> {
    unary("Clip", x, json!({"x_min": x_min, "x_max": x_max}))
}

/// To so many decimals.
///
/// # Errors
/// If they are more than 30.
pub fn round(x: impl Symbolic, decimals: i64) -> Result<KerasTensor> {
    unary("Round", x, json!({"decimals": decimals}))
}

/// Another type: `"int32"` cuts fractions off, `"bool"` gives 0 and 1.
///
/// # Errors
/// If it is no type of numbers.
pub fn cast(x: impl Symbolic, dtype: &str) -> Result<KerasTensor> {
    unary("Cast", x, json!({"dtype": dtype}))
}

/// One number in the shape of `x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn full_like(x: impl Symbolic, fill_value: f64) -> Result<KerasTensor> {
    Arguments::default()
        .and(x.tensor())
        .and(fill_value)
        .one("FullLike", json!({"dtype": null}))
}

/// `x1` where the condition is other than 0, else `x2`: Keras's `where`, which is a word of Rust's.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn where_(
    condition: impl Into<Operand>,
    x1: impl Into<Operand>,
    x2: impl Into<Operand>,
) -> Result<KerasTensor> {
    Arguments::default()
        .and(condition)
        .and(x1)
        .and(x2)
        .one("Where", json!({}))
}

/// Einstein's sum of one operand or two: `einsum("btd,bsd->bts", [&q, &k])`.
///
/// # Errors
/// If the equation does not fit, or does not leave the batch first and alone.
pub fn einsum<T: Into<Operand>>(
    subscripts: &str,
    operands: impl IntoIterator<Item = T>,
) -> Result<KerasTensor> {
    let arguments = operands
        .into_iter()
        .fold(Arguments::default(), Arguments::and);
    arguments.one("Einsum", json!({"subscripts": subscripts}))
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::models::ops::*;
    use crate::models::symbolic::KerasTensor;
    use crate::models::{Input, Model};
    use ndarray::{array, aview1};

    #[allow(clippy::unnecessary_cast)] // not in double precision
    fn value(f: impl Fn(&KerasTensor) -> Result<KerasTensor>) -> Vec<f32> {
        let x = Input::new([2, 2]);
        let model = Model::new(&x, &f(&x).unwrap()).unwrap();
        let data = array![[[1.0f32, -2.0], [3.0, 4.0]]];
        let y = model.predict(&data).unwrap();
        y.into_iter().map(|v| v as f32).collect()
    }

    #[test]
    fn operations_are_layers_of_models() {
        assert_eq!(value(|x| add(x, 1.0)), [2.0, -1.0, 4.0, 5.0]);
        assert_eq!(value(|x| subtract(1, x)), [0.0, 3.0, -2.0, -3.0]);
        assert_eq!(value(|x| multiply(x, x)), [1.0, 4.0, 9.0, 16.0]);
        assert_eq!(
            value(|x| multiply(x, &aview1(&[10.0f32, 0.5]))),
            [10.0, -1.0, 30.0, 2.0]
        );
        assert_eq!(value(|x| matmul(x, &array![[1.0f32], [2.0]])), [-3.0, 11.0]);
        assert_eq!(
            value(|x| where_(greater(x, 0.0)?, x, 0.0)),
            [1.0, 0.0, 3.0, 4.0]
        );
        assert_eq!(value(|x| einsum("bij->bji", [x])), [1.0, 3.0, -2.0, 4.0]);
        assert_eq!(
            value(|x| einsum("bij,bkj->bik", [x, x])),
            [5.0, -5.0, -5.0, 25.0]
        );
        assert_eq!(value(|x| clip(x, -1.0, 2.0)), [1.0, -1.0, 2.0, 2.0]);
        assert_eq!(value(|x| full_like(x, 7.0)), [7.0; 4]);
        assert_eq!(
            value(|x| round(multiply(x, 0.3)?, 1)),
            [0.3, -0.6, 0.9, 1.2]
        );
        assert_eq!(
            value(|x| cast(divide(x, 3.0)?, "int32")),
            [0.0, 0.0, 1.0, 1.0]
        );
        assert_eq!(value(|x| sum(x, [1, 2], false)), [6.0]);
        assert_eq!(value(|x| argmax(x, -1, false)), [0.0, 1.0]);
        assert_eq!(value(|x| softmax(multiply(x, 0.0)?, -1)), [0.5; 4]);
        assert_eq!(value(|x| reshape(x, [4])), [1.0, -2.0, 3.0, 4.0]);
        assert_eq!(value(|x| get_item(x, [(..).into(), 1.into()])), [3.0, 4.0]);
        let halves = |x: &KerasTensor| concatenate(&split(x, 2, 1)?, -1);
        assert_eq!(value(halves), [1.0, -2.0, 3.0, 4.0]);
    }

    #[test]
    fn what_mixes_samples_is_an_error() {
        let x = Input::new([2, 2]);
        assert!(sum(&x, 0, false).is_err());
        assert!(einsum("bij,bkj->ik", [&*x, &*x]).is_err());
        assert!(get_item(&x, [0.into()]).is_err());
    }
}
