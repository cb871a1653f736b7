//! Builders of cells and of layers of one cell: one method for each of Keras's arguments.

use super::formula::{Formula, RecurrentCell};
use super::gru::Gru;
use super::layer::{Configurable, RecurrentLayer};
use super::lstm::Lstm;
use crate::activation::Activation;
use crate::constraint::Constraint;
use crate::initializer::Initializer;
use crate::regularizer::Regularizer;

impl<K: Formula> RecurrentCell<K> {
    /// Function applied to the output.
    pub fn activation(mut self, activation: impl Into<Activation>) -> Self {
        self.args.activation = activation.into();
        self
    }

    /// Whether a bias is added.
    pub fn use_bias(mut self, yes: bool) -> Self {
        self.args.use_bias = yes;
        self
    }

    /// How the kernel starts.
    pub fn kernel_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.args.kernel_initializer = initializer.into();
        self
    }

    /// How the recurrent kernel starts.
    pub fn recurrent_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.args.recurrent_initializer = initializer.into();
        self
    }

    /// How the bias starts.
    pub fn bias_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.args.bias_initializer = initializer.into();
        self
    }

    /// Penalty on the kernel.
    pub fn kernel_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.args.kernel_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the recurrent kernel.
    pub fn recurrent_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.args.recurrent_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the bias.
    pub fn bias_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.args.bias_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the kernel after each update.
    pub fn kernel_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.args.kernel_constraint = Some(constraint.into());
        self
    }

    /// Projection of the recurrent kernel after each update.
    pub fn recurrent_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.args.recurrent_constraint = Some(constraint.into());
        self
    }

    /// Projection of the bias after each update.
    pub fn bias_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.args.bias_constraint = Some(constraint.into());
        self
    }

    /// Fraction of the input that is dropped in training.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.args.dropout = rate;
        self
    }

    /// Fraction of the state that is dropped in training.
    pub fn recurrent_dropout(mut self, rate: f64) -> Self {
        self.args.recurrent_dropout = rate;
        self
    }

    /// A seed to mix with the model's into the dropout masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.args.seed = Some(seed);
        self
    }
}

impl<C: Configurable> RecurrentLayer<C> {
    /// Function applied to the output.
    pub fn activation(mut self, activation: impl Into<Activation>) -> Self {
        self.cells.args().activation = activation.into();
        self
    }

    /// Whether a bias is added.
    pub fn use_bias(mut self, yes: bool) -> Self {
        self.cells.args().use_bias = yes;
        self
    }

    /// How the kernel starts.
    pub fn kernel_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.cells.args().kernel_initializer = initializer.into();
        self
    }

    /// How the recurrent kernel starts.
    pub fn recurrent_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.cells.args().recurrent_initializer = initializer.into();
        self
    }

    /// How the bias starts.
    pub fn bias_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.cells.args().bias_initializer = initializer.into();
        self
    }

    /// Penalty on the kernel.
    pub fn kernel_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.cells.args().kernel_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the recurrent kernel.
    pub fn recurrent_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.cells.args().recurrent_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the bias.
    pub fn bias_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.cells.args().bias_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the kernel after each update.
    pub fn kernel_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.cells.args().kernel_constraint = Some(constraint.into());
        self
    }

    /// Projection of the recurrent kernel after each update.
    pub fn recurrent_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.cells.args().recurrent_constraint = Some(constraint.into());
        self
    }

    /// Projection of the bias after each update.
    pub fn bias_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.cells.args().bias_constraint = Some(constraint.into());
        self
    }

    /// Fraction of the input that is dropped in training.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.cells.args().dropout = rate;
        self
    }

    /// Fraction of the state that is dropped in training.
    pub fn recurrent_dropout(mut self, rate: f64) -> Self {
        self.cells.args().recurrent_dropout = rate;
        self
    }

    /// A seed to mix with the model's into the dropout masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.cells.args().seed = Some(seed);
        self
    }
}

impl RecurrentCell<Lstm> {
    /// Function of the gates.
    pub fn recurrent_activation(mut self, activation: impl Into<Activation>) -> Self {
        self.args.recurrent_activation = Some(activation.into());
        self
    }

    /// Whether the bias of the forget gate starts at 1.
    pub fn unit_forget_bias(mut self, yes: bool) -> Self {
        self.args.unit_forget_bias = Some(yes);
        self
    }
}

impl RecurrentLayer<RecurrentCell<Lstm>> {
    /// Function of the gates.
    pub fn recurrent_activation(mut self, activation: impl Into<Activation>) -> Self {
        self.cells.args.recurrent_activation = Some(activation.into());
        self
    }

    /// Whether the bias of the forget gate starts at 1.
    pub fn unit_forget_bias(mut self, yes: bool) -> Self {
        self.cells.args.unit_forget_bias = Some(yes);
        self
    }
}

impl RecurrentCell<Gru> {
    /// Function of the gates.
    pub fn recurrent_activation(mut self, activation: impl Into<Activation>) -> Self {
        self.args.recurrent_activation = Some(activation.into());
        self
    }

    /// Whether the reset gate comes after the product.
    pub fn reset_after(mut self, yes: bool) -> Self {
        self.args.reset_after = Some(yes);
        self
    }
}

impl RecurrentLayer<RecurrentCell<Gru>> {
    /// Function of the gates.
    pub fn recurrent_activation(mut self, activation: impl Into<Activation>) -> Self {
        self.cells.args.recurrent_activation = Some(activation.into());
        self
    }

    /// Whether the reset gate comes after the product.
    pub fn reset_after(mut self, yes: bool) -> Self {
        self.cells.args.reset_after = Some(yes);
        self
    }
}
