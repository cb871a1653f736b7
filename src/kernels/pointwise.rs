//! A function of one number and its derivative, swept over matrices: the machinery under the activations.
use super::elementwise::{add_rows, column_sums, copy};
use super::simd::simd_fn;
use crate::float::Float;

/// Numbers worked on together: enough independent chains to keep the arithmetic units busy.
pub(crate) const LANES: usize = 32;

/// Rows are taken in blocks of about this many numbers, so that a second sweep finds them in the first cache.
const BLOCK: usize = 2048;

/// A function and its derivative, both `#[inline(always)]`: a closure would not do, because what the compiler does not inline
/// into a sweep is compiled for the baseline.
pub trait Pointwise: Copy {
    /// `y = f(x)`.
    fn value<const FMA: bool>(self, x: Float) -> Float;
    /// `f'(x)`, from `x` or from `y`: which of them is the function's own affair.
    fn slope<const FMA: bool>(self, at: Float) -> Float;
}

/// `y = f(y)`. The odd ones at the end are padded, because one by one they would cost as much as a vector; they go through the
/// same code as the blocks, which is long for every function and level.
#[inline(always)]
pub(crate) fn each<const FMA: bool, U: Pointwise>(f: U, y: &mut [Float]) {
    let (blocks, tail) = y.as_chunks_mut::<LANES>();
    let mut pad = padded(tail);
    for i in 0..blocks.len() + usize::from(!tail.is_empty()) {
        for y in blocks.get_mut(i).unwrap_or(&mut pad) {
            *y = f.value::<FMA>(*y);
        }
    }
    tail.copy_from_slice(&pad[..tail.len()]);
}

/// The odd numbers, and zeros after them.
#[inline(always)]
fn padded(tail: &[Float]) -> [Float; LANES] {
    let mut pad = [0.0; LANES];
    pad[..tail.len()].copy_from_slice(tail);
    pad
}

simd_fn! {
    /// `y = f(y)`.
    pub fn map<FMA, U: Pointwise>(f: U, y: &mut [Float]) {
        each::<FMA, U>(f, y);
    }
}

simd_fn! {
    /// `dy *= f'(at)`; padded as `map` is.
    pub fn grad<FMA, U: Pointwise>(f: U, at: &[Float], dy: &mut [Float]) {
        let (blocks, tail) = dy.as_chunks_mut::<LANES>();
        let (at_blocks, at_tail) = at[..LANES * blocks.len() + tail.len()].as_chunks::<LANES>();
        let (mut pad, at_pad) = (padded(tail), padded(at_tail));
        for i in 0..blocks.len() + usize::from(!tail.is_empty()) {
            let at = at_blocks.get(i).unwrap_or(&at_pad);
            for (dy, at) in blocks.get_mut(i).unwrap_or(&mut pad).iter_mut().zip(at) {
                *dy *= f.slope::<FMA>(*at);
            }
        }
        tail.copy_from_slice(&pad[..tail.len()]);
    }
}

simd_fn! {
    /// `y = f(y + bias)` row by row in one sweep: for functions that cost no more than the memory traffic.
    pub fn map_bias_fused<FMA, U: Pointwise>(f: U, bias: &[Float], y: &mut [Float]) {
        for row in y.chunks_exact_mut(bias.len().max(1)) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y = f.value::<FMA>(*y + b);
            }
        }
    }
}

simd_fn! {
    /// `dy *= f'(at)` and `dbias += ` the columns' sums in one sweep: for functions that cost no more than the memory traffic.
    pub fn grad_bias_fused<FMA, U: Pointwise>(
        f: U,
        at: &[Float],
        dy: &mut [Float],
        dbias: &mut [Float],
    ) {
        let cols = dbias.len().max(1);
        for (dy, at) in dy.chunks_exact_mut(cols).zip(at.chunks_exact(cols)) {
            for ((dy, at), db) in dy.iter_mut().zip(at).zip(&mut *dbias) {
                *dy *= f.slope::<FMA>(*at);
                *db += *dy;
            }
        }
    }
}

/// `y = f(y + bias)`, keeping `y + bias` in `z` if given; `f` is applied to whole rows, block by block.
pub fn map_bias(
    mut f: impl FnMut(&mut [Float]),
    bias: Option<&[Float]>,
    y: &mut [Float],
    cols: usize,
    mut z: Option<&mut [Float]>,
) {
    let block = block(cols);
    for (i, y) in y.chunks_mut(block).enumerate() {
        if let Some(bias) = bias {
            add_rows(bias, y);
        }
        if let Some(z) = &mut z {
            copy(y, &mut z[i * block..][..y.len()]);
        }
        f(y);
    }
}

/// `f` turns each block of `dy` (and where it starts) into `dz`; `dbias += ` the columns' sums.
pub fn grad_bias(
    mut f: impl FnMut(usize, &mut [Float]),
    dy: &mut [Float],
    cols: usize,
    dbias: &mut [Float],
) {
    let block = block(cols);
    for (i, dy) in dy.chunks_mut(block).enumerate() {
        f(i * block, dy);
        column_sums(dy, dbias);
    }
}

/// Length of a block of whole rows.
fn block(cols: usize) -> usize {
    let cols = cols.max(1);
    cols * (BLOCK / cols).max(1)
}
