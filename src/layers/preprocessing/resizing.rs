//! Resizing: `y = V x H^T`, with a matrix for the rows and one for the columns ([`Interpolation`]), perhaps after cropping or padding;
//! `dx = V^T dy H`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{FillMode, bilinear, check_finite};
use super::image::augmentation::{Image, image_shape};
use super::image::frame::{Frame, Reframe};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer};
use crate::layers::args::{DataFormat, checked};
use crate::layers::resize::Interpolation;
use crate::shape::{Dims, Shape};

/// Brings images to another size.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_preprocessing/resizing/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise, of
/// the new size.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `height` | | rows of the output |
/// | `width` | | columns of the output |
/// | `interpolation` | `bilinear` | or `nearest`, `bicubic`, `lanczos3`, `lanczos5`, `area` |
/// | `crop_to_aspect_ratio` | false | takes the largest part in the middle whose sides are as those of the output |
/// | `pad_to_aspect_ratio` | false | adds borders so that sides are as those of the output |
/// | `fill_mode` | `constant` | what borders are made of; there is no other |
/// | `fill_value` | 0 | value of borders |
/// | `antialias` | false | sums over all of a larger image |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::Resizing, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 1]).add(Resizing::new(1, 4));
/// model.build([1, 2, 1])?;
/// let y = model.predict(&ndarray::array![[[[0.0f32], [8.0]]]])?;
/// assert_eq!(y, ndarray::array![[[[0.0], [2.0], [6.0], [8.0]]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resizing {
    height: usize,
    width: usize,
    #[serde(default = "bilinear")]
    interpolation: Interpolation,
    #[serde(default)]
    crop_to_aspect_ratio: bool,
    #[serde(default)]
    pad_to_aspect_ratio: bool,
    #[serde(default)]
    fill_mode: FillMode,
    #[serde(default)]
    fill_value: f64,
    #[serde(default)]
    antialias: bool,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Resizing {
    /// To this size.
    pub fn new(height: usize, width: usize) -> Self {
        Resizing {
            height,
            width,
            interpolation: Interpolation::Bilinear,
            crop_to_aspect_ratio: false,
            pad_to_aspect_ratio: false,
            fill_mode: FillMode::Constant,
            fill_value: 0.0,
            antialias: false,
            data_format: DataFormat::default(),
        }
    }

    /// How pixels between pixels are found.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// Takes the largest part whose sides are as those of the output.
    pub fn crop_to_aspect_ratio(mut self, yes: bool) -> Self {
        self.crop_to_aspect_ratio = yes;
        self
    }

    /// Adds borders so that sides are as those of the output.
    pub fn pad_to_aspect_ratio(mut self, yes: bool) -> Self {
        self.pad_to_aspect_ratio = yes;
        self
    }

    /// What borders are made of.
    pub fn fill_mode(mut self, fill_mode: impl Into<FillMode>) -> Self {
        self.fill_mode = fill_mode.into();
        self
    }

    /// Value of borders.
    pub fn fill_value(mut self, fill: f64) -> Self {
        self.fill_value = fill;
        self
    }

    /// Sums over all of a larger image.
    pub fn antialias(mut self, yes: bool) -> Self {
        self.antialias = yes;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for Resizing {
    fn class_name(&self) -> &'static str {
        "Resizing"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, [height, width, channels]) = image_shape(inputs, self.data_format)?;
        self.interpolation.check(6)?;
        check_finite("fill_value", self.fill_value)?;
        if self.fill_mode != FillMode::Constant {
            let got = String::from(self.fill_mode.clone());
            return Err(Error::arg("fill_mode", "`constant`", got));
        }
        if self.crop_to_aspect_ratio && self.pad_to_aspect_ratio {
            let want = "false, where the image is cropped";
            return Err(Error::arg("pad_to_aspect_ratio", want, true));
        }
        let y = sized(x, self.data_format, [self.height, self.width])?;
        if let (Some(height), Some(width)) = (height, width) {
            self.reframe([height, width]).0.check(channels)?;
        }
        Ok(y)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.reframe(self.size(&inputs[0])).0.buffers(&inputs[0])
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let (reframe, frame) = self.reframe(self.size(cx.x[0].shape));
        reframe.forward(cx, |_| frame);
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &cx.dx[0] {
            let (reframe, frame) = self.reframe(self.size(dx.shape));
            reframe.backward(cx, |_| frame);
        }
    }
}

impl Resizing {
    fn size(&self, shape: &[usize]) -> [usize; 2] {
        let image = Image::new(shape, self.data_format);
        [image.height, image.width]
    }

    /// What happens to an image of this size.
    fn reframe(&self, size: [usize; 2]) -> (Reframe<'_>, Frame) {
        let to = [self.height, self.width];
        let frame = match (self.crop_to_aspect_ratio, self.pad_to_aspect_ratio) {
            (true, _) => Frame::cropped(size, to, true),
            (_, true) => Frame::padded(size, to),
            _ => Frame::whole(size),
        };
        let reframe = Reframe {
            to,
            size: frame.size,
            interpolation: &self.interpolation,
            antialias: self.antialias,
            fill: self.fill_value as Float,
            format: self.data_format,
        };
        (reframe, frame)
    }
}

