//! Spatial dropout: in training `y = x m / (1 - rate)` with one `m`, 0 or 1, for each channel of a sample; `dx = dy m / (1 - rate)`.

use serde::{Deserialize, Serialize};

use super::noise;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::{mul, scale};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mode, Par, Stream};
use crate::layers::args::{DataFormat, input_of_rank};
use crate::shape::{Dims, Shape};

/// Dropout of whole feature maps. [Keras](https://keras.io/api/layers/regularization_layers/spatial_dropout1d/)
///
/// Input `(batch, steps, channels)`; output of the same shape. In training each channel of each sample is
/// zero everywhere with probability `rate`, else scaled by `1 / (1 - rate)`; in inference nothing is done. Masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | fraction of the channels that is dropped, in `[0, 1]` |
/// | `seed` | none | mixed with the model's seed into this layer's masks |
///
/// ```
/// use oxhorn::{layers::SpatialDropout1D, prelude::*};
/// let shape = SpatialDropout1D::new(0.5).output_shape(&[[4, 3].into()])?;
/// assert_eq!(shape, Shape::from([4, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout1D {
    rate: f64,
    #[serde(default)]
    seed: Option<u64>,
}

impl SpatialDropout1D {
    /// Drops this fraction of the channels.
    pub fn new(rate: f64) -> Self {
        SpatialDropout1D { rate, seed: None }
    }

    /// A seed to mix with the model's into this layer's masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn maps(&self) -> Maps {
        Maps {
            rate: self.rate,
            seed: self.seed,
            format: DataFormat::ChannelsLast,
        }
    }
}

impl Layer for SpatialDropout1D {
    fn class_name(&self) -> &'static str {
        "SpatialDropout1D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.maps()
            .output_shape(inputs, 2, "batch, steps, channels")
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.maps().buffers(inputs)
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        self.maps().forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.maps().backward(cx);
    }
}

/// Dropout of whole feature maps. [Keras](https://keras.io/api/layers/regularization_layers/spatial_dropout2d/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch; output of the same shape. In training each channel of each sample is
/// zero everywhere with probability `rate`, else scaled by `1 / (1 - rate)`; in inference nothing is done. Masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | fraction of the channels that is dropped, in `[0, 1]` |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `seed` | none | mixed with the model's seed into this layer's masks |
///
/// ```
/// use oxhorn::{layers::SpatialDropout2D, prelude::*};
/// let shape = SpatialDropout2D::new(0.5).output_shape(&[[4, 4, 3].into()])?;
/// assert_eq!(shape, Shape::from([4, 4, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout2D {
    rate: f64,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl SpatialDropout2D {
    /// Drops this fraction of the channels.
    pub fn new(rate: f64) -> Self {
        SpatialDropout2D {
            rate,
            seed: None,
            data_format: DataFormat::default(),
        }
    }

    /// A seed to mix with the model's into this layer's masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }

    fn maps(&self) -> Maps {
        Maps {
            rate: self.rate,
            seed: self.seed,
            format: self.data_format,
        }
    }
}

impl Layer for SpatialDropout2D {
    fn class_name(&self) -> &'static str {
        "SpatialDropout2D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.maps()
            .output_shape(inputs, 3, "batch, height, width, channels")
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.maps().buffers(inputs)
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        self.maps().forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.maps().backward(cx);
    }
}

/// Dropout of whole feature maps. [Keras](https://keras.io/api/layers/regularization_layers/spatial_dropout3d/)
///
/// Input `(batch, depth, height, width, channels)`, or channels behind the batch; output of the same shape. In training each channel of each sample is
/// zero everywhere with probability `rate`, else scaled by `1 / (1 - rate)`; in inference nothing is done. Masks are passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `rate` | | fraction of the channels that is dropped, in `[0, 1]` |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `seed` | none | mixed with the model's seed into this layer's masks |
///
/// ```
/// use oxhorn::{layers::SpatialDropout3D, prelude::*};
/// let shape = SpatialDropout3D::new(0.5).output_shape(&[[2, 4, 4, 3].into()])?;
/// assert_eq!(shape, Shape::from([2, 4, 4, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout3D {
    rate: f64,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl SpatialDropout3D {
    /// Drops this fraction of the channels.
    pub fn new(rate: f64) -> Self {
        SpatialDropout3D {
            rate,
            seed: None,
            data_format: DataFormat::default(),
        }
    }

    /// A seed to mix with the model's into this layer's masks.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }

    fn maps(&self) -> Maps {
        Maps {
            rate: self.rate,
            seed: self.seed,
            format: self.data_format,
        }
    }
}

