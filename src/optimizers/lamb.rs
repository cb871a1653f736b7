//! Lamb.

use super::{
    Optimizer, Powers, Row, Tick, Var, check_decay, check_not_negative, identity, optimizer,
};
use crate::error::Result;
use crate::kernels::update;

optimizer! {
    /// Adam whose step has, for each variable, the size of its weights (You et al., 2019), for large batches.
    /// [Keras](https://keras.io/api/optimizers/lamb/)
    ///
    /// With Adam's corrected moments `u = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)`:
    /// `w -= lr u abs(w) / abs(u)`, and `w -= lr u` where one of the norms is 0.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size |
    /// | `beta_1`, `beta_2` | 0.9, 0.999 | decay of the moments |
    /// | `epsilon` | 1e-7 | added to the root |
    Lamb("Lamb", 0.001) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Lamb {
    identity!("Lamb");

    fn check(&self) -> Result<()> {
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        &["momentum", "velocity"]
    }

    fn whole_runs(&self) -> bool {
        false
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(1, tick, self.beta_2, 1.0 - self.beta_2);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [m, v] = var.slots {
            let step = update::Lamb {
                beta_1: self.beta_1,
                beta_2: self.beta_2,
                epsilon: self.epsilon,
                of_m: 1.0 / tick.correction(self.beta_1),
                of_v: 1.0 / tick.correction(self.beta_2),
            };
            let fold = tick.fold();
            let (of_w, of_u) = update::lamb_moments(var.w, var.g, m, v, step, fold);
            let ratio = if of_w > 0.0 && of_u > 0.0 {
                of_w / of_u
            } else {
                1.0
            };
            update::lamb_apply(var.w, m, v, step, ratio * tick.lr, fold.keep);
        }
    }
}
