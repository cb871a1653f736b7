//! Reductions, shapes, and picking and joining along axes.

use std::ops::{Range, RangeFrom, RangeFull, RangeTo};

use serde_json::{Value, json};

use super::{Arguments, IntoAxes, unary};
use crate::error::Result;
use crate::models::symbolic::{KerasTensor, Symbolic};

/// 1 where all are other than 0, else 0. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn all(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "All",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// 1 where one is other than 0, else 0. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn any(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Any",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The largest. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn amax(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Amax",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The smallest. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn amin(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Amin",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// `ln(sum e^x)`. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn logsumexp(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Logsumexp",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The largest. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn max(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Max",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The mean. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn mean(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Mean",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The smallest. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn min(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Min",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The product. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn prod(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Prod",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The standard deviation. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn std(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Std",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The sum. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn sum(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Sum",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// The variance. Over an axis or axes, which stay with size 1 if `keepdims`.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn var(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Var",
        x,
        json!({"axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// Where along an axis the largest is.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn argmax(x: impl Symbolic, axis: i64, keepdims: bool) -> Result<KerasTensor> {
    unary("Argmax", x, json!({"axis": axis, "keepdims": keepdims}))
}

/// Where along an axis the smallest is.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn argmin(x: impl Symbolic, axis: i64, keepdims: bool) -> Result<KerasTensor> {
    unary("Argmin", x, json!({"axis": axis, "keepdims": keepdims}))
}

/// How many are other than 0, over an axis or axes.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn count_nonzero(x: impl Symbolic, axis: impl IntoAxes) -> Result<KerasTensor> {
    unary("CountNonzero", x, json!({"axis": axis.into_axes()}))
}

/// The Euclidean norm over an axis or axes.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn norm(x: impl Symbolic, axis: impl IntoAxes, keepdims: bool) -> Result<KerasTensor> {
    unary(
        "Norm",
        x,
        json!({"ord": null, "axis": axis.into_axes(), "keepdims": keepdims}),
    )
}

/// Running sums along an axis.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn cumsum(x: impl Symbolic, axis: i64) -> Result<KerasTensor> {
    unary("Cumsum", x, json!({"axis": axis, "dtype": null}))
}

/// Running products along an axis.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn cumprod(x: impl Symbolic, axis: i64) -> Result<KerasTensor> {
    unary("Cumprod", x, json!({"axis": axis, "dtype": null}))
}

/// Samples of another shape, without the batch; one size may be -1, which is inferred.
///
/// # Errors
/// If the number of elements is another.
pub fn reshape<const N: usize>(x: impl Symbolic, shape: [i64; N]) -> Result<KerasTensor> {
    let sizes: Vec<i64> = std::iter::once(-1).chain(shape).collect();
    unary("Reshape", x, json!({"newshape": sizes}))
}

/// With axes of size 1 in these places of the result.
///
/// # Errors
/// If one would be the batch.
pub fn expand_dims(x: impl Symbolic, axis: impl IntoAxes) -> Result<KerasTensor> {
    unary("ExpandDims", x, json!({"axis": axis.into_axes()}))
}

/// Without these axes, which have size 1.
///
/// # Errors
/// If their size is another.
pub fn squeeze(x: impl Symbolic, axis: impl IntoAxes) -> Result<KerasTensor> {
    unary("Squeeze", x, json!({"axis": axis.into_axes()}))
}

/// The axes in this order, which begins with 0, the batch.
///
/// # Errors
/// If it is no order of all axes.
pub fn transpose<const N: usize>(x: impl Symbolic, axes: [i64; N]) -> Result<KerasTensor> {
    unary("Transpose", x, json!({"axes": axes.to_vec()}))
}

/// Two axes change places.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn swapaxes(x: impl Symbolic, axis1: i64, axis2: i64) -> Result<KerasTensor> {
    unary("Swapaxes", x, json!({"axis1": axis1, "axis2": axis2}))
}

/// Axes go to other places, the rest stay in order.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn moveaxis(
    x: impl Symbolic,
    source: impl IntoAxes,
    destination: impl IntoAxes,
) -> Result<KerasTensor> {
    let (source, destination) = (source.into_axes(), destination.into_axes());
    unary(
        "Moveaxis",
        x,
        json!({"source": source, "destination": destination}),
    )
}

/// Backwards along an axis or axes.
///
/// # Errors
/// If one is the batch axis, or there is no such axis.
pub fn flip(x: impl Symbolic, axis: impl IntoAxes) -> Result<KerasTensor> {
    unary("Flip", x, json!({"axis": axis.into_axes()}))
}

/// Moved along an axis, around the end.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn roll(x: impl Symbolic, shift: i64, axis: i64) -> Result<KerasTensor> {
    unary("Roll", x, json!({"shift": shift, "axis": axis}))
}

/// Every position of an axis so many times.
///
/// # Errors
/// If it is the batch axis, or there is no such axis.
pub fn repeat(x: impl Symbolic, repeats: usize, axis: i64) -> Result<KerasTensor> {
    unary("Repeat", x, json!({"repeats": repeats, "axis": axis}))
}

