//! The operations by their classes, as a file would name them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::from_config;
use super::table::TABLE;
use crate::float::Float;
use crate::layer::{
    Accum, Arg, Backward, Bound, Call, Forward, Layer, Mode, Par, Slices, Stream, View, ViewMut,
    Weights,
};
use crate::shape::Shape;
use crate::testing::apply::apply;
use crate::testing::check_dyn;

fn op(class: &str, config: Value) -> Arc<dyn Layer> {
    let config = config.as_object().unwrap();
    from_config(class, config)
        .unwrap_or_else(|| panic!("no {class}"))
        .unwrap()
}

/// The operation bound to a call; numbers of tensors are given as `"x0"`, `"x1"`.
fn call(class: &str, config: Value, args: Value) -> crate::Result<(Arc<dyn Layer>, Bound)> {
    fn arg(value: &Value) -> Arg {
        match value {
            Value::String(s) if s.starts_with('x') => Arg::Tensor(s[1..].parse().unwrap()),
            Value::Array(list) => Arg::List(list.iter().map(arg).collect()),
            other => Arg::Value(other.clone()),
        }
    }
    let layer = op(class, config);
    let args = args.as_array().unwrap().iter().map(arg).collect();
    let bound = layer.bind(&Call {
        args,
        kwargs: Vec::new(),
    })?;
    Ok((bound.layer.clone().unwrap_or(layer), bound))
}

fn bound(class: &str, config: Value, args: Value) -> Arc<dyn Layer> {
    call(class, config, args).unwrap().0
}

fn laws(layer: &Arc<dyn Layer>, inputs: &[Shape]) {
    check_dyn(layer.as_ref(), inputs, &vec![None; inputs.len()]);
}

/// Value and derivative of a function of one number.
fn derivative(layer: &dyn Layer, x: Float) -> (Float, Float) {
    let (data, mut y, mut dx) = ([x], [x], [1.0]);
    let view = View {
        data: &data,
        shape: &[],
        batch: 1,
    };
    let masks = [None];
    layer.forward(Forward {
        x: &[view],
        w: Weights::new(&[], &[]),
        state: Weights::new(&[], &[]),
        y: ViewMut {
            data: &mut y,
            shape: &[],
            batch: 1,
        },
        more: &mut [],
        saved: Slices::default(),
        saved_index: Slices::default(),
        scratch: Slices::default(),
        stats: Slices::default(),
        masks: &masks,
        mode: Mode::Train,
        trainable: true,
        rng: Stream::new(0, 0, 0),
        par: Par::Serial,
    });
    layer.backward(Backward {
        x: &[view],
        w: Weights::new(&[], &[]),
        state: Weights::new(&[], &[]),
        y: View {
            data: &y,
            shape: &[],
            batch: 1,
        },
        dy: ViewMut {
            data: &mut [],
            shape: &[],
            batch: 1,
        },
        dmore: &mut [],
        dx: &mut [Some(ViewMut {
            data: &mut dx,
            shape: &[],
            batch: 1,
        })],
        dw: None,
        accum: Accum::Add,
        saved: Slices::default(),
        saved_index: Slices::default(),
        scratch: Slices::default(),
        masks: &masks,
        trainable: true,
        rng: Stream::new(0, 0, 0),
        par: Par::Serial,
    });
    (y[0], dx[0])
}

