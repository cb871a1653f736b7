//! What dot-product and additive attention share: `y = dropout(softmax(scores)) v` for each sample, or each group where there are
//! more axes; masks; the arguments of a call.
//!
//! q: (t, d), k: (s, d), v: (s, e); scores: (t, s), either `c q k^T` or `sum_d w_d tanh(c (q_d + k_d))`. Hidden scores are
//! lowered by 1e9, as in Keras. Backward: `dV = P^T dy`, `dP = dy V^T`, `dS = P (dP - sum_row(dP P))`, then
//! `dq = c dS k`, `dk = c dS^T q`, `dc = sum dS q k^T`; with `z = tanh(c (q + k))`: `dw = sum dS z`, `e = dS w (1 - z^2)`,
//! `dq = c sum_s e`, `dk = c sum_t e`, `dc = sum e (q + k)`.

use super::masks::{Flags, Hidden};
use super::scores::Scores;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::add;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::kernels::reduce;
use crate::layer::{
    Backward, Bound, Buffers, Call, Contract, Forward, Len, Mask, MaskRule, Mode, Par, View,
};
use crate::layers::args::checked;
use crate::shape::{Dims, Shape};

/// What hidden scores are lowered by.
const LOWERED: Float = 1e9;

/// The arguments of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Args {
    /// Query, value and perhaps key come before the masks.
    pub has_key: bool,
    /// Masks given in the call, by input: of the query and of the value. `Some` where a list of masks was given at all.
    pub masks: Option<[Option<usize>; 2]>,
    pub causal: bool,
    pub scores: bool,
}

impl Args {
    pub(super) fn bind(call: &Call) -> Result<(Args, Bound)> {
        let mut args = call.by_name(&["inputs", "mask"])?;
        let inputs = args.tensors("inputs")?;
        if !(2..=3).contains(&inputs.len()) {
            return Err(Error::arg(
                "inputs",
                "a list of query, value and perhaps key",
                format!("{} tensors", inputs.len()),
            ));
        }
        let mut bound = Bound {
            inputs,
            ..Bound::default()
        };
        let mut own = Args {
            has_key: bound.inputs.len() == 3,
            ..Args::default()
        };
        let given = args.optional_tensors("mask")?;
        if !given.is_empty() {
            let mut place = |i: usize| -> Option<usize> {
                bound.inputs.push((*given.get(i)?)?);
                Some(bound.inputs.len() - 1)
            };
            own.masks = Some([place(0), place(1)]);
        }
        own.causal = args.flag("use_causal_mask", false)?;
        own.scores = args.flag("return_attention_scores", false)?;
        args.context(&mut bound)?;
        args.finish()?;
        Ok((own, bound))
    }

    fn tensors(&self) -> usize {
        2 + usize::from(self.has_key)
    }

    fn inputs(&self) -> usize {
        self.tensors() + self.masks.iter().flatten().flatten().count()
    }
}

/// A layer's arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core {
    pub dropout: f64,
    pub seed: Option<u64>,
    pub args: Args,
}

#[derive(Clone, Copy)]
struct Sizes {
    groups: usize,
    t: usize,
    s: usize,
    d: usize,
    e: usize,
}

impl Sizes {
    fn new(q: &[usize], v: &[usize]) -> Self {
        let [front @ .., t, d] = q else {
            unreachable!("checked")
        };
        let [.., s, e] = v else {
            unreachable!("checked")
        };
        Sizes {
            groups: front.iter().product(),
            t: *t,
            s: *s,
            d: *d,
            e: *e,
        }
    }

    fn worth(&self, all: usize, par: Par) -> Par {
        let work = all.saturating_mul(self.t * self.s * (self.d + self.e));
        if work < 1 << 16 { Par::Serial } else { par }
    }
}

