//! The innermost kernel: small tiles of C held in registers while k runs.

use super::blocks::BLOCK_K;
use super::simd::{Kernel, Simd};
use crate::float::Float;

/// Most rows of C in one tile.
pub(super) const MAX_ROWS: usize = 12;

/// Largest distance of columns of A: those of a block are counted in 32 bits.
pub(super) const MAX_STEP: usize = u32::MAX as usize / BLOCK_K;

/// From this k on, the rows of C are asked for before the sums, so that they have come from a far cache when those are ready.
const PREFETCH: usize = 64;

/// Where rows or columns begin: number `i` at `i * step + table[i * stride]`. One of the two terms is always zero, which
/// spares the kernels a branch and the compiler a second copy of them.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub step: usize,
    table: *const u32,
    stride: usize,
}

static NOWHERE: u32 = 0;

impl Places {
    /// Number `i` at `i * step`.
    pub fn every(step: usize) -> Self {
        Places {
            step,
            table: &raw const NOWHERE,
            stride: 0,
        }
    }

    /// Number `i` at `table[i]`.
    pub fn at(table: &[u32]) -> Self {
        Places {
            step: 0,
            table: table.as_ptr(),
            stride: 1,
        }
    }

    /// What the places of numbers from `i` on are counted from, and these places.
    pub fn from(self, i: usize) -> (usize, Self) {
        let table = self.table.wrapping_add(i * self.stride);
        (i * self.step, Places { table, ..self })
    }

    #[inline(always)]
    unsafe fn get(self, i: usize) -> usize {
        // SAFETY: the caller has a number `i`.
        unsafe { i * self.step + *self.table.add(i * self.stride) as usize }
    }
}

/// Tiles of `C = or += A * B` below one another: some rows of C, and so many columns as a tile has.
///
/// A is read number by number, so it may lie anyhow; B and C are read and written in vectors along their rows.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// Columns of A, rows of B.
    pub k: usize,
    /// Element `(i, p)` of A is `a[a_rows(i) + a_cols(p)]`, where `i` counts in the tile and each row of C before the tile
    /// moves it by `a_tile`.
    pub a: *const Float,
    pub a_rows: Places,
    pub a_cols: Places,
    pub a_tile: usize,
    /// Element `(p, j)` of B is `b[p * b_row + j]`; whole vectors are read.
    pub b: *const Float,
    pub b_row: usize,
    /// Element `(i, j)` of C is `c[c_rows(i) + j]`.
    pub c: *mut Float,
    pub c_rows: Places,
    /// Columns of C: the last vector may be partial.
    pub cols: usize,
    /// Add to C, or replace it.
    pub add: bool,
}

impl Tiles {
    /// Computes `count` tiles of `rows` rows, from row `first` on. [`Shape::tiles`](super::blocks::Shape::tiles) says which
    /// numbers of rows there are.
    ///
    /// # Safety
    /// The processor has `S`; the addresses are good for the tiles.
    pub unsafe fn run<S: Simd>(&self, first: usize, rows: usize, count: usize) {
        // SAFETY: handed on.
        unsafe {
            match self.cols.div_ceil(S::LANES) {
                1 => self.by_rows::<S, 1>(first, rows, count),
                2 => self.by_rows::<S, 2>(first, rows, count),
                3 => self.by_rows::<S, 3>(first, rows, count),
                4 => self.by_rows::<S, 4>(first, rows, count),
                _ => unreachable!("a tile has 1 to 4 vectors of columns"),
            }
        }
    }

    #[inline(always)]
    unsafe fn by_rows<S: Simd, const VECS: usize>(&self, first: usize, rows: usize, count: usize) {
        // SAFETY: handed on.
        unsafe {
            match rows {
                1 => self.fixed::<S, 1, VECS>(first, count),
                2 => self.fixed::<S, 2, VECS>(first, count),
                3 => self.fixed::<S, 3, VECS>(first, count),
                4 => self.fixed::<S, 4, VECS>(first, count),
                5 => self.fixed::<S, 5, VECS>(first, count),
                6 => self.fixed::<S, 6, VECS>(first, count),
                8 => self.fixed::<S, 8, VECS>(first, count),
                12 => self.fixed::<S, 12, VECS>(first, count),
                _ => unreachable!("no tile has {rows} rows"),
            }
        }
    }