#[test]
fn functions_have_their_derivatives() {
    let h: Float = if cfg!(float64) { 1e-6 } else { 1e-3 };
    for (class, _, _) in TABLE {
        let config = match *class {
            "Clip" => json!({"x_min": 0.35, "x_max": 5.0}),
            "Cast" | "SaturateCast" => json!({"dtype": "float64"}),
            _ => json!({}),
        };
        let Ok(layer) = from_config(class, config.as_object().unwrap()).unwrap() else {
            continue;
        };
        if !layer.contract().in_place || *class == "GetItem" {
            continue;
        }
        for x in [0.23, 0.61, 0.87] {
            // The one function that begins at 1.
            let x = if *class == "Arccosh" { x + 1.5 } else { x };
            let (y, slope) = derivative(layer.as_ref(), x);
            assert!(y.is_finite(), "{class}({x}) is {y}");
            let [up, down] = [x + h, x - h].map(|x| derivative(layer.as_ref(), x).0);
            let numeric = (up - down) / (2.0 * h);
            if layer.contract().differentiable {
                let near = (numeric - slope).abs() <= 0.01 * (1.0 + numeric.abs());
                assert!(near, "{class} at {x}: {slope} instead of {numeric}");
            } else {
                assert!(numeric == 0.0 || *class == "StopGradient", "{class} at {x}");
            }
        }
    }
}

#[test]
fn functions_of_one_number() {
    let at = |class: &str, config: Value, x: Float| derivative(op(class, config).as_ref(), x).0;
    for (class, x, want) in [
        ("Absolute", -2.0, 2.0),
        ("Cbrt", -8.0, -2.0),
        ("Ceil", 1.2, 2.0),
        ("Exp2", 3.0, 8.0),
        ("Floor", -1.2, -2.0),
        ("Isnan", Float::NAN, 1.0),
        ("Isinf", Float::INFINITY, 1.0),
        ("Isfinite", 3.0, 1.0),
        ("LogicalNot", 0.0, 1.0),
        ("Log10", 1000.0, 3.0),
        ("Log2", 8.0, 3.0),
        ("Negative", 3.0, -3.0),
        ("OnesLike", 3.0, 1.0),
        ("Reciprocal", 4.0, 0.25),
        ("Round", 2.5, 2.0),
        ("Rsqrt", 4.0, 0.5),
        ("Sign", -3.0, -1.0),
        ("Sqrt", 9.0, 3.0),
        ("Square", -3.0, 9.0),
        ("Trunc", -1.7, -1.0),
        ("ZerosLike", 3.0, 0.0),
        ("Relu", -3.0, 0.0),
        ("ConvertToTensor", 3.5, 3.5),
    ] {
        let got = at(class, json!({}), x);
        assert!((got - want).abs() < 1e-5, "{class}({x}) is {got}");
    }
    assert_eq!(at("Round", json!({"decimals": 1}), 0.26), 0.3);
    assert_eq!(at("Cast", json!({"dtype": "int32"}), -1.7), -1.0);
    assert_eq!(at("Cast", json!({"dtype": "bool"}), -1.7), 1.0);
    assert_eq!(at("Clip", json!({"x_min": 0, "x_max": 1}), 1.5), 1.0);
    assert_eq!(at("LeakyRelu", json!({"negative_slope": 0.5}), -2.0), -1.0);
    assert!((at("Gelu", json!({}), 1.0) - 0.841_192).abs() < 1e-5); // by tanh, as keras.ops has it
    let fill = bound("FullLike", json!({"dtype": null}), json!(["x0", 2.5]));
    assert_eq!(derivative(fill.as_ref(), 9.0).0, 2.5);
}

