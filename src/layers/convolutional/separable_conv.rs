//! Separable convolution along one or two axes: a depthwise one, then one of single pixels.
//!
//! With `pixel(o, t)` the pixel under tap `t` of window `o` (zero in the padding) and `M = depth_multiplier`:
//! `d[o, c M + m] = sum_t x[pixel(o, t), c] D[t, c, m]`, `z = d P + b`, `y = act(z)`. Then `dz = dy * act'(z)`, `db += sum_o dz`,
//! `dP += d^T dz`, `dd = dz P^T`, and from `dd` what a depthwise convolution makes of it: `dD` and `dx`.
//! x: (space.., C)  D: (kernel_size.., C, M)  P: (1.., C M, filters)  b: (filters)  y: (space'.., filters).

use serde::{Deserialize, Serialize};

use crate::activation::{Activation, Reads};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::conv::{Conv, Gradients};
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::kernels::layout::transpose;
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Len, Weight};
use crate::layers::args::{DataFormat, Sizes, glorot_uniform, yes, zeros};
use crate::layers::geometry::{self, Padding, ones};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Separable convolution of sequences. [Keras](https://keras.io/api/layers/convolution_layers/separable_convolution1d/)
///
/// Input `(batch, steps, channels)`, output `(batch, steps', filters)`. Arguments are those of [`SeparableConv`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([3, 1]).add(SeparableConv1D::new(2, 2).use_bias(false));
/// model.build([3, 1])?;
/// let (deep, point) = (ndarray::array![[[1.0f32]], [[10.0]]], ndarray::array![[[1.0f32, -1.0]]]);
/// model.set_weights(&[deep.into_dyn(), point.into_dyn()])?;
/// let y = model.predict(&ndarray::array![[[1.0f32], [2.0], [3.0]]])?;
/// assert_eq!(y, ndarray::array![[[21.0, -21.0], [32.0, -32.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type SeparableConv1D = SeparableConv<1>;

/// Separable convolution of images. [Keras](https://keras.io/api/layers/convolution_layers/separable_convolution2d/)
///
/// Input `(batch, height, width, channels)`, output `(batch, height', width', filters)`. Arguments are those of
/// [`SeparableConv`].
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([8, 8, 3]).add(SeparableConv2D::new(16, 3).strides(2).padding("same"));
/// model.build([8, 8, 3])?;
/// assert_eq!(model.count_params(), 3 * 3 * 3 + 3 * 16 + 16);
/// let y = model.predict(&ndarray::Array4::<f32>::ones((2, 8, 8, 3)))?;
/// assert_eq!(y.shape(), [2, 4, 4, 16]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type SeparableConv2D = SeparableConv<2>;

/// Separable convolution along `R` spatial axes: [`SeparableConv1D`], [`SeparableConv2D`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `filters` | | channels of the output |
/// | `kernel_size` | | taps of a window, one number or one for each axis |
/// | `strides` | 1 | distance of neighbouring windows |
/// | `padding` | `"valid"` | `"same"`: with strides of 1 as many windows as pixels |
/// | `data_format` | `"channels_last"` | or `"channels_first"`: `(batch, channels, space..)` |
/// | `dilation_rate` | 1 | distance of neighbouring taps |
/// | `depth_multiplier` | 1 | depthwise filters of each channel |
/// | `activation` | linear | applied to the output |
/// | `use_bias` | true | whether `b` is added |
/// | `depthwise_initializer`, `pointwise_initializer`, `bias_initializer` | `glorot_uniform`, `glorot_uniform`, `zeros` | how the weights start |
/// | `depthwise_regularizer`, `pointwise_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `depthwise_constraint`, `pointwise_constraint`, `bias_constraint` | none | projections after each update |
///
/// Weights: `depthwise_kernel (kernel_size.., channels, depth_multiplier)`, `pointwise_kernel (1.., channels * depth_multiplier,
/// filters)` and `bias (filters)`. It is an error if a number is zero or if no window fits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableConv<const R: usize> {
    #[serde(default = "one")]
    depth_multiplier: usize,
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
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default = "glorot_uniform")]
    depthwise_initializer: Initializer,
    #[serde(default = "glorot_uniform")]
    pointwise_initializer: Initializer,
    #[serde(default = "zeros")]
    bias_initializer: Initializer,
    #[serde(default)]
    depthwise_regularizer: Option<Regularizer>,
    #[serde(default)]
    pointwise_regularizer: Option<Regularizer>,
    #[serde(default)]
    bias_regularizer: Option<Regularizer>,
    #[serde(default)]
    depthwise_constraint: Option<Constraint>,
    #[serde(default)]
    pointwise_constraint: Option<Constraint>,
    #[serde(default)]
    bias_constraint: Option<Constraint>,
}