    #[inline(always)]
    unsafe fn fixed<S: Simd, const ROWS: usize, const VECS: usize>(
        &self,
        first: usize,
        count: usize,
    ) {
        if const { ROWS > most_rows(S::SUMS, VECS) || !has_rows(S::SUMS, ROWS) } {
            unreachable!("no tile has {ROWS} rows");
        }
        // SAFETY: handed on.
        unsafe { S::run(Fixed::<'_, ROWS, VECS>(self, first, count)) }
    }
}

/// Rows of the largest tile of so many vectors whose sums fit the registers.
pub(super) const fn most_rows(sums: usize, vecs: usize) -> usize {
    let rows = sums / vecs;
    if rows < MAX_ROWS { rows } else { MAX_ROWS }
}

/// Whether there are tiles of so many rows: those of 5 are worth their code where the largest of two vectors has 6.
pub(super) const fn has_rows(sums: usize, rows: usize) -> bool {
    matches!(rows, 1..=4 | 6 | 8 | MAX_ROWS) || (rows == 5 && sums == 12)
}

/// Tiles whose size is known to the compiler: the first row and how many there are.
struct Fixed<'a, const ROWS: usize, const VECS: usize>(&'a Tiles, usize, usize);

impl<S: Simd, const ROWS: usize, const VECS: usize> Kernel<S> for Fixed<'_, ROWS, VECS> {
    #[inline(always)]
    unsafe fn run(self) {
        let Fixed(t, first, count) = self;
        // SAFETY: every address is an element of A, B or C by the shape of the tiles; partial vectors are masked.
        unsafe {
            for first in (first..first + count * ROWS).step_by(ROWS) {
                let mut a = [t.a.wrapping_add(first * t.a_tile); ROWS];
                let (_, a_rows) = t.a_rows.from(first);
                for (i, a) in a.iter_mut().enumerate() {
                    *a = a.wrapping_add(a_rows.get(i));
                }
                let (skipped, c_rows) = t.c_rows.from(first);
                let c = t.c.wrapping_add(skipped);
                if t.k >= PREFETCH {
                    for i in 0..ROWS {
                        let c = c.wrapping_add(c_rows.get(i));
                        S::prefetch(c);
                    }
                }
                let sum = sums::<S, ROWS, VECS>(t, a);
                if t.cols < VECS * S::LANES {
                    let mask = S::mask(t.cols - (VECS - 1) * S::LANES);
                    for (i, mut sums) in sum.into_iter().enumerate() {
                        let c = c.add(c_rows.get(i));
                        if t.add {
                            for (v, s) in sums[..VECS - 1].iter_mut().enumerate() {
                                *s = S::add(S::load(c.add(v * S::LANES)), *s);
                            }
                            let old = S::load_masked(c.add((VECS - 1) * S::LANES), mask);
                            sums[VECS - 1] = S::add(old, sums[VECS - 1]);
                        }
                        for (v, &s) in sums[..VECS - 1].iter().enumerate() {
                            S::store(c.add(v * S::LANES), s);
                        }
                        S::store_masked(c.add((VECS - 1) * S::LANES), sums[VECS - 1], mask);
                    }
                } else if t.add {
                    for (i, sums) in sum.into_iter().enumerate() {
                        let c = c.add(c_rows.get(i));
                        for (v, s) in sums.into_iter().enumerate() {
                            let c = c.add(v * S::LANES);
                            S::store(c, S::add(S::load(c), s));
                        }
                    }
                } else {
                    for (i, sums) in sum.into_iter().enumerate() {
                        let c = c.add(c_rows.get(i));
                        for (v, s) in sums.into_iter().enumerate() {
                            S::store(c.add(v * S::LANES), s);
                        }
                    }
                }
            }
        }
    }
}

/// The sums of one tile, whose rows of A begin at these addresses.
#[inline(always)]
unsafe fn sums<S: Simd, const ROWS: usize, const VECS: usize>(
    t: &Tiles,
    a: [*const Float; ROWS],
) -> [[S::Vec; VECS]; ROWS] {
    // SAFETY: as in `Fixed`.
    unsafe {
        // In 32 bits the sum of both terms is one number. In 64 the compiler adds each of them to each row's address.
        let (mut at, step) = (0_u32, t.a_cols.step as u32);
        let (mut table, mut b) = (t.a_cols.table, t.b);
        let mut sum = [[S::splat(0.0); VECS]; ROWS];
        for _ in 0..t.k {
            let column = at.wrapping_add(*table) as usize;
            let mut row = [S::splat(0.0); VECS];
            for (v, x) in row.iter_mut().enumerate() {
                *x = S::load(b.add(v * S::LANES));
            }
            for (sums, a) in sum.iter_mut().zip(a) {
                let x = S::splat(*a.add(column));
                for (s, &y) in sums.iter_mut().zip(&row) {
                    *s = S::fma(x, y, *s);
                }
            }
            at = at.wrapping_add(step);
            table = table.wrapping_add(t.a_cols.stride);
            b = b.wrapping_add(t.b_row);
        }
        sum
    }
}
