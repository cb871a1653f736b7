//! A whole product: cut into pieces for threads, each piece into blocks for the caches, each block into tiles for the registers.

use super::gemv::{Combine, Dots};
use super::pack::{Space, Strip, pack_strips};
use super::simd::Simd;
use super::tile::{MAX_STEP, Places, Tiles, has_rows, most_rows};
use crate::float::Float;
use crate::kernels::parallel::Par;

/// A matrix by address and strides.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub data: *const Float,
    pub row: usize,
    pub col: usize,
}

impl Operand {
    fn at(self, i: usize, j: usize) -> *const Float {
        self.data.wrapping_add(i * self.row + j * self.col)
    }

    fn from(self, i: usize, j: usize) -> Self {
        Operand {
            data: self.at(i, j),
            ..self
        }
    }
}

/// `C (m x n) = or += A (m x k) * B (k x n)`, all sizes at least 1.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub a: Operand,
    pub b: Operand,
    pub c: *mut Float,
    pub ldc: usize,
    pub add: bool,
}

// SAFETY: the operands are only read, and products run at the same time write different elements of C.
unsafe impl Send for Product {}
// SAFETY: a shared product is only copied.
unsafe impl Sync for Product {}

/// Multiply-adds worth a second thread: about 20 us.
pub(super) const WORTH_THREADS: usize = 1 << 20;
/// The same for a product with a vector, which is bound by memory.
const WORTH_THREADS_VECTOR: usize = 1 << 18;
/// Most of k in one block: a strip of B (320 x 16 with AVX2) then stays in the first cache while those of A pass by.
pub(super) const BLOCK_K: usize = 320;
/// Most rows of a block of A: 256 x 320 numbers are a third of a second-level cache.
const BLOCK_M: usize = 240;
/// Most columns of a packed block of B.
const BLOCK_N: usize = 512;

impl Product {
    /// Computes C.
    ///
    /// Every element is one sum in the order of k, interrupted at multiples of a block size that depends on k alone. Hence the
    /// bits do not depend on how the product is cut into pieces and tiles.
    ///
    /// # Safety
    /// The processor has `S`; the addresses are good for the sizes.
    pub unsafe fn run<S: Simd>(self, par: Par) {
        // SAFETY: handed on.
        unsafe {
            if let Some(dots) = self.as_dots() {
                run_dots::<S>(dots, par);
            } else if let Some(combine) = self.as_combine() {
                run_combine::<S>(combine, par);
            } else {
                let par = if self.m * self.n * self.k < WORTH_THREADS {
                    Par::Serial
                } else {
                    par
                };
                self.pieces::<S>(par, 0);
            }
        }
    }

    /// A product with a vector, where the matrix is contiguous along k.
    fn as_dots(&self) -> Option<Dots> {
        let Product {
            m,
            k,
            n,
            a,
            b,
            c,
            ldc,
            add,
        } = *self;
        if n == 1 && a.col == 1 && b.row == 1 {
            Some(Dots {
                rows: m,
                k,
                a: a.data,
                a_row: a.row,
                x: b.data,
                y: c,
                y_step: ldc,
                add,
            })
        } else if m == 1 && b.row == 1 && a.col == 1 {
            Some(Dots {
                rows: n,
                k,
                a: b.data,
                a_row: b.col,
                x: a.data,
                y: c,
                y_step: 1,
                add,
            })
        } else {
            None
        }
    }

    /// A product with a vector, where the matrix is contiguous across k.
    fn as_combine(&self) -> Option<Combine> {
        let Product {
            m,
            k,
            n,
            a,
            b,
            c,
            ldc,
            add,
        } = *self;
        let wide = Combine::is_wide(m.max(n));
        if m == 1 && b.col == 1 {
            Some(Combine {
                k,
                cols: n,
                x: a.data,
                x_step: a.col,
                b: b.data,
                b_row: b.row,
                y: c,
                add,
                wide,
            })
        } else if n == 1 && a.row == 1 && ldc == 1 {
            Some(Combine {
                k,
                cols: m,
                x: b.data,
                x_step: b.row,
                b: a.data,
                b_row: a.col,
                y: c,
                add,
                wide,
            })
        } else {
            None
        }
    }

    /// Halves C until the pieces are small, then computes them.
    unsafe fn pieces<S: Simd>(self, par: Par, depth: usize) {
        // SAFETY: handed on; the halves write different parts of C.
        unsafe {
            match if par == Par::Serial {
                None
            } else {
                self.halves(depth)
            } {
                None => self.blocks::<S>(),
                Some((p, q)) => par.join(
                    || p.pieces::<S>(par, depth + 1),
                    || q.pieces::<S>(par, depth + 1),
                ),
            }
        }
    }

