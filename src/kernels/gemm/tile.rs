//! The innermost kernel: a small tile of C held in registers while k runs.

use super::simd::{Kernel, Simd};
use crate::float::Float;

/// Most rows of C in one tile.
pub(super) const MAX_ROWS: usize = 12;

/// From this k on, the rows of C are asked for before the sums, so that they have come from a far cache when those are ready.
const PREFETCH: usize = 64;

/// `C (rows x cols) = or += A (rows x k) * B (k x cols)`, for a tile that fits the registers.
///
/// A is read number by number, so any strides do; B and C are read and written in vectors along their rows.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Columns of A, rows of B.
    pub k: usize,
    /// Element `(i, p)` of A is `a[i * a_row + p * a_col]`.
    pub a: *const Float,
    pub a_row: usize,
    pub a_col: usize,
    /// Element `(p, j)` of B is `b[p * b_row + j]`.
    pub b: *const Float,
    pub b_row: usize,
    /// Element `(i, j)` of C is `c[i * ldc + j]`.
    pub c: *mut Float,
    pub ldc: usize,
    /// Columns of the tile: the last vector may be partial.
    pub cols: usize,
    /// Add to C, or replace it.
    pub add: bool,
}

/// Computes a tile of `rows <= MAX_ROWS` rows, where `rows * vectors` of C fit into [`Simd::SUMS`].
///
/// # Safety
/// The processor has `S`; the pointers of the tile are good for its shape.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd>(rows: usize, t: &Tile) {
    // SAFETY: handed on.
    unsafe {
        match t.cols.div_ceil(S::LANES) {
            1 => by_rows::<S, 1>(rows, t),
            2 => by_rows::<S, 2>(rows, t),
            3 => by_rows::<S, 3>(rows, t),
            4 => by_rows::<S, 4>(rows, t),
            _ => unreachable!("a tile has 1 to 4 vectors of columns"),
        }
    }
}

unsafe fn by_rows<S: Simd, const VECS: usize>(rows: usize, t: &Tile) {
    // SAFETY: handed on.
    unsafe {
        match rows {
            1 => by_layout::<S, 1, VECS>(t),
            2 => by_layout::<S, 2, VECS>(t),
            3 => by_layout::<S, 3, VECS>(t),
            4 => by_layout::<S, 4, VECS>(t),
            5 => by_layout::<S, 5, VECS>(t),
            6 => by_layout::<S, 6, VECS>(t),
            7 => by_layout::<S, 7, VECS>(t),
            8 => by_layout::<S, 8, VECS>(t),
            9 => by_layout::<S, 9, VECS>(t),
            10 => by_layout::<S, 10, VECS>(t),
            11 => by_layout::<S, 11, VECS>(t),
            12 => by_layout::<S, 12, VECS>(t),
            _ => unreachable!("a tile has 1 to 12 rows"),
        }
    }
}

/// Packed and transposed A have neighbouring rows side by side: a constant stride leaves more registers for addresses.
#[inline(always)]
unsafe fn by_layout<S: Simd, const ROWS: usize, const VECS: usize>(t: &Tile) {
    if const { ROWS * VECS > S::SUMS } {
        unreachable!("a tile fits the registers");
    }
    // SAFETY: handed on.
    unsafe {
        if t.a_row == 1 {
            S::run(Fixed::<'_, ROWS, VECS, true>(t));
        } else {
            S::run(Fixed::<'_, ROWS, VECS, false>(t));
        }
    }
}

/// A tile whose size is known to the compiler; `UNIT`: rows of A are side by side.
struct Fixed<'a, const ROWS: usize, const VECS: usize, const UNIT: bool>(&'a Tile);

impl<S: Simd, const ROWS: usize, const VECS: usize, const UNIT: bool> Kernel<S>
    for Fixed<'_, ROWS, VECS, UNIT>
{
    #[inline(always)]
    unsafe fn run(self) {
        let Tile {
            k,
            mut a,
            a_row,
            a_col,
            mut b,
            b_row,
            c,
            ldc,
            cols,
            add,
        } = *self.0;
        let a_row = if UNIT { 1 } else { a_row };
        let last = VECS - 1;
        // SAFETY: every address is an element of A, B or C by the shape of the tile; partial vectors are masked.
        unsafe {
            let mask = S::mask(cols - last * S::LANES);
            for i in 0..if k >= PREFETCH { ROWS } else { 0 } {
                S::prefetch(c.wrapping_add(i * ldc));
                S::prefetch(c.wrapping_add(i * ldc + cols - 1));
            }
            let mut sum = [[S::splat(0.0); VECS]; ROWS];
            for _ in 0..k {
                let mut row = [S::splat(0.0); VECS];
                for (v, x) in row.iter_mut().enumerate() {
                    let p = b.add(v * S::LANES);
                    *x = if v < last {
                        S::load(p)
                    } else {
                        S::load_masked(p, mask)
                    };
                }
                for (i, sums) in sum.iter_mut().enumerate() {
                    let x = S::splat(*a.add(i * a_row));
                    for (s, &y) in sums.iter_mut().zip(&row) {
                        *s = S::fma(x, y, *s);
                    }
                }
                a = a.wrapping_add(a_col);
                b = b.wrapping_add(b_row);
            }
            let full = cols == VECS * S::LANES;
            for (i, sums) in sum.into_iter().enumerate() {
                for (v, s) in sums.into_iter().enumerate() {
                    let p = c.add(i * ldc + v * S::LANES);
                    if full || v < last {
                        S::store(p, if add { S::add(S::load(p), s) } else { s });
                    } else {
                        S::store_masked(
                            p,
                            if add {
                                S::add(S::load_masked(p, mask), s)
                            } else {
                                s
                            },
                            mask,
                        );
                    }
                }
            }
        }
    }
}
