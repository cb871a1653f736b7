//! Files of models, and the formats beneath them.
//!
//! The formats know nothing of models: [`archive`] (zip), [`hdf5`], [`safetensors`]; [`source`] and [`number`] are what they
//! share with `data::npy`, [`atomic`] is how files come to be. Whatever they read may be hostile.

#[cfg(feature = "keras")]
pub(crate) mod hdf5;
pub(crate) mod number;
pub(crate) mod source;
