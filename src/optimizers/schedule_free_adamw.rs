//! Schedule-free AdamW.

use super::{
    Initial, Optimizer, Powers, Row, Tick, Var, check_decay, check_not_negative, identity,
    optimizer,
};
use crate::error::{Error, Result};
use crate::kernels::update;

optimizer! {
    /// AdamW that needs no schedule, because it averages the weights as it goes (Defazio et al., 2024).
    /// [Keras](https://keras.io/api/optimizers/)
    ///
    /// The weights are `y`, between the base sequence `z` (the slot `momentum`) and its mean `x`:
    /// `v += (g^2 - v)(1 - beta_2)`, `z -= lr g / (sqrt(v / (1 - beta_2^t)) + epsilon)`, `x += (z - x) / t`,
    /// `y = (1 - beta_1) z + beta_1 x`. As in Keras 3.15 on TensorFlow, `x` is found from `y` with the new `z`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.0025 | step size |
    /// | `beta_1` | 0.9 | how much of the mean is in the weights |
    /// | `beta_2` | 0.999 | decay of the second moment |
    /// | `epsilon` | 1e-8 | added to the root |
    /// | `warmup_steps` | 0 | steps over which the rate rises to its value |
    ScheduleFreeAdamW("ScheduleFreeAdamW", 0.0025) {
        /// How much of the mean is in the weights.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Added to the root.
        epsilon: f64 = 1e-8,
        /// Steps over which the rate rises to its value.
        warmup_steps: u64 = 0,
    }
}

impl Optimizer for ScheduleFreeAdamW {
    identity!("ScheduleFreeAdamW");

    fn check(&self) -> Result<()> {
        if !(self.beta_1 > 0.0 && self.beta_1 <= 1.0) {
            let want = "a number above 0, at most 1";
            return Err(Error::arg("beta_1", want, self.beta_1));
        }
        check_decay("beta_2", self.beta_2)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        &["momentum", "velocity"]
    }

    fn initial(&self, slot: usize) -> Initial {
        match slot {
            0 => Initial::Weights,
            _ => Initial::Value(0.0),
        }
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(1, tick, self.beta_2, 1.0 - self.beta_2);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [z, v] = var.slots {
            let t = tick.iteration as f64;
            let warmup = match self.warmup_steps {
                0 => 1.0,
                steps => (t / steps as f64).min(1.0),
            };
            let step = update::ScheduleFree {
                lr: tick.lr * warmup,
                beta_1: self.beta_1,
                beta_2: self.beta_2,
                epsilon: self.epsilon,
                of_v: 1.0 / tick.correction(self.beta_2),
                share: 1.0 / t,
            };
            update::schedule_free(var.w, var.g, z, v, step, tick.fold());
        }
    }
}
