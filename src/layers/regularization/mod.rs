//! Regularization layers.

mod activity_regularization;
mod alpha_dropout;
mod dropout;
mod gaussian_dropout;
mod gaussian_noise;
mod noise;
mod spatial_dropout;

pub use activity_regularization::ActivityRegularization;
pub use alpha_dropout::AlphaDropout;
pub use dropout::Dropout;
pub use gaussian_dropout::GaussianDropout;
pub use gaussian_noise::GaussianNoise;
pub use spatial_dropout::{SpatialDropout1D, SpatialDropout2D, SpatialDropout3D};

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("ActivityRegularization", read::<ActivityRegularization>),
    ("AlphaDropout", read::<AlphaDropout>),
    ("Dropout", read::<Dropout>),
    ("GaussianDropout", read::<GaussianDropout>),
    ("GaussianNoise", read::<GaussianNoise>),
    ("SpatialDropout1D", read::<SpatialDropout1D>),
    ("SpatialDropout2D", read::<SpatialDropout2D>),
    ("SpatialDropout3D", read::<SpatialDropout3D>),
];
