//! Numeric kernels: slices in, slices out. They know nothing of layers, never allocate after their first call on a thread,
//! and are the only place with unsafe code and threads. Results do not depend on the number of threads.
#![allow(unsafe_code)]

#[cfg(feature = "attention")]
pub mod attention;
#[cfg(feature = "convolution")]
mod channels;
#[cfg(feature = "convolution")]
pub mod conv;
#[cfg(any(feature = "attention", feature = "ops"))]
pub mod einsum;
pub mod elementwise;
#[cfg(feature = "preprocessing")]
pub mod fft;
#[cfg(feature = "recurrent")]
pub mod gates;
pub mod gemm;
#[cfg(any(feature = "convolution", feature = "preprocessing"))]
pub mod grid;
pub mod layout;
pub mod math;
pub mod memory;
#[cfg(feature = "normalization")]
pub mod norm_columns;
#[cfg(feature = "normalization")]
pub mod norm_rows;
#[cfg(feature = "ops")]
pub mod pairs;
pub mod parallel;
mod partner;
pub mod permute;
pub mod pointwise;
#[cfg(feature = "convolution")]
pub mod pool;
pub mod reduce;
pub mod simd;
pub mod spread;
pub mod update;
