//! Depthwise convolution along one or two axes: every channel has filters of its own.
//!
//! With `pixel(o, t)` the pixel under tap `t` of window `o` (zero in the padding) and `M = depth_multiplier`:
//! `z[o, c M + m] = b[c M + m] + sum_t x[pixel(o, t), c] W[t, c, m]`. Then `dz = dy * act'(z)`, `db += sum_o dz`,
//! `dW[t, c, m] += sum_o x[pixel(o, t), c] dz[o, c M + m]`, and `dx[pixel(o, t), c] += sum_m dz[o, c M + m] W[t, c, m]`.
//! x: (space.., C)  W: (kernel_size.., C, M)  b: (C M)  y: (space'.., C M).

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::kernels::conv::Conv;
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Weight};
use crate::layers::args::{DataFormat, Sizes, glorot_uniform, yes, zeros};
use crate::layers::geometry::{self, Padding, ones};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Depthwise convolution of sequences. [Keras](https://keras.io/api/layers/convolution_layers/depthwise_convolution1d/)
///
/// Input `(batch, steps, channels)`, output `(batch, steps', channels * depth_multiplier)`. Arguments are those of
/// [`DepthwiseConv`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 2]).add(DepthwiseConv1D::new(2).use_bias(false));
/// model.build([3, 2])?;
/// model.set_weights(&[ndarray::array![[[1.0f32], [2.0]], [[10.0], [20.0]]].into_dyn()])?;
/// let y = model.predict(&ndarray::array![[[1.0f32, 1.0], [2.0, 0.0], [3.0, 1.0]]])?;
/// assert_eq!(y, ndarray::array![[[21.0, 2.0], [32.0, 20.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type DepthwiseConv1D = DepthwiseConv<1>;

/// Depthwise convolution of images. [Keras](https://keras.io/api/layers/convolution_layers/depthwise_convolution2d/)
///
/// Input `(batch, height, width, channels)`, output `(batch, height', width', channels * depth_multiplier)`. Arguments are those
/// of [`DepthwiseConv`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([8, 8, 3]).add(DepthwiseConv2D::new(3).depth_multiplier(2).padding("same"));
/// model.build([8, 8, 3])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((2, 8, 8, 3)))?;
/// assert_eq!(y.shape(), [2, 8, 8, 6]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type DepthwiseConv2D = DepthwiseConv<2>;

/// Depthwise convolution along `R` spatial axes: [`DepthwiseConv1D`], [`DepthwiseConv2D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `kernel_size` | | taps of a window, one number or one for each axis |
/// | `strides` | 1 | distance of neighbouring windows |
/// | `padding` | `"valid"` | `"same"`: with strides of 1 as many windows as pixels |
/// | `depth_multiplier` | 1 | filters of each channel |
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
/// | `dilation_rate` | 1 | distance of neighbouring taps |
/// | `activation` | linear | applied to the output |
/// | `use_bias` | true | whether `b` is added |
/// | `depthwise_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the weights start |
/// | `depthwise_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `depthwise_constraint`, `bias_constraint` | none | projections after each update |
///
/// Weights: `kernel (kernel_size.., channels, depth_multiplier)` and `bias (channels * depth_multiplier)`. It is an error if a
/// number is zero or if no window fits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConv<const R: usize> {
    #[serde(default = "one")]
    depth_multiplier: usize,
    kernel_size: Sizes<R>,
    #[serde(default = "ones")]
    strides: Sizes<R>,
    #[serde(default)]
    padding: Padding,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(default = "ones")]
    dilation_rate: Sizes<R>,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default = "glorot_uniform")]
    depthwise_initializer: Initializer,
    #[serde(default = "zeros")]
    bias_initializer: Initializer,
    #[serde(default)]
    depthwise_regularizer: Option<Regularizer>,
    #[serde(default)]
    bias_regularizer: Option<Regularizer>,
    #[serde(default)]
    depthwise_constraint: Option<Constraint>,
    #[serde(default)]
    bias_constraint: Option<Constraint>,
}

fn one() -> usize {
    1
}

impl<const R: usize> DepthwiseConv<R> {
    /// With filters of this size.
    pub fn new(kernel_size: impl Into<Sizes<R>>) -> Self {
        DepthwiseConv {
            depth_multiplier: 1,
            kernel_size: kernel_size.into(),
            strides: ones(),
            padding: Padding::Valid,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: ones(),
            activation: Activation::Linear,
            use_bias: true,
            depthwise_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            depthwise_regularizer: None,
            bias_regularizer: None,
            depthwise_constraint: None,
            bias_constraint: None,
        }
    }

    /// Distance of neighbouring windows.
    pub fn strides(mut self, strides: impl Into<Sizes<R>>) -> Self {
        self.strides = strides.into();
        self
    }

    /// What happens at the borders.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Number of filters of each channel.
    pub fn depth_multiplier(mut self, filters: usize) -> Self {
        self.depth_multiplier = filters;
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, format: impl Into<DataFormat>) -> Self {
        self.data_format = format.into();
        self
    }

    /// Distance of neighbouring taps of a window.
    pub fn dilation_rate(mut self, rate: impl Into<Sizes<R>>) -> Self {
        self.dilation_rate = rate.into();
        self
    }

    /// Function applied to the output.
    pub fn activation(mut self, activation: impl Into<Activation>) -> Self {
        self.activation = activation.into();
        self
    }

    /// Whether a bias is added.
    pub fn use_bias(mut self, yes: bool) -> Self {
        self.use_bias = yes;
        self
    }

