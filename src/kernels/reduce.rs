//! Reductions and normalisations over the rows of a matrix of `cols` columns.
//!
//! Short rows (ten classes) are held in registers as two windows that overlap in the middle (`Windows`); loops over them
//! would be all remainder.
use super::math;
use super::pointwise::{Pointwise, each};
use super::simd::simd_fn;
use crate::float::Float;

/// Longer rows are taken in parts of this many numbers, which stay in the first cache.
const PART: usize = 2048;

#[inline(always)]
fn larger(a: Float, b: Float) -> Float {
    if b > a { b } else { a }
}

/// A row of `W..=2 W` numbers: its first `W` and its last `W`.
struct Windows<const W: usize> {
    both: [[Float; W]; 2],
    /// How many numbers of the second window are in the first one too.
    shared: usize,
}

impl<const W: usize> Windows<W> {
    #[inline(always)]
    fn load(row: &[Float]) -> Self {
        let mut both = [[0.0; W]; 2];
        both[0].copy_from_slice(&row[..W]);
        both[1].copy_from_slice(&row[row.len() - W..]);
        let shared = 2 * W - row.len();
        Windows { both, shared }
    }

    /// The shared numbers are written twice, the same both times.
    #[inline(always)]
    fn store(&self, row: &mut [Float]) {
        let start = row.len() - W;
        row[..W].copy_from_slice(&self.both[0]);
        row[start..].copy_from_slice(&self.both[1]);
    }

    #[inline(always)]
    fn max(&self) -> Float {
        let [mut a, b] = self.both;
        for (a, &b) in a.iter_mut().zip(&b) {
            *a = larger(*a, b);
        }
        let mut half = W / 2;
        while half > 0 {
            for i in 0..half {
                a[i] = larger(a[i], a[i + half]);
            }
            half /= 2;
        }
        a[0]
    }

    #[inline(always)]
    fn sum(&self) -> Float {
        let [mut a, b] = self.both;
        for (i, (a, &b)) in a.iter_mut().zip(&b).enumerate() {
            *a += if i >= self.shared { b } else { 0.0 };
        }
        let mut half = W / 2;
        while half > 0 {
            for i in 0..half {
                a[i] += a[i + half];
            }
            half /= 2;
        }
        a[0]
    }
}

/// `e^(x - max)`.
#[derive(Clone, Copy)]
struct ShiftedExp(Float);

impl Pointwise for ShiftedExp {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        math::exp_nonpositive::<FMA>(x - self.0)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        y
    }
}

/// The largest of a row: eight running maxima, so that they run side by side.
#[inline(always)]
fn row_max(row: &[Float]) -> Float {
    let (blocks, tail) = row.as_chunks::<8>();
    let mut best = [Float::NEG_INFINITY; 8];
    for block in blocks {
        for (m, &x) in best.iter_mut().zip(block) {
            *m = larger(*m, x);
        }
    }
    for (m, &x) in best.iter_mut().zip(tail) {
        *m = larger(*m, x);
    }
    let [a, b, c, d, e, f, g, h] = best;
    larger(
        larger(larger(a, e), larger(b, f)),
        larger(larger(c, g), larger(d, h)),
    )
}

