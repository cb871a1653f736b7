//! Activation layers: activations with arguments.

mod elu;
mod leaky_relu;
mod prelu;
mod relu;
mod softmax;

pub use elu::ELU;
pub use leaky_relu::LeakyReLU;
pub use prelu::PReLU;
pub use relu::ReLU;
pub use softmax::{Softmax, SoftmaxAxis};

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("ELU", read::<ELU>),
    ("LeakyReLU", read::<LeakyReLU>),
    ("PReLU", read::<PReLU>),
    ("ReLU", read::<ReLU>),
    ("Softmax", read::<Softmax>),
];
