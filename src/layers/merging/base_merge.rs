//! What the elementwise merges share: the shape they broadcast to, their masks, and sums.
//!
//! Inputs of fewer axes get axes of size 1 behind the batch; axes of size 1 are repeated. So for samples it is NumPy's
//! broadcasting, and the batch always stays the batch.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise;
use crate::kernels::spread::Spread;
use crate::layer::{Backward, Contract, Forward, Mask, MaskRule, Par, View, ViewMut};
use crate::shape::{Dims, Shape};

/// Shape to which the inputs broadcast.
pub(crate) fn output_shape(inputs: &[Shape]) -> Result<Shape> {
    let (first, rest) = inputs
        .split_first()
        .ok_or_else(|| Error::shape("at least one input", "none"))?;
    rest.iter().try_fold(first.clone(), |a, b| {
        broadcast(&a, b).ok_or_else(|| Error::shape(format!("inputs that broadcast to {a}"), b))
    })
}

fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    if a.rank() < b.rank() {
        return broadcast(b, a);
    }
    let (front, back) = a.dims().split_at(a.rank() - b.rank());
    let mut dims = front.to_vec();
    for pair in back.iter().zip(b.dims()) {
        dims.push(match pair {
            (None, _) | (_, None) => None,
            (Some(1), d) | (d, Some(1)) => *d,
            (Some(n), Some(m)) if n == m => Some(*n),
            _ => return None,
        });
    }
    Some(dims.into())
}

/// The same for known sizes that are known to broadcast.
pub(crate) fn broadcast_dims<'a>(shapes: impl Iterator<Item = &'a [usize]> + Clone) -> Dims {
    let rank = shapes.clone().map(<[usize]>::len).max().unwrap_or(0);
    let mut dims = Dims::default();
    for back in (1..=rank).rev() {
        let mut sizes = shapes
            .clone()
            .filter_map(|s| Some(s[s.len().checked_sub(back)?]));
        dims.push(sizes.find(|&n| n != 1).unwrap_or(1));
    }
    dims
}

/// What all of them promise.
pub(super) fn contract() -> Contract {
    Contract {
        reads_x: false,
        mask: MaskRule::Compute,
        ..Contract::default()
    }
}

/// Shape of the union of the masks; none if one input has none.
pub(super) fn mask_shape(masks: &[Option<Shape>]) -> Result<Option<Shape>> {
    let Some(masks) = masks.iter().cloned().collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let rank = masks.first().map_or(0, Shape::rank);
    if let Some(other) = masks.iter().find(|m| m.rank() != rank) {
        let want = format!("masks of {} axes", rank + 1);
        return Err(Error::shape(want, format!("a mask of shape {other}")));
    }
    output_shape(&masks).map(Some)
}

/// The union of the masks: what one input shows, the output shows.
pub(super) fn compute_mask(x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
    let shape = broadcast_dims(masks.iter().flatten().map(|m| m.shape));
    out.fill(false);
    for mask in masks.iter().flatten() {
        let spread = Spread::samples(x[0].batch, &shape, mask.shape);
        for (i, run) in out.chunks_exact_mut(spread.run).enumerate() {
            let at = spread.start(i);
            for (k, flag) in run.iter_mut().enumerate() {
                *flag |= mask.data[at + if spread.moves { k } else { 0 }];
            }
        }
    }
}

/// Masks that enter the computation (of [`Multiply`](super::Multiply), [`Maximum`](super::Maximum),
/// [`Minimum`](super::Minimum)) cover all axes but the last.
pub(super) fn check_masks(inputs: &[Shape], masks: &[Option<Shape>]) -> Result<()> {
    let rank = inputs.iter().map(Shape::rank).max().unwrap_or(0);
    for (x, mask) in inputs.iter().zip(masks) {
        if let Some(mask) = mask
            && x.rank() == rank
            && Some(mask.dims()) != x.dims().split_last().map(|(_, front)| front)
        {
            let want = format!("a mask over all axes but the last of {x}");
            return Err(Error::shape(want, format!("a mask of shape {mask}")));
        }
    }
    Ok(())
}

/// One input row by row: where it lies under each row of the output, and whether its mask shows that row.
pub(super) struct Rows<'a> {
    spread: Spread,
    last: usize,
    mask: Option<&'a [bool]>,
}

impl<'a> Rows<'a> {
    /// The mask of an input with fewer axes than the output does not count.
    pub(super) fn new(x: &View<'_>, mask: &Option<Mask<'a>>, shape: &[usize]) -> Self {
        let counts = x.shape.len() == shape.len();
        Rows {
            spread: Spread::rows(x.batch, shape, x.shape),
            last: x.cols().max(1),
            mask: mask.filter(|_| counts).map(|m| m.data),
        }
    }

