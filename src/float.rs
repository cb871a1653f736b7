//! The one element type of the crate.

/// Element type of every tensor: `f32`, or `f64` under `RUSTFLAGS="--cfg float64"` (the second pass of the gradient tests).
#[cfg(not(float64))]
pub type Float = f32;
/// Element type of every tensor: `f32`, or `f64` under `RUSTFLAGS="--cfg float64"` (the second pass of the gradient tests).
#[cfg(float64)]
pub type Float = f64;

/// Keras's `backend.epsilon()`: what probabilities are clipped to in the cross-entropies.
pub const EPSILON: Float = 1e-7;
