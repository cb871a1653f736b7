//! Adamax.

use super::{
    Optimizer, Powers, Row, Tick, Var, check_decay, check_not_negative, identity, optimizer,
};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::update;

optimizer! {
    /// Adam with the largest gradient in place of the second moment (Kingma & Ba, 2014, section 7).
    /// [Keras](https://keras.io/api/optimizers/adamax/)
    ///
    /// `m += (g - m)(1 - beta_1)`, `u = max(beta_2 u, abs(g))`, `w -= lr / (1 - beta_1^t) m / (u + epsilon)`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size |
    /// | `beta_1`, `beta_2` | 0.9, 0.999 | decay of the moment and of the largest gradient |
    /// | `epsilon` | 1e-7 | added to the largest gradient |
    Adamax("Adamax", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the largest gradient.
        beta_2: f64 = 0.999,
        /// Added to the largest gradient.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Adamax {
    identity!("Adamax");

    fn check(&self) -> Result<()> {
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        &["momentum", "norm"]
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Magnitudes)
    }

    fn separate(&self, _tick: &Tick<'_>, row: Row<'_>) {
        // The norm becomes `max(beta_2 norm, |g|)`.
        if self.beta_2 > 0.0 {
            for (norm, sum) in row.slots[1].iter_mut().zip(row.sums) {
                *norm = norm.max(sum / self.beta_2 as Float);
            }
        }
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [m, u] = var.slots {
            let step = update::Adamax {
                alpha: tick.lr / tick.correction(self.beta_1),
                beta_1: self.beta_1,
                beta_2: self.beta_2,
                epsilon: self.epsilon,
            };
            update::adamax(var.w, var.g, m, u, step, tick.fold());
        }
    }
}
