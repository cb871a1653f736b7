//! Keras's layers, one file each, in Keras's folders.

pub mod core;
pub mod regularization;
pub mod reshaping;

pub use core::{Activation, Dense};
pub use regularization::Dropout;
pub use reshaping::{Flatten, Reshape};
