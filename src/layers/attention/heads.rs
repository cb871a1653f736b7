//! What multi-head and grouped-query attention share: projections, attention over heads, masks, the arguments of a call.
//!
//! `q = x_q W_q + b_q` (t, heads, h), `k = x_k W_k + b_k` (s, kv_heads, h), `v = x_v W_v + b_v` (s, kv_heads, hv);
//! `C = attention(q / sqrt(h), k, v)` (t, heads, hv) as in [`attention`](crate::kernels::attention); `y = C W_o + b_o`, with a gate
//! `y = (C sigmoid(x_q W_g + b_g)) W_o + b_o`. Backward goes the same way back, with `db_k = 0`; of the forward pass it needs q, k, v, the weights
//! of the attention, C and the gate.

use super::head_shapes::Args;
use super::masks::{Hidden, Pairs, flags};
use super::projection::{Projection, Style};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::attention::{Dropped, Heads, ROWS};
use crate::kernels::elementwise::{mul, mul_to, scale, sigmoid};
use crate::layer::{
    Accum, Backward, Buffers, Contract, Forward, Len, Mask, MaskRule, Mode, Par, View,
};
use crate::layers::layout::Layout;
use crate::shape::{Dims, Shape};

/// Logits of hidden places.
const NEVER: Float = Float::MIN / 2.0;

/// A layer's arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core<'a> {
    pub style: Style<'a>,
    /// Sub-paths of query, key, gate, value and output in files.
    pub groups: [&'static str; 5],
    pub heads: usize,
    pub kv_heads: usize,
    pub h: usize,
    pub hv: usize,
    pub use_gate: bool,
    pub dropout: f64,
    pub seed: Option<u64>,
    pub window: Option<usize>,
    pub flash: bool,
    /// Axes attended over, with the batch; none: all but the last.
    pub axes: Option<&'a [i64]>,
    /// Axes of the output in place of the features of the query.
    pub output: Option<&'a [usize]>,
    pub args: Args,
}

/// Sizes for inputs of known shapes.
#[derive(Clone, Copy)]
struct Sizes {
    heads: Heads,
    /// Groups of a sample, and of all samples.
    groups: usize,
    all: usize,
    layouts: [Layout; 3],
    out: usize,
}

impl Sizes {
    /// Threads over the groups, where there is enough for them.
    fn worth(&self, par: Par) -> Par {
        let Heads {
            t, s, heads, h, hv, ..
        } = self.heads;
        let work = self.all.saturating_mul(heads * t * s * (h + hv));
        if work < 1 << 16 { Par::Serial } else { par }
    }
}

