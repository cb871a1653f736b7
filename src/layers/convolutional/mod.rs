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

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("Conv1D", read::<Conv1D>),
    ("Conv1DTranspose", read::<Conv1DTranspose>),
    ("Conv2D", read::<Conv2D>),
    ("Conv2DTranspose", read::<Conv2DTranspose>),
    ("Conv3D", read::<Conv3D>),
    ("Conv3DTranspose", read::<Conv3DTranspose>),
    ("DepthwiseConv1D", read::<DepthwiseConv1D>),
    ("DepthwiseConv2D", read::<DepthwiseConv2D>),
    ("SeparableConv1D", read::<SeparableConv1D>),
    ("SeparableConv2D", read::<SeparableConv2D>),
];