fn one() -> usize {
    1
}

impl<const R: usize> SeparableConv<R> {
    /// With so many filters of this size.
    pub fn new(filters: usize, kernel_size: impl Into<Sizes<R>>) -> Self {
        SeparableConv {
            depth_multiplier: 1,
            filters,
            kernel_size: kernel_size.into(),
            strides: ones(),
            padding: Padding::Valid,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: ones(),
            activation: Activation::Linear,
            use_bias: true,
            depthwise_initializer: glorot_uniform(),
            pointwise_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            depthwise_regularizer: None,
            pointwise_regularizer: None,
            bias_regularizer: None,
            depthwise_constraint: None,
            pointwise_constraint: None,
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

    /// Number of depthwise filters of each channel.
    pub fn depth_multiplier(mut self, filters: usize) -> Self {
        self.depth_multiplier = filters;
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

    /// How the depthwise kernel starts.
    pub fn depthwise_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.depthwise_initializer = initializer.into();
        self
    }

    /// How the pointwise kernel starts.
    pub fn pointwise_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.pointwise_initializer = initializer.into();
        self
    }

    /// How the bias starts.
    pub fn bias_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.bias_initializer = initializer.into();
        self
    }

    /// Penalty on the depthwise kernel.
    pub fn depthwise_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.depthwise_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the pointwise kernel.
    pub fn pointwise_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.pointwise_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the bias.
    pub fn bias_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.bias_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the depthwise kernel after each update.
    pub fn depthwise_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.depthwise_constraint = Some(constraint.into());
        self
    }

    /// Projection of the pointwise kernel after each update.
    pub fn pointwise_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.pointwise_constraint = Some(constraint.into());
        self
    }

    /// Projection of the bias after each update.
    pub fn bias_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.bias_constraint = Some(constraint.into());
        self
    }

    fn check_arguments(&self) -> Result<()> {
        let multiplier = ("depth_multiplier", self.depth_multiplier);
        for (arg, number) in [("filters", self.filters), multiplier] {
            if number == 0 {
                return Err(Error::arg(arg, "a positive integer", number));
            }
        }
        geometry::check_positive("kernel_size", self.kernel_size)?;
        geometry::check_positive("strides", self.strides)?;
        geometry::check_positive("dilation_rate", self.dilation_rate)?;
        self.padding.check(false)?;
        self.activation.check("activation")
    }

    /// Shapes of the depthwise and of the pointwise kernel, for an input that was accepted.
    fn kernel_shapes(&self, channels: usize) -> [Vec<usize>; 2] {
        let mut deep = self.kernel_size.0.to_vec();
        deep.extend([channels, self.depth_multiplier]);
        let mut point = vec![1; R];
        point.extend([channels.saturating_mul(self.depth_multiplier), self.filters]);
        [deep, point]
    }

    /// The depthwise convolution.
    fn conv(&self, input: &[usize]) -> Conv {
        let (image, channels) = geometry::known_sizes(self.data_format, input);
        let (size, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        let grid = geometry::grid(image, size, strides, dilation, &self.padding);
        Conv::new(grid, channels, channels * self.depth_multiplier, channels)
    }

    fn first(&self) -> bool {
        self.data_format == DataFormat::ChannelsFirst
    }
}

