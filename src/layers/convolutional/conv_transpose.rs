//! Transposed convolution along one, two or three axes: the transpose of a convolution's map from image to windows.
//!
//! The input `x` lies at the windows of a convolution, the output `y` is its image: with `pixel(o, t)` the pixel under tap `t` of
//! window `o`, `z[i, f] = b[f] + sum_{o, t: pixel(o, t) = i} sum_c x[o, c] W[t, f, c]`. Then `dz = dy * act'(z)`,
//! `db += sum_i dz`, `dx[o, c] = sum_{t, f} dz[pixel(o, t), f] W[t, f, c]` (a convolution), and
//! `dW[t, f, c] += sum_o dz[pixel(o, t), f] x[o, c]`.
//! x: (space.., C)  W: (kernel_size.., filters, C)  b: (filters)  y: (space'.., filters).

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::kernels::conv::Conv;
use crate::kernels::grid::Grid;
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Weight};
use crate::layers::args::{DataFormat, Sizes, glorot_uniform, yes, zeros};
use crate::layers::geometry::{self, Padding, ones, three};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Transposed convolution of sequences. [Keras](https://keras.io/api/layers/convolution_layers/convolution1d_transpose/)
///
/// Input `(batch, steps, channels)`, output `(batch, steps', filters)`. Arguments are those of [`ConvTranspose`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([2, 1]).add(Conv1DTranspose::new(1, 2).strides(2));
/// model.build([2, 1])?;
/// model.set_weights(&[ndarray::array![[[1.0f32]], [[10.0]]].into_dyn(), ndarray::array![0.5f32].into_dyn()])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [2.0]]])?;
/// assert_eq!(y, ndarray::array![[[1.5], [10.5], [2.5], [20.5]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Conv1DTranspose = ConvTranspose<1>;

/// Transposed convolution of images. [Keras](https://keras.io/api/layers/convolution_layers/convolution2d_transpose/)
///
/// Input `(batch, height, width, channels)`, output `(batch, height', width', filters)`. Arguments are those of
/// [`ConvTranspose`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([7, 7, 8]).add(Conv2DTranspose::new(4, 3).strides(2).padding("same"));
/// model.build([7, 7, 8])?;
/// let y = model.predict(&ndarray::Array4::<f32>::ones((2, 7, 7, 8)))?;
/// assert_eq!(y.shape(), [2, 14, 14, 4]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Conv2DTranspose = ConvTranspose<2>;

/// Transposed convolution of volumes. [Keras](https://keras.io/api/layers/convolution_layers/convolution3d_transpose/)
///
/// Input `(batch, depth, height, width, channels)`, output the same with other sizes and `filters`. Arguments are those of
/// [`ConvTranspose`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([2, 3, 4, 2]).add(Conv3DTranspose::new(3, [1, 2, 3]));
/// model.build([2, 3, 4, 2])?;
/// let y = model.predict(&ndarray::Array5::<f32>::ones((1, 2, 3, 4, 2)))?;
/// assert_eq!(y.shape(), [1, 2, 4, 6, 3]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type Conv3DTranspose = ConvTranspose<3>;

/// Transposed convolution along `R` spatial axes: [`Conv1DTranspose`], [`Conv2DTranspose`], [`Conv3DTranspose`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `filters` | | channels of the output |
/// | `kernel_size` | | taps of a window, one number or one for each axis |
/// | `strides` | 1 | how far apart neighbouring inputs are in the output |
/// | `padding` | `"valid"` | whether all that is reached is output; `"same"`: size times strides |
/// | `output_padding` | none | sets the size: `(n - 1) * strides + kernel_size + output_padding`, with `"same"` its parity in place of `kernel_size`; below `strides` |
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
/// | `dilation_rate` | 1 | distance of neighbouring taps; not together with strides |
/// | `activation` | linear | applied to the output |
/// | `use_bias` | true | whether `b` is added |
/// | `kernel_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the weights start |
/// | `kernel_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `bias_constraint` | none | projections after each update |
///
/// Weights: `kernel (kernel_size.., filters, channels)` and `bias (filters)`. It is an error if a number other than
/// `output_padding` is zero, if `output_padding` is not below the strides, if strides and dilation are both above 1, or if
/// nothing would be output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose<const R: usize> {
    filters: usize,
    kernel_size: Sizes<R>,
    #[serde(default = "ones")]
    strides: Sizes<R>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    output_padding: Option<Sizes<R>>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(default = "ones")]
    dilation_rate: Sizes<R>,
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

