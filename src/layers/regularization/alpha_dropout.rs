//! Alpha dropout: in training `y = a (x k - 1.758 (1 - k)) + b` with `k` 0 or 1 at random and the `a` and `b` that keep mean 0 and
//! variance 1 (for a SELU before it); `dx = a k dy`.

use serde::{Deserialize, Serialize};

use super::noise;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mode};
use crate::layers::args::one_input;
use crate::shape::{Dims, Shape};

/// Dropout that keeps mean and variance of what comes out of a SELU.
/// [Keras](https://keras.io/api/layers/regularization_layers/alpha_dropout/)
///
/// Input and output have the same shape. In inference it does nothing. Masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | fraction that is set to the SELU's lower limit, in `[0, 1)` |
/// | `noise_shape` | all axes | shape of the masks; an axis of 1 is dropped as a whole |
/// | `seed` | none | mixed with the model's seed into this layer's masks |
///
/// ```
/// use oxhorn::{layers::AlphaDropout, prelude::*};
/// let mut model = Sequential::new().input([2]).add(AlphaDropout::new(0.5));
/// model.build([2])?;
/// let x = ndarray::array![[1.0f32, 2.0]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaDropout {
    rate: f64,
    #[serde(default)]
    noise_shape: Option<Vec<Option<usize>>>,
    #[serde(default)]
    seed: Option<u64>,
}

/// The SELU's limit for very negative inputs: `-alpha scale`.
const LIMIT: f64 = -1.673_263_242_354_377_2 * 1.050_700_987_355_480_5;

impl AlphaDropout {
    /// Drops this fraction.
    pub fn new(rate: f64) -> Self {
        AlphaDropout {
            rate,
            noise_shape: None,
            seed: None,
        }
    }

    /// Shape of the mask of one sample: each axis the input's size (or `None`), or 1 to drop the axis as a whole.
    pub fn noise_shape(mut self, shape: impl Into<Shape>) -> Self {
        // In files the batch axis comes first.
        let shape = shape.into();
        let dims = std::iter::once(None).chain(shape.dims().iter().copied());
        self.noise_shape = Some(dims.collect());
        self
    }

    /// A seed to mix with the model's into this layer's masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What is kept becomes `a x + b`, what is dropped `a LIMIT + b`.
    fn affine(&self) -> (Float, Float, Float) {
        let a = ((1.0 - self.rate) * (1.0 + self.rate * LIMIT * LIMIT)).powf(-0.5);
        let b = -a * LIMIT * self.rate;
        (a as Float, b as Float, (a * LIMIT + b) as Float)
    }
}

impl Layer for AlphaDropout {
    fn class_name(&self) -> &'static str {
        "AlphaDropout"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        noise::check_rate(self.rate, false)?;
        let x = one_input(inputs)?;
        noise::check_noise(&self.noise_shape, x)?;
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let masks = noise::noise_dims(&self.noise_shape, &inputs[0]).0.numel();
        Buffers {
            scratch: vec![Len::PerSample(masks)],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        if cx.mode == Mode::Infer || self.rate == 0.0 {
            return;
        }
        let ([masks], (a, b, dropped)) = (cx.scratch.all(), self.affine());
        let (dims, shared) = noise::noise_dims(&self.noise_shape, cx.y.shape);
        let rng = noise::stream(cx.rng, self.seed);
        let set = |m: Float, y: &mut Float| *y = if m > 0.0 { a * *y + b } else { dropped };
        noise::with_masks(
            self.rate,
            rng,
            (&dims, shared),
            cx.y.shape,
            (masks, cx.y.data),
            cx.par,
            |m, y| y.iter_mut().zip(m).for_each(|(y, m)| set(*m, y)),
            |m, y| y.iter_mut().for_each(|y| set(m, y)),
        );
    }

    fn backward(&self, cx: Backward<'_>) {
        let (Some(dx), true) = (&mut cx.dx[0], self.rate > 0.0) else {
            return;
        };
        let ([masks], (a, ..)) = (cx.scratch.all(), self.affine());
        let (dims, shared) = noise::noise_dims(&self.noise_shape, dx.shape);
        let rng = noise::stream(cx.rng, self.seed);
        let set = |m: Float, dx: &mut Float| *dx *= if m > 0.0 { a } else { 0.0 };
        noise::with_masks(
            self.rate,
            rng,
            (&dims, shared),
            dx.shape,
            (masks, dx.data),
            cx.par,
            |m, dx| dx.iter_mut().zip(m).for_each(|(dx, m)| set(*m, dx)),
            |m, dx| dx.iter_mut().for_each(|dx| set(m, dx)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(AlphaDropout::new(0.4), &[[3, 4].into()]);
        check_layer(AlphaDropout::new(0.4).noise_shape([1, 4]), &[[3, 4].into()]);
        check_layer(AlphaDropout::new(0.0).seed(1), &[[4].into()]);
    }

    #[test]
    fn mean_and_variance_stay() {
        // Of numbers with mean 0 and variance 1, in expectation over the mask.
        let (a, b, dropped) = AlphaDropout::new(0.3).affine();
        let mean = 0.7 * b + 0.3 * dropped;
        let square = 0.7 * (a * a + b * b) + 0.3 * dropped * dropped;
        assert!(
            mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6,
            "{mean} {square}"
        );
    }

    #[test]
    fn mistakes_are_named() {
        for rate in [1.0, -0.1, f64::NAN] {
            assert!(AlphaDropout::new(rate).output_shape(&[[3].into()]).is_err());
        }
        let layer = AlphaDropout::new(0.5).noise_shape([2]);
        assert!(layer.output_shape(&[[3].into()]).is_err());
    }
}
