//! Keras's files, read and written: `.keras` archives, `.weights.h5`, whole-model `.h5`, JSON architectures; and `safetensors`.
//!
//! A file is data, never code: classes come from a closed table (and the caller's [`Registry`]), sizes are checked before
//! anything is allocated, nothing points out of the file, and writes replace a file whole or not at all.
//!
//! [`load_model`] and [`Model::save`](crate::models::Model::save) are whole models;
//! [`Model::save_weights`](crate::models::Model::save_weights) and [`Model::load_weights`](crate::models::Model::load_weights)
//! the weights alone. The formats beneath know nothing of models: `archive` (zip), `hdf5`, `safetensors`; `source` and `number`
//! are what they share with `data::npy`, `atomic` is how files come to be.

#[cfg(feature = "keras")]
pub(crate) mod archive;
#[cfg(feature = "keras")]
mod assets;
pub(crate) mod atomic;
#[cfg(feature = "keras")]
mod dialect;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(feature = "keras")]
pub(crate) mod hdf5;
#[cfg(feature = "keras")]
mod legacy;
#[cfg(feature = "keras")]
mod load;
#[cfg(all(test, feature = "keras"))]
mod mutation_tests;
pub(crate) mod number;
#[cfg(feature = "keras")]
mod optimizer;
#[cfg(feature = "keras")]
mod paths;
#[cfg(feature = "keras")]
mod read_compiled;
#[cfg(feature = "keras")]
mod read_config;
#[cfg(feature = "keras")]
mod read_net;
#[cfg(feature = "keras")]
mod registry;
pub(crate) mod safetensors;
#[cfg(feature = "keras")]
mod save;
pub(crate) mod source;
#[cfg(all(feature = "keras", feature = "preprocessing"))]
mod text;
#[cfg(feature = "keras")]
mod weights;
#[cfg(feature = "keras")]
mod write_config;

#[cfg(feature = "keras")]
pub use load::{Loader, load_model};
#[cfg(feature = "keras")]
pub use registry::Registry;
#[cfg(all(feature = "keras", feature = "preprocessing"))]
pub use text::{TextInput, TextLayer, TextModel, load_text_model};
#[cfg(feature = "keras")]
pub use weights::LoadWeights;