impl<const R: usize> ConvTranspose<R> {
    /// With so many filters of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Sizes<R>>) -> Self {
        ConvTranspose {
            filters,
            kernel_size: kernel_size.into(),
            strides: ones(),
            padding: Padding::Valid,
            output_padding: None,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: ones(),
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

    /// Numbers added to the size of the output.
    pub fn output_padding(mut self, padding: impl Into<Sizes<R>>) -> Self {
        self.output_padding = Some(padding.into());
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
        if self.filters == 0 {
            return Err(Error::arg("filters", "a positive integer", 0));
        }
        geometry::check_positive("kernel_size", self.kernel_size)?;
        geometry::check_positive("strides", self.strides)?;
        geometry::check_positive("dilation_rate", self.dilation_rate)?;
        geometry::check_not_both(self.strides, self.dilation_rate)?;
        if let Some(padding) = self.output_padding
            && padding.0.iter().zip(self.strides.0).any(|(&p, s)| p >= s)
        {
            let want = format!("less than the strides {:?}", self.strides.0);
            return Err(Error::arg(
                "output_padding",
                want,
                format!("{:?}", padding.0),
            ));
        }
        self.padding.check(false)?;
        self.activation.check("activation")
    }

    /// Shape of the kernel.
    fn kernel_shape(&self, channels: usize) -> Vec<usize> {
        let mut shape = self.kernel_size.0.to_vec();
        shape.extend([self.filters, channels]);
        shape
    }

    /// Size of the output along an axis, and what is cut off before it; `None` if it is nothing or too large.
    fn extent(&self, a: usize, n: usize) -> Option<(usize, usize)> {
        let (kernel, stride) = (self.kernel_size.0[a], self.strides.0[a]);
        let wide = (kernel - 1)
            .checked_mul(self.dilation_rate.0[a])?
            .checked_add(1)?;
        let apart = n.checked_sub(1)?.checked_mul(stride)?;
        let reach = apart.checked_add(wide)?;
        let more = self.output_padding.map(|padding| padding.0[a]);
        let size = match (&self.padding, more) {
            (Padding::Same, None) => n.checked_mul(stride)?,
            (Padding::Same, Some(more)) => apart.checked_add(wide % 2)?.checked_add(more)?,
            (_, None) => apart.checked_add(wide.max(stride))?,
            (_, Some(more)) => reach.checked_add(more)?,
        };
        let before = match self.padding {
            Padding::Same => reach.saturating_sub(size) / 2,
            _ => 0,
        };
        (size > 0).then_some((size, before))
    }

    /// The convolution whose windows are the input and whose image is the output.
    fn grid(&self, input: [usize; R]) -> Option<Grid> {
        let (mut image, mut before) = ([1; R], [0; R]);
        for (a, n) in input.into_iter().enumerate() {
            (image[a], before[a]) = self.extent(a, n)?;
        }
        Some(Grid {
            image: three(image),
            out: three(input),
            kernel: three(self.kernel_size.0),
            stride: three(self.strides.0),
            dilation: three(self.dilation_rate.0),
            // Axes that are not there have no padding.
            before: std::array::from_fn(|a| if a < 3 - R { 0 } else { before[a - (3 - R)] }),
        })
    }

    fn operation(&self, input: &[usize]) -> Operation<'_> {
        let (space, channels) = geometry::known_sizes(self.data_format, input);
        let grid = self.grid(space).expect("sizes that output_shape accepted");
        Operation {
            conv: Conv::new(grid, self.filters, channels, 1),
            transposed: true,
            format: self.data_format,
            activation: &self.activation,
            use_bias: self.use_bias,
        }
    }
}

