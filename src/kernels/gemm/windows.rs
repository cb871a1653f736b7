//! Products with windows of an image: A is read, and C written, row by row at any places. What a convolution would copy into a
//! matrix of patches is multiplied where it lies.

use super::blocks::{BLOCK_K, Shape, WORTH_THREADS};
use super::pack::{Space, Strip};
use super::simd::{Kernel, Simd};
use super::{Accum, Level, Mat};
use crate::float::Float;
use crate::kernels::parallel::Par;

/// Where the rows (or columns) of a matrix begin, counted in numbers.
#[derive(Clone, Copy, Debug)]
pub enum Starts<'a> {
    /// Evenly: number `i` at `i * distance`.
    Every(usize),
    /// As a table says.
    At(&'a [u32]),
}

impl Starts<'_> {
    #[inline(always)]
    fn at(self, i: usize) -> usize {
        match self {
            Starts::Every(distance) => i * distance,
            Starts::At(table) => table[i] as usize,
        }
    }

    fn from(self, i: usize) -> Self {
        match self {
            Starts::Every(_) => self,
            Starts::At(table) => Starts::At(&table[i..]),
        }
    }

    /// The largest of the first `count >= 1`.
    fn last(self, count: usize) -> Option<usize> {
        match self {
            Starts::Every(distance) => (count - 1).checked_mul(distance),
            Starts::At(table) => table[..count].iter().max().map(|&last| last as usize),
        }
    }

    /// Whether each of the first `count` begins at least `len` behind the one before.
    fn are_apart(self, count: usize, len: usize) -> bool {
        match self {
            Starts::Every(distance) => distance >= len || count == 1,
            Starts::At(table) => table[..count].windows(2).fold(true, |apart, two| {
                apart & (two[0] as usize + len <= two[1] as usize)
            }),
        }
    }
}

/// A matrix whose element `(i, p)` is `data[rows(i) + cols(p)]`.
///
/// The windows of an image are one: `rows` are the places of the windows, `cols` the places within a window.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// The numbers.
    pub data: &'a [Float],
    /// Where rows begin.
    pub rows: Starts<'a>,
    /// Where columns begin.
    pub cols: Starts<'a>,
}

impl Windows<'_> {
    /// The transpose.
    pub fn t(self) -> Self {
        Windows {
            rows: self.cols,
            cols: self.rows,
            ..self
        }
    }
}

