//! Nadam.

use super::{
    Optimizer, Powers, Row, Tick, Var, check_decay, check_not_negative, identity, optimizer,
};
use crate::error::Result;
use crate::kernels::update;

optimizer! {
    /// Adam with Nesterov's momentum (Dozat, 2015). [Keras](https://keras.io/api/optimizers/nadam/)
    ///
    /// With `u_t = beta_1 (1 - 0.96^t / 2)` and the product `U_t` of all of them so far: Adam's moments, and
    /// `w -= lr (u_(t+1) m / (1 - U_(t+1)) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size |
    /// | `beta_1`, `beta_2` | 0.9, 0.999 | decay of the moments |
    /// | `epsilon` | 1e-7 | added to the root |
    Nadam("Nadam", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root.
        epsilon: f64 = 1e-7,
    }
}

impl Nadam {
    /// `u_t`
    fn momentum(&self, t: u64) -> f64 {
        self.beta_1 * (1.0 - 0.5 * 0.96f64.powf(t as f64))
    }
}

impl Optimizer for Nadam {
    identity!("Nadam");

    fn check(&self) -> Result<()> {
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        &["momentum", "velocity"]
    }

    fn scalars(&self) -> &[(&'static str, f64)] {
        &[("u_product", 1.0)]
    }

    fn advance(&self, iteration: u64, scalars: &mut [f64]) {
        scalars[0] *= self.momentum(iteration);
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(1, tick, self.beta_2, 1.0 - self.beta_2);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [m, v] = var.slots {
            let (now, next) = (
                self.momentum(tick.iteration),
                self.momentum(tick.iteration + 1),
            );
            let product = tick.scalars[0];
            let step = update::Nadam {
                lr: tick.lr,
                beta_1: self.beta_1,
                beta_2: self.beta_2,
                epsilon: self.epsilon,
                of_m: next / (1.0 - product * next),
                of_g: (1.0 - now) / (1.0 - product),
                of_v: 1.0 / tick.correction(self.beta_2),
            };
            update::nadam(var.w, var.g, m, v, step, tick.fold());
        }
    }
}
