//! RMSprop.

use super::{
    Optimizer, Powers, Row, Tick, Var, check_not_negative, check_share, identity, optimizer,
};
use crate::error::Result;
use crate::kernels::update;

optimizer! {
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
    RmsProp("RMSprop", 0.001) {
        /// Decay of the moments.
        rho: f64 = 0.9,
        /// Share of the last step that is kept.
        momentum: f64 = 0.0,
        /// Added to the second moment, under the root.
        epsilon: f64 = 1e-7,
        /// Whether the mean is taken off.
        centered: bool = false,
    }
}

/// Keras's spelling of [`RmsProp`].
pub use RmsProp as RMSprop;

impl Optimizer for RmsProp {
    identity!("RMSprop");

    fn check(&self) -> Result<()> {
        check_share("rho", self.rho)?;
        check_share("momentum", self.momentum)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        match (self.momentum > 0.0, self.centered) {
            (false, false) => &["velocity"],
            (true, false) => &["velocity", "momentum"],
            (false, true) => &["velocity", "average_gradient"],
            (true, true) => &["velocity", "momentum", "average_gradient"],
        }
    }

    fn slot_groups(&self) -> Vec<usize> {
        vec![1; self.slots().len()]
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(0, tick, self.rho, 1.0 - self.rho);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
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