/// The right side of a product with windows.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// A matrix, which is copied into the order of reading.
    Mat(Mat<'a>),
    /// What [`pack`] made of one.
    Packed(&'a [Float]),
}

/// Room that [`pack`] needs for a `k x n` matrix.
pub fn packed_len(k: usize, n: usize) -> usize {
    k * n.next_multiple_of(16) + 16
}

/// Copies B (k x n) into the order in which [`gemm_windows`] reads it, for products with several A.
///
/// # Panics
/// If the matrix or the room is too small.
pub fn pack(k: usize, n: usize, b: Mat, packed: &mut [Float]) {
    pack_with(Level::for_columns(n), k, n, b, packed);
}

/// [`pack`] for given instructions, which must be available.
pub(super) fn pack_with(level: Level, k: usize, n: usize, b: Mat, packed: &mut [Float]) {
    if k == 0 || n == 0 {
        return;
    }
    b.check("B", k, n);
    assert!(packed.len() >= packed_len(k, n), "pack: too little room");
    // SAFETY: the sizes are checked; the level is available.
    unsafe {
        match level {
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 => pack_as::<super::x86::Avx512>(k, n, b, packed.as_mut_ptr()),
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx2 => pack_as::<super::x86::Avx2>(k, n, b, packed.as_mut_ptr()),
            Level::Portable => pack_as::<super::portable::Portable>(k, n, b, packed.as_mut_ptr()),
        }
    }
}

/// `C = or += A (m x k) * B (k x n)`, where row `i` of C is `c[c_rows(i)..][..n]`, and these rows are in rising order and apart.
///
/// Every element is one sum in the order of k, interrupted at multiples of a block size that depends on k alone, as in
/// [`gemm`](super::gemm): results depend neither on `par` nor on how the caller cuts C into pieces.
///
/// # Panics
/// If an operand is smaller than its shape, or rows of C overlap.
pub fn gemm_windows(
    m: usize,
    k: usize,
    n: usize,
    a: Windows,
    b: Right,
    accum: Accum,
    c: &mut [Float],
    c_rows: Starts,
    par: Par,
) {
    let level = Level::for_columns(n);
    gemm_windows_with(level, m, k, n, a, b, accum, c, c_rows, par);
}

/// [`gemm_windows`] with given instructions, which must be available and those that B was packed for.
pub(super) fn gemm_windows_with(
    level: Level,
    m: usize,
    k: usize,
    n: usize,
    a: Windows,
    b: Right,
    accum: Accum,
    c: &mut [Float],
    c_rows: Starts,
    par: Par,
) {
    if m == 0 || n == 0 {
        return;
    }
    let end = c_rows.last(m).and_then(|last| last.checked_add(n));
    assert!(
        end.is_some_and(|end| end <= c.len()) && c_rows.are_apart(m, n),
        "windows: the rows of C overlap or do not fit {} numbers",
        c.len()
    );
    if k == 0 {
        if accum == Accum::Replace {
            (0..m).for_each(|i| c[c_rows.at(i)..][..n].fill(0.0));
        }
        return;
    }
    let last = a.rows.last(m).and_then(|r| r.checked_add(a.cols.last(k)?));
    assert!(
        last.is_some_and(|last| last < a.data.len()),
        "windows: A ({m} x {k}) does not fit {} numbers",
        a.data.len()
    );
    match b {
        Right::Mat(b) => b.check("B", k, n),
        Right::Packed(b) => assert!(b.len() >= packed_len(k, n), "windows: B is too small"),
    }
    let product = Product {
        m,
        k,
        n,
        a: a.data.as_ptr(),
        a_rows: a.rows,
        a_cols: a.cols,
        c: c.as_mut_ptr(),
        c_rows,
        add: accum == Accum::Add,
    };
    // SAFETY: the sizes are checked above; C is borrowed mutably, A and B are not C; the level is available.
    unsafe {
        match level {
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 => product.run::<super::x86::Avx512>(b, par),
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx2 => product.run::<super::x86::Avx2>(b, par),
            Level::Portable => product.run::<super::portable::Portable>(b, par),
        }
    }
}

/// The tile for so many columns. B is packed before it is known how many rows A has, so these do not matter.
fn shape<S: Simd>(n: usize) -> Shape {
    let Shape { rows, cols } = Shape::of::<S>(usize::MAX / 8, n);
    Shape {
        rows: rows.min(MAX_ROWS),
        cols,
    }
}

/// Each row of a tile has an address of its own, and these must fit the general registers.
const MAX_ROWS: usize = 12;

/// Depth of the blocks, which depends on k alone.
fn block_depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(BLOCK_K))
}