impl<const R: usize> Layer for SeparableConv<R> {
    fn class_name(&self) -> &'static str {
        ["SeparableConv1D", "SeparableConv2D"][R - 1]
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check_arguments()?;
        let (space, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        let [deep, point] = self.kernel_shapes(channels);
        geometry::check_len("depthwise kernel", &deep)?;
        geometry::check_len("pointwise kernel", &point)?;
        let (size, strides, dilation) = (self.kernel_size, self.strides, self.dilation_rate);
        let out = geometry::out_sizes(space, size, strides, dilation, &self.padding)?;
        if let Some(image) = geometry::all_known(space) {
            let grid = geometry::grid(image, size, strides, dilation, &self.padding);
            geometry::check_size(&grid, self.filters.max(channels * self.depth_multiplier))?;
        }
        geometry::join(self.data_format, out, Some(self.filters))
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let (_, channels) = geometry::split::<R>(self.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        let [deep, point] = self.kernel_shapes(channels);
        let deep = Dims::new(&deep)?;
        let deep = Weight::new("depthwise_kernel", deep, &self.depthwise_initializer)
            .regularizer(&self.depthwise_regularizer)
            .constraint(&self.depthwise_constraint);
        let point = Dims::new(&point)?;
        let point = Weight::new("pointwise_kernel", point, &self.pointwise_initializer)
            .regularizer(&self.pointwise_regularizer)
            .constraint(&self.pointwise_constraint);
        let bias = Weight::new("bias", [self.filters], &self.bias_initializer)
            .regularizer(&self.bias_regularizer)
            .constraint(&self.bias_constraint);
        let mut weights = vec![deep, point];
        weights.extend(self.use_bias.then_some(bias));
        Ok(weights)
    }

    /// Saved: `d`, and the pre-activation where it is read. Saved index: the tables. Scratch: the kernel packed, sums of its
    /// gradients, `dd`, then input, output and input gradient with channels last.
    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let conv = self.conv(&inputs[0]);
        let deep = Len::PerSample(conv.windows_len());
        let y = Len::PerSample(conv.grid().positions() * self.filters);
        let packed = conv.forward_len().max(conv.backward_len());
        let mut scratch = vec![Len::Fixed(packed), Len::Fixed(conv.sums_len(0)), deep];
        if self.first() {
            let x = Len::PerSample(conv.image_len());
            scratch.extend([x, y, x]);
        }
        let mut saved = vec![deep];
        saved.extend((self.activation.reads() == Reads::Input).then_some(y));
        Buffers {
            saved,
            saved_index: vec![Len::Fixed(conv.tables_len())],
            scratch,
        }
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        let mut buffers = self.buffers(inputs);
        buffers.saved.truncate(1); // the pre-activation is for backward
        buffers
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_y: self.activation.reads() == Reads::Output,
            overwrites_dw: true,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let conv = self.conv(cx.x[0].shape);
        let [kernel, point] = [(); 2].map(|()| cx.w.next().expect("kernels"));
        let bias = cx.w.next();
        let tables = cx.saved_index.next().expect("tables");
        let d = cx.saved.next().expect("depthwise output");
        let z = cx.saved.next();
        let [packed, _, _] = [(); 3].map(|()| cx.scratch.next().expect("scratch"));
        let (m, k, n) = (d.len() / conv.filters(), conv.filters(), self.filters);
        conv.tables(tables);
        let kernel = conv.pack_forward(kernel, packed);
        let mut both = |x: &[Float], y: &mut [Float]| {
            conv.forward(x, tables, kernel, d, &mut [], cx.par, &|_, _| {});
            let (d, point) = (Mat::new(d, k), Mat::new(point, n));
            gemm(m, k, n, d, point, Accum::Replace, y, n, cx.par);
        };
        let (Some(x), Some(y)) = (cx.scratch.next(), cx.scratch.next()) else {
            both(cx.x[0].data, cx.y.data);
            return self.activation.apply_bias(bias, cx.y.data, n, z);
        };
        let (pixels, positions) = (conv.grid().pixels(), conv.grid().positions());
        transpose(conv.channels(), pixels, cx.x[0].data, x, cx.par);
        both(x, y);
        Activation::Linear.apply_bias(bias, y, n, None);
        transpose(positions, n, y, cx.y.data, cx.par);
        // The activation sees the last spatial axis as its last, as Keras's does.
        let cols = cx.y.cols();
        self.activation.apply_bias(None, cx.y.data, cols, z);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let conv = self.conv(cx.x[0].shape);
        let [kernel, point] = [(); 2].map(|()| cx.w.next().expect("kernels"));
        let tables = &*cx.saved_index.next().expect("tables");
        let d = &*cx.saved.next().expect("depthwise output");
        let z = cx.saved.next().unwrap_or_default();
        let [packed, sums, dd] = [(); 3].map(|()| cx.scratch.next().expect("scratch"));
        let [x_last, dy_last, dx_last] = [(); 3].map(|()| cx.scratch.next());
        let (dkernel, dpoint, mut dbias) = match &mut cx.dw {
            Some(dw) => (dw.next(), dw.next(), dw.next()),
            None => (None, None, None),
        };
        let (positions, pixels) = (conv.grid().positions(), conv.grid().pixels());
        let (m, k, n) = (d.len() / conv.filters(), conv.filters(), self.filters);
        if let (Some(dbias), Accum::Replace) = (&mut dbias, cx.accum) {
            dbias.fill(0.0); // the sweeps below add
        }
        let cols = cx.y.cols();
        let mut x: &[Float] = cx.x[0].data;
        let dz: &[Float] = match (x_last, dy_last) {
            (Some(x_last), Some(dz)) => {
                self.activation.grad(cx.y.data, z, cx.dy.data, cols);
                transpose(n, positions, cx.dy.data, dz, cx.par);
                Activation::Linear.grad_bias(&[], &[], dz, n, dbias);
                transpose(conv.channels(), pixels, x, x_last, cx.par);
                x = x_last;
                dz
            }
            _ => {
                self.activation
                    .grad_bias(cx.y.data, z, cx.dy.data, n, dbias);
                cx.dy.data
            }
        };
        let dz = Mat::new(dz, n);
        if let Some(dpoint) = dpoint {
            gemm(k, m, n, Mat::new(d, k).t(), dz, cx.accum, dpoint, n, cx.par);
        }
        gemm(
            m,
            n,
            k,
            dz,
            Mat::new(point, n).t(),
            Accum::Replace,
            dd,
            k,
            cx.par,
        );
        let mut dx = cx.dx[0].as_mut().map(|dx| &mut *dx.data);
        let mut dx_last = dx_last.filter(|_| dx.is_some());
        let grads = Gradients {
            dx: match &mut dx_last {
                Some(last) => Some(&mut **last),
                None => dx.as_deref_mut(),
            },
            dkernel,
            dbias: None,
            accum: cx.accum,
            sums,
        };
        let kernel = conv.pack_backward(kernel, packed);
        conv.backward(x, tables, kernel, dd, grads, cx.par, &|_, _, _| {});
        if let (Some(last), Some(dx)) = (dx_last, dx) {
            transpose(pixels, conv.channels(), last, dx, cx.par);
        }
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
        check_layer(SeparableConv1D::new(3, 2), &[[5, 2].into()]);
        check_layer(
            SeparableConv1D::new(2, 3)
                .padding("same")
                .strides(2)
                .dilation_rate(2),
            &[[6, 3].into()],
        );
        check_layer(
            SeparableConv2D::new(4, 3).activation("relu"),
            &[[4, 5, 2].into()],
        );
        check_layer(
            SeparableConv2D::new(2, 2)
                .depth_multiplier(2)
                .activation("gelu")
                .padding("same"),
            &[[3, 3, 2].into()],
        );
        check_layer(
            SeparableConv2D::new(3, 2)
                .use_bias(false)
                .activation("softmax"),
            &[[3, 3, 1].into()],
        );
    }

    #[test]
    fn laws_with_channels_first() {
        for activation in ["linear", "relu", "gelu", "softmax"] {
            let conv = SeparableConv2D::new(3, 2)
                .data_format("channels_first")
                .depth_multiplier(2);
            check_layer(conv.activation(activation), &[[2, 3, 4].into()]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: SeparableConv2D| {
            let e = layer.output_shape(&[[4, 4, 2].into()]).unwrap_err();
            e.owned_by("apart").to_string()
        };
        let layer = || SeparableConv2D::new(3, 2);
        assert!(refused(SeparableConv2D::new(0, 2)).contains("`filters`"));
        assert!(refused(layer().depth_multiplier(0)).contains("`depth_multiplier`"));
        assert!(refused(layer().padding("causal")).contains("`padding`"));
        assert!(refused(layer().depth_multiplier(usize::MAX)).contains("kernel"));
        assert!(refused(SeparableConv2D::new(usize::MAX, 2)).contains("kernel"));
        assert!(refused(SeparableConv2D::new(3, 5)).contains("at least one window"));
    }
}