#[test]
fn laws_of_functions_of_two_numbers() {
    let pairs = [
        "Add",
        "Subtract",
        "Multiply",
        "Maximum",
        "Minimum",
        "Hypot",
        "Logaddexp",
        "Arctan2",
    ];
    for class in pairs {
        let both = bound(class, json!({}), json!(["x0", "x1"]));
        laws(&both, &[[3].into(), [3].into()]);
        laws(&both, &[[2, 1, 3].into(), [1, 2, 1].into()]);
        laws(
            &bound(class, json!({}), json!(["x0", 0.7])),
            &[[2, 2].into()],
        );
        laws(
            &bound(class, json!({}), json!([0.7, "x0"])),
            &[[2, 2].into()],
        );
        laws(
            &bound(class, json!({}), json!(["x0", [0.3, 1.7]])),
            &[[2, 2].into()],
        );
        laws(
            &bound(class, json!({}), json!([[[[0.3], [1.7]]], "x0"])),
            &[[2, 3].into()],
        );
    }
    // Away from zero.
    laws(
        &bound("TrueDivide", json!({}), json!(["x0", [3.0, -2.0]])),
        &[[2, 2].into()],
    );
    laws(
        &bound("Divide", json!({}), json!(["x0", 2.0])),
        &[[2].into()],
    );
    laws(&bound("Power", json!({}), json!(["x0", 3])), &[[4].into()]);
    laws(
        &bound("Power", json!({}), json!(["x0", 2.0])),
        &[[4].into()],
    );
    laws(
        &bound("Power", json!({}), json!([2.0, "x0"])),
        &[[4].into()],
    );
    laws(
        &bound("Mod", json!({}), json!(["x0", [50.0, 70.0]])),
        &[[3, 2].into()],
    );
    for class in ["Equal", "GreaterEqual", "LogicalAnd", "FloorDivide"] {
        laws(
            &bound(class, json!({}), json!(["x0", "x1"])),
            &[[2, 3].into(), [2, 1].into()],
        );
    }
    laws(
        &bound("Where", json!({}), json!([[1, 0, 1], "x0", "x1"])),
        &[[2, 3].into(), [1, 3].into()],
    );
    laws(
        &bound("Where", json!({}), json!([[1, 0, 1], "x0", 5])),
        &[[2, 1].into()],
    );
}