    /// How the kernel starts.
    pub fn depthwise_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.depthwise_initializer = initializer.into();
        self
    }

    /// How the bias starts.
    pub fn bias_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.bias_initializer = initializer.into();
        self
    }

    /// Penalty on the kernel.
    pub fn depthwise_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.depthwise_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the bias.
    pub fn bias_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.bias_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the kernel after each update.
    pub fn depthwise_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.depthwise_constraint = Some(constraint.into());
        self
    }

    /// Projection of the bias after each update.
    pub fn bias_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.bias_constraint = Some(constraint.into());
        self
    }

    fn check_arguments(&self) -> Result<()> {
        if self.depth_multiplier == 0 {
            return Err(Error::arg("depth_multiplier", "a positive integer", 0));
        }
        geometry::check_positive("kernel_size", self.kernel_size)?;
        geometry::check_positive("strides", self.strides)?;
        geometry::check_positive("dilation_rate", self.dilation_rate)?;
        self.padding.check(false)?;
        self.activation.check("activation")
    }

    /// Shape of the kernel.
    fn kernel_shape(&self, channels: usize) -> Vec<usize> {
        let mut shape = self.kernel_size.0.to_vec();
        shape.extend([channels, self.depth_multiplier]);
        shape
    }

    fn operation(&self, input: &[usize]) -> Operation<'_> {
        let (image, channels) = geometry::known_sizes(self.data_format, input);
        let (size, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        let grid = geometry::grid(image, size, strides, dilation, &self.padding);
        Operation {
            conv: Conv::new(grid, channels, channels * self.depth_multiplier, channels),
            transposed: false,
            format: self.data_format,
            activation: &self.activation,
            use_bias: self.use_bias,
        }
    }
}

impl<const R: usize> Layer for DepthwiseConv<R> {
    fn class_name(&self) -> &'static str {
        ["DepthwiseConv1D", "DepthwiseConv2D"][R - 1]
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check_arguments()?;
        let (space, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        geometry::check_len("kernel", &self.kernel_shape(channels))?;
        let filters = channels * self.depth_multiplier;
        let (size, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        let out = geometry::out_sizes(space, size, strides, dilation, &self.padding)?;
        if let Some(image) = geometry::all_known(space) {
            let grid = geometry::grid(image, size, strides, dilation, &self.padding);
            geometry::check_size(&grid, filters)?;
        }
        geometry::join(self.data_format, out, Some(filters))
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let (_, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        let shape = Dims::new(&self.kernel_shape(channels))?;
        let kernel = Weight::new("kernel", shape, &self.depthwise_initializer)
            .regularizer(&self.depthwise_regularizer)
            .constraint(&self.depthwise_constraint);
        let filters = channels * self.depth_multiplier;
        let bias = Weight::new("bias", [filters], &self.bias_initializer)
            .regularizer(&self.bias_regularizer)
            .constraint(&self.bias_constraint);
        Ok(if self.use_bias {
            vec![kernel, bias]
        } else {
            vec![kernel]
        })
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.operation(&inputs[0]).buffers()
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        self.operation(&inputs[0]).inference_buffers()
    }

    fn contract(&self) -> Contract {
        Operation::contract(&self.activation)
    }

    fn forward(&self, cx: Forward<'_>) {
        self.operation(cx.x[0].shape).forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.operation(cx.x[0].shape).backward(cx);
    }

    fn head(&self) -> Head {
        Head::of(&self.activation, || {
            self.clone().activation(Activation::Linear)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(DepthwiseConv1D::new(2), &[[5, 3].into()]);
        check_layer(
            DepthwiseConv1D::new(3)
                .padding("same")
                .strides(2)
                .dilation_rate(2),
            &[[7, 2].into()],
        );
        check_layer(
            DepthwiseConv1D::new(2)
                .depth_multiplier(2)
                .data_format("channels_first"),
            &[[2, 4].into()],
        );
        check_layer(
            DepthwiseConv2D::new(3).activation("relu"),
            &[[5, 4, 3].into()],
        );
        check_layer(
            DepthwiseConv2D::new(3).activation("relu").padding("same"),
            &[[3, 4, 1].into()],
        );
        check_layer(
            DepthwiseConv2D::new([2, 3])
                .strides([2, 1])
                .padding("same")
                .activation("gelu"),
            &[[4, 5, 9].into()],
        );
        check_layer(
            DepthwiseConv2D::new(2).depth_multiplier(3).use_bias(false),
            &[[3, 4, 2].into()],
        );
        check_layer(
            DepthwiseConv2D::new(2)
                .depth_multiplier(2)
                .padding("same")
                .activation("softmax"),
            &[[3, 3, 1].into()],
        );
        check_layer(
            DepthwiseConv2D::new(2)
                .depth_multiplier(2)
                .activation("relu")
                .data_format("channels_first"),
            &[[3, 4, 3].into()],
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: DepthwiseConv2D| {
            let e = layer.output_shape(&[[4, 4, 2].into()]).unwrap_err();
            e.owned_by("deep").to_string()
        };
        let layer = || DepthwiseConv2D::new(2);
        assert_eq!(
            refused(layer().depth_multiplier(0)),
            "deep: argument `depth_multiplier`: expected a positive integer, got 0"
        );
        assert!(refused(DepthwiseConv2D::new(0)).contains("`kernel_size`"));
        assert!(refused(layer().strides(0)).contains("`strides`"));
        assert!(refused(layer().dilation_rate(0)).contains("`dilation_rate`"));
        assert!(refused(layer().padding("causal")).contains("`padding`"));
        assert!(refused(layer().depth_multiplier(usize::MAX)).contains("kernel"));
        assert!(refused(layer().dilation_rate(4)).contains("at least one window"));
        assert!(
            layer()
                .output_shape(&[[Some(4), Some(4), None].into()])
                .is_err()
        );
    }
}
