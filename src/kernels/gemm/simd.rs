//! What a vector instruction set must offer; every kernel is written once over this trait.

use super::Level;
use super::portable::Portable;
use crate::float::Float;

/// One vector instruction set.
///
/// # Safety of every method
/// The processor has the instruction set, and pointers are good for the lanes the method names. The methods are inlined into
/// [`Simd::run`], which switches the instructions on: call kernels only through it.
pub(in crate::kernels) trait Simd: Copy + 'static {
    /// Numbers in one vector.
    const LANES: usize;
    /// Vectors that a kernel may keep as running sums without running out of registers.
    const SUMS: usize;
    /// A vector.
    type Vec: Copy;
    /// Which lanes a load or store touches.
    type Mask: Copy;

    /// Runs a kernel compiled for this instruction set.
    unsafe fn run<K: Kernel<Self>>(kernel: K);

    /// The first `n <= LANES` lanes.
    unsafe fn mask(n: usize) -> Self::Mask;
    /// All lanes `x`.
    unsafe fn splat(x: Float) -> Self::Vec;
    /// `LANES` numbers, from any address.
    unsafe fn load(p: *const Float) -> Self::Vec;
    /// The lanes of `mask`; the others are zero and their memory is not touched.
    unsafe fn load_masked(p: *const Float, mask: Self::Mask) -> Self::Vec;
    /// `LANES` numbers, to any address.
    unsafe fn store(p: *mut Float, v: Self::Vec);
    /// The lanes of `mask`; the memory of the others is not touched.
    unsafe fn store_masked(p: *mut Float, v: Self::Vec, mask: Self::Mask);
    /// `a + b`.
    unsafe fn add(a: Self::Vec, b: Self::Vec) -> Self::Vec;
    /// `a * b + c`, in one rounding where the set has a fused multiply-add.
    unsafe fn fma(a: Self::Vec, b: Self::Vec, c: Self::Vec) -> Self::Vec;
    /// The sum of all lanes, always in the same order.
    unsafe fn sum(v: Self::Vec) -> Float;
    /// Asks for the cache line at `p`, which need not be valid.
    unsafe fn prefetch(p: *const Float);

    /// Transposes one block: `dst[p * step + i] = src[i * ld + p]` for `i < rows <= LANES` and `p < cols <= LANES`.
    /// Every `p < cols` gets a whole vector: lanes from `rows` on are zero.
    unsafe fn transpose(
        src: *const Float,
        ld: usize,
        rows: usize,
        cols: usize,
        dst: *mut Float,
        step: usize,
    );
}

/// A hot loop with its arguments, written for any instruction set.
pub(in crate::kernels) trait Kernel<S: Simd> {
    /// Does it. Mark implementations `#[inline(always)]`.
    ///
    /// # Safety
    /// Call through [`Simd::run`]; the pointers in the kernel are good for what its documentation says.
    unsafe fn run(self);
}

/// A kernel for every instruction set there is.
#[cfg(all(target_arch = "x86_64", not(float64)))]
pub(in crate::kernels) trait AnyKernel:
    Kernel<Portable> + Kernel<super::x86::Avx2> + Kernel<super::x86::Avx512>
{
}

#[cfg(all(target_arch = "x86_64", not(float64)))]
impl<K> AnyKernel for K where
    K: Kernel<Portable> + Kernel<super::x86::Avx2> + Kernel<super::x86::Avx512>
{
}

/// A kernel for every instruction set there is.
#[cfg(not(all(target_arch = "x86_64", not(float64))))]
pub(in crate::kernels) trait AnyKernel: Kernel<Portable> {}

#[cfg(not(all(target_arch = "x86_64", not(float64))))]
impl<K: Kernel<Portable>> AnyKernel for K {}

/// Runs a kernel with the best instructions for rows of so many numbers.
///
/// # Safety
/// The pointers in the kernel are good for what its documentation says.
pub(in crate::kernels) unsafe fn run_best(kernel: impl AnyKernel, columns: usize) {
    // SAFETY: the level is available; the caller answers for the pointers.
    unsafe {
        match Level::for_columns(columns) {
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx512 => super::x86::Avx512::run(kernel),
            #[cfg(all(target_arch = "x86_64", not(float64)))]
            Level::Avx2 => super::x86::Avx2::run(kernel),
            Level::Portable => Portable::run(kernel),
        }
    }
}
