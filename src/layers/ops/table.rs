//! The table of operations: one line each.

use std::sync::Arc;

use serde_json::Value;

use super::Op;
use super::along_axis::{AlongAxis, Rule as Along};
use super::axis_map::Edge;
use super::binary::{Binary, Two};
use super::choose::Where;
use super::elementwise::{Elementwise, FullLike, Function};
use super::functions::{Cast, Clip, Fast, Fill, Plain, Round, erf, sign};
use super::join::{Join, Parts, Split};
use super::one_hot::OneHot;
use super::product::{Product, Rule as Times};
use super::reduce::{Kind, Reduce};
use super::reshape::{Order, Reordered, Reshaped, Rule as Shape};
use super::select::{Rule as Pick, Select, pad_width};
use crate::activation::Activation;
use crate::envelope::{Args, wrong};
use crate::float::Float;
use crate::kernels::pairs::Pointers;
use crate::layer::Layer;
use crate::layers::axes::Axes;

type Made = Result<Arc<dyn Layer>, String>;

/// Makes an operation of its arguments.
type Read = fn(Op, &mut Args) -> Made;

const NUMPY: &str = "keras.src.ops.numpy";
const NN: &str = "keras.src.ops.nn";
const CORE: &str = "keras.src.ops.core";
const MATH: &str = "keras.src.ops.math";
const LINALG: &str = "keras.src.ops.linalg";