impl Core {
    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(0.0..=1.0).contains(&self.dropout) {
            return Err(Error::arg("dropout", "a fraction in [0, 1]", self.dropout));
        }
        if inputs.len() != self.args.inputs() {
            let want = format!(
                "{} tensors: query, value and what else its call names",
                self.args.inputs()
            );
            return Err(Error::shape(want, inputs.len()));
        }
        let (q, v) = (&inputs[0], &inputs[1]);
        let k = if self.args.has_key { &inputs[2] } else { v };
        for x in [q, v, k] {
            if x.rank() < 2 || x.rank() != q.rank() || x.dims().contains(&Some(0)) {
                let want = "query, value and key with as many axes each, at least 3 (batch, sequence, features), none empty";
                return Err(Error::shape(want, x));
            }
        }
        let (front, last) = (q.rank() - 2, q.rank() - 1);
        let agree = |a: &Option<usize>, b: &Option<usize>| a.is_none() || b.is_none() || a == b;
        let before = |x: &Shape| {
            q.dims()[..front]
                .iter()
                .zip(x.dims())
                .all(|(a, b)| agree(a, b))
        };
        if !before(v) || !before(k) || !agree(&v.dims()[front], &k.dims()[front]) {
            return Err(Error::shape(
                "value and key of equal lengths, and equal axes before",
                format!("{v} and {k} for {q}"),
            ));
        }
        if q.last().is_none() || k.last() != q.last() || v.last().is_none() {
            return Err(Error::shape(
                format!("a key with the features of the query, {q}"),
                k,
            ));
        }
        for (mask, x) in self.args.masks.iter().flatten().zip([q, v]) {
            if let Some(i) = mask {
                check_mask(&inputs[*i], x)?;
            }
        }
        checked(self.scores_shape(inputs))?;
        checked(q.with_last(v.dims()[last].unwrap_or(0))?)
    }

    fn scores_shape(&self, inputs: &[Shape]) -> Shape {
        let (q, v) = (&inputs[0], &inputs[1]);
        let mut dims = q.dims()[..q.rank() - 1].to_vec();
        dims.push(v.dims()[v.rank() - 2]);
        dims.into()
    }

    pub(super) fn more_outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        if self.args.scores {
            vec![self.scores_shape(inputs)]
        } else {
            Vec::new()
        }
    }

    /// `weights` is the number of the layer's weights in all.
    pub(super) fn buffers(&self, inputs: &[Dims], weights: usize) -> Buffers {
        let Sizes {
            groups, t, s, d, ..
        } = Sizes::new(&inputs[0], &inputs[1]);
        let each = |n: usize| Len::PerSample(groups * n);
        Buffers {
            // weights of the attention, the same after dropout, whether there was any
            saved: vec![
                each(t * s),
                each(if self.dropout > 0.0 { t * s } else { 0 }),
                Len::Fixed(1),
            ],
            // dS, rows of d, gradients of the weights
            scratch: vec![each(t * s), each(2 * d), each(weights)],
            ..Buffers::default()
        }
    }

    pub(super) fn contract(&self) -> Contract {
        Contract {
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    pub(super) fn mask_shape(
        &self,
        inputs: &[Shape],
        masks: &[Option<Shape>],
    ) -> Result<Option<Shape>> {
        let front = |x: &Shape| Shape::from(x.dims()[..x.rank() - 1].to_vec());
        match self.args.masks {
            Some([query, _]) => Ok(query.map(|_| front(&inputs[0]))),
            None => {
                for (mask, x) in masks.iter().zip(&inputs[..2]) {
                    if let Some(mask) = mask {
                        check_mask(mask, x)?;
                    }
                }
                Ok(masks[0].clone())
            }
        }
    }

    pub(super) fn compute_mask(
        &self,
        x: &[View<'_>],
        masks: &[Option<Mask<'_>>],
        out: &mut [bool],
    ) {
        match (self.flags(x, masks)[0], out) {
            (Some(Flags::Mask(mask)), out) => out.copy_from_slice(mask),
            (Some(Flags::Numbers(x)), out) => {
                out.iter_mut().zip(x).for_each(|(out, x)| *out = *x != 0.0)
            }
            (None, out) => out.fill(true),
        }
    }

    fn flags<'a>(&self, x: &[View<'a>], masks: &[Option<Mask<'a>>]) -> [Option<Flags<'a>>; 2] {
        match self.args.masks {
            Some(given) => given.map(|i| i.map(|i| Flags::Numbers(x[i].data))),
            None => [masks[0], masks[1]].map(|m| m.map(|m| Flags::Mask(m.data))),
        }
    }

    fn hidden<'a>(&self, sizes: &Sizes, values: Option<Flags<'a>>) -> Hidden<'a> {
        let &Sizes { groups, t, s, .. } = sizes;
        let causal = self.args.causal;
        Hidden {
            t,
            s,
            groups,
            queries: None,
            values,
            keys: None,
            pairs: None,
            causal,
            window: None,
        }
    }

    pub(super) fn forward(&self, cx: Forward<'_>, scores: Scores<'_>) {
        let (q, v) = (cx.x[0], cx.x[1]);
        let k = if self.args.has_key { cx.x[2] } else { v };
        let sizes = Sizes::new(q.shape, v.shape);
        let Sizes { groups, t, s, d, e } = sizes;
        let all = groups * q.batch;
        let [queries, values] = self.flags(cx.x, cx.masks);
        let hidden = self.hidden(&sizes, values);
        let [p, dropped, drop] = cx.saved.all();
        let [_, room, _] = cx.scratch.all();
        let drops = self.dropout > 0.0 && cx.mode == Mode::Train;
        drop[0] = Float::from(u8::from(drops));
        let rng = self.seed.map_or(cx.rng, |seed| cx.rng.reseeded(seed));
        let lens = [t * s, if drops { t * s } else { 0 }, 2 * d, t * e];
        let slices = [&mut *p, &mut *dropped, room, cx.y.data];
        sizes
            .worth(all, cx.par)
            .for_each_cut(all, slices, lens, |g, [p, dropped, room, y]| {
                let (q, k) = (&q.data[g * t * d..][..t * d], &k.data[g * s * d..][..s * d]);
                scores.forward(q, k, d, p, room, cx.par);
                hidden.each(g, 0, 0, p, |row| row.iter_mut().for_each(|x| *x -= LOWERED));
                reduce::softmax(p, s);
                let used = if drops {
                    dropped.copy_from_slice(p);
                    rng.at(g as u64).dropout(self.dropout, dropped);
                    &*dropped
                } else {
                    &*p
                };
                let v = Mat::new(&v.data[g * s * e..], e);
                gemm(t, s, e, Mat::new(used, s), v, Accum::Replace, y, e, cx.par);
                hide_queries(queries, g * t, e, y);
            });
        if let Some(scores) = cx.more.first_mut() {
            scores.data.copy_from_slice(if drops { dropped } else { p });
        }
    }

    pub(super) fn backward(&self, cx: Backward<'_>, scores: Scores<'_>) {
        let (q, v) = (cx.x[0], cx.x[1]);
        let k = if self.args.has_key { cx.x[2] } else { v };
        let sizes = Sizes::new(q.shape, v.shape);
        let Sizes { groups, t, s, d, e } = sizes;
        let all = groups * q.batch;
        let queries = self.flags(cx.x, cx.masks)[0];
        let [p, dropped, drop] = cx.saved.all();
        let [ds, room, dw] = cx.scratch.all();
        let drops = drop[0] == 1.0;
        let kept = (1.0 - self.dropout) as Float;
        let factor = if kept > 0.0 { 1.0 / kept } else { 0.0 };
        let weights = scores.len();
        let dscores = cx.dmore.first().map(|d| &*d.data);
        let (p, dropped) = (&*p, &*dropped);
        dw.fill(0.0);

        let (tensors, masks) = cx.dx.split_at_mut(self.args.tensors());
        masks.iter_mut().flatten().for_each(|dx| dx.data.fill(0.0));
        let mut gradients = tensors.iter_mut().map(|dx| match dx {
            Some(dx) => &mut *dx.data,
            None => &mut [][..],
        });
        let mut next = || gradients.next().unwrap_or_default();
        let (dq, dv, dk) = (next(), next(), next());
        let size = |slice: &[Float], n: usize| if slice.is_empty() { 0 } else { n };
        let lens = [
            t * s,
            2 * d,
            weights,
            t * e,
            size(dq, t * d),
            size(dv, s * e),
            size(dk, s * d),
        ];
        let slices = [ds, room, &mut *dw, cx.dy.data, dq, dv, dk];
        let has_key = self.args.has_key;
        sizes.worth(all, cx.par).for_each_cut(
            all,
            slices,
            lens,
            |g, [ds, room, dw, dy, dq, dv, dk]| {
                let own = g * t * s..(g + 1) * t * s;
                hide_queries(queries, g * t, e, dy);
                let (dy, used) = (
                    Mat::new(dy, e),
                    if drops {
                        &dropped[own.clone()]
                    } else {
                        &p[own.clone()]
                    },
                );
                if !dv.is_empty() {
                    gemm(
                        s,
                        t,
                        e,
                        Mat::new(used, s).t(),
                        dy,
                        Accum::Replace,
                        dv,
                        e,
                        cx.par,
                    );
                }
                gemm(
                    t,
                    e,
                    s,
                    dy,
                    Mat::new(&v.data[g * s * e..], e).t(),
                    Accum::Replace,
                    ds,
                    s,
                    cx.par,
                );
                if let Some(dscores) = dscores {
                    add(&dscores[own.clone()], ds);
                }
                if drops {
                    for (ds, w) in ds.iter_mut().zip(used) {
                        *ds = if *w == 0.0 { 0.0 } else { *ds * factor };
                    }
                }
                reduce::softmax_backward(&p[own], ds, s);
                let (q, k) = (&q.data[g * t * d..][..t * d], &k.data[g * s * d..][..s * d]);
                // Without a key of its own the value is the key, too.
                let (dk, accum) = if has_key {
                    (dk, Accum::Replace)
                } else {
                    (dv, Accum::Add)
                };
                scores.backward(q, k, d, ds, room, dw, dq, dk, accum, cx.par);
            },
        );
        if let Some(mut out) = cx.dw {
            for at in 0..scores.slices() {
                let out = out.next().expect("as many as weights");
                let (start, len) = (at * out.len(), out.len());
                dw.chunks_exact(weights)
                    .for_each(|dw| add(&dw[start..start + len], out));
            }
        }
    }
}

/// Rows of hidden queries become 0.
fn hide_queries(queries: Option<Flags<'_>>, first: usize, cols: usize, rows: &mut [Float]) {
    if let Some(queries) = queries {
        for (i, row) in rows.chunks_exact_mut(cols).enumerate() {
            if !queries.at(first + i) {
                row.fill(0.0);
            }
        }
    }
}

fn check_mask(mask: &Shape, x: &Shape) -> Result<()> {
    let front = Shape::from(x.dims()[..x.rank() - 1].to_vec());
    match mask.agrees(&front) {
        true => Ok(()),
        false => Err(Error::arg("mask", format!("a mask of shape {front}"), mask)),
    }
}
