//! Keras for Rust.

pub mod activation;
pub mod callbacks;
pub mod config;
pub mod constraint;
pub mod data;
mod envelope;
pub mod error;
pub mod float;
pub mod graph;
pub mod initializer;
pub mod kernels;
pub mod layer;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod optimizers;
pub mod prelude;
pub mod random;
pub mod regularizer;
pub mod shape;
pub mod tensor;
pub mod testing;
pub mod train;

pub use data::{datasets, utils};
pub use error::{Error, Result};
pub use float::Float;
pub use ndarray;
pub use shape::{Dims, Shape};
pub use tensor::Tensor;
