//! Vectors as plain arrays, which the compiler turns into whatever the target has: NEON, SSE2, wasm or scalars.

use super::simd::{Kernel, Simd};
use crate::float::Float;

/// On ARM the fused multiply-add and 32 registers are part of the base architecture; elsewhere the base has 16 and no fusing.
const ARM: bool = cfg!(target_arch = "aarch64");
const LANES: usize = if ARM { 8 } else { 4 };

/// The instruction set of the target itself.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Portable;

impl Simd for Portable {
    const LANES: usize = LANES;
    const SUMS: usize = if ARM { 12 } else { 8 };
    type Vec = [Float; LANES];
    type Mask = usize;

    #[inline(always)]
    unsafe fn run<K: Kernel<Self>>(kernel: K) {
        // SAFETY: no instructions beyond the target's; the caller answers for the pointers.
        unsafe { kernel.run() }
    }

    #[inline(always)]
    unsafe fn mask(n: usize) -> usize {
        n
    }

    #[inline(always)]
    unsafe fn splat(x: Float) -> Self::Vec {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(p: *const Float) -> Self::Vec {
        // SAFETY: the caller has LANES numbers at `p`.
        unsafe { p.cast::<Self::Vec>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_masked(p: *const Float, mask: usize) -> Self::Vec {
        if mask == LANES {
            // SAFETY: all lanes are asked for.
            return unsafe { Self::load(p) };
        }
        let mut v = [0.0; LANES];
        for (i, lane) in v.iter_mut().enumerate().take(mask) {
            // SAFETY: the caller has `mask` numbers at `p`.
            *lane = unsafe { *p.add(i) };
        }
        v
    }

    #[inline(always)]
    unsafe fn store(p: *mut Float, v: Self::Vec) {
        // SAFETY: the caller has room for LANES numbers at `p`.
        unsafe { p.cast::<Self::Vec>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn store_masked(p: *mut Float, v: Self::Vec, mask: usize) {
        for (i, lane) in v.into_iter().enumerate().take(mask) {
            // SAFETY: the caller has room for `mask` numbers at `p`.
            unsafe { *p.add(i) = lane };
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::Vec, b: Self::Vec) -> Self::Vec {
        let mut sum = a;
        for i in 0..LANES {
            sum[i] += b[i];
        }
        sum
    }

    #[inline(always)]
    unsafe fn fma(a: Self::Vec, b: Self::Vec, c: Self::Vec) -> Self::Vec {
        let mut sum = c;
        for i in 0..LANES {
            sum[i] = if ARM {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        sum
    }

    #[inline(always)]
    unsafe fn sum(v: Self::Vec) -> Float {
        let mut sum = 0.0;
        for i in 0..LANES / 2 {
            sum += v[i] + v[i + LANES / 2];
        }
        sum
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const Float) {}

    #[inline(always)]
    unsafe fn transpose(
        src: *const Float,
        ld: usize,
        rows: usize,
        cols: usize,
        dst: *mut Float,
        step: usize,
    ) {
        for p in 0..cols {
            let mut v = [0.0; LANES];
            for (i, x) in v.iter_mut().enumerate().take(rows) {
                // SAFETY: the caller vouches for rows and columns below the block's sizes.
                *x = unsafe { *src.add(i * ld + p) };
            }
            // SAFETY: the caller has room for a whole vector per column.
            unsafe { Self::store(dst.add(p * step), v) };
        }
    }
}
