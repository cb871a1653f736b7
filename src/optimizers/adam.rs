//! Adam and AdamW.

use serde_json::json;

use super::{
    Arguments, Common, Optimizer, Powers, Row, Tick, Var, check_decay, check_not_negative,
};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::update;
use crate::schedule::LearningRate;

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
    pub fn new(learning_rate: impl Into<LearningRate>) -> Adam {
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
    /// With this learning rate: a number or a schedule.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
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

    fn read_as(default: Adam, mut arguments: Arguments) -> Result<Self> {
        Ok(Adam {
            class: default.class,
            beta_1: arguments.take("beta_1", default.beta_1)?,
            beta_2: arguments.take("beta_2", default.beta_2)?,
            epsilon: arguments.take("epsilon", default.epsilon)?,
            amsgrad: arguments.take("amsgrad", default.amsgrad)?,
            common: arguments.common(default.common)?,
        })
    }

    pub(super) fn read(arguments: Arguments) -> Result<Self> {
        Adam::read_as(Adam::default(), arguments)
    }
}

impl AdamW {
    pub(super) fn read(arguments: Arguments) -> Result<Adam> {
        Adam::read_as(AdamW::new(0.001), arguments)
    }
}

impl Optimizer for Adam {
    fn class_name(&self) -> &'static str {
        self.class
    }

    fn config(&self) -> Config {
        let own = [
            ("beta_1", json!(self.beta_1)),
            ("beta_2", json!(self.beta_2)),
            ("epsilon", json!(self.epsilon)),
            ("amsgrad", json!(self.amsgrad)),
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
        if self.class == "AdamW" && self.common.weight_decay.is_none() {
            return Err(Error::arg("weight_decay", "a number", "none"));
        }
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        if self.amsgrad {
            &["momentum", "velocity", "velocity_hat"]
        } else {
            &["momentum", "velocity"]
        }
    }

    fn slot_groups(&self) -> Vec<usize> {
        if self.amsgrad { vec![2, 1] } else { vec![2] }
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(1, tick, self.beta_2, 1.0 - self.beta_2);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        let step = update::Adam {
            alpha: tick.lr * tick.correction(self.beta_2).sqrt() / tick.correction(self.beta_1),
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
        };
        if let [m, v, rest @ ..] = var.slots {
            let hat = rest.first_mut().map(|s| &mut **s);
            update::adam(var.w, var.g, m, v, hat, step, tick.fold());
        }
    }
}
