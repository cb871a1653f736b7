//! RMSprop.

use super::{Arguments, Common, Optimizer, Tick, Var};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::update;

/// Divides each gradient by a running root mean square of itself (Hinton, 2012).
/// [Keras](https://keras.io/api/optimizers/rmsprop/)
///
/// `v = rho v + (1 - rho) g^2`, `w -= lr g / sqrt(v + epsilon)`; centered, `v` minus the square of the mean gradient.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `learning_rate` | 0.001 | step size |
/// | `rho` | 0.9 | decay of the moments |
/// | `momentum` | 0 | share of the last step that is kept |
/// | `epsilon` | 1e-7 | added under the root |
/// | `centered` | false | use the variance |
#[derive(Clone, Debug)]
pub struct RmsProp {
    common: Common,
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

/// Keras's spelling of [`RmsProp`].
pub use RmsProp as RMSprop;

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp::new(0.001)
    }
}

impl RmsProp {
    /// With this learning rate.
    pub fn new(learning_rate: f64) -> Self {
        RmsProp {
            common: Common::new(learning_rate),
            rho: 0.9,
            momentum: 0.0,
            epsilon: 1e-7,
            centered: false,
        }
    }

    /// Decay of the moments.
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// Share of the last step that is kept.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Added to the second moment, under the root.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether the mean is taken off.
    pub fn centered(mut self, yes: bool) -> Self {
        self.centered = yes;
        self
    }

    pub(super) fn read(mut args: Arguments) -> Result<Self> {
        let d = RmsProp::default();
        let (rho, momentum) = (
            args.number("rho", d.rho)?,
            args.number("momentum", d.momentum)?,
        );
        let (epsilon, centered) = (
            args.number("epsilon", d.epsilon)?,
            args.flag("centered", d.centered)?,
        );
        Ok(RmsProp {
            common: args.common(d.common)?,
            rho,
            momentum,
            epsilon,
            centered,
        })
    }
}

impl Optimizer for RmsProp {
    fn class_name(&self) -> &'static str {
        "RMSprop"
    }

    fn config(&self) -> Config {
        let own = [
            ("rho", self.rho.into()),
            ("momentum", self.momentum.into()),
            ("epsilon", self.epsilon.into()),
            ("centered", self.centered.into()),
        ];
        self.common.config("RMSprop", own)
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn check(&self) -> Result<()> {
        for (arg, value) in [("rho", self.rho), ("momentum", self.momentum)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::arg(arg, "a number in [0, 1]", value));
            }
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(Error::arg(
                "epsilon",
                "a number that is not negative",
                self.epsilon,
            ));
        }
        Ok(())
    }

    fn slots(&self) -> &[&'static str] {
        match (self.momentum > 0.0, self.centered) {
            (false, false) => &["velocity"],
            (true, false) => &["velocity", "momentum"],
            (false, true) => &["velocity", "average_gradient"],
            (true, true) => &["velocity", "momentum", "average_gradient"],
        }
    }

    fn update(&self, tick: &Tick, var: Var<'_>) {
        let step = update::RmsProp {
            lr: tick.lr,
            rho: self.rho,
            momentum: self.momentum,
            epsilon: self.epsilon,
        };
        if let [v, rest @ ..] = var.slots {
            let (momentum, average) = match (rest, self.centered) {
                ([], _) => (None, None),
                ([average], true) => (None, Some(&mut **average)),
                ([momentum], false) => (Some(&mut **momentum), None),
                ([momentum, average, ..], _) => (Some(&mut **momentum), Some(&mut **average)),
            };
            update::rmsprop(var.w, var.g, v, average, momentum, step, tick.fold());
        }
    }
}
