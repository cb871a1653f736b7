//! Training and inference: `compile`, `fit`, `evaluate`, `predict` of [`Model`](crate::models::Model).

pub mod compile;
pub mod evaluate;
pub mod fit;
pub mod predict;
pub mod step;
pub mod update;
