//! Functions of one number.

use serde_json::json;

use super::unary;
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
