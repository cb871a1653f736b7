//! Transposing the axes of a batch of samples.

use super::parallel::Par;
use crate::float::Float;
use crate::shape::MAX_RANK;

/// Side of the squares in which a plane is transposed: a square of both arrays lies in the first cache.
const TILE: usize = 16;

/// Axis `i` of every sample of `y` is axis `axes[i]` of the sample of `x`, which has this shape.
///
/// # Panics
/// If `x` and `y` have unequal lengths.
pub fn permute(x: &[Float], shape: &[usize], axes: &[usize], y: &mut [Float], par: Par) {
    assert_eq!(x.len(), y.len(), "a permutation keeps the elements");
    let plan = Axes::new(shape, axes);
    let each: usize = shape.iter().product();
    if each == 0 {
        return;
    }
    par.for_each_rows(y, each, |first, part| {
        for (x, y) in x[first * each..]
            .chunks_exact(each)
            .zip(part.chunks_exact_mut(each))
        {
            plan.sample(x, y);
        }
    });
}

/// The axes of `y`: axes that stay neighbours are one, axes of size 1 are gone.
struct Axes {
    sizes: [usize; MAX_RANK],
    /// Distance in `x` of neighbours along the axis.
    strides: [usize; MAX_RANK],
    rank: usize,
}

impl Axes {
    fn new(shape: &[usize], axes: &[usize]) -> Self {
        let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        let (mut sizes, mut strides, mut rank) = ([1; MAX_RANK], [1; MAX_RANK], 0);
        for &axis in axes.iter().filter(|&&axis| shape[axis] != 1) {
            let (size, stride) = (shape[axis], stride(axis));
            if rank > 0 && strides[rank - 1] == stride * size {
                (sizes[rank - 1], strides[rank - 1]) = (sizes[rank - 1] * size, stride);
            } else {
                (sizes[rank], strides[rank]) = (size, stride);
                rank += 1;
            }
        }
        Axes {
            sizes,
            strides,
            rank,
        }
    }

    fn sample(&self, x: &[Float], y: &mut [Float]) {
        let (sizes, strides) = (&self.sizes[..self.rank], &self.strides[..self.rank]);
        let Some(last) = self.rank.checked_sub(1) else {
            return y.copy_from_slice(x);
        };
        if strides[last] == 1 {
            let run = sizes[last];
            for (i, y) in y.chunks_exact_mut(run).enumerate() {
                let at = offset(i, &sizes[..last], &strides[..last]);
                y.copy_from_slice(&x[at..at + run]);
            }
            return;
        }
        // Planes of the axis along which x is contiguous (rows of the plane) and the last of y (its columns).
        let q = strides
            .iter()
            .position(|&s| s == 1)
            .expect("one axis of x is contiguous");
        let below: usize = sizes[q + 1..].iter().product();
        let (rows, cols) = (sizes[q], sizes[last]);
        let between = below / cols;
        let above: usize = sizes[..q].iter().product();
        for o in 0..above * between {
            let (a, b) = (o / between, o % between);
            let from = offset(a, &sizes[..q], &strides[..q])
                + offset(b, &sizes[q + 1..last], &strides[q + 1..last]);
            let to = a * rows * below + b * cols;
            transpose(&x[from..], strides[last], &mut y[to..], below, rows, cols);
        }
    }
}

/// Offset in `x` of position number `i` of these axes, in row-major order.
fn offset(mut i: usize, sizes: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for (size, stride) in sizes.iter().zip(strides).rev() {
        at += i % size * stride;
        i /= size;
    }
    at
}

/// `y[r * ldy + c] = x[r + c * ldx]`.
fn transpose(x: &[Float], ldx: usize, y: &mut [Float], ldy: usize, rows: usize, cols: usize) {
    for r0 in (0..rows).step_by(TILE) {
        for c0 in (0..cols).step_by(TILE) {
            for r in r0..rows.min(r0 + TILE) {
                for c in c0..cols.min(c0 + TILE) {
                    y[r * ldy + c] = x[r + c * ldx];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayD, IxDyn};

    #[test]
    fn agrees_with_ndarray() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[], &[]),
            (&[5], &[0]),
            (&[3, 4], &[0, 1]),
            (&[3, 4], &[1, 0]),
            (&[37, 21], &[1, 0]),
            (&[2, 3, 4], &[1, 2, 0]),
            (&[2, 3, 4], &[2, 0, 1]),
            (&[2, 3, 4], &[1, 0, 2]),
            (&[2, 3, 4], &[2, 1, 0]),
            (&[2, 1, 4, 3], &[3, 1, 0, 2]),
            (&[2, 3, 4, 5], &[3, 1, 0, 2]),
            (&[2, 3, 2, 3, 2], &[4, 2, 0, 3, 1]),
        ];
        for &(shape, axes) in cases {
            let batch = 3;
            let each: usize = shape.iter().product();
            let x: Vec<Float> = (0..batch * each).map(|i| i as Float).collect();
            let mut y = vec![-1.0; x.len()];
            permute(&x, shape, axes, &mut y, Par::Serial);
            for (x, y) in x.chunks(each).zip(y.chunks(each)) {
                let x = ArrayD::from_shape_vec(IxDyn(shape), x.to_vec()).unwrap();
                let want: Vec<Float> = x.permuted_axes(axes).iter().copied().collect();
                assert_eq!(y, want, "{shape:?} {axes:?}");
            }
        }
    }
}
