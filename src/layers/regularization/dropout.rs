//! Dropout: in training `y = x m / (1 - rate)` with `m` 0 or 1 at random; `dx = dy m / (1 - rate)`.
//!
//! The mask is not kept: backward draws it again from the counter-based stream.

use serde::{Deserialize, Serialize};

use super::noise;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::{mul, scale};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mode, Par, Stream};
use crate::layers::args::one_input;
use crate::shape::{Dims, Shape};

/// Sets a random fraction of its input to zero in training, and scales the rest so that the mean stays.
/// [Keras](https://keras.io/api/layers/regularization_layers/dropout/)
///
/// Input and output have the same shape. In inference it does nothing.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | fraction set to zero, in `[0, 1)` or 1 |
/// | `noise_shape` | all axes | shape of the masks; an axis of 1 is dropped as a whole |
/// | `seed` | none | mixed with the model's seed into this layer's masks |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([4]).add(Dropout::new(0.5));
/// model.build([4])?;
/// let x = ndarray::array![[1.0f32, 2.0, 3.0, 4.0]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    rate: f64,
    #[serde(default)]
    noise_shape: Option<Vec<Option<usize>>>,
    #[serde(default)]
    seed: Option<u64>,
}

impl Dropout {
    /// Drops this fraction.
    pub fn new(rate: f64) -> Self {
        Dropout {
            rate,
            noise_shape: None,
            seed: None,
        }
    }

    /// Shape of the mask of one sample: each axis the input's size (or `None`), or 1 to drop the axis as a whole.
    pub fn noise_shape(mut self, shape: impl Into<Shape>) -> Self {
        // In files the batch axis comes first.
        self.noise_shape = Some(
            std::iter::once(None)
                .chain(shape.into().dims().iter().copied())
                .collect(),
        );
        self
    }

    /// A seed to mix with the model's into this layer's masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Multiplies by the masks in place. `shape` is that of one sample, `masks` room for the masks of a `noise_shape`.
    fn apply(
        &self,
        rng: Stream,
        shape: &[usize],
        masks: &mut [Float],
        data: &mut [Float],
        par: Par,
    ) {
        let rng = noise::stream(rng, self.seed);
        if self.noise_shape.is_none() {
            let each = shape.iter().product();
            return noise::for_samples(data, each, rng, par, |mut rng, sample| {
                rng.dropout(self.rate, sample);
            });
        }
        let (dims, shared) = noise::noise_dims(&self.noise_shape, shape);
        let noise = (&dims[..], shared);
        noise::with_masks(self.rate, rng, noise, shape, (masks, data), par, mul, scale);
    }
}

impl Layer for Dropout {
    fn class_name(&self) -> &'static str {
        "Dropout"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        noise::check_rate(self.rate, true)?;
        let x = one_input(inputs)?;
        noise::check_noise(&self.noise_shape, x)?;
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let masks = match self.noise_shape {
            None => 0,
            Some(_) => noise::noise_dims(&self.noise_shape, &inputs[0]).0.numel(),
        };
        Buffers {
            scratch: vec![Len::PerSample(masks)],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, mut cx: Forward<'_>) {
        if cx.mode == Mode::Train && self.rate > 0.0 {
            let masks = cx.scratch.next().unwrap_or_default();
            self.apply(cx.rng, cx.y.shape, masks, cx.y.data, cx.par);
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        if let (Some(dx), true) = (&mut cx.dx[0], self.rate > 0.0) {
            let masks = cx.scratch.next().unwrap_or_default();
            self.apply(cx.rng, dx.shape, masks, dx.data, cx.par);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Dropout::new(0.4), &[[7].into()]);
        check_layer(Dropout::new(0.5).noise_shape([1, 3]), &[[4, 3].into()]);
        check_layer(Dropout::new(0.0).seed(3), &[[5].into()]);
        check_layer(Dropout::new(1.0), &[[5].into()]);
    }

    fn run(layer: &Dropout, shape: &[usize], batch: usize) -> Vec<Float> {
        let each: usize = shape.iter().product();
        let (mut masks, mut data) = (vec![Float::NAN; each * batch], vec![1.0; each * batch]);
        let len = noise::noise_dims(&layer.noise_shape, shape).0.numel() * batch;
        layer.apply(
            Stream::new(1, 2, 3),
            shape,
            &mut masks[..len],
            &mut data,
            Par::Serial,
        );
        data
    }

    #[test]
    fn keeps_the_mean_and_drops_the_rate() {
        let data = run(&Dropout::new(0.3), &[100], 400);
        let dropped = data.iter().filter(|v| **v == 0.0).count() as f64 / 40_000.0;
        let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / 40_000.0;
        assert!(
            (dropped - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.015,
            "{dropped} {mean}"
        );
    }

    #[test]
    fn an_axis_of_one_is_dropped_whole() {
        let data = run(&Dropout::new(0.5).noise_shape([1, 3]), &[5, 3], 8);
        for sample in data.chunks(15) {
            (0..15).for_each(|i| assert_eq!(sample[i], sample[i % 3]));
        }
        assert!(data.contains(&0.0) && data.contains(&2.0));
        assert!(data.chunks(15).any(|sample| sample != &data[..15]));
        // In files the batch comes first: 1 is one mask for all samples, and so is a shape that lacks it.
        for noise in [vec![Some(1), None, None], vec![Some(5), Some(3)]] {
            let layer = Dropout {
                noise_shape: Some(noise),
                ..Dropout::new(0.5)
            };
            assert!(layer.output_shape(&[[5, 3].into()]).is_ok());
            let data = run(&layer, &[5, 3], 8);
            assert!(data.chunks(15).all(|sample| sample == &data[..15]));
            assert!(data.contains(&0.0) && data.contains(&2.0));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let noise = |noise: Vec<Option<usize>>| Dropout {
            noise_shape: Some(noise),
            ..Dropout::new(0.5)
        };
        for layer in [
            Dropout::new(0.5).noise_shape([2, 3]),
            noise(vec![None, Some(5), Some(3), Some(1)]),
            noise(vec![None, Some(3)]),
            noise(vec![Some(0), None, None]),
            Dropout::new(1.5),
            Dropout::new(-0.1),
            Dropout::new(f64::NAN),
        ] {
            assert!(layer.output_shape(&[[5, 3].into()]).is_err(), "{layer:?}");
        }
    }
}
