//! The arguments that every Keras optimizer takes.

use serde_json::Value;

use super::{Optimizer, Variable};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::layer::default_name;
use crate::pattern::Pattern;
use crate::schedule::LearningRate;

/// The arguments that every Keras optimizer takes.
#[derive(Clone, Debug)]
pub struct Common {
    /// Name. Default: the class in snake case.
    pub name: Option<String>,
    /// Step size.
    pub learning_rate: LearningRate,
    /// Decoupled decay: `w -= learning_rate * weight_decay * w` at every step.
    pub weight_decay: Option<f64>,
    /// Patterns of the variables without decay; see [`OptimizerExt::exclude_from_weight_decay`].
    pub undecayed: Vec<String>,
    /// Largest norm of each variable's gradient.
    pub clipnorm: Option<f64>,
    /// Largest absolute value of each element of a gradient.
    pub clipvalue: Option<f64>,
    /// Largest norm of all gradients together.
    pub global_clipnorm: Option<f64>,
    /// Keep an exponential moving average of the weights, and take it at the end of `fit`.
    pub use_ema: bool,
    /// Its momentum.
    pub ema_momentum: f64,
    /// Take the average every so many steps as well.
    pub ema_overwrite_frequency: Option<u64>,
    /// Factor on the loss whose effect on the gradients is undone before the update.
    pub loss_scale_factor: Option<f64>,
    /// Average the gradients of so many steps before each update.
    pub gradient_accumulation_steps: Option<u64>,
}

impl Common {
    /// Keras's defaults with this learning rate.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        Common {
            name: None,
            learning_rate: learning_rate.into(),
            weight_decay: None,
            undecayed: Vec::new(),
            clipnorm: None,
            clipvalue: None,
            global_clipnorm: None,
            use_ema: false,
            ema_momentum: 0.99,
            ema_overwrite_frequency: None,
            loss_scale_factor: None,
            gradient_accumulation_steps: None,
        }
    }

    /// Weight decay of a variable: none if it is excluded.
    pub fn decay_of(&self, variable: &Variable<'_>) -> Option<f64> {
        let name = variable.path.rsplit('/').next().unwrap_or(variable.path);
        let excluded = |pattern: &String| {
            Pattern::new(pattern).is_ok_and(|p| p.found_in(name) || p.found_in(variable.path))
        };
        self.weight_decay
            .filter(|_| !self.undecayed.iter().any(excluded))
    }

    /// Keras's configuration: these arguments and an optimizer's own.
    pub(crate) fn config(
        &self,
        class: &str,
        own: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Config {
        let mut config = Config::new();
        let mut set = |key: &str, value: Value| config.insert(key.into(), value);
        set("name", self.name_or(class).into());
        set("learning_rate", self.learning_rate.to_value());
        set("weight_decay", self.weight_decay.into());
        set("clipnorm", self.clipnorm.into());
        set("global_clipnorm", self.global_clipnorm.into());
        set("clipvalue", self.clipvalue.into());
        set("use_ema", self.use_ema.into());
        set("ema_momentum", self.ema_momentum.into());
        set(
            "ema_overwrite_frequency",
            self.ema_overwrite_frequency.into(),
        );
        set("loss_scale_factor", self.loss_scale_factor.into());
        set(
            "gradient_accumulation_steps",
            self.gradient_accumulation_steps.into(),
        );
        own.into_iter()
            .for_each(|(key, value)| drop(config.insert(key.into(), value)));
        config
    }

    pub(crate) fn name_or(&self, class: &str) -> String {
        self.name.clone().unwrap_or_else(|| default_name(class))
    }

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// Names the argument.
    pub fn check(&self) -> Result<()> {
        let positive = |arg: &str, value: Option<f64>| match value {
            Some(v) if !(v > 0.0 && v.is_finite()) => Err(Error::arg(arg, "a positive number", v)),
            _ => Ok(()),
        };
        self.learning_rate.check()?;
        positive("clipnorm", self.clipnorm)?;
        positive("clipvalue", self.clipvalue)?;
        positive("global_clipnorm", self.global_clipnorm)?;
        positive("loss_scale_factor", self.loss_scale_factor)?;
        let clips = [self.clipnorm, self.clipvalue, self.global_clipnorm];
        if clips.iter().flatten().count() > 1 {
            let want = "only one of clipnorm, clipvalue and global_clipnorm";
            return Err(Error::arg("clipnorm", want, "more than one"));
        }
        if let Some(decay) = self.weight_decay {
            super::check_not_negative("weight_decay", decay)?;
        }
        for pattern in &self.undecayed {
            Pattern::new(pattern)?;
        }
        if self.use_ema {
            super::check_share("ema_momentum", self.ema_momentum)?;
        }
        if self.ema_overwrite_frequency == Some(0) {
            let want = "a positive number of steps";
            return Err(Error::arg("ema_overwrite_frequency", want, 0));
        }
        if let Some(n) = self.gradient_accumulation_steps.filter(|n| *n < 2) {
            return Err(Error::arg("gradient_accumulation_steps", "at least 2", n));
        }
        Ok(())
    }
}

/// The builder methods that every optimizer has, named as Keras's arguments.
pub trait OptimizerExt: Optimizer + Sized {
    /// Name of the optimizer.
    fn name(mut self, name: impl Into<String>) -> Self {
        self.common_mut().name = Some(name.into());
        self
    }

    /// See [`Common::weight_decay`].
    fn weight_decay(mut self, decay: f64) -> Self {
        self.common_mut().weight_decay = Some(decay);
        self
    }

    /// No weight decay for variables in whose name or path one of these patterns is found: `["bias", "norm"]`. They are regular
    /// expressions, see [`Pattern`]. Files do not keep them (nor do Keras's).
    fn exclude_from_weight_decay<S: Into<String>>(
        mut self,
        patterns: impl IntoIterator<Item = S>,
    ) -> Self {
        let patterns = patterns.into_iter().map(Into::into);
        self.common_mut().undecayed.extend(patterns);
        self
    }

    /// See [`Common::clipnorm`].
    fn clipnorm(mut self, norm: f64) -> Self {
        self.common_mut().clipnorm = Some(norm);
        self
    }

    /// See [`Common::clipvalue`].
    fn clipvalue(mut self, value: f64) -> Self {
        self.common_mut().clipvalue = Some(value);
        self
    }

    /// See [`Common::global_clipnorm`].
    fn global_clipnorm(mut self, norm: f64) -> Self {
        self.common_mut().global_clipnorm = Some(norm);
        self
    }

    /// See [`Common::use_ema`].
    fn use_ema(mut self, yes: bool) -> Self {
        self.common_mut().use_ema = yes;
        self
    }

    /// See [`Common::ema_momentum`].
    fn ema_momentum(mut self, momentum: f64) -> Self {
        self.common_mut().ema_momentum = momentum;
        self
    }

    /// See [`Common::ema_overwrite_frequency`].
    fn ema_overwrite_frequency(mut self, steps: u64) -> Self {
        self.common_mut().ema_overwrite_frequency = Some(steps);
        self
    }

    /// See [`Common::loss_scale_factor`].
    fn loss_scale_factor(mut self, factor: f64) -> Self {
        self.common_mut().loss_scale_factor = Some(factor);
        self
    }

    /// See [`Common::gradient_accumulation_steps`].
    fn gradient_accumulation_steps(mut self, steps: u64) -> Self {
        self.common_mut().gradient_accumulation_steps = Some(steps);
        self
    }
}

impl<O: Optimizer> OptimizerExt for O {}