impl Layer for SpatialDropout3D {
    fn class_name(&self) -> &'static str {
        "SpatialDropout3D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.maps()
            .output_shape(inputs, 4, "batch, depth, height, width, channels")
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.maps().buffers(inputs)
    }

    fn contract(&self) -> Contract {
        noise::contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        self.maps().forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.maps().backward(cx);
    }
}

/// What the three have in common.
struct Maps {
    rate: f64,
    seed: Option<u64>,
    format: DataFormat,
}

impl Maps {
    fn output_shape(&self, inputs: &[Shape], rank: usize, axes: &str) -> Result<Shape> {
        self.format.check()?;
        noise::check_rate(self.rate, true)?;
        Ok(input_of_rank(inputs, rank, axes)?.clone())
    }

    /// Shape of the mask of a sample: the channels, and 1 elsewhere.
    fn mask(&self, shape: &[usize]) -> Dims {
        let channels = match self.format {
            DataFormat::ChannelsFirst => 0,
            _ => shape.len() - 1,
        };
        let mut dims = Dims::default();
        for (axis, &size) in shape.iter().enumerate() {
            dims.push(if axis == channels { size } else { 1 });
        }
        dims
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        Buffers {
            scratch: vec![Len::PerSample(self.mask(&inputs[0]).numel())],
            ..Buffers::default()
        }
    }

    fn apply(
        &self,
        rng: Stream,
        shape: &[usize],
        masks: &mut [Float],
        data: &mut [Float],
        par: Par,
    ) {
        let (rng, mask) = (noise::stream(rng, self.seed), self.mask(shape));
        noise::with_masks(
            self.rate,
            rng,
            (&mask, false),
            shape,
            (masks, data),
            par,
            mul,
            scale,
        );
    }

    fn forward(&self, cx: Forward<'_>) {
        if cx.mode == Mode::Train && self.rate > 0.0 {
            let [masks] = cx.scratch.all();
            self.apply(cx.rng, cx.y.shape, masks, cx.y.data, cx.par);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let (Some(dx), true) = (&mut cx.dx[0], self.rate > 0.0) {
            let [masks] = cx.scratch.all();
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
        check_layer(SpatialDropout1D::new(0.4), &[[4, 3].into()]);
        check_layer(SpatialDropout2D::new(0.4).seed(1), &[[3, 2, 5].into()]);
        let first = SpatialDropout2D::new(0.4).data_format("channels_first");
        check_layer(first, &[[5, 3, 2].into()]);
        check_layer(SpatialDropout3D::new(0.4), &[[2, 1, 2, 5].into()]);
        let first = SpatialDropout3D::new(0.0).data_format("channels_first");
        check_layer(first, &[[5, 2, 1, 2].into()]);
    }

    #[test]
    fn channels_are_dropped_whole() {
        for (format, shape) in [
            ("channels_last", [3, 2, 50]),
            ("channels_first", [50, 3, 2]),
        ] {
            let maps = SpatialDropout2D::new(0.25).data_format(format).maps();
            let (mut masks, mut data) = (vec![Float::NAN; 400], vec![3.0; 8 * 300]);
            maps.apply(
                Stream::new(1, 2, 3),
                &shape,
                &mut masks,
                &mut data,
                Par::Serial,
            );
            let dropped = masks.iter().filter(|m| **m == 0.0).count();
            assert!((60..140).contains(&dropped), "{dropped} of 400");
            for (sample, masks) in data.chunks(300).zip(masks.chunks(50)) {
                for (i, y) in sample.iter().enumerate() {
                    let channel = if format == "channels_last" {
                        i % 50
                    } else {
                        i / 6
                    };
                    assert_eq!(*y, 3.0 * masks[channel]);
                    assert!(*y == 0.0 || (*y - 4.0).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            SpatialDropout1D::new(1.5)
                .output_shape(&[[4, 3].into()])
                .is_err()
        );
        assert!(
            SpatialDropout1D::new(0.5)
                .output_shape(&[[4].into()])
                .is_err()
        );
        let wrong = SpatialDropout2D::new(0.5).data_format("last");
        assert!(wrong.output_shape(&[[4, 4, 3].into()]).is_err());
    }
}