impl Core<'_> {
    /// For inputs that have been checked.
    fn sizes(&self, shapes: [&[usize]; 3], batch: usize) -> Sizes {
        let [q, v, k] = shapes;
        let mut set = self.attended(q.len()).expect("checked");
        let size = |x: &[usize]| -> usize {
            (0..x.len() - 1)
                .filter(|a| set.has(*a))
                .map(|a| x[a])
                .product()
        };
        let heads = Heads {
            t: size(q),
            s: size(v),
            heads: self.heads,
            kv_heads: self.kv_heads,
            h: self.h,
            hv: self.hv,
        };
        set.add(q.len() - 1);
        let layouts = [q, v, k].map(|x| Layout::new(set, x));
        let out = match self.output {
            Some(output) => output.iter().product(),
            None => q[q.len() - 1],
        };
        Sizes {
            heads,
            groups: layouts[0].rows,
            all: layouts[0].rows * batch,
            layouts,
            out,
        }
    }

    pub(super) fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let [q, v, k] = [&inputs[0], &inputs[1], &inputs[self.args.key.unwrap_or(1)]];
        let sizes = self.sizes([q, v, k], 1);
        let Sizes {
            heads:
                Heads {
                    t,
                    s,
                    heads,
                    kv_heads,
                    h,
                    hv,
                },
            groups,
            ..
        } = sizes;
        let each = |n: usize| Len::PerSample(groups * n);
        let only = |yes: bool, n: usize| each(if yes { n } else { 0 });
        let (context, weights) = (t * heads * hv, heads * t * s);
        let moved = |n: usize| only(!sizes.layouts[0].plain, n);
        let (tq, sv, sk) = (t * q.last(), s * v.last(), s * k.last());
        Buffers {
            // q, k, v, weights, weights after dropout, context, gate
            saved: vec![
                each(t * heads * h),
                each(s * kv_heads * h),
                each(s * kv_heads * hv),
                each(weights),
                only(self.dropout > 0.0, weights),
                each(context),
                only(self.use_gate, context),
                // 1 where weights were dropped.
                Len::Fixed(1),
            ],
            // inputs and outputs whose axes were moved; gradients of context, gate, q, k, v; rows of dP
            scratch: vec![
                moved(tq),
                moved(sv),
                moved(if self.args.key.is_some() { sk } else { 0 }),
                moved(t * sizes.out),
                moved(tq.max(sv).max(sk)),
                each(context),
                only(self.use_gate, context),
                each(t * heads * h),
                each(s * kv_heads * h),
                each(s * kv_heads * hv),
                each(ROWS * s),
            ],
            ..Buffers::default()
        }
    }

    pub(super) fn contract(&self, takes_masks: bool) -> Contract {
        Contract {
            overwrites_dw: true,
            mask: MaskRule::Compute,
            takes_masks,
            ..Contract::default()
        }
    }

    /// The output's mask is the query's; the others are only checked.
    pub(super) fn mask_shape(
        &self,
        inputs: &[Shape],
        masks: &[Option<Shape>],
    ) -> Result<Option<Shape>> {
        let [q, v, _] = self.inputs(inputs)?;
        let set = self.attended(q.rank())?;
        let front = |x: &Shape| Shape::from(x.dims()[..x.rank() - 1].to_vec());
        for (i, x, name) in [
            (Some(0), q, "query_mask"),
            (Some(1), v, "value_mask"),
            (self.args.key, v, "key_mask"),
        ] {
            if let Some(mask) = i.and_then(|i| masks[i].as_ref()) {
                self.check_mask(name, mask, &front(x), set)?;
            }
        }
        Ok(masks[0].clone())
    }

    fn hidden<'a>(&self, sizes: &Sizes, x: &[View<'a>], masks: &[Option<Mask<'a>>]) -> Hidden<'a> {
        let Heads { t, s, heads, .. } = sizes.heads;
        let shape = x[0].shape;
        let set = self.attended(shape.len()).expect("checked");
        let pairs = self.args.attention_mask.map(|i| {
            let mut lead = Dims::default();
            let others = (0..shape.len() - 1).filter(|axis| !set.has(*axis));
            others.for_each(|axis| lead.push(shape[axis]));
            let attended = shape.len() - 1 - lead.len();
            lead.push(heads);
            Pairs::new(x[i], &lead, 2 * attended, (t, s))
        });
        Hidden {
            t,
            s,
            groups: sizes.groups,
            queries: flags(self.args.query_mask, Some(0), x, masks),
            values: flags(self.args.value_mask, Some(1), x, masks),
            keys: flags(self.args.key_mask, self.args.key, x, masks),
            pairs,
            causal: self.args.causal,
            window: self.window,
        }
    }

    /// Whether weights of hidden places are 0 even where a query sees nothing at all. Otherwise it sees everything alike: Keras
    /// takes the one way or the other depending on what else is asked for.
    fn blind(&self, rank: usize) -> bool {
        self.dropout > 0.0 || self.args.scores || rank != 2
    }

    fn views<'a>(&self, x: &[View<'a>]) -> [View<'a>; 3] {
        [x[0], x[1], x[self.args.key.unwrap_or(1)]]
    }

    pub(super) fn forward(&self, mut cx: Forward<'_>) {
        let [xq, xv, xk] = self.views(cx.x);
        let sizes = self.sizes([xq.shape, xv.shape, xk.shape], xq.batch);
        let Sizes {
            heads,
            all,
            layouts,
            ..
        } = sizes;
        let Heads {
            t,
            s,
            heads: n,
            kv_heads,
            h,
            hv,
        } = heads;
        let [q, k, v, p, dropped, context, gate, drop] = cx.saved.all();
        let [mq, mv, mk, my, _, gated, ..] = scratch(cx.scratch);
        let par = cx.par;
        let xq_in = layouts[0].enter(xq.data, xq.shape, mq, par);
        let xv_in = layouts[1].enter(xv.data, xv.shape, mv, par);
        let xk_in = match self.args.key {
            Some(_) => layouts[2].enter(xk.data, xk.shape, mk, par),
            None => xv_in,
        };
        let bias = self.style.use_bias;
        Projection::next(&mut cx.w, bias, n * h).forward(xq_in, q, par);
        scale(1.0 / (h as Float).sqrt(), q);
        Projection::next(&mut cx.w, bias, kv_heads * h).forward(xk_in, k, par);
        if self.use_gate {
            Projection::next(&mut cx.w, bias, n * hv).forward(xq_in, gate, par);
            sigmoid(gate);
        }
        Projection::next(&mut cx.w, bias, kv_heads * hv).forward(xv_in, v, par);

        let hidden = self.hidden(&sizes, cx.x, cx.masks);
        let (blind, drops) = (
            self.blind(xq.shape.len()),
            self.dropout > 0.0 && cx.mode == Mode::Train,
        );
        drop[0] = Float::from(u8::from(drops));
        let rng = self.seed.map_or(cx.rng, |seed| cx.rng.reseeded(seed));
        let lens = [n * t * s, if drops { n * t * s } else { 0 }, t * n * hv];
        let (q, k, v) = (&*q, &*k, &*v);
        sizes.worth(par).for_each_cut(
            all,
            [&mut *p, dropped, &mut *context],
            lens,
            |g, [p, dropped, context]| {
                let (q, kv) = (&q[g * t * n * h..][..t * n * h], g * s * kv_heads);
                let (k, v) = (
                    &k[kv * h..][..s * kv_heads * h],
                    &v[kv * hv..][..s * kv_heads * hv],
                );
                let hide = |head: usize, rows: &mut [Float]| {
                    hidden.each(g, head, 0, rows, |row| row.fill(NEVER))
                };
                let finish = |head: usize, rows: &mut [Float]| {
                    if blind {
                        hidden.each(g, head, 0, rows, |row| row.fill(0.0));
                    }
                };
                heads.weights(q, k, p, hide, finish, par);
                if drops {
                    dropped.copy_from_slice(p);
                    rng.at(g as u64).dropout(self.dropout, dropped);
                    heads.combine(dropped, v, context, par);
                } else {
                    heads.combine(p, v, context, par);
                }
            },
        );
        if let Some(scores) = cx.more.first_mut() {
            scores.data.copy_from_slice(p);
        }
        let output = Projection::next(&mut cx.w, bias, sizes.out);
        let context: &[Float] = if self.use_gate {
            mul_to(context, gate, gated);
            gated
        } else {
            context
        };
        if layouts[0].plain {
            return output.forward(context, cx.y.data, par);
        }
        output.forward(context, my, par);
        leave(&layouts[0], xq.shape, sizes.out, my, cx.y.data, par);
    }

    pub(super) fn backward(&self, mut cx: Backward<'_>) {
        let [xq, xv, xk] = self.views(cx.x);
        let sizes = self.sizes([xq.shape, xv.shape, xk.shape], xq.batch);
        let Sizes {
            heads,
            all,
            layouts,
            ..
        } = sizes;
        let Heads {
            t,
            s,
            heads: n,
            kv_heads,
            h,
            hv,
        } = heads;
        let [q, k, v, p, dropped, context, gate, drop] = cx.saved.all();
        let [mq, mv, mk, my, md, dcontext, gated, dq, dk, dv, room] = scratch(cx.scratch);
        let (par, bias, accum) = (cx.par, self.style.use_bias, cx.accum);
        let xq_in = layouts[0].enter(xq.data, xq.shape, mq, par);
        let xv_in = layouts[1].enter(xv.data, xv.shape, mv, par);
        let xk_in = match self.args.key {
            Some(_) => layouts[2].enter(xk.data, xk.shape, mk, par),
            None => xv_in,
        };
        let wq = Projection::next(&mut cx.w, bias, n * h);
        let wk = Projection::next(&mut cx.w, bias, kv_heads * h);
        let wg = self
            .use_gate
            .then(|| Projection::next(&mut cx.w, bias, n * hv));
        let wv = Projection::next(&mut cx.w, bias, kv_heads * hv);
        let wo = Projection::next(&mut cx.w, bias, sizes.out);
        let each = if bias { 2 } else { 1 };
        let [mut dwq, mut dwk, mut dwg, mut dwv, mut dwo] =
            [each, each, if self.use_gate { each } else { 0 }, each, each]
                .map(|count| cx.dw.as_mut().map(|dw| dw.take_front(count)));

        let dy = match layouts[0].plain {
            true => &*cx.dy.data,
            false => {
                enter(&layouts[0], xq.shape, sizes.out, cx.dy.data, my, par);
                &*my
            }
        };
        wo.backward_input(dy, dcontext, Accum::Replace, par);
        if self.use_gate {
            mul_to(context, gate, gated);
            wo.backward_weights(gated, dy, &mut dwo, accum, par);
            // d(C g) = dC g, and for g = sigmoid(z): dz = d(C g) C g (1 - g)
            for ((d, c), g) in gated.iter_mut().zip(&*dcontext).zip(&*gate) {
                *d *= c * (1.0 - g);
            }
            mul(gate, dcontext);
        } else {
            wo.backward_weights(context, dy, &mut dwo, accum, par);
        }

        let hidden = self.hidden(&sizes, cx.x, cx.masks);
        let dscores = cx.dmore.first().map(|d| &*d.data);
        let drops = drop[0] == 1.0;
        let factor = (1.0 - self.dropout) as Float;
        let factor = if factor > 0.0 { 1.0 / factor } else { 0.0 };
        let lens = [
            n * t * s,
            ROWS * s,
            t * n * h,
            s * kv_heads * h,
            s * kv_heads * hv,
        ];
        let (q, k, v, dcontext) = (&*q, &*k, &*v, &*dcontext);
        let outputs = [p, room, &mut *dq, &mut *dk, &mut *dv];
        sizes
            .worth(par)
            .for_each_cut(all, outputs, lens, |g, [p, room, dq, dk, dv]| {
                let (rows, kv) = (g * t * n, g * s * kv_heads);
                let inputs = [
                    &q[rows * h..][..t * n * h],
                    &k[kv * h..][..s * kv_heads * h],
                    &v[kv * hv..][..s * kv_heads * hv],
                ];
                let own = g * n * t * s..(g + 1) * n * t * s;
                let weights = drops.then(|| Dropped {
                    weights: &dropped[own.clone()],
                    scale: factor,
                });
                let hide = |head: usize, row: usize, ds: &mut [Float]| {
                    hidden.each(g, head, row, ds, |row| row.fill(0.0))
                };
                let dcontext = &dcontext[rows * hv..][..t * n * hv];
                let dp = dscores.map(|d| &d[own]);
                heads.backward(
                    inputs,
                    dcontext,
                    p,
                    weights,
                    dp,
                    hide,
                    room,
                    [dq, dk, dv],
                    par,
                );
            });
        scale(1.0 / (h as Float).sqrt(), dq);

        wq.backward_weights(xq_in, dq, &mut dwq, accum, par);
        // The bias of the keys adds the same to all logits of a query: its gradient is zero, and no rounding error.
        wk.backward_kernel(xk_in, dk, &mut dwk, accum, par);
        if let Some(wg) = &wg {
            wg.backward_weights(xq_in, gated, &mut dwg, accum, par);
        }
        wv.backward_weights(xv_in, dv, &mut dwv, accum, par);

        let (first, rest) = cx.dx.split_at_mut(2);
        let [dxq, dxv] = first else { return };
        let key = self.args.key.map(|i| i - 2);
        // Into dx itself, or by way of `md` where the axes were moved.
        let mut into = |dx: &mut [Float], layout: &Layout, write: &dyn Fn(&mut [Float])| {
            if layout.plain {
                return write(dx);
            }
            let md = &mut md[..dx.len()];
            write(md);
            layout.leave(md, dx, par);
        };
        if let Some(dx) = dxq {
            into(dx.data, &layouts[0], &|dx| {
                wq.backward_input(dq, dx, Accum::Replace, par);
                if let Some(wg) = &wg {
                    wg.backward_input(gated, dx, Accum::Add, par);
                }
            });
        }
        if let Some(dx) = dxv {
            into(dx.data, &layouts[1], &|dx| {
                wv.backward_input(dv, dx, Accum::Replace, par);
                if key.is_none() {
                    wk.backward_input(dk, dx, Accum::Add, par);
                }
            });
        }
        for (i, dx) in rest.iter_mut().enumerate() {
            let Some(dx) = dx else { continue };
            match key == Some(i) {
                true => into(dx.data, &layouts[2], &|dx| {
                    wk.backward_input(dk, dx, Accum::Replace, par)
                }),
                // A mask.
                false => dx.data.fill(0.0),
            }
        }
    }
}

/// The pieces of scratch.
fn scratch<'a>(slices: crate::layer::Slices<'a>) -> [&'a mut [Float]; 11] {
    slices.all()
}

/// The sample's shape with features of this size.
fn with_features(shape: &[usize], features: usize) -> Dims {
    let mut dims = Dims::default();
    shape[..shape.len() - 1].iter().for_each(|&n| dims.push(n));
    dims.push(features);
    dims
}

/// Brings a gradient of the output to the order of the groups.
fn enter(
    layout: &Layout,
    shape: &[usize],
    features: usize,
    y: &[Float],
    matrix: &mut [Float],
    par: Par,
) {
    let shape = with_features(shape, features);
    layout.resized(&shape).enter(y, &shape, matrix, par);
}

/// Brings the output back from it.
fn leave(
    layout: &Layout,
    shape: &[usize],
    features: usize,
    matrix: &[Float],
    y: &mut [Float],
    par: Par,
) {
    layout
        .resized(&with_features(shape, features))
        .leave(matrix, y, par);
}
