//! Matrix multiplication: the single door through which dense, convolutional, recurrent and attention layers go.
//!
//! Transposes are strides, never copies by the caller. The instruction set is chosen at run time. Results do not depend on
//! [`Par`] nor on the number of threads: work is split over elements of C only, and each of them is one sum in the order of k.
//! After the first call of a size on a thread nothing is allocated.
//!
//! From the outside in: [`gemm`] checks bounds and chooses the instruction set; `blocks` cuts the product for threads and
//! caches; `pack` copies operands into the order of reading where that pays; `tile` multiplies; `gemv` is for vectors. All of
//! them are written once over the trait in `simd`, which `x86` and `portable` implement.

mod blocks;
mod gemv;
mod pack;
mod portable;
pub(in crate::kernels) mod simd;
#[cfg(test)]
mod tests;
mod tile;
mod windows;
#[cfg(all(target_arch = "x86_64", not(float64)))]
mod x86;

use super::parallel::Par;
use crate::float::Float;
use blocks::{Operand, Product};
use portable::Portable;
pub use windows::{Right, Starts, Windows, gemm_windows, pack, packed_len};

/// A matrix on a borrowed slice: element `(i, j)` is `data[i * row + j * col]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    /// The numbers.
    pub data: &'a [Float],
    /// Distance of neighbouring rows.
    pub row: usize,
    /// Distance of neighbouring columns.
    pub col: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix of `cols` columns.
    pub fn new(data: &'a [Float], cols: usize) -> Self {
        Mat {
            data,
            row: cols,
            col: 1,
        }
    }

    /// A matrix with any strides.
    pub fn strided(data: &'a [Float], row: usize, col: usize) -> Self {
        Mat { data, row, col }
    }

    /// The transpose, which is the same numbers with the strides swapped.
    pub fn t(self) -> Self {
        Mat {
            data: self.data,
            row: self.col,
            col: self.row,
        }
    }

    /// Panics unless the elements of a `rows x cols` matrix (both at least 1) are inside the slice.
    fn check(&self, name: &str, rows: usize, cols: usize) {
        let last = reach(rows, self.row).and_then(|r| r.checked_add(reach(cols, self.col)?));
        let inside = last.is_some_and(|last| last < self.data.len());
        assert!(
            inside,
            "gemm: {name} ({rows} x {cols}) does not fit {} numbers",
            self.data.len()
        );
    }

    fn operand(&self) -> Operand {
        Operand {
            data: self.data.as_ptr(),
            row: self.row,
            col: self.col,
        }
    }
}

/// Distance from the first to the last of `count` elements.
fn reach(count: usize, stride: usize) -> Option<usize> {
    (count - 1).checked_mul(stride)
}

/// What happens to the numbers already in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accum {
    /// They are overwritten, whatever they are (NaN too).
    Replace,
    /// The product is added to them.
    Add,
}

/// `C (m x n) = or += A (m x k) * B (k x n)`, where row `i` of C is `c[i * ldc..i * ldc + n]`.
///
/// Numbers between the rows of C (`ldc > n`) are left alone. With `k == 0` the product is zero. NaN and infinities propagate,
/// with one exception: a single row of A times row-major B does not read the rows of B whose coefficient is exactly zero.
///
/// # Panics
/// If an operand is smaller than its shape, or `ldc < n`.
pub fn gemm(
    m: usize,
    k: usize,
    n: usize,
    a: Mat,
    b: Mat,
    accum: Accum,
    c: &mut [Float],
    ldc: usize,
    par: Par,
) {
    gemm_with(Level::best(), m, k, n, a, b, accum, c, ldc, par);
}

/// The definition of [`gemm`]: three loops, for tests.
pub fn gemm_naive(
    m: usize,
    k: usize,
    n: usize,
    a: Mat,
    b: Mat,
    accum: Accum,
    c: &mut [Float],
    ldc: usize,
) {
    for i in 0..m {
        for j in 0..n {
            let sum: Float = (0..k)
                .map(|p| a.data[i * a.row + p * a.col] * b.data[p * b.row + j * b.col])
                .sum();
            let c = &mut c[i * ldc + j];
            *c = if accum == Accum::Add { *c + sum } else { sum };
        }
    }
}

/// The instruction sets there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    #[cfg(all(target_arch = "x86_64", not(float64)))]
    Avx512,
    #[cfg(all(target_arch = "x86_64", not(float64)))]
    Avx2,
    Portable,
}

impl Level {
    /// All of them, best first.
    const ALL: &[Level] = &[
        #[cfg(all(target_arch = "x86_64", not(float64)))]
        Level::Avx512,
        #[cfg(all(target_arch = "x86_64", not(float64)))]
        Level::Avx2,
        Level::Portable,
    ];

    /// Whether this processor has it.
    fn available(self) -> bool {
        match self {
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 => is_x86_feature_detected!("avx512f") && Level::Avx2.available(),
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Level::Portable => true,
        }
    }

    /// The best this processor has.
    #[inline]
    fn best() -> Level {
        Level::ALL
            .iter()
            .copied()
            .find(|level| level.available())
            .unwrap_or(Level::Portable)
    }

    /// The best for rows of so many numbers: up to 8 would leave half a wide vector idle.
    fn for_columns(n: usize) -> Level {
        match Level::best() {
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 if n <= 8 => Level::Avx2,
            best => {
                let _ = n;
                best
            }
        }
    }
}

/// [`gemm`] with given instructions, which must be available.
fn gemm_with(
    level: Level,
    m: usize,
    k: usize,
    n: usize,
    a: Mat,
    b: Mat,
    accum: Accum,
    c: &mut [Float],
    ldc: usize,
    par: Par,
) {
    if m == 0 || n == 0 {
        return;
    }
    let end = reach(m, ldc).and_then(|last| last.checked_add(n));
    assert!(
        ldc >= n || m == 1,
        "gemm: rows of C overlap, {ldc} apart for {n} columns"
    );
    assert!(
        end.is_some_and(|end| end <= c.len()),
        "gemm: C ({m} x {n}) does not fit {} numbers",
        c.len()
    );
    if k == 0 {
        if accum == Accum::Replace {
            c.chunks_mut(ldc.max(n))
                .take(m)
                .for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    a.check("A", m, k);
    b.check("B", k, n);
    let add = accum == Accum::Add;
    let product = Product {
        m,
        k,
        n,
        a: a.operand(),
        b: b.operand(),
        c: c.as_mut_ptr(),
        ldc,
        add,
    };
    // SAFETY: the sizes are checked above; C is borrowed mutably, A and B are not C; the level is available.
    unsafe {
        match level {
            // Half a vector would be idle with up to 8 columns; the narrower instructions take half the time.
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 if n > 8 || m == 1 || n == 1 => product.run::<x86::Avx512>(par),
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 | Level::Avx2 => product.run::<x86::Avx2>(par),
            Level::Portable => product.run::<Portable>(par),
        }
    }
}
