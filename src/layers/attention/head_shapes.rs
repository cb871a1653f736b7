//! Attention over heads before it runs: the arguments of a call, shapes, checks, weights.

use super::heads::Core;
use crate::error::{Error, Result};
use crate::layer::{Bound, Call, Weight};
use crate::layers::args::{checked, sample_axis};
use crate::layers::axes::AxisSet;
use crate::shape::Shape;

/// The arguments of a call: which inputs they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Args {
    pub key: Option<usize>,
    pub attention_mask: Option<usize>,
    pub query_mask: Option<usize>,
    pub value_mask: Option<usize>,
    pub key_mask: Option<usize>,
    pub causal: bool,
    pub scores: bool,
}

impl Args {
    /// Reads a call: `inputs` are query, value, and then whatever else there is. With `own_query_mask` a mask given for the
    /// query counts.
    pub(super) fn bind(call: &Call, own_query_mask: bool) -> Result<(Args, Bound)> {
        let mut args = call.by_name(&[
            "query",
            "value",
            "key",
            "query_mask",
            "value_mask",
            "key_mask",
            "attention_mask",
        ])?;
        let mut bound = Bound::default();
        for name in ["query", "value"] {
            let tensor = args.tensor(name)?;
            bound
                .inputs
                .push(tensor.ok_or_else(|| Error::arg(name, "a tensor", "nothing"))?);
        }
        let mut more = |name: &str| -> Result<Option<usize>> {
            Ok(args.tensor(name)?.map(|tensor| {
                bound.inputs.push(tensor);
                bound.inputs.len() - 1
            }))
        };
        let (key, attention_mask) = (more("key")?, more("attention_mask")?);
        let (query_mask, value_mask, key_mask) = match own_query_mask {
            true => (more("query_mask")?, more("value_mask")?, more("key_mask")?),
            false => (None, more("value_mask")?, more("key_mask")?),
        };
        if !own_query_mask {
            args.tensor("query_mask")?;
        }
        let causal = args.flag("use_causal_mask", false)?;
        let scores = args.flag("return_attention_scores", false)?;
        args.context(&mut bound)?;
        if bound.mask.is_some() {
            return Err(Error::arg(
                "mask",
                "`query_mask`, `value_mask` or `key_mask`",
                "a tensor",
            ));
        }
        args.finish()?;
        let args = Args {
            key,
            attention_mask,
            query_mask,
            value_mask,
            key_mask,
            causal,
            scores,
        };
        Ok((args, bound))
    }

    pub(super) fn inputs(&self) -> usize {
        let more = [
            self.key,
            self.attention_mask,
            self.query_mask,
            self.value_mask,
            self.key_mask,
        ];
        2 + more.iter().flatten().count()
    }
}

