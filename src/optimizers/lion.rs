//! Lion.

use super::{Optimizer, Tick, Var, check_share, identity, optimizer};
use crate::error::{Error, Result};
use crate::kernels::update;

optimizer! {
    /// Steps of one size by the sign of the momentum (Chen et al., 2023). [Keras](https://keras.io/api/optimizers/lion/)
    ///
    /// `w -= lr sign(beta_1 m + (1 - beta_1) g)`, `m = beta_2 m + (1 - beta_2) g`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size |
    /// | `beta_1` | 0.9 | share of the momentum in the step |
    /// | `beta_2` | 0.99 | decay of the momentum |
    Lion("Lion", 0.001) {
        /// Share of the momentum in the step.
        beta_1: f64 = 0.9,
        /// Decay of the momentum.
        beta_2: f64 = 0.99,
    }
}

impl Optimizer for Lion {
    identity!("Lion");

    fn check(&self) -> Result<()> {
        if !(self.beta_1 > 0.0 && self.beta_1 <= 1.0) {
            let want = "a number above 0, at most 1";
            return Err(Error::arg("beta_1", want, self.beta_1));
        }
        check_share("beta_2", self.beta_2)
    }

    fn slots(&self) -> &[&'static str] {
        &["momentum"]
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [m] = var.slots {
            let step = update::Lion {
                lr: tick.lr,
                beta_1: self.beta_1,
                beta_2: self.beta_2,
            };
            update::lion(var.w, var.g, m, step, tick.fold());
        }
    }
}
