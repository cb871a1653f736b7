//! Optimizers: [`Optimizer`], the arguments that all share ([`Common`]), and Keras's optimizers, one file each.
//!
//! An optimizer holds hyper-parameters and no memory: its slots (momenta) are arrays beside the weights, lent to it for one pass.
//! Clipping, weight decay, averaging, accumulation and loss scaling are written once, in `train::update`.

mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod arguments;
mod common;
mod ftrl;
mod lamb;
mod lion;
mod loss_scale;
mod multi;
mod muon;
mod nadam;
mod rmsprop;
mod schedule_free_adamw;
mod sgd;
mod table;
#[cfg(test)]
mod tests;

pub use crate::schedule as schedules;
pub use adadelta::Adadelta;
pub use adafactor::Adafactor;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use common::{Common, OptimizerExt};
pub use ftrl::Ftrl;
pub use lamb::Lamb;
pub use lion::Lion;
pub use loss_scale::LossScaleOptimizer;
pub use multi::{MultiOptimizer, OptimizerMap};
pub use muon::Muon;
pub use nadam::Nadam;
pub use rmsprop::{RMSprop, RmsProp};
pub use schedule_free_adamw::ScheduleFreeAdamW;
pub use sgd::{SGD, Sgd};
pub use table::{deserialize, from_config, get, serialize};

use std::fmt::Debug;
use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::update::Fold;
use crate::shape::Dims;
use arguments::Arguments;

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

    /// Whether the arguments make sense, besides those of [`Common`].
    ///
    /// # Errors
    /// Names the argument.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Names of the slots: Adam's are `momentum, velocity`.
    fn slots(&self) -> &[&'static str];

    /// How many slots Keras makes together, group by group: those of a group lie beside each other for each variable in files, and
    /// group follows group. Default: all slots are one group.
    fn slot_groups(&self) -> Vec<usize> {
        vec![self.slots().len()]
    }

    /// What a slot holds before the first step. Default: zeros.
    fn initial(&self, _slot: usize) -> Initial {
        Initial::Value(0.0)
    }

    /// Whether `update` may be given several variables at once, as one array. False if it needs shapes (Lamb, Muon, Adafactor).
    fn whole_runs(&self) -> bool {
        true
    }

    /// Shape of a slot of a variable; asked where [`whole_runs`](Self::whole_runs) is false. `None`: it has none.
    fn slot_shape(&self, _slot: usize, variable: &Variable<'_>) -> Option<Dims> {
        Some(variable.shape)
    }

    /// Numbers that [`Var::scratch`] must have room for; asked where [`whole_runs`](Self::whole_runs) is false.
    fn scratch(&self, _shape: &[usize]) -> usize {
        0
    }

    /// Whether Keras's files hold a zero in place of each slot that a variable lacks.
    fn fills_missing_slots(&self) -> bool {
        false
    }

    /// Numbers that belong to no variable, with what they are before the first step. Files hold them behind the slots.
    fn scalars(&self) -> &[(&'static str, f64)] {
        &[]
    }

    /// Moves those numbers, before the variables of update number `iteration` (from 1).
    fn advance(&self, _iteration: u64, _scalars: &mut [f64]) {}

    /// Weight decay of a variable. Default: [`Common::weight_decay`], unless the variable is excluded.
    fn decay_of(&self, variable: &Variable<'_>) -> Option<f64> {
        self.common().decay_of(variable)
    }

    /// The optimizers that this one hands its variables to.
    fn members(&self) -> Members<'_> {
        Members::Itself
    }

    /// What is added up for a row of a table that a batch looked up several times, where the optimizer does not only use the sum
    /// of the gradients. Default: nothing.
    fn powers(&self) -> Option<Powers> {
        None
    }

    /// Before [`update`](Self::update): moves slots (or gradients, or weights) of such a row, so that the update, which knows only the sum of
    /// its gradients, ends as if it had squared each by itself. Keras (on TensorFlow) does so.
    fn separate(&self, _tick: &Tick<'_>, _row: Row<'_>) {}

    /// Changes `var.w` by `var.g`.
    fn update(&self, tick: &Tick<'_>, var: Var<'_>);
}

/// See [`Optimizer::powers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Powers {
    /// Sums of squares.
    Squares,
    /// Sums of magnitudes.
    Magnitudes,
}

/// A row of a table that was looked up several times; see [`Optimizer::separate`].
#[derive(Debug)]
pub struct Row<'a> {
    /// Its weights.
    pub w: &'a mut [Float],
    /// Sum of its gradients, without [`Tick::grad_scale`].
    pub g: &'a mut [Float],
    /// Sums of the powers of its gradients, with that factor in them.
    pub sums: &'a [Float],
    /// Its slots.
    pub slots: &'a mut [&'a mut [Float]],
}