/// Class, module, and how it is read.
pub(super) const TABLE: &[(&str, &str, Read)] = &[
    // Functions of one number.
    ("Absolute", NUMPY, |op, _| one(op, Fast::Absolute)),
    ("Abs", NUMPY, |op, _| one(op, Fast::Absolute)),
    ("Arccos", NUMPY, |op, _| {
        one(op, Plain::new(Float::acos, |x| -1.0 / (1.0 - x * x).sqrt()))
    }),
    ("Arccosh", NUMPY, |op, _| {
        one(op, Plain::new(Float::acosh, |x| 1.0 / (x * x - 1.0).sqrt()))
    }),
    ("Arcsin", NUMPY, |op, _| {
        one(op, Plain::new(Float::asin, |x| 1.0 / (1.0 - x * x).sqrt()))
    }),
    ("Arcsinh", NUMPY, |op, _| {
        one(op, Plain::new(Float::asinh, |x| 1.0 / (x * x + 1.0).sqrt()))
    }),
    ("Arctan", NUMPY, |op, _| {
        one(op, Plain::new(Float::atan, |x| 1.0 / (1.0 + x * x)))
    }),
    ("Arctanh", NUMPY, |op, _| {
        one(op, Plain::new(Float::atanh, |x| 1.0 / (1.0 - x * x)))
    }),
    ("Cbrt", NUMPY, |op, _| {
        one(op, Plain::of_output(Float::cbrt, |y| 1.0 / (3.0 * y * y)))
    }),
    ("Ceil", NUMPY, |op, _| one(op, Plain::steps(Float::ceil))),
    ("Clip", NUMPY, clip),
    ("Copy", NUMPY, |op, _| one(op, Fast::Identity)),
    ("Cos", NUMPY, |op, _| {
        one(op, Plain::new(Float::cos, |x| -x.sin()))
    }),
    ("Cosh", NUMPY, |op, _| {
        one(op, Plain::new(Float::cosh, Float::sinh))
    }),
    ("Deg2rad", NUMPY, |op, _| {
        one(
            op,
            Plain::new(Float::to_radians, |_| (1.0 as Float).to_radians()),
        )
    }),
    ("Exp", NUMPY, |op, _| one(op, Fast::Exp)),
    ("Exp2", NUMPY, |op, _| {
        one(op, Plain::of_output(Float::exp2, |y| y * LN_2))
    }),
    ("Expm1", NUMPY, |op, _| {
        one(op, Plain::of_output(Float::exp_m1, |y| y + 1.0))
    }),
    ("Floor", NUMPY, |op, _| one(op, Plain::steps(Float::floor))),
    ("Isfinite", NUMPY, |op, _| {
        one(op, Plain::steps(|x| flag(x.is_finite())))
    }),
    ("Isinf", NUMPY, |op, _| {
        one(op, Plain::steps(|x| flag(x.is_infinite())))
    }),
    ("Isnan", NUMPY, |op, _| {
        one(op, Plain::steps(|x| flag(x.is_nan())))
    }),
    ("Log", NUMPY, |op, _| one(op, Fast::Log)),
    ("Log10", NUMPY, |op, _| {
        one(op, Plain::new(Float::log10, |x| 1.0 / (x * LN_10)))
    }),
    ("Log1p", NUMPY, |op, _| {
        one(op, Plain::new(Float::ln_1p, |x| 1.0 / (1.0 + x)))
    }),
    ("Log2", NUMPY, |op, _| {
        one(op, Plain::new(Float::log2, |x| 1.0 / (x * LN_2)))
    }),
    ("LogicalNot", NUMPY, |op, _| {
        one(op, Plain::steps(|x| flag(x == 0.0)))
    }),
    ("Negative", NUMPY, |op, _| one(op, Fast::Negative)),
    ("OnesLike", NUMPY, |op, a| like(op, a, 1.0)),
    ("Rad2deg", NUMPY, |op, _| {
        one(
            op,
            Plain::new(Float::to_degrees, |_| (1.0 as Float).to_degrees()),
        )
    }),
    ("Reciprocal", NUMPY, |op, _| one(op, Fast::Reciprocal)),
    ("Round", NUMPY, |op, a| {
        let n = integer(a, "decimals", Some(0))?;
        one(op, Round(n.clamp(-99, 99) as i32))
    }),
    ("Sign", NUMPY, |op, _| one(op, Plain::steps(sign))),
    ("Sin", NUMPY, |op, _| {
        one(op, Plain::new(Float::sin, Float::cos))
    }),
    ("Sinh", NUMPY, |op, _| {
        one(op, Plain::new(Float::sinh, Float::cosh))
    }),
    ("Sqrt", NUMPY, |op, _| one(op, Fast::Sqrt)),
    ("Square", NUMPY, |op, _| one(op, Fast::Square)),
    ("Tan", NUMPY, |op, _| {
        one(op, Plain::of_output(Float::tan, |y| 1.0 + y * y))
    }),
    ("Tanh", NUMPY, |op, _| one(op, Fast::Tanh)),
    ("Trunc", NUMPY, |op, _| one(op, Plain::steps(Float::trunc))),
    ("ZerosLike", NUMPY, |op, a| like(op, a, 0.0)),
    ("Erf", MATH, |op, _| one(op, Plain::new(erf, erf_slope))),
    ("Erfc", MATH, |op, _| {
        one(op, Plain::new(|x| 1.0 - erf(x), |x| -erf_slope(x)))
    }),
    ("Rsqrt", MATH, |op, _| one(op, Fast::Rsqrt)),
    ("Cast", CORE, cast),
    ("ConvertToTensor", CORE, cast),
    ("SaturateCast", CORE, cast),
    ("StopGradient", CORE, |op, _| one(op, Plain::steps(|x| x))),
    // Activations.
    ("Celu", NN, |op, a| {
        let alpha = number(a, "alpha", 1.0)?;
        one(op, Activation::Celu { alpha })
    }),
    ("Elu", NN, |op, a| {
        let alpha = number(a, "alpha", 1.0)?;
        one(op, Activation::Elu { alpha })
    }),
    ("Gelu", NN, |op, a| {
        let approximate = a.boolean("approximate", true)?;
        one(op, Activation::Gelu { approximate })
    }),
    ("HardShrink", NN, |op, a| {
        let threshold = number(a, "threshold", 0.5)?;
        one(op, Activation::HardShrink { threshold })
    }),
    ("HardSigmoid", NN, |op, _| one(op, Activation::HardSigmoid)),
    ("HardSilu", NN, |op, _| one(op, Activation::HardSilu)),
    ("HardTanh", NN, |op, _| one(op, Activation::HardTanh)),
    ("LeakyRelu", NN, |op, a| {
        let negative_slope = number(a, "negative_slope", 0.2)?;
        one(op, Activation::LeakyRelu { negative_slope })
    }),
    ("LogSigmoid", NN, |op, _| one(op, Activation::LogSigmoid)),
    ("Relu", NN, |op, _| one(op, Activation::RELU)),
    ("Relu6", NN, |op, _| one(op, Activation::Relu6)),
    ("Selu", NN, |op, _| one(op, Activation::Selu)),
    ("Sigmoid", NN, |op, _| one(op, Activation::Sigmoid)),
    ("Silu", NN, |op, _| one(op, Activation::Silu)),
    ("SoftShrink", NN, |op, a| {
        let threshold = number(a, "threshold", 0.5)?;
        one(op, Activation::SoftShrink { threshold })
    }),
    ("Softplus", NN, |op, _| one(op, Activation::Softplus)),
    ("Softsign", NN, |op, _| one(op, Activation::Softsign)),
    ("SparsePlus", NN, |op, _| one(op, Activation::SparsePlus)),
    ("SparseSigmoid", NN, |op, _| {
        one(op, Activation::SparseSigmoid)
    }),
    ("Squareplus", NN, |op, a| {
        let b = number(a, "b", 4.0)?;
        one(op, Activation::Squareplus { b })
    }),
    ("TanhShrink", NN, |op, _| one(op, Activation::TanhShrink)),
    ("Threshold", NN, threshold),
    ("LogSoftmax", NN, |op, a| {
        along(op, a, Along::Activation(Activation::LogSoftmax), -1)
    }),
    ("Softmax", NN, |op, a| {
        along(op, a, Along::Activation(Activation::Softmax), -1)
    }),
    ("Sparsemax", NN, |op, a| {
        along(op, a, Along::Activation(Activation::Sparsemax), -1)
    }),
    // Functions of two numbers.
    ("Add", NUMPY, |op, _| two(op, Two::Add)),
    ("Arctan2", NUMPY, |op, _| {
        smooth(
            op,
            Float::atan2,
            |a, b| b / (a * a + b * b),
            |a, b| -a / (a * a + b * b),
        )
    }),
    ("Divide", NUMPY, |op, _| two(op, Two::Divide)),
    ("DivideNoNan", NUMPY, |op, _| {
        smooth(
            op,
            |a, b| unless_zero(b, a / b),
            |_, b| unless_zero(b, 1.0 / b),
            |a, b| unless_zero(b, -a / (b * b)),
        )
    }),
    ("Equal", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a == b)))
    }),
    ("FullLike", NUMPY, |op, a| {
        a.given("dtype");
        made(FullLike { op })
    }),
    ("FloorDivide", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| (a / b).floor()))
    }),
    ("Greater", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a > b)))
    }),
    ("GreaterEqual", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a >= b)))
    }),
    ("Hypot", NUMPY, |op, _| {
        smooth(
            op,
            Float::hypot,
            |a, b| a / a.hypot(b),
            |a, b| b / a.hypot(b),
        )
    }),
    ("Less", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a < b)))
    }),
    ("LessEqual", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a <= b)))
    }),
    ("Logaddexp", NUMPY, |op, _| {
        smooth(
            op,
            logaddexp,
            |a, b| 1.0 / (1.0 + (b - a).exp()),
            |a, b| 1.0 / (1.0 + (a - b).exp()),
        )
    }),
    ("LogicalAnd", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a != 0.0 && b != 0.0)))
    }),
    ("LogicalOr", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a != 0.0 || b != 0.0)))
    }),
    ("LogicalXor", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag((a != 0.0) != (b != 0.0))))
    }),
    ("Maximum", NUMPY, |op, _| two(op, Two::Maximum)),
    ("Minimum", NUMPY, |op, _| two(op, Two::Minimum)),
    ("Mod", NUMPY, |op, _| {
        smooth(
            op,
            |a, b| a - b * (a / b).floor(),
            |_, _| 1.0,
            |a, b| -(a / b).floor(),
        )
    }),
    ("Multiply", NUMPY, |op, _| two(op, Two::Multiply)),
    ("NotEqual", NUMPY, |op, _| {
        two(op, Two::Steps(|a, b| flag(a != b)))
    }),
    ("Power", NUMPY, |op, _| {
        smooth(
            op,
            power,
            |a, b| b * power(a, b - 1.0),
            |a, b| if a > 0.0 { power(a, b) * a.ln() } else { 0.0 },
        )
    }),
    ("Subtract", NUMPY, |op, _| two(op, Two::Subtract)),
    ("TrueDivide", NUMPY, |op, _| two(op, Two::Divide)),
    ("Where", NUMPY, |op, _| made(Where::new(op))),
    // Reductions.
    ("All", NUMPY, |op, a| reduce(op, a, Kind::All)),
    ("Amax", NUMPY, |op, a| reduce(op, a, Kind::Max)),
    ("Amin", NUMPY, |op, a| reduce(op, a, Kind::Min)),
    ("Any", NUMPY, |op, a| reduce(op, a, Kind::Any)),
    ("Argmax", NUMPY, |op, a| reduce(op, a, Kind::Argmax)),
    ("Argmin", NUMPY, |op, a| reduce(op, a, Kind::Argmin)),
    ("CountNonzero", NUMPY, |op, a| {
        reduce(op, a, Kind::CountNonzero)
    }),
    ("Logsumexp", MATH, |op, a| reduce(op, a, Kind::Logsumexp)),
    ("Max", NUMPY, |op, a| reduce(op, a, Kind::Max)),
    ("Mean", NUMPY, |op, a| reduce(op, a, Kind::Mean)),
    ("Min", NUMPY, |op, a| reduce(op, a, Kind::Min)),
    ("Norm", LINALG, norm),
    ("Prod", NUMPY, |op, a| {
        a.given("dtype");
        reduce(op, a, Kind::Prod)
    }),
    ("Std", NUMPY, |op, a| reduce(op, a, Kind::Std)),
    ("Sum", NUMPY, |op, a| reduce(op, a, Kind::Sum)),
    ("Var", NUMPY, |op, a| reduce(op, a, Kind::Var)),
    ("Cumprod", NUMPY, |op, a| {
        a.given("dtype");
        along(op, a, Along::Cumprod, None)
    }),
    ("Cumsum", NUMPY, |op, a| {
        a.given("dtype");
        along(op, a, Along::Cumsum, None)
    }),
    ("Normalize", NN, normalize),
    // Products.
    ("Dot", NUMPY, |op, _| made(Product::new(op, Times::Dot))),
    ("Einsum", NUMPY, |op, a| {
        let text = a.string("subscripts", "")?;
        made(Product::new(op, Times::Einsum(text)))
    }),
    ("Matmul", NUMPY, |op, _| {
        made(Product::new(op, Times::Matmul))
    }),
    // Shapes and axes.
    ("ExpandDims", NUMPY, |op, a| {
        let axis = required(a, "axis")?;
        made(Reshaped {
            op,
            rule: Shape::ExpandDims(axis),
        })
    }),
    ("Reshape", NUMPY, reshape),
    ("Squeeze", NUMPY, |op, a| {
        let axis = axes(a, "axis")?;
        made(Reshaped {
            op,
            rule: Shape::Squeeze(axis),
        })
    }),
    ("Moveaxis", NUMPY, |op, a| {
        let order = Order::Moveaxis(required(a, "source")?, required(a, "destination")?);
        made(Reordered { op, order })
    }),
    ("Swapaxes", NUMPY, |op, a| {
        let order = Order::Swapaxes(integer(a, "axis1", None)?, integer(a, "axis2", None)?);
        made(Reordered { op, order })
    }),
    ("Transpose", NUMPY, |op, a| {
        let axes = axes(a, "axes")?.map(|a| a.list().to_vec());
        made(Reordered {
            op,
            order: Order::Transpose(axes),
        })
    }),
    // Picking, repeating, joining, parting.
    ("Concatenate", NUMPY, |op, a| {
        let axis = integer(a, "axis", Some(0))?;
        made(Join {
            op,
            axis,
            stack: false,
        })
    }),
    ("Flip", NUMPY, |op, a| {
        let axis = axes(a, "axis")?;
        made(Select {
            op,
            rule: Pick::Flip(axis),
        })
    }),
    ("GetItem", NUMPY, |op, _| {
        made(Select {
            op,
            rule: Pick::GetItem(Arc::new([])),
        })
    }),
    ("OneHot", NN, one_hot),
    ("Pad", NUMPY, pad),
    ("Repeat", NUMPY, |op, a| {
        let rule = Pick::Repeat(size(a, "repeats")?, optional_integer(a, "axis")?);
        made(Select { op, rule })
    }),
    ("Roll", NUMPY, |op, a| {
        let rule = Pick::Roll(required(a, "shift")?.list().to_vec(), axes(a, "axis")?);
        made(Select { op, rule })
    }),
    ("Split", NUMPY, split),
    ("Stack", NUMPY, |op, a| {
        let axis = integer(a, "axis", Some(0))?;
        made(Join {
            op,
            axis,
            stack: true,
        })
    }),
    ("Take", NUMPY, |op, a| {
        let rule = Pick::Take(Arc::new([]), optional_integer(a, "axis")?);
        made(Select { op, rule })
    }),
    ("Tile", NUMPY, tile),
    ("Unstack", CORE, |op, a| {
        let parts = Parts::Single(optional_size(a, "num")?);
        let axis = integer(a, "axis", Some(0))?;
        made(Split { op, axis, parts })
    }),
];