/// The sum of a row with eight running sums.
#[inline(always)]
fn row_sum(row: &[Float]) -> Float {
    let (blocks, tail) = row.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for block in blocks {
        for (s, x) in sums.iter_mut().zip(block) {
            *s += x;
        }
    }
    for (s, x) in sums.iter_mut().zip(tail) {
        *s += x;
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// The inner product of two rows with eight running sums.
#[inline(always)]
fn row_dot<const FMA: bool>(a: &[Float], b: &[Float]) -> Float {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *s = math::fma::<FMA>(a, b, *s);
        }
    }
    for ((s, &a), &b) in sums.iter_mut().zip(a_tail).zip(b_tail) {
        *s = math::fma::<FMA>(a, b, *s);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// `sum(e^x)` of a row.
#[inline(always)]
fn row_sum_exp<const FMA: bool>(row: &[Float], shift: Float) -> Float {
    let mut exps = [0.0; PART];
    let mut total = 0.0;
    for part in row.chunks(PART) {
        let exps = &mut exps[..part.len()];
        exps.copy_from_slice(part);
        each::<FMA, _>(ShiftedExp(shift), exps);
        total += row_sum(exps);
    }
    total
}

simd_fn! {
    /// Softmax of every row: `y = e^(y - max) / sum`.
    pub fn softmax<FMA>(y: &mut [Float], cols: usize) {
        for row in y.chunks_exact_mut(cols.max(1)) {
            match cols {
                8..16 => softmax_short::<FMA, 8>(row),
                4..8 => softmax_short::<FMA, 4>(row),
                16..=32 => softmax_short::<FMA, 16>(row),
                _ => softmax_long::<FMA>(row),
            }
        }
    }
}

#[inline(always)]
fn softmax_long<const FMA: bool>(row: &mut [Float]) {
    let max = row_max(row);
    each::<FMA, _>(ShiftedExp(max), row);
    let inverse = 1.0 / row_sum(row);
    for y in row {
        *y *= inverse;
    }
}

#[inline(always)]
fn softmax_short<const FMA: bool, const W: usize>(row: &mut [Float]) {
    let mut y = Windows::<W>::load(row);
    let max = y.max();
    for y in y.both.as_flattened_mut() {
        *y = ShiftedExp(max).value::<FMA>(*y);
    }
    let inverse = 1.0 / y.sum();
    for y in y.both.as_flattened_mut() {
        *y *= inverse;
    }
    y.store(row);
}

simd_fn! {
    /// Log-softmax of every row: `y = (y - max) - ln(sum(e^(y - max)))`.
    pub fn log_softmax<FMA>(y: &mut [Float], cols: usize) {
        for row in y.chunks_exact_mut(cols.max(1)) {
            let max = row_max(row);
            let log = math::log::<FMA>(row_sum_exp::<FMA>(row, max));
            for y in row {
                *y = (*y - max) - log;
            }
        }
    }
}

simd_fn! {
    /// `out = max + ln(sum(e^(x - max)))` of every row.
    pub fn logsumexp<FMA>(x: &[Float], cols: usize, out: &mut [Float]) {
        for (row, out) in x.chunks_exact(cols.max(1)).zip(out) {
            let max = row_max(row);
            // An infinite maximum is the result; `x - max` would make a NaN of it.
            let shift = if max.is_finite() { max } else { 0.0 };
            let log = math::log::<FMA>(row_sum_exp::<FMA>(row, shift));
            *out = if max == Float::INFINITY { max } else { shift + log };
        }
    }
}

simd_fn! {
    /// Backward of softmax, from its output: `dx = y (dy - sum(dy y))`, in place of `dy`.
    pub fn softmax_backward<FMA>(y: &[Float], dy: &mut [Float], cols: usize) {
        let cols = cols.max(1);
        for (dy, y) in dy.chunks_exact_mut(cols).zip(y.chunks_exact(cols)) {
            let mean = row_dot::<FMA>(dy, y);
            for (dy, y) in dy.iter_mut().zip(y) {
                *dy = y * (*dy - mean);
            }
        }
    }
}

simd_fn! {
    /// Backward of log-softmax, from its output: `dx = dy - e^y sum(dy)`, in place of `dy`.
    pub fn log_softmax_backward<FMA>(y: &[Float], dy: &mut [Float], cols: usize) {
        let cols = cols.max(1);
        for (dy, y) in dy.chunks_exact_mut(cols).zip(y.chunks_exact(cols)) {
            let total = row_sum(dy);
            for (dy, &y) in dy.iter_mut().zip(y) {
                *dy -= math::exp_nonpositive::<FMA>(y) * total;
            }
        }
    }
}

/// The numbers of a row from the largest down; of equals the first comes first. NaNs are passed over.
fn descending(row: &[Float]) -> impl Iterator<Item = (usize, Float)> {
    let mut last: Option<(usize, Float)> = None;
    std::iter::from_fn(move || {
        let left = row
            .iter()
            .copied()
            .enumerate()
            .filter(|&(i, x)| match last {
                Some((j, y)) => x < y || (x == y && i > j),
                None => !x.is_nan(),
            });
        last = left.reduce(|best, next| if next.1 > best.1 { next } else { best });
        last
    })
}

/// Size of the support of sparsemax and its threshold `tau`, as Keras computes it: the sum of the *cumulated* sums over the support
/// stands where the definition has the sum.
fn sparsemax_threshold(row: &[Float]) -> (usize, Float) {
    let (mut cumulated, mut total, mut count) = (0.0, 0.0, 0);
    for (i, (_, x)) in descending(row).enumerate() {
        cumulated += x;
        if x - (cumulated - 1.0) / (i + 1) as Float <= 0.0 {
            break;
        }
        total += cumulated;
        count += 1;
    }
    (count, (total - 1.0) / count as Float)
}

/// Sparsemax of every row as Keras computes it: `y = max(y - tau, 0)`.
///
/// Where the support is a single number this is the nearest point of the probability simplex; otherwise Keras's `tau` is larger
/// than the projection's, and the row sums to less than 1. Work grows with columns times support, which is small.
pub fn sparsemax(y: &mut [Float], cols: usize) {
    for row in y.chunks_exact_mut(cols.max(1)) {
        let (_, tau) = sparsemax_threshold(row);
        for y in row {
            let above = *y - tau;
            *y = if above < 0.0 { 0.0 } else { above };
        }
    }
}

/// Backward of [`sparsemax`], from its input: `dx_i` is `dy_i` where `x_i` is above `tau` (else 0), less the sum of those times
/// `dtau / dx_i`, which for the `i`-th of a support of `k` is `(k + 1 - i) / k`.
pub fn sparsemax_backward(x: &[Float], dy: &mut [Float], cols: usize) {
    let cols = cols.max(1);
    for (dy, x) in dy.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
        let (count, tau) = sparsemax_threshold(x);
        let mut total = 0.0;
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = if x - tau < 0.0 { 0.0 } else { *dy };
            total += *dy;
        }
        for (i, (at, _)) in descending(x).take(count).enumerate() {
            dy[at] -= total * (count - i) as Float / count as Float;
        }
    }
}

/// The column of the largest number of a row: the first of equals; the first NaN, if there is one.
pub fn argmax(row: &[Float]) -> usize {
    let mut best = 0;
    for (i, &x) in row.iter().enumerate() {
        if row[best].is_nan() {
            break;
        }
        if x > row[best] || x.is_nan() {
            best = i;
        }
    }
    best
}

simd_fn! {
    /// `out = ` the sum of every row.
    pub fn row_sums<FMA>(x: &[Float], cols: usize, out: &mut [Float]) {
        for (row, out) in x.chunks_exact(cols.max(1)).zip(out) {
            *out = row_sum(row);
        }
    }
}

simd_fn! {
    /// `out = ` the largest of every row; NaNs are passed over.
    pub fn row_maxima<FMA>(x: &[Float], cols: usize, out: &mut [Float]) {
        for (row, out) in x.chunks_exact(cols.max(1)).zip(out) {
            *out = row_max(row);
        }
    }
}
