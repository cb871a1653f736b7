//! Axes of losses, counted as Keras does: the batch is axis 0.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::shape::{Dims, Shape};
use crate::tensor::View;

/// The lanes of a batch along one axis: lane `r` has `n` elements, `inner` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lanes {
    pub n: usize,
    pub inner: usize,
    pub count: usize,
}

impl Lanes {
    /// Along an axis that has passed [`check_axis`].
    pub fn new(view: View<'_>, axis: i64) -> Self {
        let axis = place(axis, view.shape.len());
        let n = view.shape[axis];
        let inner = view.shape[axis + 1..].iter().product();
        Lanes {
            n,
            inner,
            count: view.data.len() / n.max(1),
        }
    }

    /// Rows: lanes along the last axis.
    pub fn rows(view: View<'_>) -> Self {
        let n = view.cols();
        Lanes {
            n,
            inner: 1,
            count: view.data.len() / n.max(1),
        }
    }

    /// The lane of element `i`.
    #[inline(always)]
    pub fn of(&self, i: usize) -> usize {
        i / (self.inner * self.n) * self.inner + i % self.inner
    }

    /// Where the elements of lane `r` are.
    #[inline(always)]
    pub fn at(&self, r: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let start = r / self.inner * self.inner * self.n + r % self.inner;
        (0..self.n).map({
            let inner = self.inner;
            move |k| start + k * inner
        })
    }
}

/// Place of an axis among those of a sample.
fn place(axis: i64, rank: usize) -> usize {
    let rank = rank as i64;
    (if axis < 0 { axis + rank } else { axis - 1 }) as usize
}

/// Shape of the values when this axis is summed away.
pub(crate) fn without_axis(batch: usize, shape: &[usize], axis: i64) -> Dims {
    let gone = place(axis, shape.len());
    let mut dims = Dims::from([batch]);
    let rest = shape.iter().enumerate().filter(|(i, _)| *i != gone);
    rest.for_each(|(_, &n)| dims.push(n));
    dims
}

/// The axis must be one of a sample's.
pub(crate) fn check_axis(axis: i64, y_pred: &Shape) -> Result<()> {
    let rank = y_pred.rank() as i64;
    if rank > 0 && ((1..=rank).contains(&axis) || (-rank..0).contains(&axis)) {
        Ok(())
    } else {
        let want = format!("an axis of the output {y_pred} behind the batch");
        Err(Error::arg("axis", want, axis))
    }
}

/// Which axes a loss is summed over: all of them with the batch (Keras's `None`), one, or several.
///
/// ```
/// use oxhorn::losses::Axes;
/// assert_eq!(Axes::from([1, 2, 3]), Axes::Some(vec![1, 2, 3]));
/// assert_eq!(Axes::from(-1), Axes::Some(vec![-1]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub enum Axes {
    /// All axes and the batch.
    #[default]
    All,
    /// These, the batch being axis 0.
    Some(Vec<i64>),
}

/// Null, a number or a list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    One(i64),
    Many(Vec<i64>),
    All(()),
}

impl From<Form> for Axes {
    fn from(form: Form) -> Self {
        match form {
            Form::One(axis) => Axes::Some(vec![axis]),
            Form::Many(axes) => Axes::Some(axes),
            Form::All(()) => Axes::All,
        }
    }
}

impl From<Axes> for Form {
    fn from(axes: Axes) -> Self {
        match axes {
            Axes::All => Form::All(()),
            Axes::Some(axes) if axes.len() == 1 => Form::One(axes[0]),
            Axes::Some(axes) => Form::Many(axes),
        }
    }
}

impl From<i64> for Axes {
    fn from(axis: i64) -> Self {
        Axes::Some(vec![axis])
    }
}

impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Self {
        Axes::Some(axes.into())
    }
}

impl Axes {
    /// The axes must exist, each once.
    pub(super) fn check(&self, y_pred: &Shape) -> Result<()> {
        let Axes::Some(axes) = self else {
            return Ok(());
        };
        let rank = y_pred.rank() as i64 + 1;
        let mut seen = [false; crate::shape::MAX_RANK + 1];
        for &axis in axes {
            let known = (-rank..rank).contains(&axis);
            if !known || std::mem::replace(&mut seen[axis.rem_euclid(rank) as usize], true) {
                let want = format!("different axes of the output {y_pred}, the batch being 0");
                return Err(Error::arg("axis", want, format!("{axes:?}")));
            }
        }
        if axes.is_empty() {
            return Err(Error::arg("axis", "at least one axis, or none given", "[]"));
        }
        Ok(())
    }

    /// Whether axis `i` of a batch with `rank` axes is summed over.
    fn sums(&self, i: usize, rank: usize) -> bool {
        match self {
            Axes::All => true,
            Axes::Some(axes) => axes
                .iter()
                .any(|&a| a == i as i64 || a + rank as i64 == i as i64),
        }
    }

    /// What is left of the shape of a batch.
    pub(super) fn left(&self, batch: usize, shape: &[usize]) -> Dims {
        let sizes = std::iter::once(batch).chain(shape.iter().copied());
        let mut left = Dims::default();
        sizes
            .enumerate()
            .filter(|(i, _)| !self.sums(*i, shape.len() + 1))
            .for_each(|(_, n)| left.push(n));
        left
    }

    /// Where each value begins in a batch, and from there its elements.
    pub(super) fn grids(&self, view: View<'_>) -> (Grid, Grid) {
        let rank = view.shape.len() + 1;
        let (mut kept, mut summed) = (Grid::default(), Grid::default());
        let mut stride = 1;
        for i in (0..rank).rev() {
            let n = if i == 0 {
                view.batch
            } else {
                view.shape[i - 1]
            };
            let grid = if self.sums(i, rank) {
                &mut summed
            } else {
                &mut kept
            };
            grid.push(n, stride);
            stride *= n;
        }
        (kept, summed)
    }
}

/// Offsets over some of the axes of an array, the last one fastest; neighbouring axes are merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    axes: [(usize, usize); crate::shape::MAX_RANK + 1],
    rank: usize,
}

impl Default for Grid {
    fn default() -> Self {
        Grid {
            axes: [(1, 0); crate::shape::MAX_RANK + 1],
            rank: 0,
        }
    }
}

impl Grid {
    /// An axis in front of those that are there.
    fn push(&mut self, n: usize, stride: usize) {
        match self.axes[..self.rank].last_mut() {
            Some((size, below)) if *size * *below == stride => *size *= n,
            _ => {
                self.axes[self.rank] = (n, stride);
                self.rank += 1;
            }
        }
    }

    pub fn offsets(self) -> impl Iterator<Item = usize> + Clone {
        let count = self.axes[..self.rank].iter().map(|(n, _)| n).product();
        (0..count).map(move |mut index: usize| {
            let mut offset = 0;
            for &(n, stride) in &self.axes[..self.rank] {
                offset += index % n * stride;
                index /= n;
            }
            offset
        })
    }
}
