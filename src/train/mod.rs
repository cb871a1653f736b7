//! Training and inference: `compile`, `fit`, `evaluate`, `predict` of [`Model`](crate::models::Model).

pub mod compile;
mod epochs;
pub mod evaluate;
pub mod fit;
mod measure;
pub mod predict;
mod samples;
pub mod step;
pub mod update;
