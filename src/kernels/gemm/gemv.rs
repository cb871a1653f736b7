//! Products of a matrix and a vector: bound by reading the matrix, once and in order.

use super::simd::{Kernel, Simd};
use crate::float::Float;

/// `y[i] = or += sum_p a[i, p] * x[p]`: rows of A are contiguous, one dot product each.
#[derive(Clone, Copy)]
pub(super) struct Dots {
    pub rows: usize,
    pub k: usize,
    /// Element `(i, p)` is `a[i * a_row + p]`.
    pub a: *const Float,
    pub a_row: usize,
    pub x: *const Float,
    pub y: *mut Float,
    /// Distance of neighbours in y.
    pub y_step: usize,
    pub add: bool,
}

// SAFETY: the operands are only read, and pieces run at the same time write different elements of y.
unsafe impl Send for Dots {}
// SAFETY: shared arguments are only copied.
unsafe impl Sync for Dots {}

impl<S: Simd> Kernel<S> for Dots {
    #[inline(always)]
    unsafe fn run(self) {
        let mut i = 0;
        // SAFETY: rows i .. i + R are rows of A.
        unsafe {
            while i + 8 <= self.rows {
                self.dots::<S, 8>(i);
                i += 8;
            }
            if i + 4 <= self.rows {
                self.dots::<S, 4>(i);
                i += 4;
            }
            while i < self.rows {
                self.dots::<S, 1>(i);
                i += 1;
            }
        }
    }
}

impl Dots {
    /// `R` rows at once share the loads of x. Each row's sum has the same order for every `R`.
    #[inline(always)]
    unsafe fn dots<S: Simd, const R: usize>(self, i: usize) {
        let last = self.k - self.k % S::LANES;
        // SAFETY: rows i .. i + R and columns below k are elements of A, x and y.
        unsafe {
            let a = self.a.add(i * self.a_row);
            let mut sum = [S::splat(0.0); R];
            for p in (0..last).step_by(S::LANES) {
                let x = S::load(self.x.add(p));
                for (r, s) in sum.iter_mut().enumerate() {
                    *s = S::fma(S::load(a.add(r * self.a_row + p)), x, *s);
                }
            }
            if last < self.k {
                let mask = S::mask(self.k - last);
                let x = S::load_masked(self.x.add(last), mask);
                for (r, s) in sum.iter_mut().enumerate() {
                    *s = S::fma(S::load_masked(a.add(r * self.a_row + last), mask), x, *s);
                }
            }
            for (r, s) in sum.into_iter().enumerate() {
                let y = self.y.add((i + r) * self.y_step);
                *y = if self.add { *y + S::sum(s) } else { S::sum(s) };
            }
        }
    }
}

/// `y[j] = or += sum_p x[p] * b[p, j]`: rows of B are contiguous.
#[derive(Clone, Copy)]
pub(super) struct Combine {
    pub k: usize,
    pub cols: usize,
    pub x: *const Float,
    /// Distance of neighbours in x.
    pub x_step: usize,
    /// Element `(p, j)` is `b[p * b_row + j]`.
    pub b: *const Float,
    pub b_row: usize,
    pub y: *mut Float,
    pub add: bool,
    /// See [`Combine::is_wide`]; decided for the whole product, so that pieces of it agree.
    pub wide: bool,
}

/// Vectors of y held in registers by the narrow form.
const STRIP: usize = 8;
/// Coefficients looked through at once for zeros.
const BLOCK: usize = 128;
/// Rows of B read at once by the wide form.
const ROWS: usize = 8;

// SAFETY: the operands are only read, and pieces run at the same time write different elements of y.
unsafe impl Send for Combine {}
// SAFETY: shared arguments are only copied.
unsafe impl Sync for Combine {}

impl<S: Simd> Kernel<S> for Combine {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: handed on.
        unsafe {
            if self.wide {
                self.by_rows::<S>();
            } else {
                self.by_strips::<S>();
            }
        }
    }
}

impl Combine {
    /// Whether rows of B are so long that reading them in strips would not be reading in order.
    pub fn is_wide(cols: usize) -> bool {
        cols > 512
    }

