//! Dense layer along any axes: `y = act(einsum(equation, x, W) + b)`.
//!
//! With `z` before the activation: `dz = dy act'(z)`, `dW += einsum` of `x` and `dz` over the labels that W lacks,
//! `dx = einsum` of `dz` and `W` over those that x lacks, `db += ` the sums of dz over the axes along which b is repeated: matrix
//! products in a loop (see [`einsum`](crate::kernels::einsum)). With adaptation `W + s A B` takes the place of W; for the gradient
//! `G` of that sum `dA += s G B^T`, `dB += s A^T G`.

mod plan;

use serde::{Deserialize, Deserializer, Serialize};

use super::lora::Lora;
use crate::activation::{Activation, Reads};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::Result;
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::einsum::einsum;
use crate::kernels::elementwise::{add, add_rows, scale};
use crate::kernels::gemm::{Mat, gemm};
use crate::kernels::spread::Spread;
use crate::layer::{
    Accum, Backward, Buffers, Contract, Forward, Head, Kind, Layer, Len, Par, Weight, Weights,
};
use crate::layers::args::{checked, glorot_uniform, one_input, zeros};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Dense layer along any axes, by Einstein's notation: `y = activation(einsum(equation, x, kernel) + bias)`.
/// [Keras](https://keras.io/api/layers/core_layers/einsum_dense/)
///
/// The equation has one of the forms `"abc,cd->abd"`, `"...x,xy->...y"`, `"abc...,cd->abd..."`; its first axis is the batch. The
/// kernel's axes take their sizes from `output_shape` where the output has them, else from the input.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `equation` | | labels of input, kernel and output |
/// | `output_shape` | | sizes of the named axes of the output behind the batch; none: the input's |
/// | `activation` | linear | applied to the output |
/// | `bias_axes` | none | labels of the output along which the bias differs; none: there is no bias |
/// | `kernel_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the weights start |
/// | `kernel_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `bias_constraint` | none | projections after each update |
/// | `lora_rank` | none | trains a low-rank addition to the kernel instead of the kernel |
/// | `lora_alpha` | `lora_rank` | the addition is scaled by `lora_alpha / lora_rank` |
///
/// ```
/// use oxhorn::prelude::*;
/// let heads = EinsumDense::new("btf,fnh->btnh", [None, Some(4), Some(2)]).bias_axes("nh");
/// let mut model = Sequential::new().input([5, 8]).add(heads);
/// model.build([5, 8])?;
/// let shapes: Vec<_> = model.get_weights().iter().map(|w| w.shape().to_vec()).collect();
/// assert_eq!(shapes, [vec![8, 4, 2], vec![4, 2]]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EinsumDense {
    equation: String,
    #[serde(deserialize_with = "one_or_many")]
    output_shape: Vec<Option<usize>>,
    #[serde(default)]
    activation: Activation,
    #[serde(default)]
    bias_axes: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_alpha: Option<f64>,
}

/// A size, or a list of sizes of which some may be null.
fn one_or_many<'de, D: Deserializer<'de>>(
    d: D,
) -> std::result::Result<Vec<Option<usize>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        One(usize),
        Many(Vec<Option<usize>>),
    }
    Ok(match Form::deserialize(d)? {
        Form::One(one) => vec![Some(one)],
        Form::Many(many) => many,
    })
}

impl EinsumDense {
    /// By this equation; sizes of the output's named axes behind the batch, `None` for those of the input.
    pub fn new(equation: impl Into<String>, output_shape: impl Into<Shape>) -> Self {
        EinsumDense {
            equation: equation.into(),
            output_shape: output_shape.into().dims().to_vec(),
            activation: Activation::Linear,
            bias_axes: None,
            kernel_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            kernel_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
            lora_rank: None,
            lora_alpha: None,
        }
    }

    /// Function applied to the output.
    pub fn activation(mut self, activation: impl Into<Activation>) -> Self {
        self.activation = activation.into();
        self
    }