    /// The two halves of a product worth halving. A piece of 128 x 256 wastes little on packing what its neighbours pack too.
    fn halves(self, depth: usize) -> Option<(Product, Product)> {
        let (tall, wide) = (self.m > 128, self.n > 256);
        let small = self.m * self.n * self.k < 2 * WORTH_THREADS;
        if small || (depth >= 2 && !tall && !wide) {
            return None;
        }
        if self.n >= 2 * self.m || (self.n >= 64 && self.m < 48) {
            let half = (self.n / 2).next_multiple_of(32);
            Some((
                Product { n: half, ..self },
                self.columns(half, self.n - half),
            ))
        } else if self.m >= 16 {
            let half = self.m.div_ceil(2);
            Some((Product { m: half, ..self }, self.rows(half, self.m - half)))
        } else {
            None
        }
    }

    fn rows(self, i: usize, m: usize) -> Product {
        Product {
            m,
            a: self.a.from(i, 0),
            c: self.c.wrapping_add(i * self.ldc),
            ..self
        }
    }

    fn columns(self, j: usize, n: usize) -> Product {
        Product {
            n,
            b: self.b.from(0, j),
            c: self.c.wrapping_add(j),
            ..self
        }
    }

    fn depth(self, p: usize, k: usize) -> Product {
        Product {
            k,
            a: self.a.from(0, p),
            b: self.b.from(p, 0),
            add: self.add || p > 0,
            ..self
        }
    }

    /// One piece, in blocks that fit the caches.
    unsafe fn blocks<S: Simd>(self) {
        let shape = Shape::of::<S>(self.m, self.n);
        let pack_b = self.b.col != 1 || self.m > 4 * shape.rows;
        let far = self.a.col > MAX_STEP || (self.a.row != 1 && self.a.col != 1);
        let pack_a = far || self.n > 4 * shape.cols;
        let k = block_depth(self.k);
        let room_a = if pack_a { self.m.min(BLOCK_M) * k } else { 0 };
        let room_b = if pack_b {
            self.n.min(BLOCK_N).next_multiple_of(shape.cols) * k
        } else {
            shape.cols * k
        };
        Space::with(room_a, room_b, |a, b| {
            for j in (0..self.n).step_by(BLOCK_N) {
                let columns = self.columns(j, BLOCK_N.min(self.n - j));
                for p in (0..self.k).step_by(k) {
                    let block = columns.depth(p, k.min(self.k - p));
                    // SAFETY: the blocks are parts of the product and fit the room.
                    unsafe {
                        block.pack_b::<S>(shape, pack_b, b);
                        for i in (0..self.m).step_by(BLOCK_M) {
                            let mut block = block.rows(i, BLOCK_M.min(self.m - i));
                            if pack_a {
                                block.pack_a::<S>(shape, a);
                            }
                            block.tiles::<S>(shape, pack_a, pack_b, b);
                        }
                    }
                }
            }
        });
    }

    /// Copies B in strips of `shape.cols` columns: strip `j` has its rows at `j * k + p * width`. If not `all`, only a strip
    /// whose last vector is partial, because tiles read whole vectors.
    unsafe fn pack_b<S: Simd>(&self, shape: Shape, all: bool, dst: *mut Float) {
        let first = match self.n % S::LANES {
            _ if all => 0,
            0 => return,
            _ => self.n / shape.cols * shape.cols,
        };
        let (src, row, col) = (self.b.at(0, first), self.b.row, self.b.col);
        // SAFETY: the strips are those of B from column `first` on, and the room is large enough for them.
        unsafe { pack_strips::<S>(shape, self.k, self.n - first, src, row, col, dst) };
    }

    /// Copies A in strips of a tile's rows: strip `i` has its columns at `i * k + p * rows`.
    unsafe fn pack_a<S: Simd>(&mut self, shape: Shape, dst: *mut Float) {
        for (first, rows, count) in shape.tiles(self.m) {
            for i in (first..first + rows * count).step_by(rows) {
                let (src, lane, depth) = (self.a.at(i, 0), self.a.row, self.a.col);
                // SAFETY: strip i is inside A, and its place inside the room for A.
                unsafe {
                    S::run(Strip {
                        src,
                        lane,
                        depth,
                        lanes: rows,
                        k: self.k,
                        dst: dst.add(i * self.k),
                        step: rows,
                    })
                };
            }
        }
        self.a.data = dst;
    }