/// Blocks of k, each in strips of columns: block `p` begins at `p * whole`, its strip `j` at `j * depth` behind that.
///
/// # Safety
/// The processor has `S`; B has the size and `dst` the room.
unsafe fn pack_as<S: Simd>(k: usize, n: usize, b: Mat, dst: *mut Float) {
    let (shape, whole) = (shape::<S>(n), n.next_multiple_of(S::LANES));
    for p in (0..k).step_by(block_depth(k)) {
        let depth = block_depth(k).min(k - p);
        for (j, lanes) in shape.strips(n) {
            // SAFETY: the strip is inside B, and its place inside the room.
            unsafe {
                S::run(Strip {
                    src: b.data.as_ptr().add(p * b.row + j * b.col),
                    lane: b.col,
                    depth: b.row,
                    lanes,
                    k: depth,
                    dst: dst.add(p * whole + j * depth),
                    step: lanes.next_multiple_of(S::LANES),
                });
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Product<'a> {
    m: usize,
    k: usize,
    n: usize,
    a: *const Float,
    a_rows: Starts<'a>,
    a_cols: Starts<'a>,
    c: *mut Float,
    c_rows: Starts<'a>,
    add: bool,
}

/// A product whose B is packed.
#[derive(Clone, Copy)]
struct Packed<'a> {
    product: Product<'a>,
    b: *const Float,
}

// SAFETY: the operands are only read, and products run at the same time write different rows of C.
unsafe impl Send for Packed<'_> {}
// SAFETY: a shared product is only copied.
unsafe impl Sync for Packed<'_> {}

impl Product<'_> {
    /// # Safety
    /// The processor has `S`; the addresses are good for the sizes.
    unsafe fn run<S: Simd>(self, b: Right, par: Par) {
        let Product { k, n, .. } = self;
        // SAFETY: handed on.
        unsafe {
            match b {
                Right::Packed(b) => {
                    let b = b.as_ptr();
                    Packed { product: self, b }.pieces::<S>(par);
                }
                Right::Mat(b) => Space::with(0, packed_len(k, n), |_, room| {
                    pack_as::<S>(k, n, b, room);
                    Packed {
                        product: self,
                        b: room,
                    }
                    .pieces::<S>(par);
                }),
            }
        }
    }
}

impl<'a> Packed<'a> {
    /// Halves the rows until the pieces are small.
    unsafe fn pieces<S: Simd>(self, par: Par) {
        let Product { m, k, n, .. } = self.product;
        // SAFETY: handed on; the halves write different rows of C.
        unsafe {
            if par == Par::Serial || m < 16 || m * n * k < 2 * WORTH_THREADS {
                return self.blocks::<S>();
            }
            let half = m / 2;
            let (front, back) = (self.rows(0, half), self.rows(half, m - half));
            par.join(|| front.pieces::<S>(par), || back.pieces::<S>(par));
        }
    }

    fn rows(self, i: usize, m: usize) -> Packed<'a> {
        let (a, c) = (skip(self.product.a_rows, i), skip(self.product.c_rows, i));
        Packed {
            product: Product {
                m,
                a: self.product.a.wrapping_add(a),
                a_rows: self.product.a_rows.from(i),
                c: self.product.c.wrapping_add(c),
                c_rows: self.product.c_rows.from(i),
                ..self.product
            },
            ..self
        }
    }

    unsafe fn blocks<S: Simd>(self) {
        let Product {
            m,
            k,
            n,
            a,
            a_rows,
            a_cols,
            c,
            c_rows,
            add,
        } = self.product;
        let (shape, whole) = (shape::<S>(n), n.next_multiple_of(S::LANES));
        for p in (0..k).step_by(block_depth(k)) {
            let depth = block_depth(k).min(k - p);
            for (j, cols) in shape.strips(n) {
                for (i, rows) in shape.tiles(m) {
                    let tile = Tile {
                        k: depth,
                        a: a.wrapping_add(skip(a_rows, i) + skip(a_cols, p)),
                        a_rows: a_rows.from(i),
                        a_cols: a_cols.from(p),
                        b: self.b.wrapping_add(p * whole + j * depth),
                        c: c.wrapping_add(skip(c_rows, i) + j),
                        c_rows: c_rows.from(i),
                        cols,
                        add: add || p > 0,
                    };
                    // SAFETY: the tile is inside the product.
                    unsafe { tile.run::<S>(rows) };
                }
            }
        }
    }
}

/// What [`Starts::from`] leaves to the address.
fn skip(starts: Starts, i: usize) -> usize {
    match starts {
        Starts::Every(distance) => i * distance,
        Starts::At(_) => 0,
    }
}

/// A small part of C held in registers while k runs.
struct Tile<'a> {
    k: usize,
    /// Element `(i, p)` of A is `a[a_rows(i) + a_cols(p)]`.
    a: *const Float,
    a_rows: Starts<'a>,
    a_cols: Starts<'a>,
    /// Packed: the row of `p` follows that of `p - 1`, both padded to whole vectors.
    b: *const Float,
    c: *mut Float,
    c_rows: Starts<'a>,
    /// Columns: the last vector may be partial.
    cols: usize,
    add: bool,
}