/// The whole so many times along each axis, of which the first, the batch, is taken once.
///
/// # Errors
/// If the batch is to be repeated.
pub fn tile<const N: usize>(x: impl Symbolic, repeats: [usize; N]) -> Result<KerasTensor> {
    unary("Tile", x, json!({"repeats": repeats.to_vec()}))
}

/// With so many positions before and behind on every axis, of which the batch has none. `mode` is `"constant"`, `"reflect"` or
/// `"symmetric"`; `constant_values` fills in the first.
///
/// # Errors
/// If the batch is to be padded, or a reflection is longer than what it reflects.
pub fn pad<const N: usize>(
    x: impl Symbolic,
    pad_width: [(usize, usize); N],
    mode: &str,
    constant_values: f64,
) -> Result<KerasTensor> {
    let constant = if mode == "constant" {
        json!(constant_values)
    } else {
        Value::Null
    };
    Arguments::default()
        .and(x.tensor())
        .named("constant_values", constant)
        .one(
            "Pad",
            json!({"pad_width": pad_width.to_vec(), "mode": mode}),
        )
}

/// These positions of an axis, negative ones from the end.
///
/// # Errors
/// If it is the batch axis, or there is no such position.
pub fn take(x: impl Symbolic, indices: &[i64], axis: i64) -> Result<KerasTensor> {
    let indices = super::Operand::Constant(json!(indices));
    Arguments::default()
        .and(x.tensor())
        .and(indices)
        .one("Take", json!({"axis": axis}))
}

/// One tensor behind the other along an axis.
///
/// # Errors
/// If it is the batch axis, or the other axes differ.
pub fn concatenate(tensors: &[KerasTensor], axis: i64) -> Result<KerasTensor> {
    Arguments::default()
        .list(tensors)
        .one("Concatenate", json!({"axis": axis}))
}

/// One tensor beside the other along a new axis.
///
/// # Errors
/// If it would be the batch, or the shapes differ.
pub fn stack(tensors: &[KerasTensor], axis: i64) -> Result<KerasTensor> {
    Arguments::default()
        .list(tensors)
        .one("Stack", json!({"axis": axis}))
}

/// So many equal parts along an axis.
///
/// # Errors
/// If its size is no multiple of them, or it is the batch axis.
pub fn split(x: impl Symbolic, sections: usize, axis: i64) -> Result<Vec<KerasTensor>> {
    let config = json!({"indices_or_sections": sections, "axis": axis});
    Arguments::default().and(x.tensor()).all("Split", config)
}

/// Every position of an axis, which goes.
///
/// # Errors
/// If its size is not known, or it is the batch axis.
pub fn unstack(x: impl Symbolic, axis: i64) -> Result<Vec<KerasTensor>> {
    Arguments::default()
        .and(x.tensor())
        .all("Unstack", json!({"num": null, "axis": axis}))
}

/// One entry of the key of [`get_item`].
#[derive(Clone, Debug)]
pub struct Index(Value);

impl Index {
    /// A slice as in Python: `Index::slice(None, None, Some(-1))` is `[::-1]`.
    pub fn slice(start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> Self {
        let config = json!({"start": start, "stop": stop, "step": step});
        Index(json!({"class_name": "__slice__", "config": config}))
    }

    /// `...`: all axes that are not named.
    pub fn ellipsis() -> Self {
        Index(json!({"class_name": "__ellipsis__", "config": {}}))
    }

    /// `None`: a new axis of size 1.
    pub fn new_axis() -> Self {
        Index(Value::Null)
    }
}

impl From<i64> for Index {
    fn from(at: i64) -> Self {
        Index(at.into())
    }
}

impl From<RangeFull> for Index {
    fn from(_: RangeFull) -> Self {
        Index::slice(None, None, None)
    }
}

impl From<Range<i64>> for Index {
    fn from(range: Range<i64>) -> Self {
        Index::slice(Some(range.start), Some(range.end), None)
    }
}

impl From<RangeFrom<i64>> for Index {
    fn from(range: RangeFrom<i64>) -> Self {
        Index::slice(Some(range.start), None, None)
    }
}

impl From<RangeTo<i64>> for Index {
    fn from(range: RangeTo<i64>) -> Self {
        Index::slice(None, Some(range.end), None)
    }
}

/// Python's `x[..]`: `get_item(&x, [(..).into(), (1..).into(), 0.into()])` is `x[:, 1:, 0]`. The first entry is the batch's: all.
///
/// # Errors
/// If samples are picked, or there are no such axes or positions.
pub fn get_item<const N: usize>(x: impl Symbolic, key: [Index; N]) -> Result<KerasTensor> {
    let key = key.into_iter().map(|index| index.0).collect();
    Arguments::default()
        .and(x.tensor())
        .and(super::Operand::Constant(Value::Array(key)))
        .one("GetItem", json!({}))
}
