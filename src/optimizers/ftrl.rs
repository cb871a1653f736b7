//! Follow the regularized leader.

use super::{Initial, Optimizer, Powers, Row, Tick, Var, check_not_negative, identity, optimizer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::update;

optimizer! {
    /// Follow the regularized leader (McMahan et al., 2013), for sparse linear models.
    /// [Keras](https://keras.io/api/optimizers/ftrl/)
    ///
    /// With the powers `r(a) = a^(-learning_rate_power)`: `n = a + g^2`, `l += g + 2 shrinkage w - (r(n) - r(a)) / lr w`,
    /// `w = (clip(l, -l1, l1) - l) / (r(n) / lr + 2 l2 + beta / lr)`, `a = n`.
    ///
    /// | name | default | meaning |
    /// |---|---|---|
    /// | `learning_rate` | 0.001 | step size |
    /// | `learning_rate_power` | -0.5 | how the rate falls; 0 keeps it |
    /// | `initial_accumulator_value` | 0.1 | what the sums begin with |
    /// | `l1_regularization_strength` | 0 | absolute penalty: exact zeros |
    /// | `l2_regularization_strength` | 0 | squared penalty that stabilises |
    /// | `l2_shrinkage_regularization_strength` | 0 | squared penalty that shrinks |
    /// | `beta` | 0 | of the paper |
    Ftrl("Ftrl", 0.001) {
        /// How the rate falls.
        learning_rate_power: f64 = -0.5,
        /// What the sums begin with.
        initial_accumulator_value: f64 = 0.1,
        /// Absolute penalty.
        l1_regularization_strength: f64 = 0.0,
        /// Squared penalty that stabilises.
        l2_regularization_strength: f64 = 0.0,
        /// Squared penalty that shrinks.
        l2_shrinkage_regularization_strength: f64 = 0.0,
        /// Of the paper.
        beta: f64 = 0.0,
    }
}

impl Optimizer for Ftrl {
    identity!("Ftrl");

    fn check(&self) -> Result<()> {
        if !(self.learning_rate_power <= 0.0 && self.learning_rate_power.is_finite()) {
            let want = "a number that is not positive";
            return Err(Error::arg(
                "learning_rate_power",
                want,
                self.learning_rate_power,
            ));
        }
        check_not_negative("initial_accumulator_value", self.initial_accumulator_value)?;
        check_not_negative(
            "l1_regularization_strength",
            self.l1_regularization_strength,
        )?;
        check_not_negative(
            "l2_regularization_strength",
            self.l2_regularization_strength,
        )?;
        check_not_negative(
            "l2_shrinkage_regularization_strength",
            self.l2_shrinkage_regularization_strength,
        )?;
        check_not_negative("beta", self.beta)
    }

    fn slots(&self) -> &[&'static str] {
        &["accumulator", "linear"]
    }

    fn initial(&self, slot: usize) -> Initial {
        Initial::Value(match slot {
            0 => self.initial_accumulator_value as Float,
            _ => 0.0,
        })
    }

    fn powers(&self) -> Option<Powers> {
        Some(Powers::Squares)
    }

    fn separate(&self, tick: &Tick<'_>, row: Row<'_>) {
        // The update squares what stands in the place of the gradient; that it adds it to the linear term is made up for there.
        let Row { g, sums, slots, .. } = row;
        for ((linear, g), sum) in slots[1].iter_mut().zip(g).zip(sums) {
            let root = sum.sqrt();
            *linear += *g * tick.grad_scale - root;
            *g = root / tick.grad_scale;
        }
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        if let [a, l] = var.slots {
            let step = update::Ftrl {
                lr: tick.lr,
                power: self.learning_rate_power,
                l1: self.l1_regularization_strength,
                l2: self.l2_regularization_strength + self.beta / (2.0 * tick.lr),
                shrinkage: self.l2_shrinkage_regularization_strength,
            };
            update::ftrl(var.w, var.g, a, l, step, tick.fold());
        }
    }
}