    /// All tiles of a block; B is packed whole, or a partial strip of it.
    unsafe fn tiles<S: Simd>(self, shape: Shape, packed_a: bool, packed_b: bool, b: *const Float) {
        let Product { k, a, ldc, add, .. } = self;
        for (j, cols) in shape.strips(self.n) {
            let width = cols.next_multiple_of(S::LANES);
            let (b, b_row) = match packed_b {
                true => (b.wrapping_add(j * k), width),
                false if width > cols => (b, width),
                false => (self.b.at(0, j), self.b.row),
            };
            let mut tiles = Tiles {
                k,
                a: a.data,
                a_rows: Places::every(if packed_a { 1 } else { a.row }),
                a_cols: Places::every(a.col),
                a_tile: if packed_a { k } else { a.row },
                b,
                b_row,
                c: self.c.wrapping_add(j),
                c_rows: Places::every(ldc),
                cols,
                add,
            };
            for (i, rows, count) in shape.tiles(self.m) {
                if packed_a {
                    tiles.a_cols = Places::every(rows);
                }
                // SAFETY: the tiles are inside the block.
                unsafe { tiles.run::<S>(i, rows, count) };
            }
        }
    }
}

/// Depth of the blocks of a product, which depends on k alone.
pub(super) fn block_depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(BLOCK_K))
}

/// The largest tile of a product.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    sums: usize,
    pub rows: usize,
    pub cols: usize,
}

impl Shape {
    /// Tall tiles of two vectors read least; a product of few rows or of three vectors has better ones.
    pub fn of<S: Simd>(m: usize, n: usize) -> Self {
        let vecs = match n.div_ceil(S::LANES) {
            v if v >= 4 && 4 * m <= S::SUMS => 4,
            3 => 3,
            v => v.min(2),
        };
        Shape {
            sums: S::SUMS,
            rows: most_rows(S::SUMS, vecs),
            cols: vecs * S::LANES,
        }
    }

    /// The tiles of `m` rows: first row, rows of a tile, and how many of them. The last are as even as can be, so that none is
    /// a thin rest.
    pub fn tiles(self, m: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let mut first = 0;
        std::iter::from_fn(move || {
            let left = m - first;
            if left == 0 {
                return None;
            }
            let (rows, count) = match (left / self.rows, left % self.rows) {
                (full @ 1.., 0) => (self.rows, full),
                (full @ 3.., _) => (self.rows, full - 2),
                _ => (self.even(left), 1),
            };
            let tiles = (first, rows, count);
            first += rows * count;
            Some(tiles)
        })
    }

    /// Rows of the next of some even tiles that make up the rows left.
    fn even(self, left: usize) -> usize {
        let rows = left.div_ceil(left.div_ceil(self.rows));
        let known = |rows: &usize| has_rows(self.sums, *rows);
        let above = (rows..=self.rows.min(left)).find(known);
        above.or_else(|| (1..rows).rev().find(known)).unwrap_or(1)
    }

    /// First column and number of columns of each strip.
    pub fn strips(self, n: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..n)
            .step_by(self.cols)
            .map(move |j| (j, self.cols.min(n - j)))
    }
}

/// Rows are halved until a piece is no longer worth a thread.
unsafe fn run_dots<S: Simd>(d: Dots, par: Par) {
    // SAFETY: handed on; the halves write different parts of y.
    unsafe {
        if par == Par::Serial || d.rows < 2 || d.rows * d.k < WORTH_THREADS_VECTOR {
            return S::run(d);
        }
        let half = d.rows / 2;
        let (a, y) = (d.a.add(half * d.a_row), d.y.add(half * d.y_step));
        let (p, q) = (
            Dots { rows: half, ..d },
            Dots {
                rows: d.rows - half,
                a,
                y,
                ..d
            },
        );
        par.join(|| run_dots::<S>(p, par), || run_dots::<S>(q, par));
    }
}

/// Columns are halved until a piece is no longer worth a thread.
unsafe fn run_combine<S: Simd>(d: Combine, par: Par) {
    // SAFETY: handed on; the halves write different parts of y.
    unsafe {
        if par == Par::Serial || d.cols < 128 || d.cols * d.k < WORTH_THREADS_VECTOR {
            return S::run(d);
        }
        let half = (d.cols / 2).next_multiple_of(64);
        let (b, y) = (d.b.add(half), d.y.add(half));
        let (p, q) = (
            Combine { cols: half, ..d },
            Combine {
                cols: d.cols - half,
                b,
                y,
                ..d
            },
        );
        par.join(|| run_combine::<S>(p, par), || run_combine::<S>(q, par));
    }
}
