//! Keras's `keras.ops` as layers of functional models: `x + y`, `ops.matmul(x, y)`, `x[:, 1:]`, ...
//!
//! A file names an operation by its class and the module it is in; constants stand in the configuration (`axis`) or in the call
//! (`x * 2.0`, `x[:, 0]`), where [`Layer::bind`] builds them in. The axes that Keras counts begin with the batch; an operation
//! must leave it first and alone, because our layers see sample after sample: whatever would mix samples is an error.
//! Truth values are numbers, 0 and 1, and no gradient flows through them. A mask ends at an operation, as in Keras.

mod along_axis;
mod axis_map;
mod binary;
mod choose;
mod elementwise;
mod functions;
mod join;
mod one_hot;
mod operand;
mod product;
mod reduce;
mod reshape;
mod select;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::config::Config;
use crate::envelope::Args;
use crate::error::{Error, Result};
use crate::layer::Layer;

/// Class, module and arguments of an operation, as Keras writes them.
#[derive(Clone, Debug)]
struct Op {
    class: &'static str,
    module: &'static str,
    config: Config,
}

impl Op {
    /// Keras's name of the first argument of a call.
    fn first_arg(&self) -> &'static str {
        match self.class {
            "Concatenate" => "xs",
            "StopGradient" => "variable",
            _ => "x",
        }
    }
}

/// The operation of this class with these constants; `None` if the class is not known.
pub fn from_config(class: &str, config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    let (class, module, read) = table::TABLE.iter().find(|(name, _, _)| *name == class)?;
    let op = Op {
        class,
        module,
        config: config.clone(),
    };
    let mut args = Args::from(config);
    let layer = read(op, &mut args).and_then(|layer| args.finish().map(|()| layer));
    Some(layer.map_err(|problem| Error::Config {
        path: (*class).into(),
        problem,
    }))
}
