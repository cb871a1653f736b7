//! Functions of two numbers.

use super::{Operand, binary};
use crate::error::Result;
use crate::models::symbolic::KerasTensor;

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