    /// Labels of the output along which the bias differs.
    pub fn bias_axes(mut self, labels: impl Into<String>) -> Self {
        self.bias_axes = Some(labels.into());
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

    /// Trains a low-rank addition to the kernel instead of the kernel.
    pub fn lora_rank(mut self, rank: usize) -> Self {
        self.lora_rank = Some(rank);
        self
    }

    /// The addition is scaled by `lora_alpha / lora_rank`.
    pub fn lora_alpha(mut self, alpha: f64) -> Self {
        self.lora_alpha = Some(alpha);
        self
    }

    fn lora(&self) -> Option<Lora> {
        Lora::new(self.lora_rank, self.lora_alpha)
    }
}

impl Layer for EinsumDense {
    fn class_name(&self) -> &'static str {
        "EinsumDense"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.activation.check("activation")?;
        Lora::check(self.lora_rank, self.lora_alpha, &self.kernel_constraint)?;
        let plan = self.plan(one_input(inputs)?)?;
        if let Some(lora) = self.lora() {
            checked(Shape::from(plan.kernel).with_last(lora.rank)?)?;
            checked([lora.rank, plan.kernel.last()].into())?;
        }
        Ok(plan.output)
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let plan = self.plan(&inputs[0])?;
        // Fans as the axes of inputs and outputs make them.
        let labels = plan.equation.term(1).labels().iter().zip(0..);
        let (output, input): (Vec<_>, Vec<_>) =
            labels.partition(|(l, _)| plan.equation.term(2).has(**l));
        let axes = |list: Vec<(&u8, isize)>| list.into_iter().map(|(_, axis)| axis).collect();
        let init = self.kernel_initializer.with_axes(axes(input), axes(output));
        let mut kernel = Weight::new("kernel", plan.kernel, &init)
            .regularizer(&self.kernel_regularizer)
            .constraint(&self.kernel_constraint);
        if self.lora_rank.is_some() {
            kernel.kind = Kind::State;
        }
        let mut weights = vec![kernel];
        if let Some(bias) = plan.bias {
            weights.push(
                Weight::new("bias", bias, &self.bias_initializer)
                    .regularizer(&self.bias_regularizer)
                    .constraint(&self.bias_constraint),
            );
        }
        if let Some(lora) = self.lora() {
            let shape = [plan.kernel.without_last().numel(), plan.kernel.last()];
            let [mut a, b] = lora.weights(
                ["lora_kernel_a", "lora_kernel_b"],
                shape,
                &self.kernel_regularizer,
            );
            a.shape = plan.kernel.without_last();
            a.shape.push(lora.rank);
            weights.extend([a, b]);
        }
        Ok(weights)
    }

