//! Reshaping layers.

#[cfg(feature = "convolution")]
mod borders;
#[cfg(feature = "convolution")]
mod cropping;
mod flatten;
mod permute;
mod repeat_vector;
mod reshape;
#[cfg(feature = "convolution")]
mod up_sampling;
#[cfg(feature = "convolution")]
mod zero_padding;

#[cfg(feature = "convolution")]
pub use cropping::{Cropping1D, Cropping2D, Cropping3D};
pub use flatten::Flatten;
pub use permute::Permute;
pub use repeat_vector::RepeatVector;
pub use reshape::Reshape;
#[cfg(feature = "convolution")]
pub use up_sampling::{UpSampling1D, UpSampling2D, UpSampling3D};
#[cfg(feature = "convolution")]
pub use zero_padding::{ZeroPadding1D, ZeroPadding2D, ZeroPadding3D};

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    #[cfg(feature = "convolution")]
    ("Cropping1D", read::<Cropping1D>),
    #[cfg(feature = "convolution")]
    ("Cropping2D", read::<Cropping2D>),
    #[cfg(feature = "convolution")]
    ("Cropping3D", read::<Cropping3D>),
    ("Flatten", read::<Flatten>),
    ("Permute", read::<Permute>),
    ("RepeatVector", read::<RepeatVector>),
    ("Reshape", read::<Reshape>),
    #[cfg(feature = "convolution")]
    ("UpSampling1D", read::<UpSampling1D>),
    #[cfg(feature = "convolution")]
    ("UpSampling2D", read::<UpSampling2D>),
    #[cfg(feature = "convolution")]
    ("UpSampling3D", read::<UpSampling3D>),
    #[cfg(feature = "convolution")]
    ("ZeroPadding1D", read::<ZeroPadding1D>),
    #[cfg(feature = "convolution")]
    ("ZeroPadding2D", read::<ZeroPadding2D>),
    #[cfg(feature = "convolution")]
    ("ZeroPadding3D", read::<ZeroPadding3D>),
];