    /// Strips of y stay in registers while p runs over the rows of B whose coefficient is not zero: after a relu that is half
    /// of them, and the product costs what reading B costs.
    #[inline(always)]
    unsafe fn by_strips<S: Simd>(self) {
        let mut rows = [0u32; BLOCK];
        for first in (0..self.k).step_by(BLOCK) {
            let mut count = 0;
            for p in first..self.k.min(first + BLOCK) {
                rows[count] = p as u32;
                // SAFETY: p < k. A NaN is not equal to zero.
                count += usize::from(unsafe { *self.x.add(p * self.x_step) } != 0.0);
            }
            let add = self.add || first > 0;
            let mut j = 0;
            // SAFETY: strips stay within the columns; the last vector of each may be partial.
            unsafe {
                while j < self.cols {
                    let rows = &rows[..count];
                    match (self.cols - j).div_ceil(S::LANES) {
                        1 => self.strip::<S, 1>(j, rows, add),
                        2 => self.strip::<S, 2>(j, rows, add),
                        3 => self.strip::<S, 3>(j, rows, add),
                        4..8 => self.strip::<S, 4>(j, rows, add),
                        _ => self.strip::<S, STRIP>(j, rows, add),
                    }
                    j += match (self.cols - j).div_ceil(S::LANES) {
                        v @ 1..4 => v * S::LANES,
                        4..8 => 4 * S::LANES,
                        _ => STRIP * S::LANES,
                    };
                }
            }
        }
    }

    /// `V` vectors of y from column `j`, summed over these rows of B; only the last vector may be partial.
    #[inline(always)]
    unsafe fn strip<S: Simd, const V: usize>(self, j: usize, rows: &[u32], add: bool) {
        // SAFETY: columns from j on, and rows below k, are elements of B and y; the last vector is masked.
        unsafe {
            let mask = S::mask((self.cols - j - (V - 1) * S::LANES).min(S::LANES));
            let mut sum = [S::splat(0.0); V];
            for &p in rows {
                let p = p as usize;
                let x = S::splat(*self.x.add(p * self.x_step));
                let row = self.b.add(p * self.b_row + j);
                for (v, s) in sum.iter_mut().enumerate() {
                    let from = row.add(v * S::LANES);
                    let b = if v + 1 < V {
                        S::load(from)
                    } else {
                        S::load_masked(from, mask)
                    };
                    *s = S::fma(x, b, *s);
                }
            }
            for (v, s) in sum.into_iter().enumerate() {
                let y = self.y.add(j + v * S::LANES);
                let mask = if v + 1 < V { S::mask(S::LANES) } else { mask };
                let sum = if add {
                    S::add(S::load_masked(y, mask), s)
                } else {
                    s
                };
                S::store_masked(y, sum, mask);
            }
        }
    }

    /// Several rows of B at once are added to y, which stays in the nearest cache.
    #[inline(always)]
    unsafe fn by_rows<S: Simd>(self) {
        let mut p = 0;
        // SAFETY: rows p .. p + R are rows of B.
        unsafe {
            while p + ROWS <= self.k {
                self.rows::<S, ROWS>(p);
                p += ROWS;
            }
            while p < self.k {
                self.rows::<S, 1>(p);
                p += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize>(self, p: usize) {
        let add = self.add || p > 0;
        // SAFETY: rows p .. p + R and columns below cols are elements of B and y; the last vector is masked.
        unsafe {
            let b = self.b.add(p * self.b_row);
            let mut x = [S::splat(0.0); R];
            for (r, x) in x.iter_mut().enumerate() {
                *x = S::splat(*self.x.add((p + r) * self.x_step));
            }
            let last = self.cols - self.cols % S::LANES;
            for j in (0..last).step_by(S::LANES) {
                let mut y = if add {
                    S::load(self.y.add(j))
                } else {
                    S::splat(0.0)
                };
                for (r, &x) in x.iter().enumerate() {
                    y = S::fma(x, S::load(b.add(r * self.b_row + j)), y);
                }
                S::store(self.y.add(j), y);
            }
            if last < self.cols {
                let mask = S::mask(self.cols - last);
                let mut y = if add {
                    S::load_masked(self.y.add(last), mask)
                } else {
                    S::splat(0.0)
                };
                for (r, &x) in x.iter().enumerate() {
                    y = S::fma(x, S::load_masked(b.add(r * self.b_row + last), mask), y);
                }
                S::store_masked(self.y.add(last), y, mask);
            }
        }
    }
}
