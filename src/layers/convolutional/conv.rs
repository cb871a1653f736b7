//! Convolution along one, two or three axes: `y = act(x * W + b)`.
//!
//! With `pixel(o, t)` the pixel under tap `t` of window `o` (zero in the padding), and channels and filters in groups:
//! `z[o, f] = b[f] + sum_{t, c} x[pixel(o, t), c] W[t, c, f]`. Then `dz = dy * act'(z)`, `db += sum_o dz`,
//! `dW[t, c, f] += sum_o x[pixel(o, t), c] dz[o, f]`, and `dx[pixel(o, t), c] += sum_f dz[o, f] W[t, c, f]`.
//! x: (space.., C)  W: (kernel_size.., C / groups, filters)  b: (filters)  y: (space'.., filters).

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::kernels;
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Weight};
use crate::layers::args::{DataFormat, Sizes, glorot_uniform, yes, zeros};
use crate::layers::geometry::{self, Padding, ones};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Convolution of sequences. [Keras](https://keras.io/api/layers/convolution_layers/convolution1d/)
///
/// Input `(batch, steps, channels)`, output `(batch, steps', filters)`. Arguments are those of [`Conv`]; `padding` may also be
/// `"causal"`.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([4, 1]).add(Conv1D::new(1, 2).use_bias(false));
/// model.build([4, 1])?;
/// model.set_weights(&[ndarray::array![[[1.0f32]], [[10.0]]].into_dyn()])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [2.0], [3.0], [4.0]]])?;
/// assert_eq!(y, ndarray::array![[[21.0], [32.0], [43.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Conv1D = Conv<1>;

/// Convolution of images. [Keras](https://keras.io/api/layers/convolution_layers/convolution2d/)
///
/// Input `(batch, height, width, channels)`, output `(batch, height', width', filters)`. Arguments are those of [`Conv`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([28, 28, 1]).add(Conv2D::new(32, 3).activation("relu"));
/// model.build([28, 28, 1])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((2, 28, 28, 1)))?;
/// assert_eq!(y.shape(), [2, 26, 26, 32]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Conv2D = Conv<2>;

/// Convolution of volumes. [Keras](https://keras.io/api/layers/convolution_layers/convolution3d/)
///
/// Input `(batch, depth, height, width, channels)`, output the same with other sizes and `filters`. Arguments are those of
/// [`Conv`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([4, 5, 6, 2]).add(Conv3D::new(3, [1, 2, 3]).padding("same").strides(2));
/// model.build([4, 5, 6, 2])?;
/// let y = model.predict(&ndarray::Array5::<f32>::ones((1, 4, 5, 6, 2)))?;
/// assert_eq!(y.shape(), [1, 2, 3, 3, 3]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Conv3D = Conv<3>;

/// Convolution along `R` spatial axes: [`Conv1D`], [`Conv2D`], [`Conv3D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `filters` | | channels of the output |
/// | `kernel_size` | | taps of a window, one number or one for each axis |
/// | `strides` | 1 | distance of neighbouring windows |
/// | `padding` | `"valid"` | `"same"`: with strides of 1 as many windows as pixels; `"causal"`: no window sees later steps |
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
/// | `dilation_rate` | 1 | distance of neighbouring taps; not together with strides |
/// | `groups` | 1 | channels and filters are cut into groups that do not see each other |
/// | `activation` | linear | applied to the output |
/// | `use_bias` | true | whether `b` is added |
/// | `kernel_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the weights start |
/// | `kernel_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `bias_constraint` | none | projections after each update |
///
/// Weights: `kernel (kernel_size.., channels / groups, filters)` and `bias (filters)`. It is an error if a number is zero, if
/// `groups` does not divide channels and filters, if strides and dilation are both above 1, or if no window fits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv<const R: usize> {
    filters: usize,
    kernel_size: Sizes<R>,
    #[serde(default = "ones")]
    strides: Sizes<R>,
    #[serde(default)]
    padding: Padding,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(default = "ones")]
    dilation_rate: Sizes<R>,
    #[serde(default = "one")]
    groups: usize,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default = "glorot_uniform")]
    kernel_initializer: Initializer,
    #[serde(default = "zeros")]
    bias_initializer: Initializer,
    #[serde(default)]
    kernel_regularizer: Option<Regularizer>,
    #[serde(default)]
    bias_regularizer: Option<Regularizer>,
    #[serde(default)]
    kernel_constraint: Option<Constraint>,
    #[serde(default)]
    bias_constraint: Option<Constraint>,
}

