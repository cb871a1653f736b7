//! Adagrad.

use super::{Initial, Optimizer, Powers, Row, Tick, Var, check_not_negative, identity, optimizer};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::update;

optimizer! {
    /// Divides each gradient by the root of the sum of its squares (Duchi et al., 2011).
    /// [Keras](https://keras.io/api/optimizers/adagrad/)
    ///
    /// `a += g^2`, `w -= lr g / sqrt(a + epsilon)`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size |
    /// | `initial_accumulator_value` | 0.1 | what the sums begin with |
    /// | `epsilon` | 1e-7 | added under the root |
    Adagrad("Adagrad", 0.001) {
        /// What the sums begin with.
        initial_accumulator_value: f64 = 0.1,
        /// Added under the root.
        epsilon: f64 = 1e-7,
    }
}

impl Optimizer for Adagrad {
    identity!("Adagrad");

    fn check(&self) -> Result<()> {
        check_not_negative("initial_accumulator_value", self.initial_accumulator_value)?;
        check_not_negative("epsilon", self.epsilon)
    }

    fn slots(&self) -> &[&'static str] {
        &["accumulator"]
    }

    fn initial(&self, _slot: usize) -> Initial {
        Initial::Value(self.initial_accumulator_value as Float)
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        row.add_squares(0, tick, 1.0, 1.0);
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [a] = var.slots {
            update::adagrad(var.w, var.g, a, tick.lr, self.epsilon, tick.fold());
        }
    }
}
