//! Gated recurrent unit: `h' = z h + (1 - z) n` with gates `z r` and the candidate `n`.
//!
//! With `reset_after`: `z, r = rec(x W + h U + b)`, `m = h U_n + b'_n`, `n = act(x W_n + b_n + r m)`; without,
//! `n = act(x W_n + b_n + (r h) U_n)`. Backward: `dn = dh' (1 - z) act'`, `dz = dh' (h - n) rec'`, and `dm = dn r`,
//! `dr = dn m rec'`, or `d(r h) = dn U_n^T`, `dr = d(r h) h rec'`; `dh = dh' z` and what comes back through the products.
//! x: (features)  h: (units)  W: (features, 3 units)  U: (units, 3 units)  b: (2, 3 units) or (3 units).
//!
//! Gates lie as `[z r n m]`.

use super::cell::{Step, StepBack};
use super::formula::{Arguments, Context, Formula, RecurrentCell};
use super::layer::RecurrentLayer;
use super::products::{Product, Products};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::kernels::gates;
use crate::layer::{Accum, Par};
use crate::shape::Dims;

/// Gated recurrent unit. [Keras](https://keras.io/api/layers/recurrent_layers/gru/)
///
/// Input `(batch, time, features)`, output `(batch, units)`, or `(batch, time, units)` with `return_sequences`. Arguments are those
/// of [`RecurrentCell`] and [`RecurrentLayer`]; weights `kernel (features, 3 units)`, `recurrent_kernel (units, 3 units)`,
/// `bias (2, 3 units)` (`(3 units)` without `reset_after`), the gates in the order update, reset, candidate.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([None, Some(3)]).add(GRU::new(4).return_sequences(true)).add(GRU::new(2));
/// model.build([None, Some(3)])?;
/// let y = model.predict(&ndarray::Array3::<f32>::ones((5, 7, 3)))?;
/// assert_eq!(y.shape(), [5, 2]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GRU = RecurrentLayer<GRUCell>;

/// The cell of [`GRU`]; arguments are those of [`RecurrentCell`]. [Keras](https://keras.io/api/layers/recurrent_layers/gru_cell/)
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 2]).add(RNN::new(GRUCell::new(3).reset_after(false)));
/// model.build([5, 2])?;
/// assert_eq!(model.count_params(), 2 * 9 + 3 * 9 + 9);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type GRUCell = RecurrentCell<Gru>;

/// The formula of [`GRU`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Gru;

impl Formula for Gru {
    const LAYER: &'static str = "GRU";
    const CELL: &'static str = "GRUCell";
    const GATES: usize = 3;
    const STATES: usize = 1;
    const GATED: bool = true;
    const UNIT_FORGET_BIAS: bool = false;
    const RESET_AFTER: bool = true;

    fn products(args: &Arguments, features: usize, copies: usize) -> Products {
        let (u, width, after) = (args.units, features + args.units, reset_after(args));
        let inputs = copies * width + if after { 0 } else { u };
        let n = 3 * u / copies;
        let kernel = (0..copies).map(move |c| Product {
            weight: 0,
            input: c * width,
            k: features,
            col: c * n,
            n,
            gate: c * n,
            accum: Accum::Replace,
        });
        // The products of z and r: together, or each with its own factors.
        let (pairs, n) = if copies == 1 { (1, 2 * u) } else { (2, u) };
        let gates = (0..pairs).map(move |c| Product {
            weight: 1,
            input: c * width + features,
            k: u,
            col: c * n,
            n,
            gate: c * n,
            accum: Accum::Add,
        });
        let candidate = Product {
            weight: 1,
            input: if after {
                (copies - 1) * width + features
            } else {
                inputs - u
            },
            k: u,
            col: 2 * u,
            n: u,
            gate: if after { 3 * u } else { 2 * u },
            accum: if after { Accum::Replace } else { Accum::Add },
        };
        let all = kernel.chain(gates).chain([candidate]);
        Products::new(3 * u, inputs, 4 * u, all)
    }

