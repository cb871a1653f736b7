//! Data on its way into a model.
//!
//! * [`Tabular`]: a table in memory: reading CSV and NumPy's files, standardising, splitting.
//! * [`Dataset`]: batches of data that need not fit memory: arrays, generators, files and folders that are read as they are needed.
//! * [`datasets`]: small data sets to begin with.

mod adapters;
mod batched;
pub mod csv;
mod dataset;
pub mod datasets;
mod generator;
pub mod npy;
mod prefetch;
mod sequences;
pub mod split;
mod standardizer;
mod tabular;
pub mod utils;

pub use adapters::{DatasetExt, Map, ShuffleBuffer, Skip, Take};
pub use batched::{
    ArraySamples, Batched, Indexed, SplitSize, from_arrays, from_inputs, from_weighted_arrays,
    split_dataset,
};
pub use csv::Table;
pub use dataset::{Dataset, Minibatch, Part, Pass, Shapes};
pub use generator::{FromFn, Generator, from_fn, from_generator};
pub use prefetch::Prefetch;
pub use sequences::{Timeseries, Windows, timeseries_dataset_from_array};
pub use standardizer::Standardizer;
pub use tabular::Tabular;
