//! Convolution layers.

mod conv;
mod operation;

pub use conv::{Conv, Conv1D, Conv2D, Conv3D};
