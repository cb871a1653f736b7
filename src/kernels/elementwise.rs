//! Vector arithmetic over slices. Operands have equal lengths; rows are contiguous.
//!
//! Sums keep `LANES` running sums and add those pairwise: the order is fixed, and long sums lose little.
use super::math;
use super::parallel::Par;
use super::pointwise::{LANES, Pointwise, map};
use super::simd::simd_fn;
use crate::float::Float;

/// `e^x`; derivative `y`.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

impl Pointwise for Exp {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        math::exp::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        y
    }
}

/// `ln x`; derivative `1 / x`.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Pointwise for Log {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        math::log::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        1.0 / x
    }
}

/// `tanh x`; derivative `1 - y^2`.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Pointwise for Tanh {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        math::tanh::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        1.0 - y * y
    }
}

/// `1 / (1 + e^-x)`; derivative `y (1 - y)`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl Pointwise for Sigmoid {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        math::sigmoid::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        y * (1.0 - y)
    }
}

/// `y = e^y`.
pub fn exp(y: &mut [Float]) {
    map(Exp, y);
}

/// `y = ln y`.
pub fn log(y: &mut [Float]) {
    map(Log, y);
}

/// `y = tanh y`.
pub fn tanh(y: &mut [Float]) {
    map(Tanh, y);
}

/// `y = 1 / (1 + e^-y)`.
pub fn sigmoid(y: &mut [Float]) {
    map(Sigmoid, y);
}

/// `y = x`.
pub fn copy(x: &[Float], y: &mut [Float]) {
    y.copy_from_slice(x);
}

simd_fn! {
    /// `y += x`.
    pub fn add<FMA>(x: &[Float], y: &mut [Float]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

simd_fn! {
    /// `y -= x`.
    pub fn sub<FMA>(x: &[Float], y: &mut [Float]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y -= x;
        }
    }
}

simd_fn! {
    /// `y *= x`.
    pub fn mul<FMA>(x: &[Float], y: &mut [Float]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y *= x;
        }
    }
}

simd_fn! {
    /// `y *= a`.
    pub fn scale<FMA>(a: Float, y: &mut [Float]) {
        for y in y {
            *y *= a;
        }
    }
}

simd_fn! {
    /// `y += a x`.
    pub fn axpy<FMA>(a: Float, x: &[Float], y: &mut [Float]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = math::fma::<FMA>(a, x, *y);
        }
    }
}

simd_fn! {
    /// `y = a x + b y`.
    pub fn add_scaled<FMA>(a: Float, x: &[Float], b: Float, y: &mut [Float]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = math::fma::<FMA>(a, x, b * *y);
        }
    }
}

simd_fn! {
    /// `out = a + b`.
    pub fn add_to<FMA>(a: &[Float], b: &[Float], out: &mut [Float]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    }
}

simd_fn! {
    /// `out = a - b`.
    pub fn sub_to<FMA>(a: &[Float], b: &[Float], out: &mut [Float]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a - b;
        }
    }
}

simd_fn! {
    /// `out = a * b`.
    pub fn mul_to<FMA>(a: &[Float], b: &[Float], out: &mut [Float]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a * b;
        }
    }
}

simd_fn! {
    /// `out += a * b`.
    pub fn mul_add<FMA>(a: &[Float], b: &[Float], out: &mut [Float]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = math::fma::<FMA>(a, b, *out);
        }
    }
}

simd_fn! {
    /// Every row of `y` becomes `bias`.
    pub fn fill_rows<FMA>(bias: &[Float], y: &mut [Float]) {
        for row in y.chunks_exact_mut(bias.len().max(1)) {
            row.copy_from_slice(bias);
        }
    }
}

simd_fn! {
    /// `bias` is added to every row of `y`.
    pub fn add_rows<FMA>(bias: &[Float], y: &mut [Float]) {
        for row in y.chunks_exact_mut(bias.len().max(1)) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}

simd_fn! {
    /// `sums += ` the sum of every column of `x`, row after row.
    pub fn column_sums<FMA>(x: &[Float], sums: &mut [Float]) {
        for row in x.chunks_exact(sums.len().max(1)) {
            for (s, x) in sums.iter_mut().zip(row) {
                *s += x;
            }
        }
    }
}

simd_fn! {
    /// [`column_sums`] of the columns from `start` on, in rows of `cols`.
    fn column_sums_from<FMA>(x: &[Float], cols: usize, start: usize, sums: &mut [Float]) {
        for row in x.chunks_exact(cols.max(1)) {
            for (s, x) in sums.iter_mut().zip(&row[start..]) {
                *s += x;
            }
        }
    }
}

/// [`column_sums`] on several threads, which share out the columns: every sum goes down its rows in order, as on one thread.
pub fn column_sums_on(par: Par, x: &[Float], sums: &mut [Float]) {
    const COLUMNS: usize = 64;
    let cols = sums.len();
    par.for_each_piece(sums, COLUMNS, |start, sums| {
        column_sums_from(x, cols, start, sums);
    });
}

/// Adds running sums pairwise.
#[inline(always)]
fn fold<T: Copy + std::ops::Add<Output = T>>(mut sums: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] = sums[i] + sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

simd_fn! {
    /// The sum.
    pub fn sum<FMA>(x: &[Float]) -> Float {
        let (blocks, tail) = x.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for block in blocks {
            for (s, x) in sums.iter_mut().zip(block) {
                *s += x;
            }
        }
        for (s, x) in sums.iter_mut().zip(tail) {
            *s += x;
        }
        fold(sums)
    }
}

simd_fn! {
    /// The inner product.
    pub fn dot<FMA>(a: &[Float], b: &[Float]) -> Float {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut sums = [0.0; LANES];
        for (a, b) in a.iter().zip(b) {
            for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *s = math::fma::<FMA>(a, b, *s);
            }
        }
        for ((s, &a), &b) in sums.iter_mut().zip(a_tail).zip(b_tail) {
            *s = math::fma::<FMA>(a, b, *s);
        }
        fold(sums)
    }
}

simd_fn! {
    /// The sum of squares, in double precision.
    pub fn squared_norm<FMA>(x: &[Float]) -> f64 {
        let (blocks, tail) = x.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for block in blocks {
            for (s, x) in sums.iter_mut().zip(block) {
                *s += f64::from(*x) * f64::from(*x);
            }
        }
        for (s, x) in sums.iter_mut().zip(tail) {
            *s += f64::from(*x) * f64::from(*x);
        }
        fold(sums)
    }
}

simd_fn! {
    /// The largest number; NaNs are passed over, and of nothing it is negative infinity.
    pub fn max<FMA>(x: &[Float]) -> Float {
        let (blocks, tail) = x.as_chunks::<LANES>();
        let mut best = [Float::NEG_INFINITY; LANES];
        for block in blocks {
            for (m, &x) in best.iter_mut().zip(block) {
                *m = if x > *m { x } else { *m };
            }
        }
        let mut largest = Float::NEG_INFINITY;
        for &x in best.iter().chain(tail) {
            largest = if x > largest { x } else { largest };
        }
        largest
    }
}

simd_fn! {
    /// Whether there is no NaN and no infinity: `0 x` is 0 for finite `x` only.
    pub fn all_finite<FMA>(x: &[Float]) -> bool {
        let (blocks, tail) = x.as_chunks::<LANES>();
        let mut zeros = [0.0; LANES];
        for block in blocks {
            for (z, x) in zeros.iter_mut().zip(block) {
                *z += 0.0 * x;
            }
        }
        for (z, x) in zeros.iter_mut().zip(tail) {
            *z += 0.0 * x;
        }
        fold(zeros) == 0.0
    }
}
