//! Functions of one number and of two, and products.

use serde_json::json;

use super::{Arguments, Operand, binary, unary};
use crate::error::Result;
use crate::models::symbolic::{KerasTensor, Symbolic};

/// `|x|`.
///
/// # Errors
/// None for a tensor of a model.
pub fn absolute(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Absolute", x, json!({}))
}

/// The angle whose cosine is `x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn arccos(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Arccos", x, json!({}))
}

/// Inverse hyperbolic cosine.
///
/// # Errors
/// None for a tensor of a model.
pub fn arccosh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Arccosh", x, json!({}))
}

/// The angle whose sine is `x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn arcsin(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Arcsin", x, json!({}))
}

/// Inverse hyperbolic sine.
///
/// # Errors
/// None for a tensor of a model.
pub fn arcsinh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Arcsinh", x, json!({}))
}

/// The angle whose tangent is `x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn arctan(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Arctan", x, json!({}))
}

/// Inverse hyperbolic tangent.
///
/// # Errors
/// None for a tensor of a model.
pub fn arctanh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Arctanh", x, json!({}))
}

/// Cube root.
///
/// # Errors
/// None for a tensor of a model.
pub fn cbrt(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Cbrt", x, json!({}))
}

/// The least integer that is not less.
///
/// # Errors
/// None for a tensor of a model.
pub fn ceil(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Ceil", x, json!({}))
}

/// Cosine.
///
/// # Errors
/// None for a tensor of a model.
pub fn cos(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Cos", x, json!({}))
}

/// Hyperbolic cosine.
///
/// # Errors
/// None for a tensor of a model.
pub fn cosh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Cosh", x, json!({}))
}

/// Degrees to radians.
///
/// # Errors
/// None for a tensor of a model.
pub fn deg2rad(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Deg2rad", x, json!({}))
}

/// The error function.
///
/// # Errors
/// None for a tensor of a model.
pub fn erf(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Erf", x, json!({}))
}

/// `1 - erf(x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn erfc(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Erfc", x, json!({}))
}

/// `e^x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn exp(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Exp", x, json!({}))
}

/// `2^x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn exp2(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Exp2", x, json!({}))
}

/// `e^x - 1`, accurate near 0.
///
/// # Errors
/// None for a tensor of a model.
pub fn expm1(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Expm1", x, json!({}))
}

/// The largest integer that is not more.
///
/// # Errors
/// None for a tensor of a model.
pub fn floor(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Floor", x, json!({}))
}

/// Neither NaN nor infinite, as 0 or 1.
///
/// # Errors
/// None for a tensor of a model.
pub fn isfinite(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Isfinite", x, json!({}))
}

/// Infinite, as 0 or 1.
///
/// # Errors
/// None for a tensor of a model.
pub fn isinf(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Isinf", x, json!({}))
}

/// NaN, as 0 or 1.
///
/// # Errors
/// None for a tensor of a model.
pub fn isnan(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Isnan", x, json!({}))
}

/// Natural logarithm.
///
/// # Errors
/// None for a tensor of a model.
pub fn log(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Log", x, json!({}))
}

/// Logarithm to base 10.
///
/// # Errors
/// None for a tensor of a model.
pub fn log10(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Log10", x, json!({}))
}

/// `ln(1 + x)`, accurate near 0.
///
/// # Errors
/// None for a tensor of a model.
pub fn log1p(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Log1p", x, json!({}))
}

/// Logarithm to base 2.
///
/// # Errors
/// None for a tensor of a model.
pub fn log2(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Log2", x, json!({}))
}

/// 1 where `x` is 0, else 0.
///
/// # Errors
/// None for a tensor of a model.
pub fn logical_not(x: impl Symbolic) -> Result<KerasTensor> {
    unary("LogicalNot", x, json!({}))
}

/// `-x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn negative(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Negative", x, json!({}))
}

/// Ones in the shape of `x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn ones_like(x: impl Symbolic) -> Result<KerasTensor> {
    unary("OnesLike", x, json!({}))
}

/// Radians to degrees.
///
/// # Errors
/// None for a tensor of a model.
pub fn rad2deg(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Rad2deg", x, json!({}))
}

