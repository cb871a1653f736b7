//! Additive noise: in training `y = x + e` with normal `e` of mean 0; `dx = dy`.

use serde::{Deserialize, Serialize};

use super::noise;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Contract, Forward, Layer, Mode, Par, Stream};
use crate::layers::args::one_input;
use crate::shape::Shape;

/// Adds normal noise to its input in training. [Keras](https://keras.io/api/layers/regularization_layers/gaussian_noise/)
///
/// Input and output have the same shape. In inference it does nothing. Masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `stddev` | | standard deviation, in `[0, 1]` |
/// | `seed` | none | mixed with the model's seed into this layer's noise |
///
/// ```
/// use oxhorn::{layers::GaussianNoise, prelude::*};
/// let mut model = Sequential::new().input([2]).add(GaussianNoise::new(0.5));
/// model.build([2])?;
/// let x = ndarray::array![[1.0f32, 2.0]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    stddev: f64,
    #[serde(default)]
    seed: Option<u64>,
}

impl GaussianNoise {
    /// With this standard deviation.
    pub fn new(stddev: f64) -> Self {
        GaussianNoise { stddev, seed: None }
    }

    /// A seed to mix with the model's into this layer's noise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn apply(&self, rng: Stream, shape: &[usize], data: &mut [Float], par: Par) {
        let (rng, each) = (noise::stream(rng, self.seed), shape.iter().product());
        let stddev = self.stddev as Float;
        noise::for_samples(data, each, rng, par, |mut rng, sample| {
            sample.iter_mut().for_each(|y| *y += stddev * rng.normal());
        });
    }
}

impl Layer for GaussianNoise {
    fn class_name(&self) -> &'static str {
        "GaussianNoise"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(0.0..=1.0).contains(&self.stddev) {
            return Err(Error::arg("stddev", "a number in [0, 1]", self.stddev));
        }
        Ok(one_input(inputs)?.clone())
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        if cx.mode == Mode::Train && self.stddev > 0.0 {
            self.apply(cx.rng, cx.y.shape, cx.y.data, cx.par);
        }
    }

    fn backward(&self, _cx: Backward<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(GaussianNoise::new(0.3), &[[3, 4].into()]);
        check_layer(GaussianNoise::new(0.0).seed(2), &[[4].into()]);
    }

    #[test]
    fn noise_has_keras_s_moments() {
        let mut y = vec![2.0; 100_000];
        GaussianNoise::new(0.5).apply(Stream::new(1, 2, 3), &[1000], &mut y, Par::Serial);
        let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / 1e5;
        let variance = y
            .iter()
            .map(|y| (f64::from(*y) - mean).powi(2))
            .sum::<f64>()
            / 1e5;
        assert!((mean - 2.0).abs() < 0.01, "{mean}");
        assert!((variance - 0.25).abs() < 0.01, "{variance}");
    }

    #[test]
    fn mistakes_are_named() {
        for stddev in [1.5, -0.1, f64::NAN] {
            assert!(
                GaussianNoise::new(stddev)
                    .output_shape(&[[3].into()])
                    .is_err()
            );
        }
    }
}