    fn bias(args: &Arguments) -> Dims {
        match reset_after(args) {
            true => Dims::from([2, 3 * args.units]),
            false => Dims::from([3 * args.units]),
        }
    }

    fn kept(args: &Arguments) -> usize {
        // The h before; with other activations also the pre-activations.
        args.units * if usual(args) { 1 } else { 1 + 3 }
    }

    fn scratch(args: &Arguments) -> usize {
        if usual(args) { 0 } else { 3 * args.units }
    }

    fn step(cx: Context<'_>, step: Step<'_>) {
        let (u, products) = (cx.args.units, cx.products);
        let kept = Gru::kept(cx.args);
        for (kept, h) in step
            .kept
            .chunks_exact_mut(kept)
            .zip(step.state.chunks_exact(u))
        {
            kept[..u].copy_from_slice(h);
        }
        for p in products
            .of(1)
            .filter(|p| p.col < 2 * u || reset_after(cx.args))
        {
            products.run(p, cx.at, step.inputs, step.gates);
        }
        match usual(cx.args) {
            true => gates::gru(u, cx.bias(), step.gates, step.state, step.next),
            false => any_step(cx, step),
        }
    }

    fn back(cx: Context<'_>, step: &mut StepBack<'_>) {
        let u = cx.args.units;
        match usual(cx.args) {
            true => gates::gru_back(u, step.gates, step.kept, u, step.dstate),
            false => any_back(cx, step),
        }
        for p in cx
            .products
            .of(1)
            .filter(|p| p.col < 2 * u || reset_after(cx.args))
        {
            let (dh, scratch) = (&mut *step.dstate, &mut *step.scratch);
            cx.back(p, step.gates, Accum::Add, dh, u, scratch);
        }
    }

    fn bias_gradient(
        args: &Arguments,
        products: &Products,
        gates: &[Float],
        accum: Accum,
        dbias: &mut [Float],
        par: Par,
    ) {
        let u = args.units;
        let (of_x, of_h) = dbias.split_at_mut(3 * u);
        products.sums(0, 3 * u, gates, accum, of_x, par);
        if !of_h.is_empty() {
            let (zr, n) = of_h.split_at_mut(2 * u);
            products.sums(0, 2 * u, gates, accum, zr, par);
            products.sums(3 * u, u, gates, accum, n, par);
        }
    }
}

fn reset_after(args: &Arguments) -> bool {
    args.reset_after == Some(true)
}

/// Whether all is done by the sweep made for it.
fn usual(args: &Arguments) -> bool {
    reset_after(args) && args.usual()
}

/// Numbers before `r h` in a row of inputs.
fn place_of_rh(products: &Products, units: usize) -> usize {
    products.inputs - units
}

/// A step with any activations, or with the reset before the product. `kept`: `[h before, z of z, r and n]`.
fn any_step(cx: Context<'_>, step: Step<'_>) {
    let (args, u, after) = (cx.args, cx.args.units, reset_after(cx.args));
    let (bias, width) = (cx.bias(), cx.products.inputs);
    let at = place_of_rh(cx.products, u); // behind the h that the candidate sees, dropped out or not
    let rows = step.gates.chunks_exact_mut(4 * u);
    for ((gates, kept), inputs) in rows
        .zip(step.kept.chunks_exact_mut(4 * u))
        .zip(step.inputs.chunks_exact_mut(width))
    {
        if let Some(bias) = bias {
            elementwise::add(&bias[..3 * u], &mut gates[..3 * u]);
            if after {
                elementwise::add(&bias[3 * u..5 * u], &mut gates[..2 * u]);
                elementwise::add(&bias[5 * u..], &mut gates[3 * u..]);
            }
        }
        kept[u..3 * u].copy_from_slice(&gates[..2 * u]);
        args.recurrent_activation().apply(&mut gates[..2 * u], u);
        let (zr, nm) = gates.split_at_mut(2 * u);
        match after {
            true => {
                let (n, m) = nm.split_at_mut(u);
                elementwise::mul_add(&zr[u..], m, n);
            }
            false => {
                let (before, rh) = inputs.split_at_mut(at);
                elementwise::mul_to(&zr[u..], &before[at - u..], rh);
            }
        }
    }
    if let (false, Some(p)) = (after, cx.products.of(1).last()) {
        cx.products.run(p, cx.at, step.inputs, step.gates);
    }
    let rows = step.gates.chunks_exact_mut(4 * u);
    for (((gates, kept), state), next) in rows
        .zip(step.kept.chunks_exact_mut(4 * u))
        .zip(step.state.chunks_exact(u))
        .zip(step.next.chunks_exact_mut(u))
    {
        kept[3 * u..].copy_from_slice(&gates[2 * u..3 * u]);
        args.activation.apply(&mut gates[2 * u..3 * u], u);
        for j in 0..u {
            let (z, n) = (gates[j], gates[2 * u + j]);
            next[j] = n + z * (state[j] - n);
        }
    }
}

