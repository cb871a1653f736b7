//! Upsampling. Nearest: every pixel becomes a block of copies, and `dx` is the sum of `dy` over the block. Interpolation is in
//! `resize`: a matrix an axis, whose transpose is the backward.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::{add, sum};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len};
use crate::layers::args::{DataFormat, Sizes, checked, input_of_rank};
use crate::layers::resize::{Interpolation, Resize};
use crate::shape::{Dims, Shape};

/// Repeats every step. [Keras](https://keras.io/api/layers/reshaping_layers/up_sampling1d/)
///
/// Input `(batch, steps, channels)`, output `(batch, size * steps, channels)`. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `size` | 2 | how many times |
///
/// ```
/// use oxhorn::{layers::UpSampling1D, prelude::*};
/// assert_eq!(UpSampling1D::new(3).output_shape(&[[4, 2].into()])?, Shape::from([12, 2]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSampling1D {
    #[serde(default = "two")]
    size: usize,
}

fn two<T: From<usize>>() -> T {
    T::from(2)
}

impl Default for UpSampling1D {
    fn default() -> Self {
        UpSampling1D::new(two())
    }
}

impl UpSampling1D {
    /// So many times.
    pub fn new(size: usize) -> Self {
        UpSampling1D { size }
    }
}

impl Layer for UpSampling1D {
    fn class_name(&self) -> &'static str {
        "UpSampling1D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        output_shape(inputs, 0, &[self.size], "batch, steps, channels")
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        repeat_all(cx, 0, &[self.size]);
    }

    fn backward(&self, cx: Backward<'_>) {
        collect_all(cx, 0, &[self.size]);
    }
}

/// Enlarges images. [Keras](https://keras.io/api/layers/reshaping_layers/up_sampling2d/)
///
/// Input `(batch, height, width, channels)`, or channels behind the batch, and output likewise, with `size` times the height
/// and width. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `size` | 2 | how many times: one number, or one for each axis |
/// | `data_format` | `channels_last` | or `channels_first` |
/// | `interpolation` | `nearest` | or `bilinear`, `bicubic`, `lanczos3`, `lanczos5` |
///
/// ```
/// use oxhorn::{layers::UpSampling2D, prelude::*};
/// let layer = UpSampling2D::new([2, 3]).interpolation("bilinear");
/// assert_eq!(layer.output_shape(&[[4, 5, 3].into()])?, Shape::from([8, 15, 3]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSampling2D {
    #[serde(default = "two")]
    size: Sizes<2>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
    #[serde(default)]
    interpolation: Interpolation,
}

impl Default for UpSampling2D {
    fn default() -> Self {
        UpSampling2D::new(2)
    }
}

impl UpSampling2D {
    /// So many times: one number, or one for each axis.
    pub fn new(size: impl Into<Sizes<2>>) -> Self {
        UpSampling2D {
            size: size.into(),
            data_format: DataFormat::default(),
            interpolation: Interpolation::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }

    /// How pixels between pixels are found.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    fn resize(&self, shape: &[usize]) -> Resize<'_> {
        let (height, width, channels) = match self.data_format.first_spatial() {
            0 => (shape[0], shape[1], shape[2]),
            _ => (shape[1], shape[2], 1),
        };
        Resize {
            interpolation: &self.interpolation,
            antialias: false,
            from: [height, width],
            to: [height * self.size.0[0], width * self.size.0[1]],
            channels,
        }
    }
}

impl Layer for UpSampling2D {
    fn class_name(&self) -> &'static str {
        "UpSampling2D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        self.interpolation.check(5)?;
        let (first, axes) = (
            self.data_format.first_spatial(),
            "batch, height, width, channels",
        );
        output_shape(inputs, first, &self.size.0, axes)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        if self.interpolation == Interpolation::Nearest {
            return Buffers::default();
        }
        let resize = self.resize(&inputs[0]);
        Buffers {
            scratch: vec![
                Len::Fixed(resize.weights_len()),
                Len::PerSample(resize.row_len()),
            ],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        if self.interpolation == Interpolation::Nearest {
            return repeat_all(cx, self.data_format.first_spatial(), &self.size.0);
        }
        let (x, resize) = (cx.x[0], self.resize(cx.x[0].shape));
        let [weights, rows] = cx.scratch.all();
        resize.weights(weights);
        let (weights, row) = (&*weights, resize.row_len());
        let (from, each) = (x.shape.iter().product(), cx.y.shape.iter().product());
        let (image, large) = resize.lens();
        cx.par
            .for_each_piece2(cx.y.data, each, rows, row, |i, y, row| {
                let images = x.data[i * from..][..from].chunks_exact(image);
                for (x, y) in images.zip(y.chunks_exact_mut(large)) {
                    resize.forward(weights, x, row, y);
                }
            });
    }

