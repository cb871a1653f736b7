//! Classes of the user's, for reading files that hold them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layers;
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::optimizers::Optimizer;

type Make<T> = Arc<dyn Fn(&Config) -> Result<T> + Send + Sync>;

/// Custom layers, losses, metrics and optimizers by class name: what Keras calls `custom_objects`.
///
/// A class is found by its name, with or without the package it was registered under (`mine>Scale`).
#[derive(Clone, Default)]
pub struct Registry {
    layers: HashMap<String, Make<Arc<dyn Layer>>>,
    losses: HashMap<String, Make<Arc<dyn Loss>>>,
    metrics: HashMap<String, Make<Box<dyn Metric>>>,
    optimizers: HashMap<String, Make<Arc<dyn Optimizer>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("layers", &self.layers.keys())
            .field("losses", &self.losses.keys())
            .field("metrics", &self.metrics.keys())
            .field("optimizers", &self.optimizers.keys())
            .finish()
    }
}

impl Registry {
    /// Nothing of the user's.
    pub fn new() -> Self {
        Registry::default()
    }

    /// A layer of this class is made from its configuration (Keras's `get_config` without `name`, `trainable` and `dtype`).
    pub fn layer<L: Layer + 'static>(
        mut self,
        class: &str,
        make: impl Fn(&Config) -> Result<L> + Send + Sync + 'static,
    ) -> Self {
        let make = move |config: &Config| Ok(Arc::new(make(config)?) as Arc<dyn Layer>);
        self.layers.insert(class.into(), Arc::new(make));
        self
    }

    /// A loss of this class (or function of this name) is made from its configuration.
    pub fn loss<L: Loss + 'static>(
        mut self,
        class: &str,
        make: impl Fn(&Config) -> Result<L> + Send + Sync + 'static,
    ) -> Self {
        let make = move |config: &Config| Ok(Arc::new(make(config)?) as Arc<dyn Loss>);
        self.losses.insert(class.into(), Arc::new(make));
        self
    }

    /// A metric of this class (or function of this name) is made from its configuration.
    pub fn metric<M: Metric + 'static>(
        mut self,
        class: &str,
        make: impl Fn(&Config) -> Result<M> + Send + Sync + 'static,
    ) -> Self {
        let make = move |config: &Config| Ok(Box::new(make(config)?) as Box<dyn Metric>);
        self.metrics.insert(class.into(), Arc::new(make));
        self
    }

    /// An optimizer of this class is made from its configuration.
    pub fn optimizer<O: Optimizer + 'static>(
        mut self,
        class: &str,
        make: impl Fn(&Config) -> Result<O> + Send + Sync + 'static,
    ) -> Self {
        let make = move |config: &Config| Ok(Arc::new(make(config)?) as Arc<dyn Optimizer>);
        self.optimizers.insert(class.into(), Arc::new(make));
        self
    }

    pub(super) fn find_layer(&self, class: &str) -> Option<&Make<Arc<dyn Layer>>> {
        find(&self.layers, class)
    }

    pub(super) fn find_loss(&self, class: &str) -> Option<&Make<Arc<dyn Loss>>> {
        find(&self.losses, class)
    }

    pub(super) fn find_optimizer(&self, class: &str) -> Option<&Make<Arc<dyn Optimizer>>> {
        find(&self.optimizers, class)
    }

    pub(super) fn find_metric(&self, class: &str) -> Option<&Make<Box<dyn Metric>>> {
        find(&self.metrics, class)
    }
}

/// By the registered name, or by what is behind its package.
fn find<'a, T>(table: &'a HashMap<String, T>, class: &str) -> Option<&'a T> {
    let short = class.rsplit('>').next().unwrap_or(class);
    table.get(class).or_else(|| table.get(short))
}

/// A class that is neither Keras's nor registered.
pub(super) fn unknown(kind: &str, class: &str, owner: &str) -> Error {
    let call = kind.replace(' ', "_");
    let missing = match layers::left_out() {
        missing if kind == "layer" && !missing.is_empty() => format!(
            ". This build has none of the layers of oxhorn's features {}",
            missing.join(", ")
        ),
        _ => String::new(),
    };
    Error::Config {
        path: owner.into(),
        problem: format!(
            "unknown {kind} class `{class}`; a class of your own is passed to the loader: \
             `Registry::new().{call}(\"{class}\", |config| ..)`{missing}"
        ),
    }
}