impl<const R: usize> Layer for ConvTranspose<R> {
    fn class_name(&self) -> &'static str {
        ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"][R - 1]
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check_arguments()?;
        let (space, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        geometry::check_len("kernel", &self.kernel_shape(channels))?;
        let refused = || {
            let want = format!(
                "an output of at least 1 pixel, and not beyond measure, for windows of {:?}",
                self.kernel_size.0
            );
            Error::shape(want, &inputs[0])
        };
        let mut out = [None; R];
        for (a, n) in space.into_iter().enumerate() {
            if let Some(n) = n {
                out[a] = Some(self.extent(a, n).ok_or_else(refused)?.0);
            }
        }
        if let Some(input) = geometry::all_known(space) {
            let grid = self.grid(input).ok_or_else(refused)?;
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
        check_layer(Conv1DTranspose::new(3, 2), &[[4, 2].into()]);
        check_layer(
            Conv1DTranspose::new(2, 3).strides(2).padding("same"),
            &[[4, 3].into()],
        );
        check_layer(Conv1DTranspose::new(2, 2).strides(3), &[[3, 2].into()]);
        check_layer(
            Conv1DTranspose::new(2, 3).dilation_rate(2).padding("same"),
            &[[5, 2].into()],
        );
        check_layer(
            Conv1DTranspose::new(2, 3)
                .strides(2)
                .output_padding(1)
                .data_format("channels_first"),
            &[[3, 4].into()],
        );
        check_layer(
            Conv2DTranspose::new(3, 3).activation("relu"),
            &[[3, 4, 2].into()],
        );
        check_layer(
            Conv2DTranspose::new(2, [3, 2])
                .strides([2, 3])
                .padding("same")
                .activation("gelu"),
            &[[3, 2, 2].into()],
        );
        check_layer(
            Conv2DTranspose::new(2, 3)
                .strides(2)
                .padding("same")
                .output_padding([1, 0]),
            &[[3, 2, 2].into()],
        );
        check_layer(
            Conv2DTranspose::new(2, 2)
                .use_bias(false)
                .activation("softmax"),
            &[[2, 3, 3].into()],
        );
        check_layer(
            Conv3DTranspose::new(2, 2)
                .strides([1, 2, 1])
                .activation("tanh"),
            &[[2, 2, 3, 2].into()],
        );
    }

    #[test]
    fn laws_with_channels_first() {
        for activation in ["linear", "relu", "gelu", "softmax"] {
            let conv = Conv2DTranspose::new(2, 3)
                .strides(2)
                .data_format("channels_first");
            check_layer(conv.activation(activation), &[[3, 2, 3].into()]);
        }
    }

    #[test]
    fn sizes_are_those_of_keras() {
        let size = |layer: Conv1DTranspose| {
            let y = layer.output_shape(&[[5, 2].into()]).unwrap();
            y.dims()[0].unwrap()
        };
        let layer = |kernel| Conv1DTranspose::new(1, kernel).strides(3);
        assert_eq!(size(layer(2)), 15);
        assert_eq!(size(layer(5)), 17);
        assert_eq!(size(layer(2).output_padding(2)), 16);
        assert_eq!(size(layer(2).padding("same")), 15);
        assert_eq!(size(layer(3).padding("same").output_padding(1)), 14);
        assert_eq!(size(layer(2).padding("same").output_padding(1)), 13);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: Conv2DTranspose| {
            let e = layer.output_shape(&[[4, 4, 2].into()]).unwrap_err();
            e.owned_by("up").to_string()
        };
        let layer = || Conv2DTranspose::new(3, 2);
        assert!(refused(Conv2DTranspose::new(0, 2)).contains("`filters`"));
        assert!(refused(Conv2DTranspose::new(3, 0)).contains("`kernel_size`"));
        assert!(refused(layer().strides([0, 1])).contains("`strides`"));
        assert!(refused(layer().strides(2).dilation_rate(2)).contains("`dilation_rate`"));
        assert_eq!(
            refused(layer().strides(2).output_padding([1, 2])),
            "up: argument `output_padding`: expected less than the strides [2, 2], got [1, 2]"
        );
        assert!(refused(layer().padding("causal")).contains("`padding`"));
        assert!(refused(layer().strides(usize::MAX)).contains("beyond measure"));
        assert!(refused(layer().strides(1 << 30)).contains("at most"));
        assert!(layer().output_shape(&[[0, 4, 2].into()]).is_err());
        assert!(layer().output_shape(&[[4, 2].into()]).is_err());
    }
}
