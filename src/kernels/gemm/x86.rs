//! AVX-512F and AVX2 + FMA, chosen at run time.

use super::simd::{Kernel, Simd};
use std::arch::x86_64::*;

/// AVX-512F: 32 registers of 16 numbers.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx512;

impl Simd for Avx512 {
    const LANES: usize = 16;
    const SUMS: usize = 24;
    type Vec = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    unsafe fn run<K: Kernel<Self>>(kernel: K) {
        #[target_feature(enable = "avx512f,avx2,fma")]
        unsafe fn enter<K: Kernel<Avx512>>(kernel: K) {
            // SAFETY: the instructions are on; the caller answers for the pointers.
            unsafe { kernel.run() }
        }
        // SAFETY: the caller knows that the processor has AVX-512F, AVX2 and FMA.
        unsafe { enter(kernel) }
    }

    #[inline(always)]
    unsafe fn mask(n: usize) -> __mmask16 {
        ((1_u32 << n) - 1) as __mmask16
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: the trait's contract (so everywhere below).
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: 16 numbers at `p`.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_masked(p: *const f32, mask: __mmask16) -> __m512 {
        // SAFETY: the numbers of `mask` at `p`; masked lanes do not fault.
        unsafe { _mm512_maskz_loadu_ps(mask, p) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        // SAFETY: room for 16 numbers at `p`.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn store_masked(p: *mut f32, v: __m512, mask: __mmask16) {
        // SAFETY: room for the numbers of `mask` at `p`; masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(p, mask, v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: registers only.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: registers only.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        // SAFETY: registers only.
        unsafe { _mm512_reduce_add_ps(v) }
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        // SAFETY: a hint; it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(
        src: *const f32,
        ld: usize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        step: usize,
    ) {
        // SAFETY: rows and columns stay within the caller's block, and each column has room for a whole vector.
        unsafe {
            let mask = Self::mask(cols);
            let mut r = [_mm512_setzero_ps(); 16];
            for (i, row) in r.iter_mut().enumerate() {
                if i < rows {
                    *row = _mm512_maskz_loadu_ps(mask, src.add(i * ld));
                }
            }
            for (p, column) in transpose16(r).into_iter().enumerate() {
                if p < cols {
                    _mm512_storeu_ps(dst.add(p * step), column);
                }
            }
        }
    }
}

/// 16 rows to 16 columns in four rounds of shuffles: pairs, quads, then 128-bit lanes.
#[inline(always)]
unsafe fn transpose16(r: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: registers only; the caller has AVX-512F on.
    unsafe {
        let mut quad = r; // quad[4 g + c], lane l: column 4 l + c of rows 4 g .. 4 g + 4
        for g in 0..4 {
            let row = &r[4 * g..4 * g + 4];
            let (a, b) = (
                _mm512_unpacklo_ps(row[0], row[1]),
                _mm512_unpackhi_ps(row[0], row[1]),
            );
            let (c, d) = (
                _mm512_unpacklo_ps(row[2], row[3]),
                _mm512_unpackhi_ps(row[2], row[3]),
            );
            quad[4 * g] = _mm512_shuffle_ps::<0x44>(a, c);
            quad[4 * g + 1] = _mm512_shuffle_ps::<0xEE>(a, c);
            quad[4 * g + 2] = _mm512_shuffle_ps::<0x44>(b, d);
            quad[4 * g + 3] = _mm512_shuffle_ps::<0xEE>(b, d);
        }
        let mut columns = r;
        for c in 0..4 {
            let (q0, q1, q2, q3) = (quad[c], quad[4 + c], quad[8 + c], quad[12 + c]);
            let (a, b) = (
                _mm512_shuffle_f32x4::<0x88>(q0, q1),
                _mm512_shuffle_f32x4::<0xDD>(q0, q1),
            );
            let (d, e) = (
                _mm512_shuffle_f32x4::<0x88>(q2, q3),
                _mm512_shuffle_f32x4::<0xDD>(q2, q3),
            );
            columns[c] = _mm512_shuffle_f32x4::<0x88>(a, d);
            columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(b, e);
            columns[8 + c] = _mm512_shuffle_f32x4::<0xDD>(a, d);
            columns[12 + c] = _mm512_shuffle_f32x4::<0xDD>(b, e);
        }
        columns
    }
}

/// AVX2 and FMA: 16 registers of 8 numbers.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx2;

/// Eight lanes on, eight off: a window into it is any mask.
static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Simd for Avx2 {
    const LANES: usize = 8;
    const SUMS: usize = 12;
    type Vec = __m256;
    type Mask = __m256i;

    #[inline(always)]
    unsafe fn run<K: Kernel<Self>>(kernel: K) {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn enter<K: Kernel<Avx2>>(kernel: K) {
            // SAFETY: the instructions are on; the caller answers for the pointers.
            unsafe { kernel.run() }
        }
        // SAFETY: the caller knows that the processor has AVX2 and FMA.
        unsafe { enter(kernel) }
    }

    #[inline(always)]
    unsafe fn mask(n: usize) -> __m256i {
        // SAFETY: n <= 8, so the window of 8 is inside.
        unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(8 - n).cast()) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: the trait's contract (so everywhere below).
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        // SAFETY: 8 numbers at `p`.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn load_masked(p: *const f32, mask: __m256i) -> __m256 {
        // SAFETY: the numbers of `mask` at `p`; masked lanes do not fault.
        unsafe { _mm256_maskload_ps(p, mask) }
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        // SAFETY: room for 8 numbers at `p`.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    unsafe fn store_masked(p: *mut f32, v: __m256, mask: __m256i) {
        // SAFETY: room for the numbers of `mask` at `p`; masked lanes are not written.
        unsafe { _mm256_maskstore_ps(p, mask, v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: registers only.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn sum(v: __m256) -> f32 {
        // SAFETY: registers only.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        // SAFETY: a hint; it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose(
        src: *const f32,
        ld: usize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        step: usize,
    ) {
        // SAFETY: rows and columns stay within the caller's block, and each column has room for a whole vector.
        unsafe {
            let mask = Self::mask(cols);
            let mut r = [_mm256_setzero_ps(); 8];
            for (i, row) in r.iter_mut().enumerate() {
                if i < rows {
                    *row = _mm256_maskload_ps(src.add(i * ld), mask);
                }
            }
            for (p, column) in transpose8(r).into_iter().enumerate() {
                if p < cols {
                    _mm256_storeu_ps(dst.add(p * step), column);
                }
            }
        }
    }
}

/// 8 rows to 8 columns: pairs, quads, then 128-bit halves.
#[inline(always)]
unsafe fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: registers only; the caller has AVX2 on.
    unsafe {
        let mut quad = r; // quad[4 g + c], half h: column 4 h + c of rows 4 g .. 4 g + 4
        for g in 0..2 {
            let row = &r[4 * g..4 * g + 4];
            let (a, b) = (
                _mm256_unpacklo_ps(row[0], row[1]),
                _mm256_unpackhi_ps(row[0], row[1]),
            );
            let (c, d) = (
                _mm256_unpacklo_ps(row[2], row[3]),
                _mm256_unpackhi_ps(row[2], row[3]),
            );
            quad[4 * g] = _mm256_shuffle_ps::<0x44>(a, c);
            quad[4 * g + 1] = _mm256_shuffle_ps::<0xEE>(a, c);
            quad[4 * g + 2] = _mm256_shuffle_ps::<0x44>(b, d);
            quad[4 * g + 3] = _mm256_shuffle_ps::<0xEE>(b, d);
        }
        let mut columns = r;
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(quad[c], quad[4 + c]);
            columns[4 + c] = _mm256_permute2f128_ps::<0x31>(quad[c], quad[4 + c]);
        }
        columns
    }
}
