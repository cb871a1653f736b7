//! Normalization layers.

mod batch_normalization;
mod group_normalization;
mod layer_normalization;
mod renorm;
mod rms_normalization;
mod spectral_normalization;
mod unit_normalization;

pub use batch_normalization::BatchNormalization;
pub use group_normalization::GroupNormalization;
pub use layer_normalization::LayerNormalization;
pub use renorm::RenormClipping;
pub use rms_normalization::RMSNormalization;
pub use spectral_normalization::SpectralNormalization;
pub use unit_normalization::UnitNormalization;

use super::axes::Axes;
use super::{Entry, read};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::shape::{Dims, Shape};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("BatchNormalization", read::<BatchNormalization>),
    ("GroupNormalization", read::<GroupNormalization>),
    ("LayerNormalization", read::<LayerNormalization>),
    ("RMSNormalization", read::<RMSNormalization>),
    ("SpectralNormalization", read::<SpectralNormalization>),
    ("UnitNormalization", read::<UnitNormalization>),
];

/// Default of `gamma`.
fn ones() -> Initializer {
    Initializer::Ones
}

/// An error unless `epsilon` can be added to a variance.
fn check_epsilon(epsilon: f64) -> Result<()> {
    if epsilon >= 0.0 && epsilon.is_finite() {
        return Ok(());
    }
    Err(Error::arg(
        "epsilon",
        "a number that is not negative",
        epsilon,
    ))
}

/// `moving = moving momentum + batch (1 - momentum)`
fn follow(moving: &mut [Float], batch: impl Iterator<Item = Float>, momentum: f64) {
    let (stays, comes) = (momentum as Float, (1.0 - momentum) as Float);
    for (moving, batch) in moving.iter_mut().zip(batch) {
        *moving = *moving * stays + batch * comes;
    }
}

/// Sizes of the normalised axes, listed as Keras does: in the order of the axes as numbers, -1 before 1.
fn weight_shape(axes: &Axes, x: &Shape) -> Result<Dims> {
    axes.of_sample("axis", x.rank())?;
    let mut list = axes.list().to_vec();
    list.sort_unstable();
    let mut shape = Dims::default();
    for axis in list {
        let at = super::args::sample_axis("axis", axis, x.rank())?;
        match x.dims()[at] {
            Some(0) | None => {
                return Err(Error::shape("normalised axes of a known size", x));
            }
            Some(size) => shape.push(size),
        }
    }
    Ok(shape)
}