#[cfg(not(float64))]
use std::f32::consts::{FRAC_2_SQRT_PI, LN_2, LN_10};
#[cfg(float64)]
use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LN_10};

fn made<L: Layer + 'static>(layer: L) -> Made {
    Ok(Arc::new(layer))
}

fn one<F: Function>(op: Op, function: F) -> Made {
    made(Elementwise { op, function })
}

fn two(op: Op, two: Two) -> Made {
    made(Binary::new(op, two))
}

fn smooth(
    op: Op,
    value: fn(Float, Float) -> Float,
    first: fn(Float, Float) -> Float,
    second: fn(Float, Float) -> Float,
) -> Made {
    two(
        op,
        Two::Smooth(Pointers {
            value,
            first,
            second,
        }),
    )
}

fn flag(yes: bool) -> Float {
    Float::from(u8::from(yes))
}

fn unless_zero(b: Float, value: Float) -> Float {
    if b == 0.0 { 0.0 } else { value }
}

fn erf_slope(x: Float) -> Float {
    FRAC_2_SQRT_PI * (-x * x).exp()
}

/// `a^b`; small whole exponents by multiplication.
fn power(a: Float, b: Float) -> Float {
    if b == 2.0 {
        a * a
    } else if b.fract() == 0.0 && b.abs() <= 16.0 {
        a.powi(b as i32)
    } else {
        a.powf(b)
    }
}

