//! Keras's layers, one file each, in Keras's folders.

pub mod activations;
mod args;
pub mod core;
pub mod merging;
pub mod ops;
pub mod preprocessing;
pub mod regularization;
pub mod reshaping;

pub use activations::{ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use args::DataFormat;
pub use core::{Activation, Dense, Embedding, Identity, Masking, ReversibleEmbedding};
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use preprocessing::Rescaling;
pub use regularization::{
    ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise,
    SpatialDropout1D, SpatialDropout2D, SpatialDropout3D,
};
pub use reshaping::{
    Cropping1D, Cropping2D, Cropping3D, Flatten, Interpolation, Permute, RepeatVector, Reshape,
    UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
};

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{Config, from_config as parse};
use crate::error::Result;
use crate::layer::Layer;

/// Reads a layer of one class.
type Reader = fn(&str, &Config) -> Result<Arc<dyn Layer>>;

fn read<L: Layer + DeserializeOwned + 'static>(
    class: &str,
    config: &Config,
) -> Result<Arc<dyn Layer>> {
    Ok(Arc::new(parse::<L>(class, config)?))
}

/// The table of layers by Keras's class name: one line each.
const TABLE: &[(&str, Reader)] = &[
    ("Activation", read::<Activation>),
    ("ActivityRegularization", read::<ActivityRegularization>),
    ("Add", read::<Add>),
    ("AlphaDropout", read::<AlphaDropout>),
    ("Average", read::<Average>),
    ("Concatenate", read::<Concatenate>),
    ("Cropping1D", read::<Cropping1D>),
    ("Cropping2D", read::<Cropping2D>),
    ("Cropping3D", read::<Cropping3D>),
    ("Dense", read::<Dense>),
    ("Dot", read::<Dot>),
    ("Dropout", read::<Dropout>),
    ("ELU", read::<ELU>),
    ("Embedding", read::<Embedding>),
    ("Flatten", read::<Flatten>),
    ("GaussianDropout", read::<GaussianDropout>),
    ("GaussianNoise", read::<GaussianNoise>),
    ("Identity", read::<Identity>),
    ("LeakyReLU", read::<LeakyReLU>),
    ("Masking", read::<Masking>),
    ("Maximum", read::<Maximum>),
    ("Minimum", read::<Minimum>),
    ("Multiply", read::<Multiply>),
    ("PReLU", read::<PReLU>),
    ("Permute", read::<Permute>),
    ("ReLU", read::<ReLU>),
    ("RepeatVector", read::<RepeatVector>),
    ("Rescaling", read::<Rescaling>),
    ("Reshape", read::<Reshape>),
    ("ReversibleEmbedding", read::<ReversibleEmbedding>),
    ("Softmax", read::<Softmax>),
    ("SpatialDropout1D", read::<SpatialDropout1D>),
    ("SpatialDropout2D", read::<SpatialDropout2D>),
    ("SpatialDropout3D", read::<SpatialDropout3D>),
    ("Subtract", read::<Subtract>),
    ("UpSampling1D", read::<UpSampling1D>),
    ("UpSampling2D", read::<UpSampling2D>),
    ("UpSampling3D", read::<UpSampling3D>),
    ("ZeroPadding1D", read::<ZeroPadding1D>),
    ("ZeroPadding2D", read::<ZeroPadding2D>),
    ("ZeroPadding3D", read::<ZeroPadding3D>),
];

/// The layer of this class with these arguments; `None` if the class is not known.
pub fn from_config(class: &str, config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    TABLE
        .iter()
        .find(|(name, _)| *name == class)
        .map(|(_, read)| read(class, config))
}