impl Core<'_> {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.dropout) {
            return Err(Error::arg("dropout", "a fraction in [0, 1]", self.dropout));
        }
        if self.window == Some(0) {
            return Err(Error::arg("sliding_window", "a positive integer", 0));
        }
        if self.flash && self.dropout > 0.0 {
            return Err(Error::arg(
                "flash_attention",
                "false, because there is `dropout`",
                true,
            ));
        }
        if self.flash && self.args.scores {
            let want = "false, because the attention scores are asked for";
            return Err(Error::arg("flash_attention", want, true));
        }
        Ok(())
    }

    /// The axes of a sample of this rank that are attended over.
    pub(super) fn attended(&self, rank: usize) -> Result<AxisSet> {
        let mut set = AxisSet::default();
        match self.axes {
            None => (0..rank.saturating_sub(1)).for_each(|axis| set.add(axis)),
            Some(axes) => {
                for &axis in axes {
                    let at = sample_axis("attention_axes", axis, rank)?;
                    if at + 1 == rank || set.has(at) {
                        let want = "different axes, neither the batch nor the features";
                        return Err(Error::arg("attention_axes", want, format!("{axes:?}")));
                    }
                    set.add(at);
                }
            }
        }
        if set.is_empty() {
            return Err(Error::shape(
                "at least 3 axes (batch, sequence, features)",
                format!("{} axes", rank + 1),
            ));
        }
        Ok(set)
    }

    pub(super) fn inputs<'s>(&self, inputs: &'s [Shape]) -> Result<[&'s Shape; 3]> {
        if inputs.len() != self.args.inputs() {
            let want = format!(
                "{} tensors: query, value and what else its call names",
                self.args.inputs()
            );
            return Err(Error::shape(want, inputs.len()));
        }
        Ok([&inputs[0], &inputs[1], &inputs[self.args.key.unwrap_or(1)]])
    }

    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check()?;
        let [q, v, k] = self.inputs(inputs)?;
        let set = self.attended(q.rank())?;
        for (x, name) in [(q, "query"), (v, "value"), (k, "key")] {
            if x.rank() != q.rank() {
                return Err(Error::shape(
                    format!("a {name} of {} axes, as the query has", q.rank() + 1),
                    x,
                ));
            }
            if x.last().is_none_or(|n| n == 0) || x.dims().contains(&Some(0)) {
                return Err(Error::shape(
                    format!("a {name} with features of a known size, and nothing empty"),
                    x,
                ));
            }
        }
        let agree = |a: &Option<usize>, b: &Option<usize>| a.is_none() || b.is_none() || a == b;
        for axis in 0..q.rank() - 1 {
            let (q, v, k) = (&q.dims()[axis], &v.dims()[axis], &k.dims()[axis]);
            if !agree(v, k) {
                return Err(Error::shape(
                    "key and value of equal sizes but for the features",
                    format!("{k:?} and {v:?}"),
                ));
            }
            if !set.has(axis) && !agree(q, v) {
                return Err(Error::shape(
                    "query and value of equal sizes beside the attention axes",
                    format!("{q:?} and {v:?}"),
                ));
            }
        }
        self.check_mask_tensors(inputs, set)?;
        checked(self.scores_shape(q, v, set))?;
        let (mut dims, features) = (q.dims().to_vec(), q.last());
        dims.pop();
        match self.output {
            Some(output) if output.is_empty() || output.contains(&0) => {
                return Err(Error::arg(
                    "output_shape",
                    "positive sizes",
                    format!("{output:?}"),
                ));
            }
            Some(output) => dims.extend(output.iter().copied().map(Some)),
            None => dims.push(features),
        }
        checked(dims.into())
    }

    /// Masks given as tensors must fit what they mask.
    fn check_mask_tensors(&self, inputs: &[Shape], set: AxisSet) -> Result<()> {
        let [q, v, _] = self.inputs(inputs)?;
        let front = |x: &Shape| Shape::from(x.dims()[..x.rank() - 1].to_vec());
        for (mask, x, name) in [
            (self.args.query_mask, q, "query_mask"),
            (self.args.value_mask, v, "value_mask"),
            (self.args.key_mask, v, "key_mask"),
        ] {
            if let Some(i) = mask {
                self.check_mask(name, &inputs[i], &front(x), set)?;
            }
        }
        let Some(mask) = self.args.attention_mask.map(|i| &inputs[i]) else {
            return Ok(());
        };
        let scores = self.scores_shape(q, v, set);
        let attended = (0..q.rank()).filter(|axis| set.has(*axis)).count();
        let wrong = || {
            Error::arg(
                "attention_mask",
                format!("a mask that broadcasts to the scores {scores}"),
                mask,
            )
        };
        let lead = mask.rank().checked_sub(2 * attended).ok_or_else(wrong)?;
        let whole = scores.dims().split_at(scores.rank() - 2 * attended);
        let fits = |m: &Option<usize>, s: &Option<usize>| m.is_none() || s.is_none() || m == s;
        let one = |m: &Option<usize>, s: &Option<usize>| *m == Some(1) || fits(m, s);
        let leads = mask.dims()[..lead]
            .iter()
            .zip(whole.0)
            .all(|(m, s)| one(m, s));
        let pairs = mask.dims()[lead..].iter().zip(whole.1);
        // Of several attention axes all must be there.
        let trails = if attended == 1 {
            pairs.clone().all(|(m, s)| one(m, s))
        } else {
            pairs.clone().all(|(m, s)| fits(m, s))
        };
        match lead <= whole.0.len() && leads && trails {
            true => Ok(()),
            false => Err(wrong()),
        }
    }

    /// A mask of queries or of keys covers all axes of its tensor but the features, of which one, the last, is attended over.
    pub(super) fn check_mask(
        &self,
        name: &str,
        mask: &Shape,
        front: &Shape,
        set: AxisSet,
    ) -> Result<()> {
        let last_only = (0..front.rank()).all(|axis| set.has(axis) == (axis + 1 == front.rank()));
        if !last_only {
            return Err(Error::arg(
                name,
                "no mask unless only the axis before the features is attended over",
                mask,
            ));
        }
        if !mask.agrees(front) {
            return Err(Error::arg(name, format!("a mask of shape {front}"), mask));
        }
        Ok(())
    }

    /// (other axes, heads, axes of the queries, axes of the keys)
    pub(super) fn scores_shape(&self, q: &Shape, v: &Shape, set: AxisSet) -> Shape {
        let axes = |x: &Shape, attended: bool| -> Vec<Option<usize>> {
            let axes = (0..x.rank() - 1).filter(|axis| set.has(*axis) == attended);
            axes.map(|axis| x.dims()[axis]).collect()
        };
        let mut dims = axes(q, false);
        dims.push(Some(self.heads));
        dims.extend(axes(q, true));
        dims.extend(axes(v, true));
        dims.into()
    }

    pub(super) fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        if !self.args.scores {
            return Ok(Vec::new());
        }
        let [q, v, _] = self.inputs(inputs)?;
        let set = self.attended(q.rank())?;
        Ok(vec![checked(self.scores_shape(q, v, set))?])
    }

    pub(super) fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let [q, v, k] = self.inputs(inputs)?.map(|x| x.last().unwrap_or(0));
        let [query, key, gate, value, output] = self.groups;
        let style = &self.style;
        let mut weights = style.weights(query, &[q], &[self.heads, self.h])?;
        weights.extend(style.weights(key, &[k], &[self.kv_heads, self.h])?);
        if self.use_gate {
            weights.extend(style.weights(gate, &[q], &[self.heads, self.hv])?);
        }
        weights.extend(style.weights(value, &[v], &[self.kv_heads, self.hv])?);
        weights.extend(style.weights(
            output,
            &[self.heads, self.hv],
            self.output.unwrap_or(&[q]),
        )?);
        Ok(weights)
    }
}