fn one() -> usize {
    1
}

impl<const R: usize> Conv<R> {
    /// With so many filters of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Sizes<R>>) -> Self {
        Conv {
            filters,
            kernel_size: kernel_size.into(),
            strides: ones(),
            padding: Padding::Valid,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: ones(),
            groups: 1,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            kernel_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
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

    /// Number of groups that do not see each other.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
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
    pub fn kernel_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.kernel_initializer = initializer.into();
        self
    }

    /// How the bias starts.
    pub fn bias_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.bias_initializer = initializer.into();
        self
    }

    /// Penalty on the kernel.
    pub fn kernel_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.kernel_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the bias.
    pub fn bias_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.bias_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the kernel after each update.
    pub fn kernel_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.kernel_constraint = Some(constraint.into());
        self
    }

    /// Projection of the bias after each update.
    pub fn bias_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.bias_constraint = Some(constraint.into());
        self
    }

    fn check_arguments(&self) -> Result<()> {
        for (arg, number) in [("filters", self.filters), ("groups", self.groups)] {
            if number == 0 {
                return Err(Error::arg(arg, "a positive integer", number));
            }
        }
        if !self.filters.is_multiple_of(self.groups) {
            let want = format!("a multiple of the {} groups", self.groups);
            return Err(Error::arg("filters", want, self.filters));
        }
        geometry::check_positive("kernel_size", self.kernel_size)?;
        geometry::check_positive("strides", self.strides)?;
        geometry::check_positive("dilation_rate", self.dilation_rate)?;
        geometry::check_not_both(self.strides, self.dilation_rate)?;
        self.padding.check(R == 1)?;
        self.activation.check("activation")
    }

    /// Shape of the kernel for an input that was accepted.
    fn kernel_shape(&self, channels: usize) -> Vec<usize> {
        let mut shape = self.kernel_size.0.to_vec();
        shape.extend([channels / self.groups, self.filters]);
        shape
    }

    fn operation(&self, input: &[usize]) -> Operation<'_> {
        let (image, channels) = geometry::known_sizes(self.data_format, input);
        let (size, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        let grid = geometry::grid(image, size, strides, dilation, &self.padding);
        Operation {
            conv: kernels::conv::Conv::new(grid, channels, self.filters, self.groups),
            transposed: false,
            format: self.data_format,
            activation: &self.activation,
            use_bias: self.use_bias,
        }
    }
}

