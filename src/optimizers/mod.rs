//! Optimizers: [`Optimizer`], the arguments that all share ([`Common`]), and Keras's optimizers, one file each.
//!
//! An optimizer holds hyper-parameters and no memory: its slots (momenta) are flat arrays in the layout of the weights, lent to
//! it for one pass. Clipping, weight decay, averaging and accumulation are written once, in `train::update`.

use std::fmt::Debug;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;

/// An optimizer; implement it for your own.
pub trait Optimizer: Debug + Send + Sync {
    /// Keras's class name: the key in files.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// The arguments that all optimizers share.
    fn common(&self) -> &Common;

    /// The same, to be changed.
    fn common_mut(&mut self) -> &mut Common;

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// Names the argument.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Names of the slots, in the order in which Keras stores them for each variable: Adam's are `momentum, velocity`.
    fn slots(&self) -> &[&'static str];

    /// What slot number `slot` holds before the first step.
    fn initial(&self, _slot: usize) -> Float {
        0.0
    }

    /// Whether `update` may be given several variables at once. False if it needs the shape (Lamb, Muon, Adafactor).
    fn whole_runs(&self) -> bool {
        true
    }

    /// Changes `var.w` by `var.g`.
    fn update(&self, tick: &Tick, var: Var<'_>);
}

/// When and how far: what an update needs besides the arrays.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Number of this update, from 1.
    pub iteration: u64,
    /// Learning rate now.
    pub lr: f64,
    /// Factor on every gradient (global clipping), folded into the pass.
    pub grad_scale: Float,
    /// Decoupled weight decay, already times the learning rate: `w -= decay * w` before the update. 0 for none.
    pub decay: Float,
}

/// A contiguous piece of the weights with its gradients and slots.
#[derive(Debug)]
pub struct Var<'a> {
    /// Shape, where [`Optimizer::whole_runs`] is false; else one axis.
    pub shape: &'a [usize],
    /// Weights.
    pub w: &'a mut [Float],
    /// Gradients.
    pub g: &'a [Float],
    /// One slice a slot.
    pub slots: &'a mut [&'a mut [Float]],
}

/// The arguments that every Keras optimizer takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// Name. Default: the class in snake case.
    pub name: Option<String>,
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled decay: `w -= learning_rate * weight_decay * w` at every step.
    pub weight_decay: Option<f64>,
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
    pub fn new(learning_rate: f64) -> Self {
        Common {
            name: None,
            learning_rate,
            weight_decay: None,
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

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// Names the argument.
    pub fn check(&self) -> Result<()> {
        let positive = |arg: &str, value: Option<f64>| match value {
            Some(v) if !(v > 0.0 && v.is_finite()) => Err(Error::arg(arg, "a positive number", v)),
            _ => Ok(()),
        };
        if !(self.learning_rate >= 0.0 && self.learning_rate.is_finite()) {
            return Err(Error::arg("learning_rate", "a number that is not negative", self.learning_rate));
        }
        positive("clipnorm", self.clipnorm)?;
        positive("clipvalue", self.clipvalue)?;
        positive("global_clipnorm", self.global_clipnorm)?;
        positive("loss_scale_factor", self.loss_scale_factor)?;
        if [self.clipnorm, self.clipvalue, self.global_clipnorm].iter().flatten().count() > 1 {
            return Err(Error::arg("clipnorm", "only one of clipnorm, clipvalue and global_clipnorm", "more than one"));
        }
        if let Some(wd) = self.weight_decay.filter(|wd| !(*wd >= 0.0 && wd.is_finite())) {
            return Err(Error::arg("weight_decay", "a number that is not negative", wd));
        }
        if self.use_ema && !(0.0..=1.0).contains(&self.ema_momentum) {
            return Err(Error::arg("ema_momentum", "a number in [0, 1]", self.ema_momentum));
        }
        if self.ema_overwrite_frequency == Some(0) {
            return Err(Error::arg("ema_overwrite_frequency", "a positive number of steps", 0));
        }
        if self.gradient_accumulation_steps.is_some_and(|n| n < 2) {
            return Err(Error::arg("gradient_accumulation_steps", "at least 2", self.gradient_accumulation_steps.unwrap_or(0)));
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
