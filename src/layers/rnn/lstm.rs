//! Long short-term memory: `c' = f c + i g`, `h' = o act(c')` with gates `i f g o` of `z = x W + h U + b`.
//!
//! `i, f, o = rec(z_i), rec(z_f), rec(z_o)` and `g = act(z_g)`. Backward, with `t = act(c')`: `do = dh' t`,
//! `dc += dh' o act'(c')`, `di = dc g`, `df = dc c`, `dg = dc i`, `dc_before = dc f`, each gate times the slope of its
//! activation; then `dx = dz W^T`, `dh = dz U^T`, and over all steps `dW += x^T dz`, `dU += h^T dz`, `db += sum dz`.
//! x: (features)  h, c: (units)  W: (features, 4 units)  U: (units, 4 units)  b: (4 units).

use super::cell::{Step, StepBack};
use super::formula::{Arguments, Context, Formula, RecurrentCell};
use super::layer::RecurrentLayer;
use super::products::{Product, Products};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::gates;
use crate::layer::Accum;

/// Long short-term memory. [Keras](https://keras.io/api/layers/recurrent_layers/lstm/)
///
/// Input `(batch, time, features)`, output `(batch, units)`, or `(batch, time, units)` with `return_sequences`; the states are
/// `h` and `c`. Arguments are those of [`RecurrentCell`] and [`RecurrentLayer`]; weights `kernel (features, 4 units)`,
/// `recurrent_kernel (units, 4 units)`, `bias (4 units)`, the gates in the order input, forget, candidate, output.
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::{Array2, Array3, Axis};
/// // Which of two sequences has the larger sum?
/// let x = Array3::from_shape_fn((64, 5, 2), |(i, t, c)| ((i * 7 + t * 3 + c * 5) % 11) as f32 / 11.0);
/// let sums = x.sum_axis(Axis(1));
/// let y = Array2::from_shape_fn((64, 1), |(i, _)| (sums[[i, 0]] > sums[[i, 1]]) as u8 as f32);
/// let mut model = Sequential::new().seed(1).input([5, 2]).add(LSTM::new(8)).add(Dense::new(1).activation("sigmoid"));
/// model.compile(Adam::new(0.05), "binary_crossentropy", ["accuracy"])?;
/// let history = model.fit(&x, &y, Fit::epochs(30).verbose(0))?;
/// assert!(history.last("accuracy").unwrap() > 0.9);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type LSTM = RecurrentLayer<LSTMCell>;

/// The cell of [`LSTM`]; arguments are those of [`RecurrentCell`]. [Keras](https://keras.io/api/layers/recurrent_layers/lstm_cell/)
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 2]).add(RNN::new(LSTMCell::new(3)));
/// model.build([5, 2])?;
/// assert_eq!(model.count_params(), 2 * 12 + 3 * 12 + 12);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type LSTMCell = RecurrentCell<Lstm>;

/// The formula of [`LSTM`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Lstm;

impl Formula for Lstm {
    const LAYER: &'static str = "LSTM";
    const CELL: &'static str = "LSTMCell";
    const GATES: usize = 4;
    const STATES: usize = 2;
    const GATED: bool = true;
    const UNIT_FORGET_BIAS: bool = true;
    const RESET_AFTER: bool = false;

    fn products(args: &Arguments, features: usize, copies: usize) -> Products {
        let (units, width) = (args.units, features + args.units);
        let n = 4 * units / copies;
        let pair = move |c: usize| {
            [0, 1].map(|weight| Product {
                weight,
                input: c * width + weight * features,
                k: if weight == 0 { features } else { units },
                col: c * n,
                n,
                gate: c * n,
                accum: if weight == 0 {
                    Accum::Replace
                } else {
                    Accum::Add
                },
            })
        };
        let inputs = copies * width + usize::from(args.use_bias);
        Products::new(4 * units, inputs, 4 * units, (0..copies).flat_map(pair))
    }

    fn bias_initializer(args: &Arguments) -> Initializer {
        match args.unit_forget_bias {
            Some(true) => forget_bias(&args.bias_initializer),
            _ => args.bias_initializer.clone(),
        }
    }

    fn kept(args: &Arguments) -> usize {
        // The c before and act(c); with other activations also c, and the pre-activations.
        args.units * if args.usual() { 2 } else { 3 + 4 }
    }

    fn scratch(args: &Arguments) -> usize {
        if args.usual() { 0 } else { args.units }
    }

    fn step(cx: Context<'_>, step: Step<'_>) {
        for p in cx.products.of(1) {
            cx.products.run(p, cx.at, step.inputs, step.gates);
        }
        let (units, bias) = (cx.args.units, cx.bias());
        match cx.args.usual() {
            true => gates::lstm(units, bias, step.gates, step.state, step.next, step.kept),
            false => any_step(cx.args, bias, step.gates, step.state, step.next, step.kept),
        }
    }

