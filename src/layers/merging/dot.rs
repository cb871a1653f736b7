//! Dot product of two inputs along one axis of each, sample by sample.
//!
//! With the axis in question in the middle, a sample of `x0` is (a, k, c) and one of `x1` is (b, k, d):
//! `y[a c, b d] = sum_k x0[a, k, c] x1[b, k, d]`, a matrix product `Y = X0 X1^T` of (m, k) and (n, k) matrices with `m = a c`,
//! `n = b d`; so `dX0 = dY X1`, `dX1 = dY^T X0`. Where both parts of `m` are larger than 1, its rows have no single stride, and the
//! product is made in `a` blocks.
//!
//! With `normalize`, `u = x s` along the axis with `s = min(1 / |x|, 1e7)` takes the place of `x`, and `dx = s (du - u (u . du))`;
//! where the bound holds `s` is constant, and `dx = s du`.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, MaskRule, Par};
use crate::layers::args::{checked, sample_axis};
use crate::shape::{Dims, Shape};

/// Dot product of two inputs along an axis of each. [Keras](https://keras.io/api/layers/merging_layers/dot/)
///
/// The output has the axes of the first input without its axis, then those of the second without its; where none is left,
/// one of size 1. It has no mask.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axes` | | one axis for both inputs or one for each, counted with the batch axis (which cannot be taken) |
/// | `normalize` | false | whether both are scaled to length 1 along the axis first: the cosine |
///
/// ```
/// use oxhorn::{layers::Dot, prelude::*};
/// let shape = Dot::new([2, 1]).output_shape(&[[3, 4].into(), [4, 5].into()])?;
/// assert_eq!(shape, Shape::from([3, 5]));
/// assert_eq!(Dot::new(1).output_shape(&[[4].into(), [4].into()])?, Shape::from([1]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dot {
    axes: DotAxes,
    #[serde(default)]
    normalize: bool,
}

/// The axes of a [`Dot`]: one for both inputs, or one for each.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DotAxes {
    /// The same for both.
    Both(i64),
    /// One for each.
    Each([i64; 2]),
}

impl From<i64> for DotAxes {
    fn from(axis: i64) -> Self {
        DotAxes::Both(axis)
    }
}

impl From<[i64; 2]> for DotAxes {
    fn from(axes: [i64; 2]) -> Self {
        DotAxes::Each(axes)
    }
}

/// Largest factor to which an input is scaled: 1 over Keras's epsilon.
const LARGEST: Float = 1e7;

impl Dot {
    /// Along these axes.
    pub fn new(axes: impl Into<DotAxes>) -> Self {
        Dot {
            axes: axes.into(),
            normalize: false,
        }
    }

    /// Whether both inputs are scaled to length 1 along the axis first.
    pub fn normalize(mut self, yes: bool) -> Self {
        self.normalize = yes;
        self
    }

    /// The axis of one input's samples.
    fn axis(&self, input: usize, rank: usize) -> Result<usize> {
        let axis = match self.axes {
            DotAxes::Both(axis) => axis,
            DotAxes::Each(axes) => axes[input],
        };
        sample_axis("axes", axis, rank)
    }

    fn factors(&self, shapes: [&[usize]; 2]) -> [Factor; 2] {
        std::array::from_fn(|i| Factor::new(shapes[i], self.axis(i, shapes[i].len()).unwrap_or(0)))
    }
}

/// A sample of an input as a matrix of `rows` times `k`, in blocks of rows that have strides.
#[derive(Clone, Copy)]
struct Factor {
    before: usize,
    k: usize,
    behind: usize,
}

impl Factor {
    fn new(shape: &[usize], axis: usize) -> Self {
        Factor {
            before: shape[..axis].iter().product(),
            k: shape[axis],
            behind: shape[axis + 1..].iter().product(),
        }
    }

    fn rows(&self) -> usize {
        self.before * self.behind
    }

    fn len(&self) -> usize {
        self.rows() * self.k
    }

    /// Whether `k` is the last axis: all rows are one block, row-major.
    fn is_last(&self) -> bool {
        self.behind == 1
    }

    fn blocks(&self) -> usize {
        if self.is_last() { 1 } else { self.before }
    }

    fn block_rows(&self) -> usize {
        self.rows() / self.blocks().max(1)
    }

