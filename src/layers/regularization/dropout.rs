//! Dropout: in training `y = x * m / (1 - rate)` with `m` 0 or 1 at random; `dx = dy * m / (1 - rate)`.
//!
//! The mask is not kept: backward draws it again from the counter-based stream.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Contract, Forward, Layer, MaskRule, Mode, Stream};
use crate::shape::Shape;

/// Sets a random fraction of its input to zero in training, and scales the rest so that the mean stays.
/// [Keras](https://keras.io/api/layers/regularization_layers/dropout/)
///
/// Input and output have the same shape. In inference it does nothing.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | fraction set to zero, in `[0, 1)` or 1 |
/// | `noise_shape` | all axes | shape of the mask of one sample; an axis of 1 is dropped as a whole |
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

    /// Multiplies by the mask in place. `shape` is that of one sample.
    fn mask(&self, rng: Stream, shape: &[usize], batch: usize, data: &mut [Float]) {
        let keep = 1.0 - self.rate;
        if keep <= 0.0 {
            return data.fill(0.0);
        }
        let (scale, threshold) = ((1.0 / keep) as Float, (keep * 65536.0).round() as u32);
        let rng = match self.seed {
            Some(seed) => rng.reseeded(seed),
            None => rng,
        };
        let each = data.len() / batch.max(1);
        for (sample, data) in data.chunks_exact_mut(each.max(1)).enumerate() {
            let mut rng = rng.at(sample as u64);
            match &self.noise_shape {
                None => {
                    for four in data.chunks_mut(4) {
                        let bits = rng.next_u64();
                        for (i, x) in four.iter_mut().enumerate() {
                            *x *= if ((bits >> (16 * i)) & 0xffff) < u64::from(threshold) {
                                scale
                            } else {
                                0.0
                            };
                        }
                    }
                }
                Some(noise) => broadcast(&noise[1..], shape, data, || {
                    if (rng.next_u64() & 0xffff) < u64::from(threshold) {
                        scale
                    } else {
                        0.0
                    }
                }),
            }
        }
    }
}

/// Multiplies by factors drawn once for every position of the noise shape (row-major, recursively over the axes).
fn broadcast(
    noise: &[Option<usize>],
    shape: &[usize],
    data: &mut [Float],
    mut draw: impl FnMut() -> Float,
) {
    // Positions of the noise in row-major order; for each, all elements that share it.
    let size = |axis: usize| {
        if noise[axis] == Some(1) {
            1
        } else {
            shape[axis]
        }
    };
    let total: usize = (0..shape.len()).map(size).product();
    for p in 0..total {
        let factor = draw();
        scale_matching(p, 0, shape, &size, data, factor);
    }
}

fn scale_matching(
    p: usize,
    axis: usize,
    shape: &[usize],
    size: &impl Fn(usize) -> usize,
    data: &mut [Float],
    factor: Float,
) {
    if axis == shape.len() {
        data[0] *= factor;
        return;
    }
    let inner: usize = (axis + 1..shape.len()).map(size).product();
    let width = data.len() / shape[axis].max(1);
    let (at, rest) = (p / inner.max(1), p % inner.max(1));
    for (i, part) in data.chunks_exact_mut(width.max(1)).enumerate() {
        if size(axis) == 1 || i == at {
            scale_matching(rest, axis + 1, shape, size, part, factor);
        }
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
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::arg("rate", "a fraction in [0, 1]", self.rate));
        }
        let [x] = inputs else {
            return Err(Error::shape(
                "one input",
                format!("{} inputs", inputs.len()),
            ));
        };
        if let Some(noise) = &self.noise_shape {
            let fits = noise.len() == x.rank() + 1
                && noise[0].is_none()
                && noise[1..]
                    .iter()
                    .zip(x.dims())
                    .all(|(n, d)| matches!(n, None | Some(1)) || d.is_none() || n == d);
            if !fits {
                return Err(Error::arg(
                    "noise_shape",
                    format!("the input's size or 1 for each axis of {x}"),
                    format!("{noise:?}"),
                ));
            }
        }
        Ok(x.clone())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        if cx.mode == Mode::Train && self.rate > 0.0 {
            self.mask(cx.rng, cx.y.shape, cx.y.batch, cx.y.data);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let (Some(dx), true) = (&mut cx.dx[0], self.rate > 0.0) {
            self.mask(cx.rng, dx.shape, dx.batch, dx.data);
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
    }

    #[test]
    fn keeps_the_mean_and_drops_the_rate() {
        let mut data = vec![1.0; 40_000];
        Dropout::new(0.3).mask(Stream::new(1, 2, 3), &[100], 400, &mut data);
        let dropped = data.iter().filter(|v| **v == 0.0).count() as f64 / 40_000.0;
        let mean = data.iter().map(|v| f64::from(*v)).sum::<f64>() / 40_000.0;
        assert!(
            (dropped - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.015,
            "{dropped} {mean}"
        );
    }

    #[test]
    fn an_axis_of_one_is_dropped_whole() {
        let mut data = vec![1.0; 8 * 5 * 3];
        Dropout::new(0.5)
            .noise_shape([1, 3])
            .mask(Stream::new(1, 2, 3), &[5, 3], 8, &mut data);
        for sample in data.chunks(15) {
            (0..15).for_each(|i| assert_eq!(sample[i], sample[i % 3]));
        }
        assert!(data.contains(&0.0) && data.contains(&2.0));
        assert!(
            Dropout::new(0.5)
                .noise_shape([2, 3])
                .output_shape(&[[5, 3].into()])
                .is_err()
        );
        assert!(Dropout::new(1.5).output_shape(&[[5].into()]).is_err());
    }
}
