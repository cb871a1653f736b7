//! Proofs for layers, losses and optimizers: ours and yours.
//!
//! [`check_layer`] checks in one call everything that the [contract](crate::layer) asks of a layer. It panics with a message
//! that names the law, the place and the numbers.

#[cfg(test)]
pub(crate) mod apply;
mod laws;
mod losses;
mod optimizers;

#[cfg(test)]
pub(crate) use laws::check_dyn;
pub use laws::{check_layer, check_masked_layer};
pub use losses::check_loss;
pub use optimizers::check_optimizer;