impl<const R: usize> Layer for Conv<R> {
    fn class_name(&self) -> &'static str {
        ["Conv1D", "Conv2D", "Conv3D"][R - 1]
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check_arguments()?;
        let (space, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        if !channels.is_multiple_of(self.groups) {
            let want = format!("a divisor of the {channels} channels of the input");
            return Err(Error::arg("groups", want, self.groups));
        }
        geometry::check_len("kernel", &self.kernel_shape(channels))?;
        let (size, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        let out = geometry::out_sizes(space, size, strides, dilation, &self.padding)?;
        if let Some(image) = geometry::all_known(space) {
            let grid = geometry::grid(image, size, strides, dilation, &self.padding);
            geometry::check_size(&grid, channels.max(self.filters))?;
        }
        geometry::join(self.data_format, out, Some(self.filters))
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let (_, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        let shape = Dims::new(&self.kernel_shape(channels))?;
        let kernel = Weight::new("kernel", shape, &self.kernel_initializer)
            .regularizer(&self.kernel_regularizer)
            .constraint(&self.kernel_constraint);
        let bias = Weight::new("bias", [self.filters], &self.bias_initializer)
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
        check_layer(Conv1D::new(3, 2), &[[5, 2].into()]);
        check_layer(
            Conv1D::new(2, 3).padding("causal").strides(2),
            &[[7, 3].into()],
        );
        check_layer(
            Conv1D::new(4, 3)
                .padding("causal")
                .dilation_rate(2)
                .groups(2),
            &[[6, 4].into()],
        );
        check_layer(
            Conv1D::new(2, 3)
                .padding("same")
                .data_format("channels_first"),
            &[[3, 6].into()],
        );
        check_layer(Conv2D::new(3, 3).activation("relu"), &[[5, 6, 2].into()]);
        check_layer(
            Conv2D::new(3, [2, 3])
                .padding("same")
                .strides([1, 2])
                .activation("gelu"),
            &[[4, 5, 1].into()],
        );
        check_layer(
            Conv2D::new(4, 2)
                .padding("same")
                .dilation_rate([2, 1])
                .groups(2),
            &[[4, 5, 2].into()],
        );
        check_layer(
            Conv2D::new(4, 3).padding("same").groups(2).use_bias(false),
            &[[4, 4, 2].into()],
        );
        check_layer(Conv2D::new(3, 2).activation("softmax"), &[[3, 3, 2].into()]);
        check_layer(Conv2D::new(3, 1).strides(2), &[[4, 3, 5].into()]);
        check_layer(
            Conv3D::new(2, 2).padding("same").activation("tanh"),
            &[[2, 3, 2, 2].into()],
        );
        check_layer(
            Conv3D::new(2, [1, 2, 2]).strides(2).groups(2),
            &[[3, 4, 3, 2].into()],
        );
    }

    #[test]
    fn laws_with_channels_first() {
        for activation in ["linear", "relu", "gelu", "softmax"] {
            let conv = Conv2D::new(3, 2)
                .data_format("channels_first")
                .activation(activation);
            check_layer(conv, &[[2, 4, 3].into()]);
        }
        check_layer(
            Conv3D::new(2, 2).data_format("channels_first").strides(2),
            &[[2, 3, 4, 3].into()],
        );
    }

    #[test]
    fn depthwise_groups() {
        check_layer(
            Conv2D::new(4, 2).groups(4).activation("relu"),
            &[[4, 3, 4].into()],
        );
        check_layer(
            Conv2D::new(4, 3).groups(2).padding("same"),
            &[[3, 3, 2].into()],
        );
    }

    fn refused(conv: Conv2D, input: impl Into<Shape>) -> String {
        let e = conv.output_shape(&[input.into()]).unwrap_err();
        e.owned_by("conv2d").to_string()
    }

    #[test]
    fn mistakes_are_named() {
        let image = [8, 8, 3];
        assert_eq!(
            refused(Conv2D::new(0, 3), image),
            "conv2d: argument `filters`: expected a positive integer, got 0"
        );
        assert!(refused(Conv2D::new(4, [3, 0]), image).contains("`kernel_size`"));
        assert!(refused(Conv2D::new(4, 3).strides(0), image).contains("`strides`"));
        assert!(
            refused(Conv2D::new(4, 3).strides(2).dilation_rate(2), image)
                .contains("`dilation_rate`")
        );
        assert!(refused(Conv2D::new(4, 3).groups(0), image).contains("`groups`"));
        assert!(refused(Conv2D::new(4, 3).groups(3), image).contains("`filters`"));
        assert!(refused(Conv2D::new(4, 3).groups(2), image).contains("`groups`"));
        assert!(refused(Conv2D::new(4, 3).padding("causal"), image).contains("`padding`"));
        assert!(refused(Conv2D::new(4, 3).data_format("nchw"), image).contains("`data_format`"));
        assert!(refused(Conv2D::new(4, 9), image).contains("at least one window"));
        assert!(refused(Conv2D::new(4, 3), [8, 3]).contains("4 axes"));
        assert!(refused(Conv2D::new(4, 3), [Some(8), Some(8), None]).contains("channels"));
        assert!(refused(Conv2D::new(4, 1 << 40), image).contains("kernel"));
        let huge = Conv2D::new(4, 2).padding("same").dilation_rate(usize::MAX);
        assert!(huge.output_shape(&[image.into()]).is_err());
    }

    #[test]
    fn unknown_sizes_stay_unknown() {
        let y = Conv2D::new(4, 3).output_shape(&[[None, Some(8), Some(3)].into()]);
        assert_eq!(y.unwrap(), [None, Some(6), Some(4)].into());
    }
}
