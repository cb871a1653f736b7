//! Keras for Rust.

pub mod config;
pub mod error;
pub mod float;
pub mod kernels;

pub use error::{Error, Result};
pub use float::Float;