#[test]
fn values_of_functions_of_two_numbers() {
    let at = |class: &str, args: Value, x: &[Float], shape: &[usize]| {
        apply(
            bound(class, json!({}), args).as_ref(),
            &[(x, shape)],
            &[None],
            &[],
        )
        .0
    };
    assert_eq!(
        at("Subtract", json!([1.0, "x0"]), &[3.0, 0.5], &[2]),
        [-2.0, 0.5]
    );
    assert_eq!(
        at("TrueDivide", json!([2.0, "x0"]), &[4.0, 0.5], &[2]),
        [0.5, 4.0]
    );
    assert_eq!(at("DivideNoNan", json!(["x0", 0]), &[4.0], &[1]), [0.0]);
    assert_eq!(
        at("FloorDivide", json!(["x0", 2]), &[-3.0, 5.0], &[2]),
        [-2.0, 2.0]
    );
    assert_eq!(at("Mod", json!(["x0", 3]), &[-1.0, 5.0], &[2]), [2.0, 2.0]);
    assert_eq!(
        at("NotEqual", json!(["x0", 0]), &[0.0, 5.0], &[2]),
        [0.0, 1.0]
    );
    assert_eq!(
        at("LogicalXor", json!(["x0", true]), &[0.0, 5.0], &[2]),
        [1.0, 0.0]
    );
    assert_eq!(
        at("Less", json!([[1, 2], "x0"]), &[1.0, 5.0], &[2]),
        [0.0, 1.0]
    );
    assert_eq!(
        at("Maximum", json!(["x0", [[1], [4]]]), &[2.0, 5.0], &[1, 2]),
        [2.0, 5.0, 4.0, 5.0]
    );
    let logical = bound("LogicalOr", json!({}), json!(["x0", "x1"]));
    let y = apply(
        logical.as_ref(),
        &[(&[0.0, 1.0], &[2, 1]), (&[0.0, 0.0, 1.0], &[1, 3])],
        &[None, None],
        &[],
    );
    assert_eq!(y.0, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    let chosen = bound("Where", json!({}), json!(["x0", "x1", -1]));
    let y = apply(
        chosen.as_ref(),
        &[(&[0.0, 1.0], &[2]), (&[7.0], &[1])],
        &[None, None],
        &[],
    );
    assert_eq!(y.0, [-1.0, 7.0]);
}

#[test]
fn laws_of_reductions() {
    let classes = [
        "Sum",
        "Mean",
        "Max",
        "Min",
        "Prod",
        "Var",
        "Std",
        "Logsumexp",
        "Norm",
        "All",
        "Any",
        "CountNonzero",
        "Argmax",
        "Argmin",
        "Amax",
        "Amin",
    ];
    for class in classes {
        for (axis, keepdims) in [
            (json!(-1), false),
            (json!(1), true),
            (json!([1, 3]), false),
            (json!([1, 2, 3]), true),
        ] {
            let layer = op(class, json!({"axis": axis, "keepdims": keepdims}));
            laws(&layer, &[[2, 3, 2].into()]);
        }
        assert!(
            op(class, json!({"axis": 0}))
                .output_shape(&[[3].into()])
                .is_err()
        );
        assert!(
            op(class, json!({"axis": null}))
                .output_shape(&[[3].into()])
                .is_err()
        );
    }
    laws(&op("Norm", json!({"ord": 1, "axis": 1})), &[[3].into()]);
    laws(&op("Norm", json!({"ord": "inf", "axis": 1})), &[[3].into()]);
    laws(
        &op("Max", json!({"axis": 1, "initial": 0.5})),
        &[[4].into()],
    );
}

#[test]
fn values_of_reductions() {
    let at = |class: &str, config: Value, x: &[Float]| {
        apply(op(class, config).as_ref(), &[(x, &[2, 2])], &[None], &[]).0
    };
    let x = [3.0, -1.0, 0.0, 4.0];
    for (class, want) in [
        ("Sum", [2.0, 4.0]),
        ("Mean", [1.0, 2.0]),
        ("Max", [3.0, 4.0]),
        ("Min", [-1.0, 0.0]),
        ("Prod", [-3.0, 0.0]),
        ("Var", [4.0, 4.0]),
        ("Std", [2.0, 2.0]),
        ("All", [1.0, 0.0]),
        ("Any", [1.0, 1.0]),
        ("CountNonzero", [2.0, 1.0]),
        ("Argmax", [0.0, 1.0]),
        ("Argmin", [1.0, 0.0]),
    ] {
        assert_eq!(at(class, json!({"axis": -1}), &x), want, "{class}");
    }
    assert_eq!(at("Max", json!({"axis": 1}), &x), [3.0, 4.0]);
    assert_eq!(
        at("Max", json!({"axis": 1, "initial": 3.5}), &x),
        [3.5, 4.0]
    );
    assert_eq!(
        at("Norm", json!({"axis": [1, 2]}), &[3.0, 0.0, 0.0, 4.0]),
        [5.0]
    );
    assert!(at("Max", json!({"axis": -1}), &[1.0, Float::NAN, 0.0, 0.0])[0].is_nan());
    // The product's gradient with one zero and with two.
    laws(
        &bound("Multiply", json!({}), json!(["x0", [1.0, 0.0]])),
        &[[2].into()],
    );
}

#[test]
fn along_an_axis() {
    for class in [
        "Softmax",
        "LogSoftmax",
        "Sparsemax",
        "Cumsum",
        "Cumprod",
        "Normalize",
    ] {
        for axis in [-1, 1] {
            laws(&op(class, json!({"axis": axis})), &[[3, 4].into()]);
        }
        assert!(
            op(class, json!({"axis": 0}))
                .output_shape(&[[3].into()])
                .is_err()
        );
    }
    laws(&op("Softmax", json!({"axis": [1, 2]})), &[[2, 3].into()]);
    assert!(op("Cumsum", json!({})).output_shape(&[[3].into()]).is_err());
    let at = |class: &str, x: &[Float]| {
        apply(
            op(class, json!({"axis": -1})).as_ref(),
            &[(x, &[3])],
            &[None],
            &[],
        )
        .0
    };
    assert_eq!(at("Cumsum", &[1.0, 2.0, 4.0]), [1.0, 3.0, 7.0]);
    assert_eq!(at("Cumprod", &[1.0, 2.0, 4.0]), [1.0, 2.0, 8.0]);
    let unit = at("Normalize", &[0.0, 3.0, 4.0]);
    assert!(
        unit.iter()
            .zip([0.0, 0.6, 0.8])
            .all(|(y, want)| (y - want).abs() < 1e-7)
    );
}

#[test]
fn shapes_and_axes() {
    let shape = |class: &str, config: Value, x: Shape| {
        op(class, config)
            .output_shape(&[x])
            .map(|s| s.dims().to_vec())
    };
    let ok = |class: &str, config: Value, x: Shape, want: &[usize]| {
        let layer = op(class, config.clone());
        let want: Vec<_> = want.iter().copied().map(Some).collect();
        assert_eq!(shape(class, config, x.clone()).unwrap(), want, "{class}");
        laws(&layer, &[x]);
    };
    ok(
        "Reshape",
        json!({"newshape": [-1, 12]}),
        [4, 3].into(),
        &[12],
    );
    ok(
        "Reshape",
        json!({"newshape": [null, 2, -1]}),
        [4, 3].into(),
        &[2, 6],
    );
    ok("ExpandDims", json!({"axis": 1}), [4].into(), &[1, 4]);
    ok(
        "ExpandDims",
        json!({"axis": [-1, 1]}),
        [4].into(),
        &[1, 4, 1],
    );
    ok("Squeeze", json!({"axis": 1}), [1, 4, 1].into(), &[4, 1]);
    ok("Squeeze", json!({"axis": null}), [1, 4, 1].into(), &[4]);
    ok(
        "Transpose",
        json!({"axes": [0, 2, 1]}),
        [4, 3].into(),
        &[3, 4],
    );
    ok(
        "Transpose",
        json!({"axes": [0, 3, 1, 2]}),
        [4, 3, 2].into(),
        &[2, 4, 3],
    );
    ok(
        "Swapaxes",
        json!({"axis1": 1, "axis2": -1}),
        [4, 3, 2].into(),
        &[2, 3, 4],
    );
    ok(
        "Moveaxis",
        json!({"source": 1, "destination": -1}),
        [4, 3, 2].into(),
        &[3, 2, 4],
    );
    ok(
        "Moveaxis",
        json!({"source": [1, 3], "destination": [2, 1]}),
        [4, 3, 2].into(),
        &[2, 4, 3],
    );
    ok(
        "OneHot",
        json!({"num_classes": 5, "axis": 1}),
        [2].into(),
        &[5, 2],
    );
    for (class, config) in [
        ("Reshape", json!({"newshape": [-1]})),
        ("Reshape", json!({"newshape": [2, -1]})),
        ("Reshape", json!({"newshape": [-1, 5]})),
        ("Reshape", json!({"newshape": [-1, -1, null]})),
        ("Reshape", json!({"newshape": [-1, i64::MAX, i64::MAX]})),
        ("ExpandDims", json!({"axis": 0})),
        ("Squeeze", json!({"axis": 1})),
        ("Transpose", json!({"axes": null})),
        ("Transpose", json!({"axes": [1, 0, 2]})),
        ("Transpose", json!({"axes": [0, 1, 1]})),
        ("Swapaxes", json!({"axis1": 0, "axis2": 1})),
        ("Moveaxis", json!({"source": 1, "destination": [1, 2]})),
        ("Moveaxis", json!({"source": 0, "destination": 1})),
    ] {
        assert!(
            shape(class, config.clone(), [4, 3].into()).is_err(),
            "{class} {config}"
        );
    }
    assert_eq!(
        shape(
            "Reshape",
            json!({"newshape": [-1, 4, -1]}),
            [None, Some(4)].into()
        )
        .unwrap(),
        [Some(4), None]
    );
}

fn slice(start: Value, stop: Value, step: Value) -> Value {
    json!({"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}})
}

fn all() -> Value {
    slice(Value::Null, Value::Null, Value::Null)
}

#[test]
fn items() {
    let ellipsis = json!({"class_name": "__ellipsis__", "config": {}});
    let x: Vec<Float> = (0..12).map(|i| i as Float).collect();
    let get = |key: Value| {
        let layer = bound("GetItem", json!({}), json!(["x0", key]));
        laws(&layer, &[[4, 3].into()]);
        let shape = layer
            .output_shape(&[[4, 3].into()])
            .unwrap()
            .known()
            .unwrap()
            .to_vec();
        (
            shape,
            apply(layer.as_ref(), &[(&x, &[4, 3])], &[None], &[]).0,
        )
    };
    let from_one = slice(json!(1), Value::Null, Value::Null);
    assert_eq!(
        get(json!([all(), slice(json!(1), json!(3), Value::Null)])).1,
        x[3..9]
    );
    assert_eq!(get(json!([all(), 0])), (vec![3], vec![0.0, 1.0, 2.0]));
    assert_eq!(
        get(json!([
            all(),
            -1,
            slice(Value::Null, Value::Null, json!(-2))
        ])),
        (vec![2], vec![11.0, 9.0])
    );
    assert_eq!(get(json!([ellipsis, from_one])).0, [4, 2]);
    assert_eq!(
        get(json!([all(), ellipsis, 1])),
        (vec![4], vec![1.0, 4.0, 7.0, 10.0])
    );
    assert_eq!(
        get(json!([all(), null, 1, from_one])),
        (vec![1, 2], vec![4.0, 5.0])
    );
    assert_eq!(
        get(json!([
            slice(json!(0), Value::Null, Value::Null),
            all(),
            null
        ]))
        .0,
        [4, 1, 3]
    );
    assert_eq!(get(all()).1, x);
    for key in [
        json!([0]),
        json!(0),
        json!([from_one]),
        json!([all(), all(), all(), 0]),
        json!([all(), "y"]),
        json!([ellipsis, 0, 0, 0]),
        json!([all(), ellipsis, ellipsis]),
        json!([all(), [0, 1]]),
        json!([all(), slice(Value::Null, Value::Null, json!(0))]),
        json!([all(), 4]),
    ] {
        let refused = call("GetItem", json!({}), json!(["x0", key]))
            .and_then(|(layer, _)| layer.output_shape(&[[4, 3].into()]));
        assert!(refused.is_err(), "{key}");
    }
}

#[test]
fn picking_and_repeating() {
    let x = [1.0, 2.0, 3.0];
    let at = |class: &str, config: Value, args: Value| {
        let layer = bound(class, config, args);
        laws(&layer, &[[3].into()]);
        apply(layer.as_ref(), &[(&x, &[3])], &[None], &[]).0
    };
    assert_eq!(
        at("Flip", json!({"axis": 1}), json!(["x0"])),
        [3.0, 2.0, 1.0]
    );
    assert_eq!(
        at("Roll", json!({"shift": 1, "axis": 1}), json!(["x0"])),
        [3.0, 1.0, 2.0]
    );
    assert_eq!(
        at("Repeat", json!({"repeats": 2, "axis": 1}), json!(["x0"])),
        [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    );
    assert_eq!(
        at("Tile", json!({"repeats": [1, 2]}), json!(["x0"])),
        [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]
    );
    assert_eq!(
        at("Take", json!({"axis": 1}), json!(["x0", [2, 2, -3]])),
        [3.0, 3.0, 1.0]
    );
    let pad = |mode: &str| json!({"pad_width": [[0, 0], [2, 1]], "mode": mode});
    assert_eq!(
        at("Pad", pad("constant"), json!(["x0", 9])),
        [9.0, 9.0, 1.0, 2.0, 3.0, 9.0]
    );
    assert_eq!(
        at("Pad", pad("reflect"), json!(["x0"])),
        [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    );
    assert_eq!(
        at("Pad", pad("symmetric"), json!(["x0"])),
        [2.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    );
    laws(&op("Flip", json!({"axis": [1, 2]})), &[[2, 3].into()]);
    laws(
        &op("Roll", json!({"shift": [1, -1], "axis": [1, 2]})),
        &[[2, 3].into()],
    );
    for (class, config) in [
        ("Flip", json!({"axis": null})),
        ("Roll", json!({"shift": 1, "axis": null})),
        ("Roll", json!({"shift": [1, 2, 3], "axis": [1]})),
        ("Repeat", json!({"repeats": 2})),
        ("Repeat", json!({"repeats": i64::MAX, "axis": 1})),
        ("Tile", json!({"repeats": [2, 1]})),
        ("Pad", json!({"pad_width": 1})),
        (
            "Pad",
            json!({"pad_width": [[0, 0], [3, 0]], "mode": "reflect"}),
        ),
        ("Take", json!({"axis": 0})),
    ] {
        assert!(
            op(class, config.clone())
                .output_shape(&[[3].into()])
                .is_err(),
            "{class} {config}"
        );
    }
    assert_eq!(
        apply(
            op("OneHot", json!({"num_classes": 2})).as_ref(),
            &[(&[1.0, 5.0, -1.0], &[3])],
            &[None],
            &[]
        )
        .0,
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    );
}

#[test]
fn joining_and_parting() {
    let both: &[Shape] = &[[2, 3].into(), [2, 3].into()];
    for axis in [1, -1] {
        laws(&op("Concatenate", json!({"axis": axis})), both);
        laws(&op("Stack", json!({"axis": axis})), both);
        laws(
            &op(
                "Split",
                json!({"indices_or_sections": [1, 2], "axis": axis}),
            ),
            &[[3, 3].into()],
        );
        laws(
            &op("Unstack", json!({"num": null, "axis": axis})),
            &[[2, 2].into()],
        );
    }
    laws(
        &op("Concatenate", json!({"axis": 1})),
        &[[1, 3].into(), [2, 3].into(), [4, 3].into()],
    );
    laws(
        &op("Split", json!({"indices_or_sections": 2, "axis": 1})),
        &[[4, 3].into()],
    );
    let shapes = |class: &str, config: Value| {
        let layer = op(class, config);
        let mut shapes = vec![layer.output_shape(&[[4, 3].into()])?];
        shapes.extend(layer.more_outputs(&[[4, 3].into()])?);
        Ok::<_, crate::Error>(shapes)
    };
    assert_eq!(
        shapes("Split", json!({"indices_or_sections": [1, 3], "axis": 1})).unwrap(),
        [[1, 3].into(), [2, 3].into(), [1, 3].into()]
    );
    assert_eq!(
        shapes("Unstack", json!({"axis": 2})).unwrap(),
        [Shape::from([4]), [4].into(), [4].into()]
    );
    for (class, config) in [
        ("Split", json!({"indices_or_sections": 3, "axis": 1})),
        ("Split", json!({"indices_or_sections": 0, "axis": 1})),
        ("Split", json!({"indices_or_sections": [3, 1], "axis": 1})),
        ("Split", json!({"indices_or_sections": [5], "axis": 1})),
        ("Split", json!({"indices_or_sections": 2, "axis": 0})),
        ("Unstack", json!({"num": 3, "axis": 1})),
    ] {
        assert!(shapes(class, config.clone()).is_err(), "{class} {config}");
    }
    assert!(
        op("Concatenate", json!({"axis": 0}))
            .output_shape(both)
            .is_err()
    );
    assert!(
        op("Stack", json!({"axis": 1}))
            .output_shape(&[[2].into(), [3].into()])
            .is_err()
    );
    assert!(call("Concatenate", json!({"axis": 1}), json!([["x0", 1.0]])).is_err());
}

#[test]
fn products() {
    let einsum = |text: &str| op("Einsum", json!({"subscripts": text}));
    laws(&einsum("btd,bsd->bts"), &[[3, 2].into(), [4, 2].into()]);
    laws(&einsum("...i,...i->..."), &[[3, 2].into(), [3, 2].into()]);
    laws(&einsum("bi,bi->bi"), &[[3].into(), [3].into()]);
    laws(&einsum("b...,b...->b..."), &[[1, 3].into(), [2, 1].into()]);
    laws(
        &bound("Einsum", json!({"subscripts": "bij->bji"}), json!(["x0"])),
        &[[2, 3].into()],
    );
    laws(
        &bound("Einsum", json!({"subscripts": "bii->b"}), json!(["x0"])),
        &[[3, 3].into()],
    );
    laws(
        &bound(
            "Einsum",
            json!({"subscripts": "bi,ij->bj"}),
            json!(["x0", [[1, 2], [3, 4], [5, 6]]]),
        ),
        &[[3].into()],
    );
    laws(&op("Matmul", json!({})), &[[2, 3].into(), [3, 4].into()]);
    laws(
        &op("Matmul", json!({})),
        &[[2, 2, 3].into(), [1, 3, 2].into()],
    );
    laws(
        &bound("Matmul", json!({}), json!(["x0", [[1, 2], [3, 4]]])),
        &[[2].into()],
    );
    laws(
        &bound("Matmul", json!({}), json!(["x0", [1, 2]])),
        &[[3, 2].into()],
    );
    laws(
        &bound("Dot", json!({}), json!(["x0", [[1, 2], [3, 4]]])),
        &[[3, 2].into()],
    );
    laws(
        &bound(
            "Dot",
            json!({}),
            json!(["x0", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]]),
        ),
        &[[3, 2].into()],
    );
    let y = apply(
        op("Matmul", json!({})).as_ref(),
        &[(&[1.0, 2.0], &[1, 2]), (&[3.0, 4.0], &[2, 1])],
        &[None, None],
        &[],
    );
    assert_eq!(y.0, [11.0]);
    for (class, config, inputs) in [
        ("Matmul", json!({}), [Shape::from([3]), [3].into()]),
        ("Matmul", json!({}), [[2, 3].into(), [2, 3].into()]),
        ("Dot", json!({}), [[3].into(), [3].into()]),
        (
            "Einsum",
            json!({"subscripts": "bi,bj->ij"}),
            [[3].into(), [3].into()],
        ),
        (
            "Einsum",
            json!({"subscripts": "bi,bj"}),
            [[3].into(), [3].into()],
        ),
        (
            "Einsum",
            json!({"subscripts": ""}),
            [[3].into(), [3].into()],
        ),
    ] {
        assert!(
            op(class, config.clone()).output_shape(&inputs).is_err(),
            "{class} {config} {inputs:?}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (class, config) in [
        ("Add", json!({"axis": 1})),
        ("Mean", json!({"axis": "x"})),
        ("Mean", json!({"keepdims": 3})),
        ("Clip", json!({"x_min": 1})),
        ("Norm", json!({"ord": 3})),
        ("Norm", json!({"ord": 1, "axis": [1, 2]})),
        ("Pad", json!({"pad_width": [[0, -1]]})),
        ("Cast", json!({"dtype": "string"})),
        ("OneHot", json!({"num_classes": -2})),
        ("OneHot", json!({"num_classes": 2, "sparse": true})),
        ("Max", json!({"axis": 1, "initial": "x"})),
        ("Normalize", json!({"order": 1})),
        ("Swapaxes", json!({"axis1": 1})),
    ] {
        let read = from_config(class, config.as_object().unwrap()).unwrap();
        assert!(read.is_err(), "{class} {config}");
    }
    assert!(
        op("Clip", json!({"x_min": 1, "x_max": 0}))
            .output_shape(&[[2].into()])
            .is_err()
    );
    assert!(from_config("NoSuchOperation", &Default::default()).is_none());
    let add = op("Add", json!({}));
    assert!(add.output_shape(&[[2, 3].into(), [3].into()]).is_err());
    assert!(add.output_shape(&[[2].into()]).is_err());
    assert!(call("Add", json!({}), json!(["x0"])).is_err());
    assert!(call("Exp", json!({}), json!(["x0", "x1"])).is_err());
}

#[test]
fn the_table_has_every_class_once() {
    for (i, (class, module, _)) in TABLE.iter().enumerate() {
        assert!(
            !TABLE[..i].iter().any(|(other, _, _)| other == class),
            "{class} twice"
        );
        assert!(module.starts_with("keras.src.ops."));
    }
}
