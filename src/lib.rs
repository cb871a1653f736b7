//! Keras for Rust.

pub mod config;
pub mod constraint;
pub mod data;
mod envelope;
pub mod error;
pub mod float;
pub mod initializer;
pub mod kernels;
pub mod random;
pub mod regularizer;

pub use data::{datasets, utils};
pub use error::{Error, Result};
pub use float::Float;