    /// Length of a row of the output.
    pub(super) fn len(&self) -> usize {
        self.spread.run
    }

    /// Whether the input moves along a row; otherwise it has one element for it.
    pub(super) fn moves(&self) -> bool {
        self.spread.moves
    }

    /// Start of what lies under row `r`, and its flag.
    pub(super) fn at(&self, r: usize) -> (usize, bool) {
        let at = self.spread.start(r);
        (at, self.mask.is_none_or(|mask| mask[at / self.last]))
    }

    /// Whether there is a mask that counts.
    pub(super) fn masked(&self) -> bool {
        self.mask.is_some()
    }
}

/// Whether an input has the shape of the output and no mask that counts: then all is one sweep.
pub(super) fn is_plain(x: &View<'_>, mask: &Option<Mask<'_>>, shape: &[usize]) -> bool {
    x.shape == shape && mask.is_none()
}

/// `y = x`, broadcast.
pub(crate) fn spread(x: &View<'_>, y: &mut ViewMut<'_>, par: Par) {
    Spread::samples(x.batch, y.shape, x.shape).apply(
        x.data,
        y.data,
        par,
        elementwise::copy,
        |x, y| y.fill(x),
    );
}

/// `y += x`, broadcast.
pub(super) fn add(x: &View<'_>, y: &mut ViewMut<'_>, par: Par) {
    Spread::samples(x.batch, y.shape, x.shape).apply(
        x.data,
        y.data,
        par,
        elementwise::add,
        |x, y| y.iter_mut().for_each(|y| *y += x),
    );
}

/// Of sums: in place, the output holds the first input and the first input's gradient is that of the output.
pub(super) fn contract_of_sums() -> Contract {
    Contract {
        in_place: true,
        ..contract()
    }
}

/// `y = x0`, broadcast, unless `y` holds it already.
pub(super) fn first(cx: &mut Forward<'_>) {
    if !cx.x[0].data.is_empty() {
        spread(&cx.x[0], &mut cx.y, cx.par);
    }
}

/// `y = x0 + x1 + ..`
pub(super) fn sum(cx: &mut Forward<'_>) {
    first(cx);
    for x in &cx.x[1..] {
        add(x, &mut cx.y, cx.par);
    }
}

/// `dx_i = s dy` of every input, summed where it was repeated.
pub(super) fn sum_backward(cx: &mut Backward<'_>, s: Float) {
    let shape = cx.dy.shape;
    let (dy, rest) = match (cx.dy.data.is_empty(), &mut *cx.dx) {
        (true, [Some(dx0), rest @ ..]) => (&mut *dx0.data, rest),
        (_, all) => (&mut *cx.dy.data, all),
    };
    if s != 1.0 {
        elementwise::scale(s, dy);
    }
    for dx in rest.iter_mut().flatten() {
        gather(dy, shape, dx, cx.par);
    }
}

/// `dx = dy`, summed over the axes along which `x` was repeated.
pub(crate) fn gather(dy: &[Float], shape: &[usize], dx: &mut ViewMut<'_>, par: Par) {
    let spread = Spread::samples(dx.batch, shape, dx.shape);
    if spread.is_whole() {
        return spread.apply(dy, dx.data, par, elementwise::copy, |_, _| {});
    }
    dx.data.fill(0.0);
    spread.add_sums(dy, dx.data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_end() {
        let shape = |inputs: &[Shape]| output_shape(inputs).map(|s| s.to_string());
        assert_eq!(shape(&[[3, 4].into(), [4].into()]).unwrap(), "(None, 3, 4)");
        assert_eq!(
            shape(&[[1, 4].into(), [3, 1].into(), Shape::default()]).unwrap(),
            "(None, 3, 4)"
        );
        assert_eq!(
            shape(&[[None, Some(4)].into(), [1, 4].into()]).unwrap(),
            "(None, None, 4)"
        );
        assert!(shape(&[[3, 4].into(), [3].into()]).is_err());
        assert!(shape(&[]).is_err());
    }

    #[test]
    fn masks_are_united() {
        let data = [0.0; 12];
        let x = View {
            data: &data,
            shape: &[3, 2],
            batch: 2,
        };
        let (a, b) = ([true, false, false, false, false, true], [false, true]);
        let masks = [
            Some(Mask {
                data: &a,
                shape: &[3],
            }),
            Some(Mask {
                data: &b,
                shape: &[1],
            }),
        ];
        let mut out = [false; 6];
        compute_mask(&[x, x], &masks, &mut out);
        assert_eq!(out, [true, false, false, true, true, true]);
        assert!(mask_shape(&[Some([3].into()), None]).unwrap().is_none());
        assert!(mask_shape(&[Some([3].into()), Some([3, 2].into())]).is_err());
    }
}
