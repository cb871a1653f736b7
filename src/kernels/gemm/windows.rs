//! Products with windows of an image: A is read, and C written, row by row at any places. What a convolution would copy into a
//! matrix of patches is multiplied where it lies.

use super::blocks::{Shape, WORTH_THREADS, block_depth};
use super::pack::{Space, pack_strips};
use super::simd::Simd;
use super::tile::{MAX_STEP, Places, Tiles};
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

    fn places(self) -> Places {
        match self {
            Starts::Every(distance) => Places::every(distance),
            Starts::At(table) => Places::at(table),
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
    if let Starts::Every(step) = a.cols {
        assert!(step <= MAX_STEP, "windows: columns of A are too far apart");
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
        a_rows: a.rows.places(),
        a_cols: a.cols.places(),
        c: c.as_mut_ptr(),
        c_rows: c_rows.places(),
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
    Shape::of::<S>(usize::MAX / 8, n)
}

/// Blocks of k, each in strips of columns: block `p` begins at `p * whole`, its strip `j` at `j * depth` behind that.
///
/// # Safety
/// The processor has `S`; B has the size and `dst` the room.
unsafe fn pack_as<S: Simd>(k: usize, n: usize, b: Mat, dst: *mut Float) {
    let (shape, whole) = (shape::<S>(n), n.next_multiple_of(S::LANES));
    for p in (0..k).step_by(block_depth(k)) {
        let depth = block_depth(k).min(k - p);
        // SAFETY: the block is inside B, and its place inside the room.
        unsafe {
            let (src, dst) = (b.data.as_ptr().add(p * b.row), dst.add(p * whole));
            pack_strips::<S>(shape, depth, n, src, b.row, b.col, dst);
        }
    }
}

#[derive(Clone, Copy)]
struct Product {
    m: usize,
    k: usize,
    n: usize,
    a: *const Float,
    a_rows: Places,
    a_cols: Places,
    c: *mut Float,
    c_rows: Places,
    add: bool,
}

/// A product whose B is packed.
#[derive(Clone, Copy)]
struct Packed {
    product: Product,
    b: *const Float,
}

// SAFETY: the operands are only read, and products run at the same time write different rows of C.
unsafe impl Send for Packed {}
// SAFETY: a shared product is only copied.
unsafe impl Sync for Packed {}

impl Product {
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

impl Packed {
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

    fn rows(self, i: usize, m: usize) -> Packed {
        let (a, a_rows) = self.product.a_rows.from(i);
        let (c, c_rows) = self.product.c_rows.from(i);
        Packed {
            product: Product {
                m,
                a: self.product.a.wrapping_add(a),
                a_rows,
                c: self.product.c.wrapping_add(c),
                c_rows,
                ..self.product
            },
            ..self
        }
    }

    unsafe fn blocks<S: Simd>(self) {
        let Product { m, k, n, .. } = self.product;
        let (shape, whole) = (shape::<S>(n), n.next_multiple_of(S::LANES));
        for p in (0..k).step_by(block_depth(k)) {
            let depth = block_depth(k).min(k - p);
            let (skipped, a_cols) = self.product.a_cols.from(p);
            for (j, cols) in shape.strips(n) {
                let tiles = Tiles {
                    k: depth,
                    a: self.product.a.wrapping_add(skipped),
                    a_rows: self.product.a_rows,
                    a_cols,
                    a_tile: self.product.a_rows.step,
                    b: self.b.wrapping_add(p * whole + j * depth),
                    b_row: cols.next_multiple_of(S::LANES),
                    c: self.product.c.wrapping_add(j),
                    c_rows: self.product.c_rows,
                    cols,
                    add: self.product.add || p > 0,
                };
                for (i, rows, count) in shape.tiles(m) {
                    // SAFETY: the tiles are inside the product.
                    unsafe { tiles.run::<S>(i, rows, count) };
                }
            }
        }
    }
}