    fn back(cx: Context<'_>, step: &mut StepBack<'_>) {
        let units = cx.args.units;
        match cx.args.usual() {
            true => gates::lstm_back(units, step.gates, step.kept, step.dstate),
            false => any_back(cx.args, step.gates, step.kept, step.dstate, step.scratch),
        }
        let mut accum = Accum::Replace;
        for p in cx.products.of(1) {
            let (dh, scratch) = (&mut *step.dstate, &mut *step.scratch);
            cx.back(p, step.gates, accum, dh, 2 * units, scratch);
            accum = Accum::Add;
        }
    }
}

/// The bias starts as `initializer` says, but that of the forget gate at 1.
pub(super) fn forget_bias(initializer: &Initializer) -> Initializer {
    let initializer = initializer.clone();
    Initializer::custom("unit_forget_bias", move |shape, rng, bias| {
        let units = shape[0] / 4;
        let (i, rest) = bias.split_at_mut(units);
        let (f, go) = rest.split_at_mut(units);
        f.fill(1.0);
        for (part, len) in [(i, units), (go, 2 * units)] {
            // Checked with the layer's other arguments.
            let _ = initializer.fill(&[len], rng, part);
        }
    })
}

/// A step with any activations. `kept`: `[c before, act(c), c, z (4)]`.
pub(super) fn any_step(
    args: &Arguments,
    bias: Option<&[Float]>,
    gates: &mut [Float],
    state: &[Float],
    next: &mut [Float],
    kept: &mut [Float],
) {
    let u = args.units;
    let rows = gates.chunks_exact_mut(4 * u).zip(state.chunks_exact(2 * u));
    let rows = rows
        .zip(next.chunks_exact_mut(2 * u))
        .zip(kept.chunks_exact_mut(7 * u));
    for (((gates, state), next), kept) in rows {
        if let Some(bias) = bias {
            gates.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
        }
        kept[3 * u..].copy_from_slice(gates);
        let rec = args.recurrent_activation();
        rec.apply(&mut gates[..2 * u], u);
        args.activation.apply(&mut gates[2 * u..3 * u], u);
        rec.apply(&mut gates[3 * u..], u);
        kept[..u].copy_from_slice(&state[u..]);
        for j in 0..u {
            next[u + j] = gates[u + j] * state[u + j] + gates[j] * gates[2 * u + j];
        }
        kept[u..2 * u].copy_from_slice(&next[u..]);
        kept[2 * u..3 * u].copy_from_slice(&next[u..]);
        args.activation.apply(&mut kept[u..2 * u], u);
        for j in 0..u {
            next[j] = gates[3 * u + j] * kept[u + j];
        }
    }
}

/// The way back of [`any_step`].
pub(super) fn any_back(
    args: &Arguments,
    gates: &mut [Float],
    kept: &[Float],
    dstate: &mut [Float],
    scratch: &mut [Float],
) {
    let u = args.units;
    let rows = gates.chunks_exact_mut(4 * u).zip(kept.chunks_exact(7 * u));
    let dt = &mut scratch[..u];
    for ((gates, kept), dstate) in rows.zip(dstate.chunks_exact_mut(2 * u)) {
        let (before, t, c, z) = (
            &kept[..u],
            &kept[u..2 * u],
            &kept[2 * u..3 * u],
            &kept[3 * u..],
        );
        let (dh, dc) = dstate.split_at_mut(u);
        for j in 0..u {
            dt[j] = dh[j] * gates[3 * u + j];
        }
        args.activation.grad(t, c, dt, u);
        dc.iter_mut().zip(&*dt).for_each(|(dc, dt)| *dc += dt);
        // Each gate's own value is needed for its slope: the gradient is made beside it.
        let slope = |g: usize, gates: &mut [Float], dt: &mut [Float]| {
            let activation = if g == 2 {
                &args.activation
            } else {
                args.recurrent_activation()
            };
            let part = g * u..(g + 1) * u;
            activation.grad(&gates[part.clone()], &z[part.clone()], dt, u);
            gates[part].copy_from_slice(dt);
        };
        for j in 0..u {
            dt[j] = dh[j] * t[j];
        }
        slope(3, gates, dt);
        let (i, f, g) = (0, u, 2 * u);
        // dh is used up: it holds the gradient of i, which g's needs the value of.
        for j in 0..u {
            dh[j] = dc[j] * gates[g + j];
            dt[j] = dc[j] * gates[i + j];
        }
        slope(2, gates, dt);
        slope(0, gates, dh);
        for j in 0..u {
            dh[j] = dc[j] * before[j];
            dc[j] *= gates[f + j];
        }
        slope(1, gates, dh);
    }
}
