//! Training and inference: `compile`, `fit`, `evaluate`, `predict` of [`Model`](crate::models::Model).

mod averages;
pub(crate) mod backup;
mod class_weight;
pub mod compile;
mod dataset;
mod epochs;
pub mod evaluate;
mod feed;
pub mod fit;
mod measure;
mod optimizer_state;
mod output;
pub mod predict;
mod predict_batches;
mod repeats;
mod samples;
pub mod saved;
pub mod step;
pub mod update;

pub use predict_batches::Predict;
