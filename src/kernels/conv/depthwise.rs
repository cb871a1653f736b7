//! Convolution where each channel has its own filter: sums over taps, vectors over channels.
//!
//! `windows` are the places of the windows in the frame, `taps` those of the taps in a window; `w (taps, F)`, `y (windows, F)`.

use super::Accum;
use crate::float::Float;
use crate::kernels::channels::{Block, at, at_mut, in_blocks};
use crate::kernels::math::fma;
use crate::kernels::simd::simd_fn;

simd_fn! {
    /// `y[o, f] = sum_t x[o, t, f] w[t, f]`.
    pub(super) fn gather<FMA>(x: &[Float], windows: &[u32], taps: &[u32], w: &[Float], y: &mut [Float]) {
        let filters = w.len() / taps.len();
        for (y, &start) in y.chunks_exact_mut(filters).zip(windows) {
            let x = &x[start as usize..];
            in_blocks(filters, &mut Gather::<FMA> { x, taps, w, y });
        }
    }
}

struct Gather<'a, const FMA: bool> {
    x: &'a [Float],
    taps: &'a [u32],
    w: &'a [Float],
    y: &'a mut [Float],
}

impl<const FMA: bool> Block for Gather<'_, FMA> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let mut sum = [0.0; N];
        for (&tap, w) in self.taps.iter().zip(self.w.chunks_exact(self.y.len())) {
            let (x, w): (&[_; N], &[_; N]) = (at(self.x, tap as usize + c), at(w, c));
            for i in 0..N {
                sum[i] = fma::<FMA>(x[i], w[i], sum[i]);
            }
        }
        *at_mut(self.y, c) = sum;
    }
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
            in_blocks(filters, &mut Weigh::<FMA> { x, windows, dy, accum, dw });
        }
    }
}

struct Weigh<'a, const FMA: bool> {
    x: &'a [Float],
    windows: &'a [u32],
    dy: &'a [Float],
    accum: Accum,
    dw: &'a mut [Float],
}

impl<const FMA: bool> Block for Weigh<'_, FMA> {
    #[inline(always)]
    fn run<const N: usize>(&mut self, c: usize) {
        let mut sum = [0.0; N];
        for (&start, dy) in self.windows.iter().zip(self.dy.chunks_exact(self.dw.len())) {
            let (x, dy): (&[_; N], &[_; N]) = (at(self.x, start as usize + c), at(dy, c));
            for i in 0..N {
                sum[i] = fma::<FMA>(x[i], dy[i], sum[i]);
            }
        }
        let dw: &mut [_; N] = at_mut(self.dw, c);
        for (dw, sum) in dw.iter_mut().zip(sum) {
            *dw = if self.accum == Accum::Add {
                *dw + sum
            } else {
                sum
            };
        }
    }
}
