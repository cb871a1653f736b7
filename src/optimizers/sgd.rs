//! Stochastic gradient descent.

use super::{Arguments, Common, Optimizer, Tick, Var};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::update;

/// Gradient descent, with momentum if asked for. [Keras](https://keras.io/api/optimizers/sgd/)
///
/// Without momentum `w -= lr g`. With it `v = momentum v - lr g` and `w += v`, or with `nesterov`
/// `w += momentum v - lr g`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `learning_rate` | 0.01 | step size |
/// | `momentum` | 0 | share of the velocity that is kept |
/// | `nesterov` | false | look ahead (Sutskever et al., 2013) |
#[derive(Clone, Debug)]
pub struct Sgd {
    common: Common,
    momentum: f64,
    nesterov: bool,
}

/// Keras's spelling of [`Sgd`].
pub use Sgd as SGD;

impl Default for Sgd {
    fn default() -> Self {
        Sgd::new(0.01)
    }
}

impl Sgd {
    /// With this learning rate.
    pub fn new(learning_rate: f64) -> Self {
        Sgd {
            common: Common::new(learning_rate),
            momentum: 0.0,
            nesterov: false,
        }
    }

    /// Share of the velocity that is kept.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Whether the velocity looks ahead.
    pub fn nesterov(mut self, yes: bool) -> Self {
        self.nesterov = yes;
        self
    }

    pub(super) fn read(mut args: Arguments) -> Result<Self> {
        let default = Sgd::default();
        let (momentum, nesterov) = (
            args.number("momentum", default.momentum)?,
            args.flag("nesterov", default.nesterov)?,
        );
        Ok(Sgd {
            common: args.common(default.common)?,
            momentum,
            nesterov,
        })
    }
}

impl Optimizer for Sgd {
    fn class_name(&self) -> &'static str {
        "SGD"
    }

    fn config(&self) -> Config {
        self.common.config(
            "SGD",
            [
                ("momentum", self.momentum.into()),
                ("nesterov", self.nesterov.into()),
            ],
        )
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::arg("momentum", "a number in [0, 1]", self.momentum));
        }
        Ok(())
    }

    fn slots(&self) -> &[&'static str] {
        if self.momentum == 0.0 {
            &[]
        } else {
            &["momentum"]
        }
    }

    fn update(&self, tick: &Tick, var: Var<'_>) {
        match var.slots {
            [v] => {
                let step = update::Momentum {
                    lr: tick.lr,
                    momentum: self.momentum,
                    nesterov: self.nesterov,
                };
                update::sgd_momentum(var.w, var.g, v, step, tick.fold());
            }
            _ => update::sgd(var.w, var.g, tick.lr, tick.fold()),
        }
    }
}
