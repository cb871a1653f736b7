//! Numeric kernels: slices in, slices out. They know nothing of layers, never allocate after their first call on a thread,
//! and are the only place with unsafe code and threads. Results do not depend on the number of threads.
#![allow(unsafe_code)]

pub mod attention;
mod channels;
pub mod conv;
pub mod einsum;
pub mod elementwise;
pub mod fft;
pub mod gates;
pub mod gemm;
pub mod grid;
pub mod layout;
pub mod math;
pub mod memory;
pub mod norm_columns;
pub mod norm_rows;
pub mod pairs;
pub mod parallel;
pub mod permute;
pub mod pointwise;
pub mod pool;
pub mod reduce;
pub mod simd;
pub mod spread;
pub mod update;
