//! The arguments of a configuration, taken out one by one; what is left at the end is unknown.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Common;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::schedule::LearningRate;

/// The arguments of an optimizer's configuration.
pub struct Arguments {
    class: String,
    config: Config,
}

impl Arguments {
    pub(super) fn new(class: &str, config: &Config) -> Self {
        Arguments {
            class: class.into(),
            config: config.clone(),
        }
    }

    /// An error about this configuration.
    pub(super) fn problem(&self, problem: impl Into<String>) -> Error {
        Error::Config {
            path: self.class.clone(),
            problem: problem.into(),
        }
    }

    /// The value of that key as it stands there.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.config.shift_remove(key)
    }

    /// The value of that key, or the default where it is missing.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => serde_json::from_value(value)
                .map_err(|e| self.problem(format!("argument `{key}`: {e}"))),
        }
    }

    /// Nothing may be left.
    pub(super) fn finish(&self) -> Result<()> {
        match self.config.keys().next() {
            Some(key) => Err(self.problem(format!("unknown argument `{key}`"))),
            None => Ok(()),
        }
    }

    /// The shared arguments; nothing may be left after them.
    pub(super) fn common(mut self, default: Common) -> Result<Common> {
        // Older versions of Keras write these, and they say nothing of the mathematics.
        self.value("jit_compile");
        self.value("is_legacy_optimizer");
        self.value("dtype");
        if let Some(decay) = self
            .value("decay")
            .filter(|d| !d.is_null() && d.as_f64() != Some(0.0))
        {
            let want = "argument `decay`: nothing (use a schedule), got";
            return Err(self.problem(format!("{want} {decay}")));
        }
        let learning_rate = match self.value("learning_rate") {
            None => default.learning_rate,
            Some(value) => LearningRate::from_value(value)
                .map_err(|problem| self.problem(format!("argument `learning_rate`: {problem}")))?,
        };
        let common = Common {
            name: self.take("name", default.name)?,
            learning_rate,
            weight_decay: self.take("weight_decay", default.weight_decay)?,
            undecayed: default.undecayed,
            clipnorm: self.take("clipnorm", None)?,
            clipvalue: self.take("clipvalue", None)?,
            global_clipnorm: self.take("global_clipnorm", None)?,
            use_ema: self.take("use_ema", false)?,
            ema_momentum: self.take("ema_momentum", default.ema_momentum)?,
            ema_overwrite_frequency: self.take("ema_overwrite_frequency", None)?,
            loss_scale_factor: self.take("loss_scale_factor", None)?,
            gradient_accumulation_steps: self.take("gradient_accumulation_steps", None)?,
        };
        self.finish().map(|()| common)
    }
}