    fn filed(&self, name: &str, mut w: Weights<'_>, mut state: Weights<'_>) -> Option<Vec<Float>> {
        let lora = self.lora().filter(|_| name == "kernel")?;
        w.take_front(usize::from(self.bias_axes.is_some()));
        Some(lora.merged(state.next()?, w.next()?, w.next()?))
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let plan = self.plan(&inputs[0].into()).expect("checked");
        let reads_z = self.activation.reads() == Reads::Input;
        let z = plan.output.numel().unwrap_or(0);
        // The adapted kernel, and the gradient of it.
        let adapted = if self.lora_rank.is_some() {
            plan.kernel.numel()
        } else {
            0
        };
        Buffers {
            saved: vec![
                Len::PerSample(if reads_z { z } else { 0 }),
                Len::Fixed(adapted),
            ],
            scratch: vec![Len::Fixed(adapted)],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_y: self.activation.reads() == Reads::Output,
            overwrites_dw: true,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let x = cx.x[0];
        let (equation, dims) = self.at(x.shape, cx.y.shape, x.batch);
        let [z, adapted] = cx.saved.all();
        let lora = self.lora();
        let kernel = if lora.is_some() {
            &mut cx.state
        } else {
            &mut cx.w
        };
        let mut kernel = kernel.next().expect("kernel");
        let bias_dims = self.bias_dims(cx.y.shape);
        let bias = bias_dims.and_then(|dims| Some((cx.w.next()?, dims)));
        if let Some(lora) = lora {
            let [a, b] = [cx.w.next().expect("a"), cx.w.next().expect("b")];
            adapt(lora, kernel, a, b, adapted, cx.par);
            kernel = adapted;
        }
        let labels = equation.labels(dims.each_ref().map(|d| &d[..]), [0, 1, 2]);
        einsum(&labels, x.data, kernel, Accum::Replace, cx.y.data, cx.par);
        let (cols, z) = (cx.y.cols(), Some(z).filter(|z| !z.is_empty()));
        let bias = match bias {
            // One row of the output: in the activation's sweep.
            Some((bias, _))
                if bias.len() == cols && bias_dims.is_some_and(|d| d.last() == cols) =>
            {
                Some(bias)
            }
            Some((bias, dims)) => {
                add_bias(bias, &dims, cx.y.shape, cx.y.batch, cx.y.data, cx.par);
                None
            }
            None => None,
        };
        self.activation
            .apply_bias_on(cx.par, bias, cx.y.data, cols, z);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let x = cx.x[0];
        let (equation, dims) = self.at(x.shape, cx.dy.shape, x.batch);
        let [z, adapted] = cx.saved.all();
        let [dadapted] = cx.scratch.all();
        let lora = self.lora();
        let kernel = match lora {
            Some(_) => &*adapted,
            None => cx.w.next().expect("kernel"),
        };
        let mut dw = cx.dw.unwrap_or_default();
        let dkernel = if lora.is_some() { None } else { dw.next() };
        let bias_dims = self.bias_dims(cx.dy.shape);
        let dbias = if bias_dims.is_some() { dw.next() } else { None };
        let cols = cx.dy.cols();
        match (dbias, bias_dims) {
            (Some(dbias), Some(dims)) => {
                if cx.accum == Accum::Replace {
                    dbias.fill(0.0); // what follows adds
                }
                if dbias.len() == cols && dims.last() == cols {
                    self.activation.grad_bias_on(
                        cx.par,
                        cx.y.data,
                        z,
                        cx.dy.data,
                        cols,
                        Some(dbias),
                    );
                } else {
                    self.activation
                        .grad_bias_on(cx.par, cx.y.data, z, cx.dy.data, cols, None);
                    Spread::shared(cx.dy.batch, cx.dy.shape, &dims).add_sums(cx.dy.data, dbias);
                }
            }
            _ => self
                .activation
                .grad_bias_on(cx.par, cx.y.data, z, cx.dy.data, cols, None),
        }
        // dy holds dz from here on
        let slices = dims.each_ref().map(|d| &d[..]);
        if let Some(dkernel) = dkernel {
            let labels = equation.labels(slices, [0, 2, 1]);
            einsum(&labels, x.data, cx.dy.data, cx.accum, dkernel, cx.par);
        }
        if let (Some(lora), Some(da), Some(db)) = (lora, dw.next(), dw.next()) {
            let labels = equation.labels(slices, [0, 2, 1]);
            einsum(
                &labels,
                x.data,
                cx.dy.data,
                Accum::Replace,
                dadapted,
                cx.par,
            );
            cx.w.take_front(usize::from(bias_dims.is_some()));
            let [a, b] = [cx.w.next().expect("a"), cx.w.next().expect("b")];
            scale(lora.scale, dadapted);
            let (rows, cols) = (a.len() / lora.rank, b.len() / lora.rank);
            let (a, b, g) = (
                Mat::new(a, lora.rank),
                Mat::new(b, cols),
                Mat::new(dadapted, cols),
            );
            gemm(
                rows,
                cols,
                lora.rank,
                g,
                b.t(),
                cx.accum,
                da,
                lora.rank,
                cx.par,
            );
            gemm(lora.rank, rows, cols, a.t(), g, cx.accum, db, cols, cx.par);
        }
        if let Some(dx) = &mut cx.dx[0] {
            let labels = equation.labels(slices, [2, 1, 0]);
            einsum(&labels, cx.dy.data, kernel, Accum::Replace, dx.data, cx.par);
        }
    }

    fn head(&self) -> Head {
        Head::of(&self.activation, || {
            self.clone().activation(Activation::Linear)
        })
    }
}

/// `out = W + s A B`
fn adapt(lora: Lora, w: &[Float], a: &[Float], b: &[Float], out: &mut [Float], par: Par) {
    let (rows, cols) = (a.len() / lora.rank, b.len() / lora.rank);
    let (a, b) = (Mat::new(a, lora.rank), Mat::new(b, cols));
    gemm(rows, lora.rank, cols, a, b, Accum::Replace, out, cols, par);
    scale(lora.scale, out);
    add(w, out);
}

/// Adds the bias, repeated along the axes along which it does not differ.
fn add_bias(
    bias: &[Float],
    dims: &[usize],
    shape: &[usize],
    batch: usize,
    y: &mut [Float],
    par: Par,
) {
    let back = &shape[shape.len() - dims.len()..];
    if dims == back {
        return par.for_each_rows(y, bias.len(), |_, y| add_rows(bias, y));
    }
    let row = |bias: &[Float], y: &mut [Float]| add(bias, y);
    let one = |bias: Float, y: &mut [Float]| y.iter_mut().for_each(|y| *y += bias);
    Spread::shared(batch, shape, dims).apply(bias, y, par, row, one);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        let dense = |equation: &str, output: Shape| EinsumDense::new(equation, output);
        let x3: &[Shape] = &[[2, 3].into()];
        check_layer(
            dense("ab,bcd->acd", [2, 3].into()).bias_axes("cd"),
            &[[4].into()],
        );
        check_layer(
            dense("abc,cd->abd", [None, Some(4)].into())
                .bias_axes("d")
                .activation("tanh"),
            x3,
        );
        check_layer(
            dense("abc,cd->abd", [None, Some(4)].into()).activation("gelu"),
            x3,
        );
        check_layer(
            dense("...x,xy->...y", 4.into())
                .bias_axes("y")
                .activation("softmax"),
            x3,
        );
        check_layer(
            dense("abcd,cde->abe", [None, Some(2)].into()).bias_axes("be"),
            &[[3, 2, 2].into()],
        );
        check_layer(
            dense("abc,bcd->abd", [None, Some(2)].into()).bias_axes("b"),
            x3,
        );
        check_layer(dense("abc,bde->aced", [3, 2, 2].into()).bias_axes("ce"), x3);
        check_layer(
            dense("ab...,bc->ac...", 4.into()).bias_axes("c"),
            &[[3, 2, 2].into()],
        );
        check_layer(
            dense("abc,cd->adb", [Some(4), None].into()).bias_axes("d"),
            x3,
        );
        let lora = dense("abc,cde->abde", [None, Some(2), Some(3)].into())
            .lora_rank(2)
            .lora_alpha(3.0);
        check_layer(lora.bias_axes("e").activation("silu"), x3);
    }

