//! Keras's `keras.ops` as layers of functional models: `x + y`, `ops.matmul(x, y)`, ...

use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::layer::Layer;

/// The operation of this class with these constants; `None` if the class is not known.
pub fn from_config(_class: &str, _config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    None
}
