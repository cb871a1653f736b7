//! Joining and parting along an axis: `concatenate`, `stack`, `split`, `unstack`.
//!
//! A sample is rows of parts: `outer` times, for each part in turn, a block of neighbours. Joining copies block by block;
//! parting is the reverse, and each is the other's backward.

use super::Op;
use super::operand::one_tensor;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Bound, Call, Contract, Forward, Layer};
use crate::layers::args::{checked, one_input, sample_axis};
use crate::shape::Shape;

/// `concatenate`, or `stack` along a new axis.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub op: Op,
    pub axis: i64,
    pub stack: bool,
}

impl Join {
    /// The axis in a sample of the output.
    fn axis(&self, input_rank: usize) -> Result<usize> {
        sample_axis("axis", self.axis, input_rank + usize::from(self.stack))
    }
}

/// Elements of a sample from this axis on.
fn block(shape: &[usize], axis: usize) -> usize {
    shape[axis..].iter().product()
}

impl Layer for Join {
    fn class_name(&self) -> &'static str {
        self.op.class
    }

    fn module(&self) -> &'static str {
        self.op.module
    }

    fn config(&self) -> Config {
        self.op.config.clone()
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let name = self.op.first_arg();
        let mut args = call.by_name(&[name])?;
        let inputs = args.tensors(name)?;
        args.finish()?;
        Ok(Bound {
            inputs,
            ..Bound::default()
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (first, rest) = inputs
            .split_first()
            .ok_or_else(|| Error::shape("at least one tensor", "none"))?;
        let axis = self.axis(first.rank())?;
        let mut dims = first.dims().to_vec();
        for x in rest {
            let fits = x.rank() == first.rank()
                && x.dims().iter().zip(&dims).enumerate().all(|(i, (a, b))| {
                    (i == axis && !self.stack) || a == b || a.is_none() || b.is_none()
                });
            if !fits {
                return Err(Error::shape(
                    format!("tensors that can be joined to {first}"),
                    x,
                ));
            }
            for (i, (have, size)) in dims.iter_mut().zip(x.dims()).enumerate() {
                *have = match (i == axis && !self.stack, *have, size) {
                    (true, Some(a), Some(b)) => Some(a.saturating_add(*b)),
                    (true, _, _) => None,
                    (false, a, b) => a.or(*b),
                };
            }
        }
        if self.stack {
            dims.insert(axis, Some(inputs.len()));
        }
        checked(dims.into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let axis = self.axis(cx.x[0].shape.len()).expect("checked");
        let row: usize = cx.x.iter().map(|x| block(x.shape, axis)).sum();
        let mut start = 0;
        for x in cx.x {
            let block = block(x.shape, axis);
            let rows =
                cx.y.data
                    .chunks_exact_mut(row.max(1))
                    .zip(x.data.chunks_exact(block.max(1)));
            rows.for_each(|(y, x)| y[start..start + block].copy_from_slice(x));
            start += block;
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let axis = self.axis(cx.x[0].shape.len()).expect("checked");
        let row: usize = cx.x.iter().map(|x| block(x.shape, axis)).sum();
        let mut start = 0;
        for (x, dx) in cx.x.iter().zip(cx.dx.iter_mut()) {
            let block = block(x.shape, axis);
            if let Some(dx) = dx {
                let rows = cx
                    .dy
                    .data
                    .chunks_exact(row.max(1))
                    .zip(dx.data.chunks_exact_mut(block.max(1)));
                rows.for_each(|(dy, dx)| dx.copy_from_slice(&dy[start..start + block]));
            }
            start += block;
        }
    }
}

/// Where to part.
#[derive(Clone, Debug)]
pub(super) enum Parts {
    /// Into so many equal ones.
    Equal(usize),
    /// Before these positions.
    At(Vec<usize>),
    /// Into single positions, of which there may be so many; the axis goes.
    Single(Option<usize>),
}

/// `split`, or `unstack`.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub op: Op,
    pub axis: i64,
    pub parts: Parts,
}

impl Split {
    /// First position and number of positions of part `k` of an axis of size `n`; `None` behind the last part.
    fn part(&self, k: usize, n: usize) -> Option<(usize, usize)> {
        match &self.parts {
            Parts::Equal(count) => (k < *count).then(|| (k * (n / count), n / count)),
            Parts::Single(_) => (k < n).then_some((k, 1)),
            Parts::At(places) => {
                let place = |k: usize| places.get(k).copied().unwrap_or(n);
                let start = if k == 0 { 0 } else { place(k - 1) };
                (k <= places.len()).then(|| (start, place(k) - start))
            }
        }
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let x = one_input(inputs)?;
        let axis = sample_axis("axis", self.axis, x.rank())?;
        let size = x.dims()[axis];
        let n = size
            .filter(|n| *n > 0)
            .ok_or_else(|| Error::shape("an axis of a known size to part", x))?;
        let wrong = |want: String, got: &dyn std::fmt::Debug| {
            let arg = if matches!(self.parts, Parts::Single(_)) {
                "num"
            } else {
                "indices_or_sections"
            };
            Err(Error::arg(arg, want, format!("{got:?}")))
        };
        match &self.parts {
            Parts::Equal(count) if *count == 0 || n % count != 0 => {
                return wrong(format!("a divisor of {n}"), count);
            }
            Parts::Single(Some(count)) if *count != n => return wrong(n.to_string(), count),
            Parts::At(places) if !places.is_sorted() || places.iter().any(|at| *at > n) => {
                return wrong(format!("ascending positions up to {n}"), places);
            }
            _ => {}
        }
        let mut shapes = Vec::new();
        while let Some((_, len)) = self.part(shapes.len(), n) {
            let mut dims = x.dims().to_vec();
            match self.parts {
                Parts::Single(_) => {
                    dims.remove(axis);
                }
                _ => dims[axis] = Some(len),
            }
            shapes.push(dims.into());
            // The graph refuses more outputs than that, with a better message.
            if shapes.len() > 1000 {
                break;
            }
        }
        Ok(shapes)
    }

    /// Block and whole row in elements, for samples of this shape.
    fn row(&self, shape: &[usize]) -> (usize, usize, usize) {
        let axis = sample_axis("axis", self.axis, shape.len()).expect("checked");
        (
            shape[axis],
            block(shape, axis) / shape[axis],
            block(shape, axis),
        )
    }
}

impl Layer for Split {
    fn class_name(&self) -> &'static str {
        self.op.class
    }

    fn module(&self) -> &'static str {
        self.op.module
    }

    fn config(&self) -> Config {
        self.op.config.clone()
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        one_tensor(call, "x")
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.shapes(inputs)?.swap_remove(0))
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(self.shapes(inputs)?.split_off(1))
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let (n, inner, row) = self.row(cx.x[0].shape);
        let (x, y) = (cx.x[0].data, cx.y.data);
        let copy = |k: usize, y: &mut [Float]| {
            let (start, len) = self.part(k, n).expect("as many outputs as parts");
            copy_out(x, row, start * inner, len * inner, y);
        };
        copy(0, y);
        cx.more
            .iter_mut()
            .enumerate()
            .for_each(|(k, y)| copy(k + 1, y.data));
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let (n, inner, row) = self.row(dx.shape);
        let gradients = std::iter::once(&*cx.dy.data).chain(cx.dmore.iter().map(|d| &*d.data));
        for (k, dy) in gradients.enumerate() {
            let (start, len) = self.part(k, n).expect("as many outputs as parts");
            let (start, len) = (start * inner, len * inner);
            let rows = dx
                .data
                .chunks_exact_mut(row)
                .zip(dy.chunks_exact(len.max(1)));
            rows.for_each(|(dx, dy)| dx[start..start + len].copy_from_slice(dy));
        }
    }
}

fn copy_out(x: &[Float], row: usize, start: usize, len: usize, y: &mut [Float]) {
    for (x, y) in x.chunks_exact(row).zip(y.chunks_exact_mut(len.max(1))) {
        y.copy_from_slice(&x[start..start + len]);
    }
}
