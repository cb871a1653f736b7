//! Everything that is common: `use oxhorn::prelude::*;`

pub use crate::callbacks::{Callback, EarlyStopping, History, Logs, MonitorMode, TrainContext, Verbose};
pub use crate::data::{Dataset, datasets};
pub use crate::error::{Error, Result};
pub use crate::layer::{Layer, LayerExt, LayerRef};
pub use crate::layers::*;
pub use crate::losses::*;
pub use crate::metrics::*;
pub use crate::models::{Model, Sequential};
pub use crate::optimizers::*;
pub use crate::random::{Seed, set_random_seed};
pub use crate::shape::Shape;
pub use crate::train::compile::Compile;
pub use crate::train::evaluate::Evaluate;
pub use crate::train::fit::Fit;
pub use ndarray;