    #[test]
    fn shapes_are_keras_s() {
        let shapes = |layer: EinsumDense, x: Shape| {
            let weights = layer.weights(std::slice::from_ref(&x)).unwrap();
            let weights: Vec<Vec<usize>> = weights.iter().map(|w| w.shape.to_vec()).collect();
            (layer.output_shape(&[x]).unwrap().to_string(), weights)
        };
        let heads = EinsumDense::new("btf,fnh->btnh", [None, Some(4), Some(2)]).bias_axes("h");
        let (y, w) = shapes(heads, [None, Some(8)].into());
        assert_eq!(
            (y.as_str(), w),
            ("(None, None, 4, 2)", vec![vec![8, 4, 2], vec![2]])
        );
        let between = EinsumDense::new("bi,ijk->bjk", [3, 2]).bias_axes("j");
        assert_eq!(shapes(between, [5].into()).1, [vec![5, 3, 2], vec![3, 1]]);
        let behind = EinsumDense::new("bi...,ij->bj...", 3).bias_axes("j");
        let (y, w) = shapes(behind, [5, 7].into());
        assert_eq!(
            (y.as_str(), w),
            ("(None, 3, 7)", vec![vec![5, 3], vec![3, 1]])
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: EinsumDense, x: Shape, what: &str| {
            let e = layer
                .output_shape(&[x])
                .unwrap_err()
                .owned_by("dense")
                .to_string();
            assert!(e.starts_with("dense: ") && e.contains(what), "{e}");
        };
        let dense = |equation: &str, output: Shape| EinsumDense::new(equation, output);
        let x: Shape = [2, 3].into();
        for equation in [
            "",
            "ab",
            "ab,bc",
            "ab,...b->a",
            "...ab,bc->ac",
            "abc,cd->abd1",
            "abc,cd->bad",
            "abc,ad->abd",
            "aab,bc->ac",
            "abc,cee->abe",
        ] {
            refused(
                dense(equation, [None, Some(4)].into()),
                x.clone(),
                "`equation`",
            );
        }
        refused(
            dense("abc,cd->abd", 4.into()),
            x.clone(),
            "`output_shape`: expected 2 sizes",
        );
        refused(
            dense("abc,cd->abd", [3, 4].into()),
            x.clone(),
            "expected 2 for the axis `b`",
        );
        refused(
            dense("abc,cd->abd", [None, None].into()),
            x.clone(),
            "kernel's axis `d`",
        );
        refused(
            dense("abc,cd->abd", [2, 0].into()),
            x.clone(),
            "kernel's axis `d`",
        );
        refused(
            dense("abc,cd->abd", [2, usize::MAX].into()),
            x.clone(),
            "fits memory",
        );
        refused(
            dense("abc,cd->abd", [2, 4].into()).bias_axes("c"),
            x.clone(),
            "`bias_axes`",
        );
        refused(
            dense("abc,cd->abd", [2, 4].into()).bias_axes(""),
            x.clone(),
            "`bias_axes`",
        );
        refused(
            dense("abc,cd->abd", [2, 4].into()).lora_rank(0),
            x.clone(),
            "`lora_rank`",
        );
        refused(
            dense("abc,cd->abd", [2, 4].into()),
            [3].into(),
            "`equation`",
        );
    }
}
