//! CutMix: in a random rectangle of image `i` stands what image `p(i)` has there, with a random order `p` of the batch.
//! `dx` of the two is the part of `dy` that came from each.
//!
//! The rectangle takes `1 - w` of the area, with `w` from `Beta(a, a)` and one `a` from the ends of `factor` for a batch.

use serde::{Deserialize, Serialize};

use super::image::arguments::Factor;
use super::image::augmentation::{Image, image_shape, stream};
use super::image::draws::{Region, beta, permutation};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mode, Stream};
use crate::layers::args::DataFormat;
use crate::shape::{Dims, Shape};

/// Puts a rectangle of another image of the batch into each image, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/cut_mix/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In inference nothing
/// changes. Labels are not mixed: a layer sees the images only.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `factor` | 1.0 | `a` is between these, in `[0, 1]`; `f` is `[0, f]`: the larger, the nearer to half of the area |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::CutMix, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(CutMix::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CutMix {
    factor: Factor,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for CutMix {
    fn default() -> Self {
        CutMix {
            factor: Factor::One(1.0),
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl CutMix {
    /// With `factor` 1.
    pub fn new() -> Self {
        CutMix::default()
    }

    /// Rectangles take nearer to half of the area, the larger it is.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// A seed to mix with the model's into this layer's draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for CutMix {
    fn class_name(&self) -> &'static str {
        "CutMix"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.factor.check_within("factor", 0.0, 1.0)?;
        image_shape(inputs, self.data_format).map(|(x, _)| x.clone())
    }

    /// Whose image is mixed with whose.
    fn buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers {
            saved_index: vec![Len::PerSample(1)],
            ..Buffers::default()
        }
    }

    fn inference_buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            batch_coupled: true,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let x = cx.x[0].data;
        cx.y.data.copy_from_slice(x);
        if cx.mode == Mode::Infer {
            return;
        }
        let order = cx.saved_index.next().unwrap_or_default();
        let (rng, alpha) = self.draw(cx.rng, order);
        let image = Image::new(cx.y.shape, self.data_format);
        for (i, y) in cx.y.data.chunks_exact_mut(image.len()).enumerate() {
            let other = &x[order[i] as usize * image.len()..];
            region(rng, alpha, i, image).each(image, |at, _| y[at] = other[at]);
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let order = cx.saved_index.next().unwrap_or_default();
        let (rng, alpha) = self.draw(cx.rng, order);
        let image = Image::new(dx.shape, self.data_format);
        dx.data.copy_from_slice(cx.dy.data);
        for i in 0..dx.batch {
            region(rng, alpha, i, image).each(image, |at, _| dx.data[i * image.len() + at] = 0.0);
        }
        for (i, dy) in cx.dy.data.chunks_exact(image.len()).enumerate() {
            let other = &mut dx.data[order[i] as usize * image.len()..];
            region(rng, alpha, i, image).each(image, |at, _| other[at] += dy[at]);
        }
    }
}

impl CutMix {
    /// Draws what all images share: the order, and `a`.
    fn draw(&self, rng: Stream, order: &mut [u32]) -> (Stream, f64) {
        let rng = stream(rng, self.seed);
        let mut shared = rng.at(u64::MAX);
        permutation(&mut shared, order);
        (rng, f64::from(self.factor.draw(0.0, &mut shared)) + 1e-6)
    }
}

/// The rectangle in image `i`.
fn region(rng: Stream, alpha: f64, i: usize, image: Image) -> Region {
    let mut rng = rng.at(i as u64);
    let side: Float = (1.0 - beta(alpha, &mut rng)).sqrt();
    Region::draw(image, side, side, &mut rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(CutMix::new(), &[[2, 3, 1].into()]);
        let layer = CutMix::new().factor([0.5, 1.0]).seed(3);
        check_layer(layer.data_format("channels_first"), &[[3, 3, 4].into()]);
    }

    #[test]
    fn rectangles_take_half_of_the_area_on_average() {
        let image = Image::new(&[20, 20, 1], DataFormat::ChannelsLast);
        let mut area = 0;
        for i in 0..2000 {
            region(Stream::new(1, 2, 3), 1.0, i, image).each(image, |_, _| area += 1);
        }
        assert!((area as f64 / 800_000.0 - 0.5).abs() < 0.02);
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [CutMix::new().factor(1.5), CutMix::new().factor([-0.5, 1.0])] {
            assert!(
                layer.output_shape(&[[4, 4, 3].into()]).is_err(),
                "{layer:?}"
            );
        }
    }
}