/// The way back of [`any_step`].
fn any_back(cx: Context<'_>, step: &mut StepBack<'_>) {
    let (args, u, after) = (cx.args, cx.args.units, reset_after(cx.args));
    let rec = args.recurrent_activation();
    let (work, drh) = step.scratch.split_at_mut(2 * u);
    let (a, b) = work.split_at_mut(u);
    for ((gates, kept), dstate) in step
        .gates
        .chunks_exact_mut(4 * u)
        .zip(step.kept.chunks_exact(4 * u))
        .zip(step.dstate.chunks_exact_mut(u))
    {
        let [z, r, n, m] = cut(gates, u);
        for j in 0..u {
            a[j] = dstate[j] * (1.0 - z[j]);
            b[j] = dstate[j] * (kept[j] - n[j]);
            dstate[j] *= z[j];
        }
        args.activation.grad(n, &kept[3 * u..], a, u);
        rec.grad(z, &kept[u..2 * u], b, u);
        z.copy_from_slice(b);
        n.copy_from_slice(a);
        if after {
            elementwise::mul_to(a, m, b);
            elementwise::mul_to(a, r, m);
            rec.grad(r, &kept[2 * u..3 * u], b, u);
            r.copy_from_slice(b);
        }
    }
    if after {
        return;
    }
    let Some(p) = cx.products.of(1).last() else {
        return;
    };
    let rows = step.gates.len() / (4 * u);
    let drh = &mut drh[..rows * u];
    cx.products
        .back(p, cx.at, step.gates, Accum::Replace, drh, u);
    let (h_at, masks) = (place_of_rh(cx.products, u) - u, cx.at.masks.len() / rows);
    let inputs = step.inputs.chunks_exact(cx.products.inputs);
    for (row, ((gates, drh), inputs)) in step
        .gates
        .chunks_exact_mut(4 * u)
        .zip(drh.chunks_exact_mut(u))
        .zip(inputs)
        .enumerate()
    {
        let [_, r, ..] = cut(gates, u);
        elementwise::mul_to(drh, &inputs[h_at..h_at + u], b);
        elementwise::mul(r, drh);
        if masks > 0 {
            elementwise::mul(&cx.at.masks[row * masks + h_at..][..u], drh);
        }
        elementwise::add(drh, &mut step.dstate[row * u..(row + 1) * u]);
        rec.grad(r, &step.kept[row * 4 * u + 2 * u..][..u], b, u);
        r.copy_from_slice(b);
    }
}

/// The four parts of a row of gates.
fn cut(gates: &mut [Float], u: usize) -> [&mut [Float]; 4] {
    let (zr, nm) = gates.split_at_mut(2 * u);
    let ((z, r), (n, m)) = (zr.split_at_mut(u), nm.split_at_mut(u));
    [z, r, n, m]
}