/// The shape of images of another size.
pub(super) fn sized(x: &Shape, format: DataFormat, [height, width]: [usize; 2]) -> Result<Shape> {
    for (arg, n) in [("height", height), ("width", width)] {
        if n == 0 {
            return Err(Error::arg(arg, "a positive integer", 0));
        }
    }
    let (mut dims, first) = (x.dims().to_vec(), format.first_spatial());
    (dims[first], dims[first + 1]) = (Some(height), Some(width));
    checked(dims.into())
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{channels_first, near, picture};
    use super::*;
    use crate::testing::{apply::apply, check_layer};

    #[test]
    fn laws() {
        for interpolation in [
            "nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area",
        ] {
            for antialias in [false, true] {
                let layer = Resizing::new(2, 5)
                    .interpolation(interpolation)
                    .antialias(antialias);
                check_layer(layer.clone(), &[[5, 3, 2].into()]);
                check_layer(layer.data_format("channels_first"), &[[2, 1, 7].into()]);
            }
        }
        check_layer(
            Resizing::new(2, 2).crop_to_aspect_ratio(true),
            &[[3, 5, 2].into()],
        );
        let padded = Resizing::new(4, 4)
            .pad_to_aspect_ratio(true)
            .fill_value(2.0);
        check_layer(padded.data_format("channels_first"), &[[2, 3, 5].into()]);
        check_layer(Resizing::new(3, 3), &[[3, 3, 1].into()]);
    }

    #[test]
    fn interpolations_are_keras_s() {
        let cases: &[(usize, &str, bool, &[Float])] = &[
            (7, "bilinear", true, &[4.7143, 7.6765, 10.8571]),
            (7, "bicubic", true, &[4.6129, 7.5208, 11.0726]),
            (7, "lanczos3", true, &[4.6634, 7.5758, 10.9751]),
            (7, "lanczos5", true, &[4.7697, 7.6054, 10.8156]),
            (7, "area", false, &[4.2143, 7.2143, 11.5]),
            (3, "area", false, &[0.0, 2.5, 7.5, 7.1667, 7.0]),
            (7, "bicubic", false, &[5.128, 9.5, 13.2677]),
            (7, "nearest", false, &[0.0, 7.0, 4.0, 13.0]),
            (7, "lanczos3", false, &[4.9725, 9.5, 13.7419]),
            (
                3,
                "bilinear",
                true,
                &[0.0, 1.0714, 4.2857, 7.5, 7.2857, 7.0714, 7.0],
            ),
        ];
        for &(n, interpolation, antialias, want) in cases {
            let x: Vec<Float> = (0..n)
                .map(|i| (i * i * 7 % 11) as Float + 0.5 * i as Float)
                .collect();
            let layer = |height, width| {
                Resizing::new(height, width)
                    .interpolation(interpolation)
                    .antialias(antialias)
            };
            let (down, _) = apply(&layer(want.len(), 1), &[(&x, &[n, 1, 1])], &[None], &[]);
            near(&down, want, 2e-5);
            let (across, _) = apply(&layer(1, want.len()), &[(&x, &[1, n, 1])], &[None], &[]);
            near(&across, want, 2e-5);
        }
    }

    #[test]
    fn sides_are_keras_s() {
        let (image, x) = picture(3, 5);
        let check = |layer: Resizing, want: &[Float]| {
            let (y, _) = apply(&layer, &[(&x, &[3, 5, 3])], &[None], &[]);
            let got: Vec<Float> = y.chunks(3).map(|pixel| pixel[1]).collect();
            near(&got, want, 1e-5);
            let planes = channels_first(image, &x).1;
            let layer = layer.data_format("channels_first");
            let (y, _) = apply(&layer, &[(&planes, &[3, 3, 5])], &[None], &[]);
            near(&y[want.len()..2 * want.len()], want, 1e-5);
        };
        let want = [203.125, 64.375, 94.375, 104.125];
        check(Resizing::new(2, 2).crop_to_aspect_ratio(true), &want);
        let want = [
            26.4375, 31.0312, 16.5, 10.8438, 166.5938, 204.2812, 88.9688, 44.6562, 213.1562,
            113.9688, 101.7812, 120.5938, 35.75, 12.9688, 19.0625, 26.0312,
        ];
        check(
            Resizing::new(4, 4)
                .pad_to_aspect_ratio(true)
                .fill_value(9.0),
            &want,
        );
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            Resizing::new(0, 2),
            Resizing::new(2, usize::MAX),
            Resizing::new(1 << 40, 1 << 40),
            Resizing::new(2, 2).interpolation("cubic"),
            Resizing::new(2, 2).fill_mode("reflect"),
            Resizing::new(2, 2).fill_value(f64::NAN),
            Resizing::new(2, 2)
                .crop_to_aspect_ratio(true)
                .pad_to_aspect_ratio(true),
            Resizing::new(1 << 50, 1).pad_to_aspect_ratio(true),
        ] {
            assert!(
                layer.output_shape(&[[4, 1 << 20, 3].into()]).is_err(),
                "{layer:?}"
            );
        }
        let e = Resizing::new(2, 2)
            .output_shape(&[[4, 4].into()])
            .unwrap_err();
        assert!(
            e.to_string().contains("batch, height, width, channels"),
            "{e}"
        );
    }
}
