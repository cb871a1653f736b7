//! Convolution layers.

mod conv;
mod conv_transpose;
mod depthwise_conv;
mod operation;
mod separable_conv;

pub use conv::{Conv, Conv1D, Conv2D, Conv3D};
pub use conv_transpose::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose, ConvTranspose};
pub use depthwise_conv::{DepthwiseConv, DepthwiseConv1D, DepthwiseConv2D};
pub use separable_conv::{SeparableConv, SeparableConv1D, SeparableConv2D};
