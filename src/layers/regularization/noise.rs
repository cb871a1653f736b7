//! What the layers that draw at random share: the shape in which they draw, and the stream.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::spread::Spread;
use crate::layer::{Contract, MaskRule, Par, SampleRng, Stream};
use crate::shape::{Dims, Shape};

/// All of them work in place, and draw again in backward.
pub(super) fn contract() -> Contract {
    Contract {
        reads_x: false,
        in_place: true,
        mask: MaskRule::Pass,
        ..Contract::default()
    }
}

/// A rate within `[0, 1]`, or below 1 where all must not be dropped.
pub(super) fn check_rate(rate: f64, all: bool) -> Result<()> {
    match (0.0..=1.0).contains(&rate) && (all || rate < 1.0) {
        true => Ok(()),
        false if all => Err(Error::arg("rate", "a fraction in [0, 1]", rate)),
        false => Err(Error::arg("rate", "a fraction in [0, 1)", rate)),
    }
}

/// The stream of a layer that may have a seed of its own.
pub(super) fn stream(rng: Stream, seed: Option<u64>) -> Stream {
    match seed {
        Some(seed) => rng.reseeded(seed),
        None => rng,
    }
}

/// Calls `f(rng, sample)` for every sample of `each` numbers, with the sample's own generator.
pub(super) fn for_samples(
    data: &mut [Float],
    each: usize,
    rng: Stream,
    par: Par,
    f: impl Fn(SampleRng, &mut [Float]) + Sync,
) {
    par.for_each_rows(data, each, |first, part| {
        for (i, sample) in part.chunks_exact_mut(each).enumerate() {
            f(rng.at((first + i) as u64), sample);
        }
    });
}

/// The shape of the masks of Keras's `noise_shape`, whose first entry is the batch: of one sample, and whether all samples have
/// the same.
pub(super) fn noise_dims(noise: &Option<Vec<Option<usize>>>, shape: &[usize]) -> (Dims, bool) {
    let mut dims = Dims::default();
    let Some(noise) = noise else {
        shape.iter().for_each(|&n| dims.push(n));
        return (dims, false);
    };
    // A shorter one counts from the end.
    let missing = (shape.len() + 1).saturating_sub(noise.len());
    let at = |axis: usize| match axis.checked_sub(missing) {
        Some(i) => noise[i],
        None => Some(1),
    };
    for (axis, &n) in shape.iter().enumerate() {
        dims.push(if at(axis + 1) == Some(1) { 1 } else { n });
    }
    (dims, at(0) == Some(1))
}

/// Whether a `noise_shape` fits the input.
pub(super) fn check_noise(noise: &Option<Vec<Option<usize>>>, x: &Shape) -> Result<()> {
    let Some(noise) = noise else { return Ok(()) };
    let whole = noise.len() == x.rank() + 1;
    let fits = noise.len() <= x.rank() + 1
        && noise
            .iter()
            .rev()
            .zip(x.dims().iter().rev())
            .all(|(n, d)| match n {
                // From the end of a longer shape a missing size cannot be told.
                None => whole,
                Some(n) => *n == 1 || d.is_none_or(|d| d == *n),
            })
        && noise.iter().all(|n| *n != Some(0));
    if fits {
        return Ok(());
    }
    Err(Error::arg(
        "noise_shape",
        format!("the size of each axis of {x}, or 1"),
        format!("{noise:?}"),
    ))
}

/// Draws the mask of every sample in the noise shape, 0 with this rate and `1 / (1 - rate)` else, and lets `f(mask, run)` or
/// `one(mask, run)` use it.
pub(super) fn with_masks(
    rate: f64,
    rng: Stream,
    (noise, shared): (&[usize], bool),
    shape: &[usize],
    (masks, data): (&mut [Float], &mut [Float]),
    par: Par,
    f: impl Fn(&[Float], &mut [Float]) + Sync,
    one: impl Fn(Float, &mut [Float]) + Sync,
) {
    let each: usize = noise.iter().product();
    let batch = masks.len() / each.max(1);
    let (masks, spread) = match shared {
        true => (&mut masks[..each], Spread::shared(batch, shape, noise)),
        false => (masks, Spread::samples(batch, shape, noise)),
    };
    for_samples(masks, each, rng, par, |mut rng, mask| {
        rng.dropout_mask(rate, mask)
    });
    spread.apply(masks, data, par, f, one);
}
