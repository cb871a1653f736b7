//! Convolution where each channel has its own filter: sums over taps, vectors over channels.
//!
//! `windows` are the places of the windows in the frame, `taps` those of the taps in a window; `w (taps, F)`, `y (windows, F)`.

use super::Accum;
use crate::float::Float;
use crate::kernels::math::fma;
use crate::kernels::simd::simd_fn;

/// Channels worked on together: two wide vectors, or four of AVX2.
const WIDE: usize = 32;
/// The same for what is left of them.
const NARROW: usize = 8;

simd_fn! {
    /// `y[o, f] = sum_t x[o, t, f] w[t, f]`.
    pub(super) fn gather<FMA>(x: &[Float], windows: &[u32], taps: &[u32], w: &[Float], y: &mut [Float]) {
        let filters = w.len() / taps.len();
        for (y, &start) in y.chunks_exact_mut(filters).zip(windows) {
            let x = &x[start as usize..];
            let mut c = 0;
            while c + WIDE <= filters {
                gather_block::<FMA, WIDE>(x, taps, w, filters, c, y);
                c += WIDE;
            }
            while c + NARROW <= filters {
                gather_block::<FMA, NARROW>(x, taps, w, filters, c, y);
                c += NARROW;
            }
            while c < filters {
                gather_block::<FMA, 1>(x, taps, w, filters, c, y);
                c += 1;
            }
        }
    }
}

#[inline(always)]
fn gather_block<const FMA: bool, const N: usize>(
    x: &[Float],
    taps: &[u32],
    w: &[Float],
    filters: usize,
    c: usize,
    y: &mut [Float],
) {
    let mut sum = [0.0; N];
    for (&tap, w) in taps.iter().zip(w.chunks_exact(filters)) {
        let (x, w) = (block::<N>(x, tap as usize + c), block::<N>(w, c));
        for i in 0..N {
            sum[i] = fma::<FMA>(x[i], w[i], sum[i]);
        }
    }
    y[c..c + N].copy_from_slice(&sum);
}

simd_fn! {
    /// `dx[o, t, f] += dy[o, f] w[t, f]`.
    pub(super) fn scatter<FMA>(dx: &mut [Float], windows: &[u32], taps: &[u32], w: &[Float], dy: &[Float]) {
        let filters = w.len() / taps.len();
        for (dy, &start) in dy.chunks_exact(filters).zip(windows) {
            for (&tap, w) in taps.iter().zip(w.chunks_exact(filters)) {
                let dx = &mut dx[(start + tap) as usize..][..filters];
                for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(w) {
                    *dx = fma::<FMA>(dy, w, *dx);
                }
            }
        }
    }
}

simd_fn! {
    /// `dw[t, f] = or += sum_o x[o, t, f] dy[o, f]`.
    pub(super) fn weigh<FMA>(x: &[Float], windows: &[u32], taps: &[u32], dy: &[Float], accum: Accum, dw: &mut [Float]) {
        let filters = dw.len() / taps.len();
        for (&tap, dw) in taps.iter().zip(dw.chunks_exact_mut(filters)) {
            let x = &x[tap as usize..];
            let mut c = 0;
            while c + WIDE <= filters {
                weigh_block::<FMA, WIDE>(x, windows, dy, filters, c, accum, dw);
                c += WIDE;
            }
            while c + NARROW <= filters {
                weigh_block::<FMA, NARROW>(x, windows, dy, filters, c, accum, dw);
                c += NARROW;
            }
            while c < filters {
                weigh_block::<FMA, 1>(x, windows, dy, filters, c, accum, dw);
                c += 1;
            }
        }
    }
}

#[inline(always)]
fn weigh_block<const FMA: bool, const N: usize>(
    x: &[Float],
    windows: &[u32],
    dy: &[Float],
    filters: usize,
    c: usize,
    accum: Accum,
    dw: &mut [Float],
) {
    let mut sum = [0.0; N];
    for (&start, dy) in windows.iter().zip(dy.chunks_exact(filters)) {
        let (x, dy) = (block::<N>(x, start as usize + c), block::<N>(dy, c));
        for i in 0..N {
            sum[i] = fma::<FMA>(x[i], dy[i], sum[i]);
        }
    }
    for (dw, sum) in dw[c..c + N].iter_mut().zip(sum) {
        *dw = if accum == Accum::Add { *dw + sum } else { sum };
    }
}

/// `N` numbers from `at` on.
#[inline(always)]
fn block<const N: usize>(data: &[Float], at: usize) -> &[Float; N] {
    let (block, _) = data[at..]
        .split_first_chunk::<N>()
        .expect("channels of a pixel");
    block
}
