//! Means over windows, and their backward.

use super::super::channels::{at, at_mut};
use super::super::simd::simd_fn;
use super::{Pool, Sweep, Window, rows, sweep};
use crate::float::Float;

simd_fn! {
    pub(super) fn mean_image<FMA>(pool: &Pool, x: &[Float], y: &mut [Float]) {
        sweep(pool, &mut Mean { x, y });
    }
}

struct Mean<'a> {
    x: &'a [Float],
    y: &'a mut [Float],
}

impl Sweep for Mean<'_> {
    #[inline(always)]
    fn block<const N: usize>(&mut self, pool: &Pool, window: &Window, c: usize) {
        let mut sum = [0.0; N];
        for row in rows(pool, window) {
            for tap in 0..window.x.len() {
                let x: &[Float; N] = at(self.x, row + tap * pool.channels + c);
                for (sum, x) in sum.iter_mut().zip(x) {
                    *sum += x;
                }
            }
        }
        let part = 1.0 / window.taps() as Float;
        for sum in &mut sum {
            *sum *= part;
        }
        *at_mut(self.y, window.at + c) = sum;
    }
}

simd_fn! {
    pub(super) fn mean_image_backward<FMA>(pool: &Pool, dy: &[Float], dx: &mut [Float]) {
        if pool.apart() {
            sweep(pool, &mut MeanBackward::<false> { dy, dx });
        } else {
            sweep(pool, &mut MeanBackward::<true> { dy, dx });
        }
    }
}

/// `ADD`: windows share pixels.
struct MeanBackward<'a, const ADD: bool> {
    dy: &'a [Float],
    dx: &'a mut [Float],
}

impl<const ADD: bool> Sweep for MeanBackward<'_, ADD> {
    #[inline(always)]
    fn block<const N: usize>(&mut self, pool: &Pool, window: &Window, c: usize) {
        let part = 1.0 / window.taps() as Float;
        let mut each: [Float; N] = *at(self.dy, window.at + c);
        for each in &mut each {
            *each *= part;
        }
        for row in rows(pool, window) {
            for tap in 0..window.x.len() {
                let dx: &mut [Float; N] = at_mut(self.dx, row + tap * pool.channels + c);
                if ADD {
                    for i in 0..N {
                        dx[i] += each[i];
                    }
                } else {
                    *dx = each;
                }
            }
        }
    }
}
