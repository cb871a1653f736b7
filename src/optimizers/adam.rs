//! Adam and AdamW.

use super::{Arguments, Common, Optimizer, Tick, Var};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::update;

/// Adaptive moments (Kingma & Ba, 2014). [Keras](https://keras.io/api/optimizers/adam/)
///
/// `m += (g - m)(1 - beta_1)`, `v += (g^2 - v)(1 - beta_2)`, `w -= alpha m / (sqrt(v) + epsilon)` with
/// `alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `learning_rate` | 0.001 | step size |
/// | `beta_1`, `beta_2` | 0.9, 0.999 | decay of the moments |
/// | `epsilon` | 1e-7 | added to the root |
/// | `amsgrad` | false | divide by the largest second moment so far (Reddi et al., 2018) |
#[derive(Clone, Debug)]
pub struct Adam {
    common: Common,
    class: &'static str,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

/// [`Adam`] with decoupled weight decay of 0.004 by default (Loshchilov & Hutter, 2019).
/// [Keras](https://keras.io/api/optimizers/adamw/)
pub struct AdamW;

impl AdamW {
    /// With this learning rate, and a weight decay of 0.004.
    #[allow(clippy::new_ret_no_self)] // an Adam in all but name
    pub fn new(learning_rate: f64) -> Adam {
        let mut adam = Adam {
            class: "AdamW",
            ..Adam::new(learning_rate)
        };
        adam.common.weight_decay = Some(0.004);
        adam
    }
}

impl Default for Adam {
    fn default() -> Self {
        Adam::new(0.001)
    }
}

impl Adam {
    /// With this learning rate.
    pub fn new(learning_rate: f64) -> Self {
        Adam {
            common: Common::new(learning_rate),
            class: "Adam",
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            amsgrad: false,
        }
    }

    /// Decay of the first moment.
    pub fn beta_1(mut self, beta: f64) -> Self {
        self.beta_1 = beta;
        self
    }

    /// Decay of the second moment.
    pub fn beta_2(mut self, beta: f64) -> Self {
        self.beta_2 = beta;
        self
    }

    /// Added to the root of the second moment.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether to divide by the largest second moment so far.
    pub fn amsgrad(mut self, yes: bool) -> Self {
        self.amsgrad = yes;
        self
    }

    pub(super) fn read(class: &str, mut args: Arguments) -> Result<Self> {
        let d = if class == "AdamW" {
            AdamW::new(0.001)
        } else {
            Adam::default()
        };
        let (beta_1, beta_2) = (
            args.number("beta_1", d.beta_1)?,
            args.number("beta_2", d.beta_2)?,
        );
        let (epsilon, amsgrad) = (
            args.number("epsilon", d.epsilon)?,
            args.flag("amsgrad", d.amsgrad)?,
        );
        Ok(Adam {
            common: args.common(d.common)?,
            class: d.class,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
        })
    }
}

impl Optimizer for Adam {
    fn class_name(&self) -> &'static str {
        self.class
    }

    fn config(&self) -> Config {
        let own = [
            ("beta_1", self.beta_1.into()),
            ("beta_2", self.beta_2.into()),
            ("epsilon", self.epsilon.into()),
            ("amsgrad", self.amsgrad.into()),
        ];
        self.common.config(self.class, own)
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn check(&self) -> Result<()> {
        for (arg, beta) in [("beta_1", self.beta_1), ("beta_2", self.beta_2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::arg(arg, "a number in [0, 1)", beta));
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
        if self.amsgrad {
            &["momentum", "velocity", "velocity_hat"]
        } else {
            &["momentum", "velocity"]
        }
    }

    fn update(&self, tick: &Tick, var: Var<'_>) {
        let t = tick.iteration as f64;
        let alpha = tick.lr * (1.0 - self.beta_2.powf(t)).sqrt() / (1.0 - self.beta_1.powf(t));
        let step = update::Adam {
            alpha,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
        };
        if let [m, v, rest @ ..] = var.slots {
            update::adam(
                var.w,
                var.g,
                m,
                v,
                rest.first_mut().map(|s| &mut **s),
                step,
                tick.fold(),
            );
        }
    }
}