impl Tile<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, rows: usize) {
        // SAFETY: handed on.
        unsafe {
            match self.cols.div_ceil(S::LANES) {
                1 => self.by_rows::<S, 1>(rows),
                2 => self.by_rows::<S, 2>(rows),
                3 => self.by_rows::<S, 3>(rows),
                _ => unreachable!("a tile has 1 to 3 vectors of columns"),
            }
        }
    }

    unsafe fn by_rows<S: Simd, const VECS: usize>(&self, rows: usize) {
        // SAFETY: handed on.
        unsafe {
            match rows {
                1 => self.by_layout::<S, 1, VECS>(),
                2 => self.by_layout::<S, 2, VECS>(),
                3 => self.by_layout::<S, 3, VECS>(),
                4 => self.by_layout::<S, 4, VECS>(),
                5 => self.by_layout::<S, 5, VECS>(),
                6 => self.by_layout::<S, 6, VECS>(),
                7 => self.by_layout::<S, 7, VECS>(),
                8 => self.by_layout::<S, 8, VECS>(),
                9 => self.by_layout::<S, 9, VECS>(),
                10 => self.by_layout::<S, 10, VECS>(),
                11 => self.by_layout::<S, 11, VECS>(),
                12 => self.by_layout::<S, 12, VECS>(),
                _ => unreachable!("a tile has 1 to 12 rows"),
            }
        }
    }

    #[inline(always)]
    unsafe fn by_layout<S: Simd, const ROWS: usize, const VECS: usize>(&self) {
        if const { ROWS * VECS > S::SUMS } {
            unreachable!("a tile fits the registers");
        }
        // SAFETY: handed on.
        unsafe {
            match self.a_cols {
                Starts::At(_) => S::run(Fixed::<'_, ROWS, VECS, true>(self)),
                Starts::Every(_) => S::run(Fixed::<'_, ROWS, VECS, false>(self)),
            }
        }
    }
}

/// A tile whose size is known to the compiler; `TABLE`: so says whether the columns of A have one.
struct Fixed<'a, const ROWS: usize, const VECS: usize, const TABLE: bool>(&'a Tile<'a>);

impl<S: Simd, const ROWS: usize, const VECS: usize, const TABLE: bool> Kernel<S>
    for Fixed<'_, ROWS, VECS, TABLE>
{
    #[inline(always)]
    unsafe fn run(self) {
        let t = self.0;
        let (table, step) = match t.a_cols {
            Starts::At(table) => (table.as_ptr(), 0),
            Starts::Every(step) => (std::ptr::null(), step),
        };
        // SAFETY: every address is an element of A, B or C by the shape of the tile; partial vectors are masked.
        unsafe {
            let a: [*const Float; ROWS] = std::array::from_fn(|i| t.a.wrapping_add(t.a_rows.at(i)));
            let (mut b, mut at) = (t.b, 0);
            let mut sum = [[S::splat(0.0); VECS]; ROWS];
            for p in 0..t.k {
                if TABLE {
                    at = *table.add(p) as usize;
                }
                let row: [S::Vec; VECS] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
                for (sums, a) in sum.iter_mut().zip(a) {
                    let x = S::splat(*a.add(at));
                    for (s, &y) in sums.iter_mut().zip(&row) {
                        *s = S::fma(x, y, *s);
                    }
                }
                b = b.add(VECS * S::LANES);
                at += step;
            }
            let last = VECS - 1;
            let mask = S::mask(t.cols - last * S::LANES);
            let full = t.cols == VECS * S::LANES;
            for (i, sums) in sum.into_iter().enumerate() {
                let c = t.c.add(t.c_rows.at(i));
                for (v, s) in sums.into_iter().enumerate() {
                    let p = c.add(v * S::LANES);
                    if full || v < last {
                        S::store(p, if t.add { S::add(S::load(p), s) } else { s });
                    } else if t.add {
                        S::store_masked(p, S::add(S::load_masked(p, mask), s), mask);
                    } else {
                        S::store_masked(p, s, mask);
                    }
                }
            }
        }
    }
}