    fn backward(&self, cx: Backward<'_>) {
        if self.interpolation == Interpolation::Nearest {
            return collect_all(cx, self.data_format.first_spatial(), &self.size.0);
        }
        let [weights, rows] = cx.scratch.all();
        let (Some(dx), dy) = (&mut cx.dx[0], cx.dy) else {
            return;
        };
        let resize = self.resize(dx.shape);
        resize.weights(weights);
        let (weights, row) = (&*weights, resize.row_len());
        let (each, from) = (dx.shape.iter().product(), dy.shape.iter().product());
        let (image, large) = resize.lens();
        cx.par
            .for_each_piece2(dx.data, each, rows, row, |i, dx, row| {
                let images = dy.data[i * from..][..from].chunks_exact(large);
                for (dy, dx) in images.zip(dx.chunks_exact_mut(image)) {
                    resize.backward(weights, dy, row, dx);
                }
            });
    }
}

/// Repeats the pixels of volumes. [Keras](https://keras.io/api/layers/reshaping_layers/up_sampling3d/)
///
/// Input `(batch, depth, height, width, channels)`, or channels behind the batch, and output likewise, with `size` times the
/// depth, height and width. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `size` | 2 | how many times: one number, or one for each axis |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::UpSampling3D, prelude::*};
/// let shape = UpSampling3D::new([2, 1, 3]).output_shape(&[[2, 3, 2, 5].into()])?;
/// assert_eq!(shape, Shape::from([4, 3, 6, 5]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSampling3D {
    #[serde(default = "two")]
    size: Sizes<3>,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for UpSampling3D {
    fn default() -> Self {
        UpSampling3D::new(2)
    }
}