    /// Block `i` of the sample: (block_rows, k).
    fn block<'a>(&self, x: &'a [Float], i: usize) -> Mat<'a> {
        if self.is_last() {
            Mat::new(x, self.k)
        } else {
            Mat::strided(&x[i * self.k * self.behind..], 1, self.behind)
        }
    }

    /// `dX = dY Z` for block `i`, where `dy` is (block_rows, n) and `z` is (n, k).
    fn write(&self, i: usize, dy: Mat, n: usize, z: Mat, accum: Accum, dx: &mut [Float], par: Par) {
        let (rows, k) = (self.block_rows(), self.k);
        if self.is_last() {
            gemm(rows, n, k, dy, z, accum, dx, k, par);
        } else {
            // Row-major, the block lies transposed.
            let dx = &mut dx[i * k * self.behind..];
            gemm(k, n, rows, z.t(), dy.t(), accum, dx, rows, par);
        }
    }

    /// `u = x s`; `s` for every row.
    fn normalize(&self, x: &[Float], u: &mut [Float], s: &mut [Float]) {
        s.fill(0.0);
        self.sweep(|row, at| s[row] += x[at] * x[at]);
        for s in &mut *s {
            *s = (1.0 / s.sqrt()).min(LARGEST);
        }
        self.sweep(|row, at| u[at] = x[at] * s[row]);
    }

    /// Turns `du` into `dx`; `dots` is room for a number a row.
    fn normalize_backward(&self, u: &[Float], s: &[Float], dots: &mut [Float], dx: &mut [Float]) {
        dots.fill(0.0);
        self.sweep(|row, at| dots[row] += u[at] * dx[at]);
        for (dot, s) in dots.iter_mut().zip(s) {
            *dot = if *s < LARGEST { *dot } else { 0.0 };
        }
        self.sweep(|row, at| dx[at] = s[row] * (dx[at] - u[at] * dots[row]));
    }

    /// Every element of a sample with its row.
    fn sweep(&self, mut f: impl FnMut(usize, usize)) {
        for a in 0..self.before {
            for k in 0..self.k {
                let at = (a * self.k + k) * self.behind;
                (0..self.behind).for_each(|c| f(a * self.behind + c, at + c));
            }
        }
    }
}

/// `y (m, n) = X0 X1^T` of a sample.
fn multiply([f0, f1]: [Factor; 2], x0: &[Float], x1: &[Float], y: &mut [Float], par: Par) {
    let (m, n) = (f0.block_rows(), f1.block_rows());
    for i in 0..f0.blocks() {
        for j in 0..f1.blocks() {
            let at = i * m * f1.rows() + j * n;
            let (a, b) = (f0.block(x0, i), f1.block(x1, j).t());
            gemm(
                m,
                f0.k,
                n,
                a,
                b,
                Accum::Replace,
                &mut y[at..],
                f1.rows(),
                par,
            );
        }
    }
}

/// `dx` of the first factor of a sample; the second one's is the same with `dY` transposed.
fn gradient([own, other]: [Factor; 2], dy: Mat, z: &[Float], dx: &mut [Float], par: Par) {
    let (m, n) = (own.block_rows(), other.block_rows());
    for i in 0..own.blocks() {
        for j in 0..other.blocks() {
            let at = i * m * dy.row + j * n * dy.col;
            let part = Mat::strided(&dy.data[at..], dy.row, dy.col);
            let accum = if j == 0 { Accum::Replace } else { Accum::Add };
            own.write(i, part, n, other.block(z, j), accum, dx, par);
        }
    }
}