/// `ln(e^a + e^b)`
fn logaddexp(a: Float, b: Float) -> Float {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if high == low {
        high + LN_2
    } else {
        high + (low - high).exp().ln_1p()
    }
}

fn number(args: &mut Args, key: &str, default: f64) -> Result<Float, String> {
    args.number(key, default).map(|n| n as Float)
}

fn optional_integer(args: &mut Args, key: &str) -> Result<Option<i64>, String> {
    match args.value(key) {
        None => Ok(None),
        Some(v) => v
            .as_i64()
            .map(Some)
            .ok_or_else(|| wrong(key, "an integer", &v)),
    }
}

fn integer(args: &mut Args, key: &str, default: Option<i64>) -> Result<i64, String> {
    let value = optional_integer(args, key)?.or(default);
    value.ok_or_else(|| wrong(key, "an integer", &Value::Null))
}

fn optional_size(args: &mut Args, key: &str) -> Result<Option<usize>, String> {
    let size = |n: i64| usize::try_from(n).map_err(|_| wrong(key, "a size", &n.into()));
    optional_integer(args, key)?.map(size).transpose()
}

fn size(args: &mut Args, key: &str) -> Result<usize, String> {
    optional_size(args, key)?.ok_or_else(|| wrong(key, "a size", &Value::Null))
}