/// `1 / x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn reciprocal(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Reciprocal", x, json!({}))
}

/// `1 / sqrt(x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn rsqrt(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Rsqrt", x, json!({}))
}

/// -1, 0 or 1.
///
/// # Errors
/// None for a tensor of a model.
pub fn sign(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Sign", x, json!({}))
}

/// Sine.
///
/// # Errors
/// None for a tensor of a model.
pub fn sin(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Sin", x, json!({}))
}

/// Hyperbolic sine.
///
/// # Errors
/// None for a tensor of a model.
pub fn sinh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Sinh", x, json!({}))
}

/// Square root.
///
/// # Errors
/// None for a tensor of a model.
pub fn sqrt(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Sqrt", x, json!({}))
}

/// `x^2`.
///
/// # Errors
/// None for a tensor of a model.
pub fn square(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Square", x, json!({}))
}

/// `x`, through which no gradient flows.
///
/// # Errors
/// None for a tensor of a model.
pub fn stop_gradient(x: impl Symbolic) -> Result<KerasTensor> {
    unary("StopGradient", x, json!({}))
}

/// Tangent.
///
/// # Errors
/// None for a tensor of a model.
pub fn tan(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Tan", x, json!({}))
}

/// Hyperbolic tangent.
///
/// # Errors
/// None for a tensor of a model.
pub fn tanh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Tanh", x, json!({}))
}

/// The integer nearer to 0.
///
/// # Errors
/// None for a tensor of a model.
pub fn trunc(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Trunc", x, json!({}))
}

/// Zeros in the shape of `x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn zeros_like(x: impl Symbolic) -> Result<KerasTensor> {
    unary("ZerosLike", x, json!({}))
}

/// `x1 + x2`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn add(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Add", x1, x2)
}

/// The angle of the point `(x2, x1)`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn arctan2(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Arctan2", x1, x2)
}

/// `x1 / x2`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn divide(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Divide", x1, x2)
}

/// `x1 / x2`, and 0 where `x2` is 0.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn divide_no_nan(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("DivideNoNan", x1, x2)
}

/// `x1 == x2`, as 0 or 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn equal(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Equal", x1, x2)
}

/// `x1 / x2`, rounded down.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn floor_divide(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("FloorDivide", x1, x2)
}

/// `x1 > x2`, as 0 or 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn greater(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Greater", x1, x2)
}

/// `x1 >= x2`, as 0 or 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn greater_equal(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("GreaterEqual", x1, x2)
}

/// `sqrt(x1^2 + x2^2)`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn hypot(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Hypot", x1, x2)
}

/// `x1 < x2`, as 0 or 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn less(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Less", x1, x2)
}

/// `x1 <= x2`, as 0 or 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn less_equal(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("LessEqual", x1, x2)
}

/// `ln(e^x1 + e^x2)`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn logaddexp(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Logaddexp", x1, x2)
}

/// 1 where both are other than 0, else 0.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn logical_and(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("LogicalAnd", x1, x2)
}

/// 1 where one is other than 0, else 0.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn logical_or(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("LogicalOr", x1, x2)
}

/// 1 where exactly one is other than 0, else 0.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn logical_xor(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("LogicalXor", x1, x2)
}

/// The larger one.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn maximum(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Maximum", x1, x2)
}

/// The smaller one.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn minimum(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Minimum", x1, x2)
}

/// `x1 - x2 floor(x1 / x2)`, Python's `%`: Keras's `mod`, which is a word of Rust's.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn mod_(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Mod", x1, x2)
}

/// `x1 x2`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn multiply(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Multiply", x1, x2)
}

/// `x1 != x2`, as 0 or 1.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn not_equal(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("NotEqual", x1, x2)
}

/// `x1^x2`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn power(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Power", x1, x2)
}

/// `x1 - x2`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn subtract(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("Subtract", x1, x2)
}

/// `x1 / x2`.
///
/// # Errors
/// If the shapes do not broadcast.
pub fn true_divide(x1: impl Into<Operand>, x2: impl Into<Operand>) -> Result<KerasTensor> {
    binary("TrueDivide", x1, x2)
}

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
    use super::*;
    use crate::models::ops::{argmax, concatenate, get_item, reshape, softmax, split, sum};
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