impl Layer for Dot {
    fn class_name(&self) -> &'static str {
        "Dot"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [x0, x1] = inputs else {
            let got = format!("{} inputs", inputs.len());
            return Err(Error::shape("two inputs", got));
        };
        let (a0, a1) = (self.axis(0, x0.rank())?, self.axis(1, x1.rank())?);
        let (k0, k1) = (x0.dims()[a0], x1.dims()[a1]);
        if k0.zip(k1).is_some_and(|(k0, k1)| k0 != k1) {
            let (want, got) = (
                format!("the axes to have equal sizes in {x0}"),
                format!("{x1}"),
            );
            return Err(Error::shape(want, got));
        }
        if let Some(empty) = inputs.iter().find(|x| x.dims().contains(&Some(0))) {
            return Err(Error::shape("axes that are not empty", empty));
        }
        let (mut dims, mut behind) = (x0.dims().to_vec(), x1.dims().to_vec());
        dims.remove(a0);
        behind.remove(a1);
        dims.extend(behind);
        if dims.is_empty() {
            dims.push(Some(1));
        }
        checked(dims.into())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        if !self.normalize {
            return Buffers::default();
        }
        let factors = self.factors([&inputs[0], &inputs[1]]);
        let [r0, r1] = factors.map(|f| f.rows());
        Buffers {
            saved: vec![
                Len::PerSample(factors[0].len()),
                Len::PerSample(factors[1].len()),
                Len::PerSample(r0),
                Len::PerSample(r1),
            ],
            scratch: vec![Len::Fixed(r0.max(r1))],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: !self.normalize,
            mask: MaskRule::Stop,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let factors = self.factors([cx.x[0].shape, cx.x[1].shape]);
        let mut x = [cx.x[0].data, cx.x[1].data];
        if self.normalize {
            let [u0, u1, s0, s1] = cx.saved.all();
            for (i, (u, s)) in [(&mut *u0, s0), (&mut *u1, s1)].into_iter().enumerate() {
                let f = factors[i];
                let samples = x[i].chunks_exact(f.len()).zip(u.chunks_exact_mut(f.len()));
                for ((x, u), s) in samples.zip(s.chunks_exact_mut(f.rows())) {
                    f.normalize(x, u, s);
                }
            }
            x = [u0, u1];
        }
        let [l0, l1] = factors.map(|f| f.len());
        let inner = if cx.y.batch == 1 { cx.par } else { Par::Serial };
        cx.par.for_each_rows(
            cx.y.data,
            factors[0].rows() * factors[1].rows(),
            |first, part| {
                let each = factors[0].rows() * factors[1].rows();
                for (i, y) in part.chunks_exact_mut(each).enumerate() {
                    let (x0, x1) = (
                        &x[0][(first + i) * l0..][..l0],
                        &x[1][(first + i) * l1..][..l1],
                    );
                    multiply(factors, x0, x1, y, inner);
                }
            },
        );
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let factors = self.factors([cx.x[0].shape, cx.x[1].shape]);
        let [m, n] = factors.map(|f| f.rows());
        let mut saved = || cx.saved.next().unwrap_or_default();
        let (u0, u1, s0, s1) = (saved(), saved(), saved(), saved());
        let dots = cx.scratch.next().unwrap_or_default();
        let x: [&[Float]; 2] = match self.normalize {
            true => [u0, u1],
            false => [cx.x[0].data, cx.x[1].data],
        };
        let inner = if cx.dy.batch == 1 {
            cx.par
        } else {
            Par::Serial
        };
        for (i, dx) in cx.dx.iter_mut().enumerate() {
            let (Some(dx), own, other) = (dx, factors[i], factors[1 - i]) else {
                continue;
            };
            let (z, dy) = (x[1 - i], &*cx.dy.data);
            cx.par.for_each_rows(dx.data, own.len(), |first, part| {
                for (s, dx) in part.chunks_exact_mut(own.len()).enumerate() {
                    let dy = Mat::new(&dy[(first + s) * m * n..][..m * n], n);
                    let dy = if i == 0 { dy } else { dy.t() };
                    let z = &z[(first + s) * other.len()..][..other.len()];
                    gradient([own, other], dy, z, dx, inner);
                }
            });
            if self.normalize {
                let samples = dx.data.chunks_exact_mut(own.len());
                for (s, dx) in samples.enumerate() {
                    let u = &x[i][s * own.len()..][..own.len()];
                    let scale = if i == 0 { &*s0 } else { &*s1 };
                    let scale = &scale[s * own.rows()..][..own.rows()];
                    own.normalize_backward(u, scale, &mut dots[..own.rows()], dx);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        for normalize in [false, true] {
            let dot = |axes: [i64; 2]| Dot::new(axes).normalize(normalize);
            check_layer(Dot::new(1).normalize(normalize), &[[5].into(), [5].into()]);
            check_layer(
                Dot::new(-1).normalize(normalize),
                &[[3, 4].into(), [2, 4].into()],
            );
            check_layer(dot([2, 1]), &[[3, 4].into(), [4, 5].into()]);
            check_layer(dot([1, 2]), &[[4, 3].into(), [5, 4].into()]);
            check_layer(dot([1, 1]), &[[4].into(), [4, 3].into()]);
            check_layer(dot([2, 1]), &[[3, 4].into(), [4].into()]);
            check_layer(dot([2, 2]), &[[2, 3, 2].into(), [2, 3, 4].into()]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |axes: [i64; 2], inputs: &[Shape]| {
            assert!(Dot::new(axes).output_shape(inputs).is_err());
        };
        refused([0, 1], &[[3].into(), [3].into()]);
        refused([1, 1], &[[3].into(), [4].into()]);
        refused([1, 2], &[[3].into(), [3].into()]);
        refused([1, 1], &[[3].into()]);
        refused([1, 1], &[[0].into(), [0].into()]);
        refused(
            [1, 1],
            &[[3, 1, 1, 1, 1, 1].into(), [3, 1, 1, 1, 1, 1].into()],
        );
    }
}