impl Row<'_> {
    /// For an update that makes `slot += share g^2` of a slot that it multiplies by `keep` before.
    fn add_squares(self, slot: usize, tick: &Tick<'_>, keep: f64, share: f64) {
        if keep == 0.0 {
            return; // nothing of the slot is left to carry it
        }
        let factor = (share / keep) as Float;
        let Some(slot) = self.slots.get_mut(slot) else {
            return;
        };
        for ((slot, g), sum) in slot.iter_mut().zip(self.g).zip(self.sums) {
            let g = *g * tick.grad_scale;
            *slot += factor * (sum - g * g);
        }
    }
}

/// What a slot holds before the first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// This number everywhere.
    Value(Float),
    /// The weights.
    Weights,
}

/// A variable as rules about variables see it.
#[derive(Clone, Copy, Debug)]
pub struct Variable<'a> {
    /// Keras's path: `dense/kernel`.
    pub path: &'a str,
    /// Its shape.
    pub shape: Dims,
}

/// Who updates the variables.
#[derive(Clone, Copy, Debug)]
pub enum Members<'a> {
    /// The optimizer itself.
    Itself,
    /// Another one, with the loss scaled.
    Scaled(&'a LossScaleOptimizer),
    /// One or another, by the variable.
    Mapped(&'a OptimizerMap),
}

/// When and how far: what an update needs besides the arrays.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// Number of this update, from 1.
    pub iteration: u64,
    /// Learning rate now.
    pub lr: f64,
    /// Factor on every gradient (clipping, loss scaling), to be folded into the pass.
    pub grad_scale: Float,
    /// Decoupled weight decay, already times the learning rate: `w -= decay * w` before the update. 0 for none.
    pub decay: Float,
    /// See [`Optimizer::scalars`].
    pub scalars: &'a [f64],
}

impl Tick<'_> {
    /// The factors on gradients and weights, for the fused kernels.
    pub(crate) fn fold(&self) -> Fold {
        Fold {
            grad_scale: f64::from(self.grad_scale),
            keep: 1.0 - f64::from(self.decay),
        }
    }

    /// `1 - beta^t`: what a mean that started at zero is divided by.
    pub(crate) fn correction(&self, beta: f64) -> f64 {
        1.0 - beta.powf(self.iteration as f64)
    }
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
    /// One slice a slot; empty where the variable has none.
    pub slots: &'a mut [&'a mut [Float]],
    /// See [`Optimizer::scratch`]; its content is undefined.
    pub scratch: &'a mut [Float],
}

fn check_decay(arg: &str, beta: f64) -> Result<()> {
    if (0.0..1.0).contains(&beta) {
        Ok(())
    } else {
        Err(Error::arg(arg, "a number in [0, 1)", beta))
    }
}

fn check_share(arg: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::arg(arg, "a number in [0, 1]", value))
    }
}

fn check_not_negative(arg: &str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(Error::arg(arg, "a number that is not negative", value))
    }
}

/// The struct of an optimizer: numbers and flags with Keras's names and defaults, one builder method each, and how it is read from
/// a configuration and written to one.
macro_rules! optimizer {
    (
        $(#[$doc:meta])*
        $optimizer:ident($class:literal, $rate:literal) {
            $($(#[$arg_doc:meta])* $arg:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $optimizer {
            common: crate::optimizers::Common,
            $($arg: $type,)*
        }

        impl Default for $optimizer {
            fn default() -> Self {
                $optimizer::new($rate)
            }
        }

        impl $optimizer {
            /// With this learning rate: a number or a schedule.
            pub fn new(learning_rate: impl Into<crate::schedule::LearningRate>) -> Self {
                $optimizer {
                    common: crate::optimizers::Common::new(learning_rate),
                    $($arg: $default,)*
                }
            }

            $($(#[$arg_doc])*
            pub fn $arg(mut self, $arg: $type) -> Self {
                self.$arg = $arg;
                self
            })*

            pub(super) fn read(
                mut arguments: crate::optimizers::Arguments,
            ) -> crate::error::Result<Self> {
                let default = $optimizer::default();
                $(let $arg = arguments.take(stringify!($arg), default.$arg)?;)*
                Ok($optimizer {
                    common: arguments.common(default.common)?,
                    $($arg,)*
                })
            }

            /// Keras's configuration.
            fn written(&self) -> crate::config::Config {
                self.common.config(
                    $class,
                    [$((stringify!($arg), serde_json::json!(self.$arg)),)*],
                )
            }
        }
    };
}
use optimizer;

/// The four methods of [`Optimizer`] that say who a struct made by [`optimizer!`] is.
macro_rules! identity {
    ($class:literal) => {
        fn class_name(&self) -> &'static str {
            $class
        }

        fn config(&self) -> crate::config::Config {
            self.written()
        }

        fn common(&self) -> &crate::optimizers::Common {
            &self.common
        }

        fn common_mut(&mut self) -> &mut crate::optimizers::Common {
            &mut self.common
        }
    };
}
use identity;

/// An optimizer shared by a model and its copies.
pub(crate) type Shared = Arc<dyn Optimizer>;
