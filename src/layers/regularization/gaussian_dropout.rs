//! Multiplicative noise: in training `y = x m` with normal `m` of mean 1 and standard deviation `sqrt(rate / (1 - rate))`;
//! `dx = dy m`, drawn again.

use serde::{Deserialize, Serialize};

use super::noise;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::layer::{Backward, Contract, Forward, Layer, Mode, Par, Stream};
use crate::layers::args::one_input;
use crate::shape::Shape;

/// Multiplies its input in training by normal noise around 1.
/// [Keras](https://keras.io/api/layers/regularization_layers/gaussian_dropout/)
///
/// Input and output have the same shape. In inference it does nothing. Masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | the standard deviation is `sqrt(rate / (1 - rate))`; in `[0, 1)` |
/// | `seed` | none | mixed with the model's seed into this layer's noise |
///
/// ```
/// use oxhorn::{layers::GaussianDropout, prelude::*};
/// let mut model = Sequential::new().input([2]).add(GaussianDropout::new(0.5));
/// model.build([2])?;
/// let x = ndarray::array![[1.0f32, 2.0]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianDropout {
    rate: f64,
    #[serde(default)]
    seed: Option<u64>,
}

impl GaussianDropout {
    /// With this rate.
    pub fn new(rate: f64) -> Self {
        GaussianDropout { rate, seed: None }
    }

    /// A seed to mix with the model's into this layer's noise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn apply(&self, rng: Stream, shape: &[usize], data: &mut [Float], par: Par) {
        let (rng, each) = (noise::stream(rng, self.seed), shape.iter().product());
        let stddev = (self.rate / (1.0 - self.rate)).sqrt() as Float;
        noise::for_samples(data, each, rng, par, |mut rng, sample| {
            sample
                .iter_mut()
                .for_each(|y| *y *= 1.0 + stddev * rng.normal());
        });
    }
}

impl Layer for GaussianDropout {
    fn class_name(&self) -> &'static str {
        "GaussianDropout"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        noise::check_rate(self.rate, false)?;
        Ok(one_input(inputs)?.clone())
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        if cx.mode == Mode::Train && self.rate > 0.0 {
            self.apply(cx.rng, cx.y.shape, cx.y.data, cx.par);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let (Some(dx), true) = (&mut cx.dx[0], self.rate > 0.0) {
            self.apply(cx.rng, dx.shape, dx.data, cx.par);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(GaussianDropout::new(0.3), &[[3, 4].into()]);
        check_layer(GaussianDropout::new(0.0).seed(2), &[[4].into()]);
    }

    #[test]
    fn noise_has_keras_s_moments() {
        let mut y = vec![2.0; 100_000];
        GaussianDropout::new(0.2).apply(Stream::new(1, 2, 3), &[1000], &mut y, Par::Serial);
        let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / 1e5;
        let variance = y
            .iter()
            .map(|y| (f64::from(*y) - mean).powi(2))
            .sum::<f64>()
            / 1e5;
        assert!((mean - 2.0).abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn mistakes_are_named() {
        for rate in [1.0, -0.1, f64::NAN] {
            assert!(
                GaussianDropout::new(rate)
                    .output_shape(&[[3].into()])
                    .is_err()
            );
        }
    }
}