impl UpSampling3D {
    /// So many times: one number, or one for each axis.
    pub fn new(size: impl Into<Sizes<3>>) -> Self {
        UpSampling3D {
            size: size.into(),
            data_format: DataFormat::default(),
        }
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Layer for UpSampling3D {
    fn class_name(&self) -> &'static str {
        "UpSampling3D"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.data_format.check()?;
        let (first, axes) = (
            self.data_format.first_spatial(),
            "batch, depth, height, width, channels",
        );
        output_shape(inputs, first, &self.size.0, axes)
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        repeat_all(cx, self.data_format.first_spatial(), &self.size.0);
    }

    fn backward(&self, cx: Backward<'_>) {
        collect_all(cx, self.data_format.first_spatial(), &self.size.0);
    }
}

fn output_shape(inputs: &[Shape], first: usize, size: &[usize], axes: &str) -> Result<Shape> {
    if size.contains(&0) {
        return Err(Error::arg("size", "positive integers", format!("{size:?}")));
    }
    let x = input_of_rank(inputs, size.len() + 1, axes)?;
    let mut dims = x.dims().to_vec();
    for (dim, size) in dims[first..].iter_mut().zip(size) {
        if let Some(n) = dim {
            *n = n
                .checked_mul(*size)
                .ok_or_else(|| Error::arg("size", "sizes that fit memory", format!("{size:?}")))?;
        }
    }
    checked(dims.into())
}

fn contract() -> Contract {
    Contract {
        reads_x: false,
        ..Contract::default()
    }
}

/// Repeats the axes from `first` on so many times each, sample by sample.
fn repeat_all(cx: Forward<'_>, first: usize, factors: &[usize]) {
    let (x, shape) = (cx.x[0].data, cx.x[0].shape);
    let (from, each) = (shape.iter().product::<usize>(), cx.y.shape.iter().product());
    let factors = axes_of(first, factors);
    cx.par.for_each_rows(cx.y.data, each, |sample, y| {
        for (i, y) in y.chunks_exact_mut(each).enumerate() {
            repeat(&x[(sample + i) * from..][..from], shape, &factors, y);
        }
    });
}

/// `dx`: the sums of `dy` over what was repeated.
fn collect_all(cx: Backward<'_>, first: usize, factors: &[usize]) {
    let Some(dx) = &mut cx.dx[0] else { return };
    let (dy, shape) = (cx.dy.data, dx.shape);
    let (from, each) = (
        cx.dy.shape.iter().product::<usize>(),
        shape.iter().product(),
    );
    let factors = axes_of(first, factors);
    cx.par.for_each_rows(dx.data, each, |sample, dx| {
        dx.fill(0.0);
        for (i, dx) in dx.chunks_exact_mut(each).enumerate() {
            collect(&dy[(sample + i) * from..][..from], shape, &factors, dx);
        }
    });
}

/// A factor for every axis of a sample.
fn axes_of(first: usize, factors: &[usize]) -> Dims {
    let mut all = Dims::default();
    (0..first).for_each(|_| all.push(1));
    factors.iter().for_each(|&f| all.push(f));
    (first..1).for_each(|_| all.push(1));
    all
}

/// `y`: every axis of `x` repeated.
fn repeat(x: &[Float], shape: &[usize], factors: &[usize], y: &mut [Float]) {
    match (shape, factors) {
        _ if factors.iter().all(|&f| f == 1) => y.copy_from_slice(x),
        (_, [f]) => {
            for (y, x) in y.chunks_exact_mut(*f).zip(x) {
                y.fill(*x);
            }
        }
        ([n, shape @ ..], [f, factors @ ..]) => {
            for (x, y) in x
                .chunks_exact(x.len() / n)
                .zip(y.chunks_exact_mut(y.len() / n))
            {
                let one = y.len() / f;
                repeat(x, shape, factors, &mut y[..one]);
                (1..*f).for_each(|k| y.copy_within(..one, k * one));
            }
        }
        _ => {}
    }
}

/// `dx += ` the sums over what was repeated.
fn collect(dy: &[Float], shape: &[usize], factors: &[usize], dx: &mut [Float]) {
    match (shape, factors) {
        _ if factors.iter().all(|&f| f == 1) => add(dy, dx),
        (_, [f]) => {
            for (dy, dx) in dy.chunks_exact(*f).zip(dx) {
                *dx += sum(dy);
            }
        }
        ([n, shape @ ..], [f, factors @ ..]) => {
            for (dy, dx) in dy
                .chunks_exact(dy.len() / n)
                .zip(dx.chunks_exact_mut(dx.len() / n))
            {
                for dy in dy.chunks_exact(dy.len() / f) {
                    collect(dy, shape, factors, dx);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(UpSampling1D::new(3), &[[4, 2].into()]);
        check_layer(UpSampling2D::new([2, 3]), &[[3, 2, 2].into()]);
        check_layer(UpSampling2D::new(1), &[[3, 2, 2].into()]);
        check_layer(UpSampling3D::new([2, 1, 3]), &[[2, 3, 2, 2].into()]);
        let first = UpSampling3D::default().data_format("channels_first");
        check_layer(first, &[[2, 1, 2, 2].into()]);
        for interpolation in ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] {
            let layer = UpSampling2D::new([2, 3]).interpolation(interpolation);
            check_layer(layer.clone(), &[[3, 4, 2].into()]);
            check_layer(layer.data_format("channels_first"), &[[2, 1, 5].into()]);
        }
    }

    #[test]
    fn pixels_become_blocks() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let layer = UpSampling2D::new([2, 3]);
        let (y, _) = apply(&layer, &[(&x, &[2, 2, 1])], &[None], &[]);
        let [a, b] = [
            [1.0, 1.0, 1.0, 2.0, 2.0, 2.0],
            [3.0, 3.0, 3.0, 4.0, 4.0, 4.0],
        ];
        assert_eq!(y, [a, a, b, b].concat());
        let first = layer.data_format("channels_first");
        let (y, _) = apply(&first, &[(&x, &[2, 1, 2])], &[None], &[]);
        assert_eq!(y, [a, a, b, b].concat());
    }

    #[test]
    fn interpolations_are_keras_s() {
        let cases: &[(usize, usize, &str, &[Float])] = &[
            (2, 3, "bilinear", &[0.0, 0.0, 2.5, 5.0, 7.5, 7.5]),
            (
                2,
                3,
                "bicubic",
                &[-0.789047, 0.0, 2.24718, 5.25282, 7.5, 8.289047],
            ),
            (
                2,
                3,
                "lanczos3",
                &[-1.645913, -0.0, 2.397426, 5.102575, 7.5, 9.145913],
            ),
            (
                2,
                3,
                "lanczos5",
                &[-2.157427, -0.0, 2.463313, 5.036689, 7.5, 9.657426],
            ),
            (3, 2, "bilinear", &[0.0, 1.875, 5.625, 7.375, 7.125, 7.0]),
            (
                3,
                2,
                "bicubic",
                &[-0.661765, 1.434307, 5.874046, 7.90458, 7.259124, 6.955883],
            ),
            (
                3,
                2,
                "lanczos3",
                &[-0.998944, 1.420534, 5.592257, 8.338475, 7.558035, 6.648658],
            ),
            (
                3,
                2,
                "lanczos5",
                &[-0.903326, 1.330401, 5.460827, 8.546568, 7.80823, 6.291042],
            ),
            (
                6,
                3,
                "bilinear",
                &[
                    0.0, 0.0, 2.5, 5.0, 7.5, 7.333333, 7.166667, 7.0, 7.833334, 8.666667, 9.5,
                    7.666666, 5.833332, 4.0, 6.833335, 9.66667, 12.5, 12.5,
                ],
            ),
            (
                6,
                3,
                "bicubic",
                &[
                    -0.789047, 0.0, 2.08353, 5.128015, 7.5, 7.815141, 7.240144, 7.0, 7.90616,
                    9.149125, 9.5, 7.743291, 5.090369, 4.0, 6.335851, 9.968801, 12.5, 13.394253,
                ],
            ),
            (
                6,
                3,
                "lanczos3",
                &[
                    -1.259596, -0.0, 2.091561, 4.972477, 7.5, 8.197073, 7.392545, 7.0, 8.015406,
                    9.50989, 9.5, 7.392537, 4.641534, 4.0, 6.3482, 9.774968, 12.5, 14.147973,
                ],
            ),
            (
                6,
                3,
                "lanczos5",
                &[
                    -1.589216, -0.0, 2.300038, 5.131714, 7.5, 8.101618, 7.286045, 7.0, 8.052803,
                    9.438686, 9.5, 7.395473, 4.586359, 4.0, 6.27211, 9.59751, 12.5, 14.605343,
                ],
            ),
            (
                6,
                5,
                "bicubic",
                &[
                    -0.865763, -0.566442, 0.0, 1.080278, 2.656407, 4.49631, 6.289772, 7.5, 7.86407,
                    7.731429, 7.368766, 7.036223, 7.0, 7.436614, 8.169545, 8.930649, 9.463679, 9.5,
                    8.686792, 7.200788, 5.578977, 4.332856, 4.0, 5.060688, 7.065381, 9.268217,
                    11.201374, 12.5, 13.141967, 13.481198,
                ],
            ),
            (
                6,
                5,
                "lanczos3",
                &[
                    -1.446711, -0.826844, -0.0, 1.133614, 2.625157, 4.372849, 6.120753, 7.5,
                    8.179915, 8.099452, 7.580038, 7.094193, 7.0, 7.451986, 8.339721, 9.273456,
                    9.773116, 9.5, 8.434434, 6.814079, 5.111735, 3.997189, 4.0, 5.144562, 7.022608,
                    9.108955, 11.000456, 12.5, 13.598569, 14.375212,
                ],
            ),
            (
                6,
                5,
                "lanczos5",
                &[
                    -1.837905, -1.026799, -0.0, 1.289744, 2.842863, 4.557994, 6.217516, 7.5,
                    8.109131, 7.996096, 7.468575, 7.014771, 7.0, 7.505946, 8.355695, 9.216128,
                    9.705183, 9.5, 8.466151, 6.796329, 5.054363, 3.965626, 4.0, 5.118636, 6.916965,
                    8.93629, 10.852212, 12.5, 13.850543, 14.943187,
                ],
            ),
        ];
        for &(n, size, interpolation, want) in cases {
            let x: Vec<Float> = (0..n)
                .map(|i| (i * i * 7 % 11) as Float + 0.5 * i as Float)
                .collect();
            let layer = UpSampling2D::new([size, 1]).interpolation(interpolation);
            let (down, _) = apply(&layer, &[(&x, &[n, 1, 1])], &[None], &[]);
            let layer = UpSampling2D::new([1, size]).interpolation(interpolation);
            let (across, _) = apply(&layer, &[(&x, &[1, n, 1])], &[None], &[]);
            for got in [down, across] {
                let near = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5);
                assert!(
                    near && got.len() == want.len(),
                    "{n} {size} {interpolation}: {got:?}"
                );
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let image: Shape = [4, 4, 1].into();
        let refused = |layer: UpSampling2D| {
            layer
                .output_shape(std::slice::from_ref(&image))
                .unwrap_err()
        };
        refused(UpSampling2D::new(0));
        refused(UpSampling2D::new(usize::MAX));
        refused(UpSampling2D::new(1 << 31));
        refused(UpSampling2D::new(2).data_format("channel_last"));
        let e = refused(UpSampling2D::new(2).interpolation("bicubik"));
        assert!(e.to_string().contains("did you mean `bicubic`?"), "{e}");
        assert!(UpSampling1D::new(2).output_shape(&[[4].into()]).is_err());
    }
}
