//! Operations that leave the numbers of a sample where they are and change its shape (`reshape`, `expand_dims`, `squeeze`), or
//! change the order of its axes (`transpose`, `swapaxes`, `moveaxis`).

use super::Op;
use super::operand::one_tensor;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::permute::permute;
use crate::layer::{Backward, Bound, Call, Contract, Forward, Layer};
use crate::layers::args::{checked, one_input, sample_axis};
use crate::layers::axes::{Axes, AxisSet};
use crate::shape::{MAX_RANK, Shape};

/// What becomes of the shape.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// To this one, with the batch; negative and missing sizes are inferred.
    Reshape(Vec<Option<i64>>),
    /// With axes of size 1 in these places of the result.
    ExpandDims(Axes),
    /// Without these axes, or without all of size 1.
    Squeeze(Option<Axes>),
}

/// The operation that changes the shape.
#[derive(Clone, Debug)]
pub(super) struct Reshaped {
    pub op: Op,
    pub rule: Rule,
}

/// An error for what would touch the batch.
fn batch(arg: &str, got: impl ToString) -> Error {
    Error::arg(
        arg,
        "an operation that leaves the batch axis first and alone",
        got,
    )
}

fn reshape(to: &[Option<i64>], x: &Shape) -> Result<Shape> {
    let text = || format!("{to:?}");
    let [first, rest @ ..] = to else {
        return Err(batch("newshape", text()));
    };
    if first.is_some_and(|n| n >= 0) {
        return Err(batch("newshape", text()));
    }
    let mut dims: Vec<Option<usize>> = Vec::new();
    for n in rest {
        dims.push(n.and_then(|n| usize::try_from(n).ok()));
    }
    let open = dims.iter().filter(|n| n.is_none()).count();
    let known = dims
        .iter()
        .flatten()
        .try_fold(1usize, |n, d| n.checked_mul(*d));
    let wrong = || {
        Error::arg(
            "newshape",
            format!("as many elements as a sample of {x} has"),
            text(),
        )
    };
    let known = known.ok_or_else(wrong)?;
    match (open, x.numel()) {
        (0, Some(n)) if n == known => {}
        (1, Some(n)) if known > 0 && n % known == 0 => {
            dims.iter_mut()
                .filter(|d| d.is_none())
                .for_each(|d| *d = Some(n / known));
        }
        (0 | 1, None) => {}
        (0 | 1, Some(_)) => return Err(wrong()),
        _ => {
            return Err(Error::arg(
                "newshape",
                "one size to infer besides the batch",
                text(),
            ));
        }
    }
    checked(dims.into())
}

impl Rule {
    fn shape(&self, x: &Shape) -> Result<Shape> {
        match self {
            Rule::Reshape(to) => reshape(to, x),
            Rule::ExpandDims(axes) => {
                let rank = x.rank() + axes.list().len();
                let set = axes.of_sample("axis", rank)?;
                let mut old = x.dims().iter();
                let dims = (0..rank).map(|axis| match set.has(axis) {
                    true => Some(1),
                    false => *old.next().expect("the other axes are the old ones"),
                });
                checked(dims.collect::<Vec<_>>().into())
            }
            Rule::Squeeze(axes) => {
                let set = axes
                    .as_ref()
                    .map(|axes| axes.of_sample("axis", x.rank()))
                    .transpose()?;
                let mut dims = Vec::new();
                for (axis, &size) in x.dims().iter().enumerate() {
                    match (set.map(|set| set.has(axis)), size) {
                        (Some(true), None | Some(1)) | (None, Some(1)) => {}
                        (Some(true), Some(_)) => {
                            return Err(Error::arg(
                                "axis",
                                "axes of size 1",
                                format!("an axis of {x}"),
                            ));
                        }
                        (None, None) => {
                            let want = "the axes to squeeze, because not all sizes are known";
                            return Err(Error::arg("axis", want, "none"));
                        }
                        (_, size) => dims.push(size),
                    }
                }
                Ok(dims.into())
            }
        }
    }
}

impl Layer for Reshaped {
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
        self.rule.shape(one_input(inputs)?)
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            ..Contract::default()
        }
    }

    fn forward(&self, _cx: Forward<'_>) {}

    fn backward(&self, _cx: Backward<'_>) {}
}

/// What becomes of the order of the axes.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// These in order, with the batch; all reversed.
    Transpose(Option<Vec<i64>>),
    /// These two change places.
    Swapaxes(i64, i64),
    /// These go there.
    Moveaxis(Axes, Axes),
}

/// The operation that changes the order of the axes.
#[derive(Clone, Debug)]
pub(super) struct Reordered {
    pub op: Op,
    pub order: Order,
}

/// Axis `i` of the result is axis `order[i]` of the sample.
type Permutation = [usize; MAX_RANK];

impl Order {
    fn of_rank(&self, rank: usize) -> Result<Permutation> {
        let mut order = [0; MAX_RANK];
        (0..rank).for_each(|i| order[i] = i);
        match self {
            Order::Transpose(axes) => {
                let wrong = || batch("axes", format!("{axes:?}"));
                let (first, rest) = axes
                    .as_deref()
                    .unwrap_or(&[0])
                    .split_first()
                    .ok_or_else(wrong)?;
                if *first != 0 || rest.len() != rank {
                    return Err(wrong());
                }
                let mut seen = AxisSet::default();
                for (place, axis) in order.iter_mut().zip(rest) {
                    *place = sample_axis("axes", *axis, rank)?;
                    if seen.has(*place) {
                        return Err(wrong());
                    }
                    seen.add(*place);
                }
            }
            Order::Swapaxes(a, b) => {
                order.swap(
                    sample_axis("axis1", *a, rank)?,
                    sample_axis("axis2", *b, rank)?,
                );
            }
            Order::Moveaxis(from, to) => {
                let (moved, taken) = (
                    from.of_sample("source", rank)?,
                    to.of_sample("destination", rank)?,
                );
                if from.list().len() != to.list().len() {
                    return Err(Error::arg(
                        "destination",
                        "as many axes as `source`",
                        to.list().len(),
                    ));
                }
                let mut rest = (0..rank).filter(|axis| !moved.has(*axis));
                for (i, place) in order[..rank].iter_mut().enumerate() {
                    if !taken.has(i) {
                        *place = rest.next().expect("as many as are not taken");
                    }
                }
                for (from, to) in from.list().iter().zip(to.list()) {
                    order[sample_axis("destination", *to, rank)?] =
                        sample_axis("source", *from, rank)?;
                }
            }
        }
        Ok(order)
    }
}

impl Layer for Reordered {
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
        let x = one_input(inputs)?;
        let order = self.order.of_rank(x.rank())?;
        let dims: Vec<Option<usize>> = order[..x.rank()]
            .iter()
            .map(|&axis| x.dims()[axis])
            .collect();
        Ok(dims.into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0];
        let order = self.order.of_rank(x.shape.len()).expect("checked");
        permute(x.data, x.shape, &order[..x.shape.len()], cx.y.data, cx.par);
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let order = self.order.of_rank(dx.shape.len()).expect("checked");
        let mut back = [0; MAX_RANK];
        for (i, &axis) in order[..dx.shape.len()].iter().enumerate() {
            back[axis] = i;
        }
        permute(
            cx.dy.data,
            cx.dy.shape,
            &back[..dx.shape.len()],
            dx.data,
            cx.par,
        );
    }
}
