//! Stochastic gradient descent.

use super::{Optimizer, Tick, Var, check_share, identity, optimizer};
use crate::error::Result;
use crate::kernels::update;

optimizer! {
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
    Sgd("SGD", 0.01) {
        /// Share of the velocity that is kept.
        momentum: f64 = 0.0,
        /// Whether the velocity looks ahead.
        nesterov: bool = false,
    }
}

/// Keras's spelling of [`Sgd`].
pub use Sgd as SGD;

impl Optimizer for Sgd {
    identity!("SGD");

    fn check(&self) -> Result<()> {
        check_share("momentum", self.momentum)
    }

    fn slots(&self) -> &[&'static str] {
        if self.momentum == 0.0 {
            &[]
        } else {
            &["momentum"]
        }
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
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
