//! Keras's layers, one file each, in Keras's folders.

mod args;
pub mod core;
mod equation;
mod inner;
mod layout;
pub mod merging;
pub mod normalization;
pub mod ops;
pub mod regularization;
pub mod reshaping;

pub use args::{Axes, DataFormat};
pub use core::{Activation, Dense};
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, RenormClipping,
    SpectralNormalization, UnitNormalization,
};
pub use regularization::Dropout;
pub use reshaping::{Flatten, Reshape};

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
    ("Add", read::<Add>),
    ("Average", read::<Average>),
    ("BatchNormalization", read::<BatchNormalization>),
    ("Concatenate", read::<Concatenate>),
    ("Dense", read::<Dense>),
    ("Dot", read::<Dot>),
    ("Dropout", read::<Dropout>),
    ("Flatten", read::<Flatten>),
    ("GroupNormalization", read::<GroupNormalization>),
    ("LayerNormalization", read::<LayerNormalization>),
    ("Maximum", read::<Maximum>),
    ("Minimum", read::<Minimum>),
    ("Multiply", read::<Multiply>),
    ("RMSNormalization", read::<RMSNormalization>),
    ("Reshape", read::<Reshape>),
    ("SpectralNormalization", read::<SpectralNormalization>),
    ("Subtract", read::<Subtract>),
    ("UnitNormalization", read::<UnitNormalization>),
];

/// The layer of this class with these arguments; `None` if the class is not known.
pub fn from_config(class: &str, config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    TABLE
        .iter()
        .find(|(name, _)| *name == class)
        .map(|(_, read)| read(class, config))
}
