//! Data on its way into a model.
//!
//! * [`Tabular`]: a table in memory: reading CSV and NumPy's files, standardising, splitting.
//! * [`Dataset`]: batches of data that need not fit memory: arrays, generators, files and folders that are read as they are needed.
//! * [`datasets`]: small data sets to begin with.

mod adapters;
mod batched;
pub mod csv;
mod csv_stream;
mod dataset;
pub mod datasets;
mod folder;
mod generator;
pub mod idx;
#[cfg(feature = "preprocessing")]
mod images;
pub mod npy;
mod npy_rows;
mod prefetch;
mod sequences;
pub mod split;
mod standardizer;
mod tabular;
mod text;
pub mod utils;

pub use adapters::{DatasetExt, Map, ShuffleBuffer, Skip, Take};
pub use batched::{
    ArraySamples, Batched, Indexed, SplitSize, from_arrays, from_inputs, from_weighted_arrays,
    split_dataset,
};
pub use csv::Table;
pub use csv_stream::CsvDataset;
pub use dataset::{Dataset, Minibatch, Part, Pass, Shapes};
pub use folder::LabelMode;
pub use generator::{FromFn, Generator, from_fn, from_generator};
#[cfg(feature = "preprocessing")]
pub use images::{ColorMode, ImageFolder, Images, image_dataset_from_directory};
pub use npy_rows::{NpyRows, from_npy};
pub use prefetch::Prefetch;
pub use sequences::{Timeseries, Windows, timeseries_dataset_from_array};
pub use standardizer::Standardizer;
pub use tabular::Tabular;
pub use text::{TextFolder, Texts, text_dataset_from_directory};
