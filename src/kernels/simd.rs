//! Run-time choice of the vector instructions: a default cargo build uses AVX-512 or AVX2 where the machine has them.
//!
//! The kernels are plain loops over slices that the compiler vectorises; `simd_fn!` compiles each loop once per level.
#[cfg(target_arch = "x86_64")]
use std::sync::atomic::{AtomicU8, Ordering};

/// Instructions that a kernel was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The baseline of the target: SSE2 on x86-64, NEON with fused multiply-add on aarch64.
    Portable = 1,
    /// AVX2 and fused multiply-add.
    Avx2 = 2,
    /// AVX-512 F, VL, BW and DQ.
    Avx512 = 3,
}

/// The best level of this machine; detected once, afterwards one load.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn level() -> Level {
    #[cfg(test)]
    if let Some(level) = FORCED.get() {
        return level;
    }
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let level = detect();
            KNOWN.store(level as u8, Ordering::Relaxed);
            level
        }
        1 => Level::Portable,
        2 => Level::Avx2,
        _ => Level::Avx512,
    }
}

#[cfg(target_arch = "x86_64")]
#[cold]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Portable,
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Level>> = const { std::cell::Cell::new(None) };
}

/// Runs `f` with the kernels of this thread at no more than `level`.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn at_most<R>(level: Level, f: impl FnOnce() -> R) -> R {
    FORCED.set(Some(level.min(detect())));
    let result = f();
    FORCED.set(None);
    result
}

/// Compiles a function for every level and calls the best one.
///
/// `simd_fn! { pub fn name<FMA>(y: &mut [Float]) { .. } }`: inside, `const FMA: bool` says whether the level has a fused
/// multiply-add. A type parameter may follow: `name<FMA, U: Trait>`. What the body calls must be `#[inline(always)]`.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$fma:ident $(, $u:ident: $bound:path)?>(
        $($arg:ident: $ty:ty),* $(,)?
    ) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name$(<$u: $bound>)?($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const $fma: bool $(, $u: $bound)?>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512$(<$u: $bound>)?($($arg: $ty),*) $(-> $ret)? {
                    body::<true $(, $u)?>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2$(<$u: $bound>)?($($arg: $ty),*) $(-> $ret)? {
                    body::<true $(, $u)?>($($arg),*)
                }
                match $crate::kernels::simd::level() {
                    // SAFETY: the level says that this machine has these instructions.
                    $crate::kernels::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the level says that this machine has these instructions.
                    $crate::kernels::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::kernels::simd::Level::Portable => {}
                }
            }
            body::<{ cfg!(target_arch = "aarch64") } $(, $u)?>($($arg),*)
        }
    };
}
pub(crate) use simd_fn;
