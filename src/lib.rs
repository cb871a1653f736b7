//! Keras for Rust.

pub mod config;
pub mod constraint;
mod envelope;
pub mod error;
pub mod float;
pub mod initializer;
pub mod kernels;
pub mod random;
pub mod regularizer;

pub use error::{Error, Result};
pub use float::Float;
