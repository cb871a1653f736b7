//! Tables of data: reading CSV and NumPy's files, standardising, splitting, and small data sets to begin with.

pub mod csv;
mod dataset;
pub mod datasets;
pub mod npy;
mod standardizer;
pub mod utils;

pub use csv::Table;
pub use dataset::Dataset;
pub use standardizer::Standardizer;