fn axes(args: &mut Args, key: &str) -> Result<Option<Axes>, String> {
    match args.value(key) {
        None => Ok(None),
        Some(v) => serde_json::from_value(v.clone())
            .map(Some)
            .map_err(|_| wrong(key, "an axis or a list of axes", &v)),
    }
}

fn required(args: &mut Args, key: &str) -> Result<Axes, String> {
    axes(args, key)?.ok_or_else(|| wrong(key, "an integer or a list", &Value::Null))
}

fn reduce(op: Op, args: &mut Args, kind: Kind) -> Made {
    let (axes, keepdims) = (axes(args, "axis")?, args.boolean("keepdims", false)?);
    let initial = match kind {
        Kind::Max | Kind::Min if args.value("initial").is_some_and(|v| !v.is_number()) => {
            return Err("argument `initial`: expected a number".into());
        }
        Kind::Max | Kind::Min => op
            .config
            .get("initial")
            .and_then(Value::as_f64)
            .map(|n| n as Float),
        _ => None,
    };
    made(Reduce {
        op,
        kind,
        axes,
        keepdims,
        initial,
    })
}

fn norm(op: Op, args: &mut Args) -> Made {
    let kind = match args.value("ord") {
        None => Kind::Norm,
        Some(v) if v == "fro" || v.as_f64() == Some(2.0) => Kind::Norm,
        Some(v) if v.as_f64() == Some(1.0) => Kind::Norm1,
        Some(v) if v == "inf" => Kind::NormInf,
        Some(v) => return Err(wrong("ord", "null, 1, 2, \"fro\" or \"inf\"", &v)),
    };
    let several = op
        .config
        .get("axis")
        .and_then(Value::as_array)
        .is_some_and(|axes| axes.len() > 1);
    match op.config.get("ord") {
        Some(ord) if several && !ord.is_null() && ord != "fro" => {
            Err(wrong("ord", "null or \"fro\" for several axes", ord))
        }
        _ => reduce(op, args, kind),
    }
}

