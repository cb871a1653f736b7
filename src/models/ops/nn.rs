//! Activations and the like.

use serde_json::json;

use super::{IntoAxes, unary};
use crate::error::Result;
use crate::models::symbolic::{KerasTensor, Symbolic};

/// `relu6(x + 3) / 6`.
///
/// # Errors
/// None for a tensor of a model.
pub fn hard_sigmoid(x: impl Symbolic) -> Result<KerasTensor> {
    unary("HardSigmoid", x, json!({}))
}

/// `x hard_sigmoid(x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn hard_silu(x: impl Symbolic) -> Result<KerasTensor> {
    unary("HardSilu", x, json!({}))
}

/// `x` within `-1..=1`, else the nearer end.
///
/// # Errors
/// None for a tensor of a model.
pub fn hard_tanh(x: impl Symbolic) -> Result<KerasTensor> {
    unary("HardTanh", x, json!({}))
}

/// `ln sigmoid(x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn log_sigmoid(x: impl Symbolic) -> Result<KerasTensor> {
    unary("LogSigmoid", x, json!({}))
}

/// `max(x, 0)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn relu(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Relu", x, json!({}))
}

/// `x` within `0..=6`, else the nearer end.
///
/// # Errors
/// None for a tensor of a model.
pub fn relu6(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Relu6", x, json!({}))
}

/// Scaled exponential linear unit.
///
/// # Errors
/// None for a tensor of a model.
pub fn selu(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Selu", x, json!({}))
}

/// `1 / (1 + e^-x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn sigmoid(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Sigmoid", x, json!({}))
}

/// `x sigmoid(x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn silu(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Silu", x, json!({}))
}

/// `ln(1 + e^x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn softplus(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Softplus", x, json!({}))
}

/// `x / (1 + |x|)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn softsign(x: impl Symbolic) -> Result<KerasTensor> {
    unary("Softsign", x, json!({}))
}

/// 0 up to -1, `x` from 1 on, a parabola between.
///
/// # Errors
/// None for a tensor of a model.
pub fn sparse_plus(x: impl Symbolic) -> Result<KerasTensor> {
    unary("SparsePlus", x, json!({}))
}

/// `(x + 1) / 2` within `0..=1`, else the nearer end.
///
/// # Errors
/// None for a tensor of a model.
pub fn sparse_sigmoid(x: impl Symbolic) -> Result<KerasTensor> {
    unary("SparseSigmoid", x, json!({}))
}

/// `x - tanh(x)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn tanh_shrink(x: impl Symbolic) -> Result<KerasTensor> {
    unary("TanhShrink", x, json!({}))
}

/// `x` above 0, else `alpha (e^(x / alpha) - 1)`.
///
/// # Errors
/// If `alpha` is 0.
pub fn celu(x: impl Symbolic, alpha: f64) -> Result<KerasTensor> {
    unary("Celu", x, json!({"alpha": alpha}))
}

/// `x` above 0, else `alpha (e^x - 1)`.
///
/// # Errors
/// None for a tensor of a model.
pub fn elu(x: impl Symbolic, alpha: f64) -> Result<KerasTensor> {
    unary("Elu", x, json!({"alpha": alpha}))
}

/// 0 within the threshold, else `x`.
///
/// # Errors
/// If the threshold is negative.
pub fn hard_shrink(x: impl Symbolic, threshold: f64) -> Result<KerasTensor> {
    unary("HardShrink", x, json!({"threshold": threshold}))
}

/// `x` above 0, else `negative_slope x`.
///
/// # Errors
/// None for a tensor of a model.
pub fn leaky_relu(x: impl Symbolic, negative_slope: f64) -> Result<KerasTensor> {
    unary("LeakyRelu", x, json!({"negative_slope": negative_slope}))
}

/// 0 within the threshold, else `x` moved towards 0 by it.
///
/// # Errors
/// If the threshold is negative.
pub fn soft_shrink(x: impl Symbolic, threshold: f64) -> Result<KerasTensor> {
    unary("SoftShrink", x, json!({"threshold": threshold}))
}

/// `(x + sqrt(x^2 + b)) / 2`.
///
/// # Errors
/// None for a tensor of a model.
pub fn squareplus(x: impl Symbolic, b: f64) -> Result<KerasTensor> {
    unary("Squareplus", x, json!({"b": b}))
}

/// `x P(X <= x)` for a normal `X`, by `tanh` if approximate.
///
/// # Errors
/// None for a tensor of a model.
pub fn gelu(x: impl Symbolic, approximate: bool) -> Result<KerasTensor> {
    unary("Gelu", x, json!({"approximate": approximate}))
}

/// `x` above the threshold, else the default value.
///
/// # Errors
/// None for a tensor of a model.
pub fn threshold(x: impl Symbolic, threshold: f64, default_value: f64) -> Result<KerasTensor> {
    unary(
        "Threshold",
        x,
        json!({"threshold": threshold, "default_value": default_value}),
    )
}

/// `e^x / sum e^x` along an axis.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn softmax(x: impl Symbolic, axis: impl IntoAxes) -> Result<KerasTensor> {
    unary("Softmax", x, json!({"axis": axis.into_axes()}))
}

/// `ln softmax(x)` along an axis.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn log_softmax(x: impl Symbolic, axis: i64) -> Result<KerasTensor> {
    unary("LogSoftmax", x, json!({"axis": axis}))
}

/// Keras's sparsemax along an axis.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn sparsemax(x: impl Symbolic, axis: i64) -> Result<KerasTensor> {
    unary("Sparsemax", x, json!({"axis": axis}))
}

/// To Euclidean length 1 along an axis or axes.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn normalize(x: impl Symbolic, axis: impl IntoAxes) -> Result<KerasTensor> {
    unary(
        "Normalize",
        x,
        json!({"axis": axis.into_axes(), "order": 2, "epsilon": null}),
    )
}

/// Rows with a 1 in the place of the class, along a new axis.
///
/// # Errors
/// If there are no classes, or the axis would be the batch.
pub fn one_hot(x: impl Symbolic, num_classes: usize, axis: i64) -> Result<KerasTensor> {
    unary(
        "OneHot",
        x,
        json!({"num_classes": num_classes, "axis": axis, "dtype": "float32", "sparse": false}),
    )
}
