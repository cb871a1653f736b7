//! MixUp: `y_i = w_i x_i + (1 - w_i) x_p(i)` with a random order `p` of the batch and `w_i` from `Beta(alpha, alpha)`;
//! `dx_i = w_i dy_i + (1 - w_j) dy_j` with `p(j) = i`.

use serde::{Deserialize, Serialize};

use super::image::arguments::check_positive;
use super::image::augmentation::{blend, image_shape, stream};
use super::image::draws::{beta, permutation};
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::axpy;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mode, SampleRng};
use crate::layers::args::DataFormat;
use crate::shape::{Dims, Shape};

/// Mixes each image with another one of the batch, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/mix_up/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise. In inference nothing
/// changes. Labels are not mixed: a layer sees the images only.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `alpha` | 0.2 | weights are from `Beta(alpha, alpha)`: the larger, the nearer to 1/2 |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
///
/// ```
/// use oxhorn::{layers::MixUp, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(MixUp::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MixUp {
    alpha: f64,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    seed: Option<u64>,
}

impl Default for MixUp {
    fn default() -> Self {
        MixUp {
            alpha: 0.2,
            data_format: DataFormat::default(),
            seed: None,
        }
    }
}

impl MixUp {
    /// With `alpha` 0.2.
    pub fn new() -> Self {
        MixUp::default()
    }

    /// Weights are from `Beta(alpha, alpha)`.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }

    /// A seed to mix with the model's into this layer's draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Layer for MixUp {
    fn class_name(&self) -> &'static str {
        "MixUp"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_positive("alpha", self.alpha)?;
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
        if cx.mode == Mode::Infer {
            return cx.y.data.copy_from_slice(x);
        }
        let order = cx.saved_index.next().unwrap_or_default();
        let rng = stream(cx.rng, self.seed);
        permutation(&mut rng.at(u64::MAX), order);
        let (order, each) = (&*order, cx.y.shape.iter().product());
        cx.par.for_each_piece(cx.y.data, each, |start, y| {
            let i = start / each;
            let (own, other) = (&x[start..][..each], &x[order[i] as usize * each..][..each]);
            let w = self.weight(rng.at(i as u64));
            y.copy_from_slice(own);
            blend(w, y, 1.0 - w, other);
        });
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let order = cx.saved_index.next().unwrap_or_default();
        let (rng, each) = (stream(cx.rng, self.seed), dx.shape.iter().product());
        dx.data.fill(0.0);
        for (i, dy) in cx.dy.data.chunks_exact(each).enumerate() {
            let w = self.weight(rng.at(i as u64));
            axpy(w, dy, &mut dx.data[i * each..][..each]);
            axpy(
                1.0 - w,
                dy,
                &mut dx.data[order[i] as usize * each..][..each],
            );
        }
    }
}

impl MixUp {
    fn weight(&self, mut rng: SampleRng) -> Float {
        beta(self.alpha, &mut rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(MixUp::new(), &[[2, 3, 1].into()]);
        let layer = MixUp::new().alpha(2.0).seed(3);
        check_layer(layer.data_format("channels_first"), &[[3, 2, 2].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let layer = MixUp::new().alpha(alpha);
            assert!(
                layer.output_shape(&[[4, 4, 3].into()]).is_err(),
                "{layer:?}"
            );
        }
    }
}