fn along(op: Op, args: &mut Args, rule: Along, default: impl Into<Option<i64>>) -> Made {
    // Null is all axes; missing is Keras's default.
    let axes = match args.contains("axis") {
        true => axes(args, "axis")?,
        false => default.into().map(Axes::One),
    };
    made(AlongAxis { op, rule, axes })
}

fn normalize(op: Op, args: &mut Args) -> Made {
    if let Some(order) = args.value("order")
        && order.as_f64() != Some(2.0)
    {
        return Err(wrong("order", "2", &order));
    }
    let epsilon = number(args, "epsilon", 1e-7)?;
    along(op, args, Along::Unit(epsilon), -1)
}

fn clip(op: Op, args: &mut Args) -> Made {
    let mut end = |key: &str| match args.value(key) {
        Some(v) => v
            .as_f64()
            .map(|n| n as Float)
            .ok_or_else(|| wrong(key, "a number", &v)),
        None => Err(wrong(key, "a number", &Value::Null)),
    };
    let (min, max) = (end("x_min")?, end("x_max")?);
    one(op, Clip { min, max })
}

fn threshold(op: Op, args: &mut Args) -> Made {
    let (threshold, default_value) = (
        number(args, "threshold", 0.0)?,
        number(args, "default_value", 0.0)?,
    );
    one(
        op,
        Activation::Threshold {
            threshold,
            default_value,
        },
    )
}

fn like(op: Op, args: &mut Args, value: Float) -> Made {
    args.given("dtype");
    one(op, Fill(value))
}

fn cast(op: Op, args: &mut Args) -> Made {
    args.given("sparse");
    args.given("ragged");
    match args.string("dtype", "float32")? {
        same if same == "float32" => one(op, Fast::Identity),
        other => one(op, Cast::named(&other)?),
    }
}

fn one_hot(op: Op, args: &mut Args) -> Made {
    args.given("dtype");
    if args.boolean("sparse", false)? {
        return Err("argument `sparse`: expected false, sparse tensors are not supported".into());
    }
    let (num_classes, axis) = (size(args, "num_classes")?, integer(args, "axis", Some(-1))?);
    made(OneHot {
        op,
        num_classes,
        axis,
    })
}

fn reshape(op: Op, args: &mut Args) -> Made {
    let value = args.value("newshape").unwrap_or_default();
    let size = |v: &Value| match v {
        Value::Null => Some(None),
        v => v.as_i64().map(Some),
    };
    let list = match &value {
        Value::Array(list) => list.iter().map(size).collect::<Option<Vec<_>>>(),
        one => one.as_i64().map(|n| vec![Some(n)]),
    };
    let list = list.ok_or_else(|| wrong("newshape", "a list of sizes", &value))?;
    made(Reshaped {
        op,
        rule: Shape::Reshape(list),
    })
}

fn tile(op: Op, args: &mut Args) -> Made {
    let times = required(args, "repeats")?;
    let sizes = times.list().iter().map(|n| usize::try_from(*n));
    let sizes = sizes
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "argument `repeats`: expected sizes".to_string())?;
    made(Select {
        op,
        rule: Pick::Tile(sizes),
    })
}

fn pad(op: Op, args: &mut Args) -> Made {
    let value = args.value("pad_width").unwrap_or_default();
    let widths = pad_width(&value)
        .ok_or_else(|| wrong("pad_width", "a size, a pair or a list of pairs", &value))?;
    let edge = match args.string("mode", "constant")?.as_str() {
        "constant" => Edge::Constant,
        "reflect" => Edge::Reflect,
        "symmetric" => Edge::Symmetric,
        other => {
            return Err(wrong(
                "mode",
                "\"constant\", \"reflect\" or \"symmetric\"",
                &other.into(),
            ));
        }
    };
    made(Select {
        op,
        rule: Pick::Pad(widths, edge, 0.0),
    })
}

fn split(op: Op, args: &mut Args) -> Made {
    let axis = integer(args, "axis", Some(0))?;
    let value = args.value("indices_or_sections").unwrap_or_default();
    let size = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    let parts = match &value {
        Value::Array(list) => list
            .iter()
            .map(size)
            .collect::<Option<Vec<_>>>()
            .map(Parts::At),
        one => size(one).map(Parts::Equal),
    };
    let parts = parts.ok_or_else(|| {
        wrong(
            "indices_or_sections",
            "a number of parts or positions",
            &value,
        )
    })?;
    made(Split { op, axis, parts })
}
