//! Bringing the axes that are normalised together into the last place.

use crate::float::Float;
use crate::kernels::permute::permute;
use crate::layer::{Len, Par};
use crate::layers::axes::AxisSet;
use crate::shape::MAX_RANK;

/// A sample as a matrix whose columns are the normalised axes: as it lies where these are the last ones, else permuted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The other axes, then the normalised ones, both in their order.
    order: [usize; MAX_RANK],
    rank: usize,
    /// Sizes after the permutation.
    sizes: [usize; MAX_RANK],
    /// Elements of the normalised axes.
    pub cols: usize,
    /// Elements of the others.
    pub rows: usize,
    /// Nothing has to be moved.
    pub plain: bool,
}

impl Layout {
    pub(crate) fn new(axes: AxisSet, shape: &[usize]) -> Self {
        let (mut order, mut sizes, mut at) = ([0; MAX_RANK], [1; MAX_RANK], 0);
        let (mut rows, mut cols) = (1, 1);
        for last in [false, true] {
            for axis in (0..shape.len()).filter(|&axis| axes.has(axis) == last) {
                (order[at], sizes[at]) = (axis, shape[axis]);
                *if last { &mut cols } else { &mut rows } *= shape[axis];
                at += 1;
            }
        }
        // Axes of size 1 may lie anywhere.
        let real = order[..at].iter().filter(|&&axis| shape[axis] != 1);
        let plain = real.is_sorted();
        Layout {
            order,
            rank: shape.len(),
            sizes,
            cols: cols.max(1),
            rows,
            plain,
        }
    }

    /// The same axes of samples of another shape (of as many axes).
    pub(crate) fn resized(&self, shape: &[usize]) -> Self {
        let mut sizes = [1; MAX_RANK];
        for (size, &axis) in sizes.iter_mut().zip(&self.order[..self.rank]) {
            *size = shape[axis];
        }
        Layout { sizes, ..*self }
    }

    /// Scratch for `n` permuted arrays; nothing where nothing moves.
    pub(crate) fn scratch(&self, n: usize) -> Vec<Len> {
        let size = if self.plain { 0 } else { self.rows * self.cols };
        vec![Len::PerSample(size); n]
    }

    /// `x` as the matrix: itself, or a copy in `scratch`.
    pub(crate) fn enter<'a>(
        &self,
        x: &'a [Float],
        shape: &[usize],
        scratch: &'a mut [Float],
        par: Par,
    ) -> &'a [Float] {
        if self.plain {
            return x;
        }
        permute(x, shape, &self.order[..self.rank], scratch, par);
        scratch
    }

    /// Back from the matrix to the axes of the sample.
    pub(crate) fn leave(&self, matrix: &[Float], y: &mut [Float], par: Par) {
        let mut back = [0; MAX_RANK];
        for (at, &axis) in self.order[..self.rank].iter().enumerate() {
            back[axis] = at;
        }
        permute(matrix, &self.sizes[..self.rank], &back[..self.rank], y, par);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::axes::Axes;

    #[test]
    fn there_and_back() {
        let shape = [2, 3, 1, 4];
        let x: Vec<Float> = (0..48).map(|i| i as Float).collect();
        for (axes, rows, cols, plain) in [
            (vec![-1], 6, 4, true),
            (vec![3, 4], 6, 4, true),
            (vec![2, 4], 2, 12, true),
            (vec![1], 12, 2, false),
            (vec![1, 4], 3, 8, false),
            (vec![1, 2, 3, 4], 1, 24, true),
        ] {
            let axes = Axes::from(axes).of_sample("axis", 4).unwrap();
            let layout = Layout::new(axes, &shape);
            assert_eq!(
                (layout.rows, layout.cols, layout.plain),
                (rows, cols, plain)
            );
            let (mut scratch, mut back) = (vec![0.0; 48], vec![0.0; 48]);
            let matrix = layout.enter(&x, &shape, &mut scratch, Par::Serial).to_vec();
            layout.leave(&matrix, &mut back, Par::Serial);
            assert_eq!(back, x);
        }
    }
}
