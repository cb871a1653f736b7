//! Keras's files, read and written: `.keras` archives, `.weights.h5`, whole-model `.h5`, JSON architectures; and `safetensors`.
//!
//! A file is data, never code: classes come from a closed table (and the caller's [`Registry`]), sizes are checked before
//! anything is allocated, nothing points out of the file, and writes replace a file whole or not at all.

mod archive;
mod dialect;
mod hdf5;
mod legacy;
mod load;
mod number;
mod optimizer;
mod paths;
mod read_compiled;
mod read_config;
mod registry;
mod save;
mod source;
mod write_config;

pub use load::{Loader, load_model};
pub use registry::Registry;
