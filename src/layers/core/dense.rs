//! Fully connected layer: `y = act(x W + b)`.
//!
//! With `z = x W + b`: `dz = dy * act'(z)`, `dW += x^T dz`, `db += sum_rows dz`, `dx = dz W^T`.
//!
//! With low-rank adaptation `W` rests and `z = x W + u B + b` with `u = s x A`: `dB += u^T dz`, `du = s dz B^T`, `dA += x^T du`,
//! `dx += du A^T`.
//!
//! x: (.., k)  W: (k, units)  b: (units)  y: (.., units); all axes but the last are rows.

use serde::{Deserialize, Serialize};

use super::lora::Lora;
use crate::activation::{Activation, Reads};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{
    Backward, Buffers, Contract, Forward, Head, Kind, Layer, Len, MaskRule, Weight, Weights,
};
use crate::layers::args::{checked, glorot_uniform, one_input, yes, zeros};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Fully connected layer: `y = activation(x W + b)` over the last axis. [Keras](https://keras.io/api/layers/core_layers/dense/)
///
/// Input `(batch, .., k)`, output `(batch, .., units)`; weights `kernel (k, units)` and `bias (units)`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `units` | | size of the last axis of the output |
/// | `activation` | linear | applied to the output |
/// | `use_bias` | true | whether `b` is added |
/// | `kernel_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the weights start |
/// | `kernel_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `bias_constraint` | none | projections after each update |
/// | `lora_rank` | none | trains a low-rank addition to the kernel instead of the kernel |
/// | `lora_alpha` | `lora_rank` | the addition is scaled by `lora_alpha / lora_rank` |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([2]).add(Dense::new(2).activation("relu"));
/// model.build([2])?;
/// model.set_weights(&[array![[1.0f32, -1.0], [2.0, 0.0]].into_dyn(), array![0.5f32, 0.0].into_dyn()])?;
/// assert_eq!(model.predict(&array![[1.0f32, 1.0]])?, array![[3.5, 0.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    units: usize,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_alpha: Option<f64>,
}

impl Dense {
    /// With so many outputs.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            activation: Activation::Linear,
            use_bias: true,
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

    /// Trains a product of matrices of this rank that is added to the kernel, instead of the kernel.
    pub fn lora_rank(mut self, rank: usize) -> Self {
        self.lora_rank = Some(rank);
        self
    }

    /// The addition is scaled by this over the rank.
    pub fn lora_alpha(mut self, alpha: f64) -> Self {
        self.lora_alpha = Some(alpha);
        self
    }

    fn lora(&self) -> Option<Lora> {
        Lora::new(self.lora_rank, self.lora_alpha)
    }
}

impl Layer for Dense {
    fn class_name(&self) -> &'static str {
        "Dense"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.units == 0 {
            return Err(Error::arg("units", "a positive integer", 0));
        }
        self.activation.check("activation")?;
        Lora::check(self.lora_rank, self.lora_alpha, &self.kernel_constraint)?;
        let x = one_input(inputs)?;
        if let Some(lora) = self.lora() {
            checked(x.with_last(lora.rank)?)?;
        }
        match x.last() {
            Some(0) | None => Err(Error::shape("an input whose last axis has a known size", x)),
            Some(_) => checked(x.with_last(self.units)?),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let k = inputs[0].last().unwrap_or(0);
        let mut kernel = Weight::new("kernel", [k, self.units], &self.kernel_initializer)
            .regularizer(&self.kernel_regularizer)
            .constraint(&self.kernel_constraint);
        if self.lora_rank.is_some() {
            kernel.kind = Kind::State;
        }
        let bias = Weight::new("bias", [self.units], &self.bias_initializer)
            .regularizer(&self.bias_regularizer)
            .constraint(&self.bias_constraint);
        let mut weights = vec![kernel];
        weights.extend(self.use_bias.then_some(bias));
        if let Some(lora) = self.lora() {
            let (names, shape) = (["lora_kernel_a", "lora_kernel_b"], [k, self.units]);
            weights.extend(lora.weights(names, shape, &self.kernel_regularizer));
        }
        Ok(weights)
    }

    fn filed(&self, name: &str, mut w: Weights<'_>, mut state: Weights<'_>) -> Option<Vec<Float>> {
        let lora = self.lora().filter(|_| name == "kernel")?;
        w.take_front(usize::from(self.use_bias));
        Some(lora.merged(state.next()?, w.next()?, w.next()?))
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let rows = inputs[0].without_last().numel();
        // The pre-activation, where the derivative needs it, and u.
        let z = self.activation.reads() == Reads::Input;
        let z = z.then_some(Len::PerSample(rows * self.units));
        let u = self.lora().map(|lora| Len::PerSample(rows * lora.rank));
        Buffers {
            saved: z.into_iter().chain(u).collect(),
            scratch: u.into_iter().collect(),
            ..Buffers::default()
        }
    }

    fn inference_buffers(&self, inputs: &[Dims]) -> Buffers {
        match self.lora() {
            // u is needed in forward, too.
            Some(_) => self.buffers(inputs),
            None => Buffers::default(),
        }
    }

    fn contract(&self) -> Contract {
        let reads_y = self.activation.reads() == Reads::Output;
        Contract {
            reads_y,
            overwrites_dw: true,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let lora = self.lora();
        let kernel = if lora.is_some() {
            &mut cx.state
        } else {
            &mut cx.w
        };
        let kernel = kernel.next().expect("kernel");
        let bias = if self.use_bias { cx.w.next() } else { None };
        let reads_z = self.activation.reads() == Reads::Input;
        let z = if reads_z { cx.saved.next() } else { None };
        let (m, k, n) = (cx.x[0].rows(), cx.x[0].cols(), self.units);
        let (x, y) = (Mat::new(cx.x[0].data, k), &mut *cx.y.data);
        gemm(
            m,
            k,
            n,
            x,
            Mat::new(kernel, n),
            Accum::Replace,
            y,
            n,
            cx.par,
        );
        if let Some(Lora { rank, scale }) = lora {
            let [a, b] = [cx.w.next().expect("a"), cx.w.next().expect("b")];
            let u = cx.saved.next().expect("u");
            gemm(
                m,
                k,
                rank,
                x,
                Mat::new(a, rank),
                Accum::Replace,
                u,
                rank,
                cx.par,
            );
            elementwise::scale(scale, u);
            gemm(
                m,
                rank,
                n,
                Mat::new(u, rank),
                Mat::new(b, n),
                Accum::Add,
                y,
                n,
                cx.par,
            );
        }
        self.activation.apply_bias_on(cx.par, bias, y, n, z);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let lora = self.lora();
        let kernel = if lora.is_some() {
            &mut cx.state
        } else {
            &mut cx.w
        };
        let kernel = kernel.next().expect("kernel");
        let reads_z = self.activation.reads() == Reads::Input;
        let z = if reads_z { cx.saved.next() } else { None };
        let (m, k, n) = (cx.x[0].rows(), cx.x[0].cols(), self.units);
        let mut dw = cx.dw.unwrap_or_default();
        let dkernel = if lora.is_some() { None } else { dw.next() };
        let mut dbias = if self.use_bias { dw.next() } else { None };
        if let (Some(dbias), Accum::Replace) = (&mut dbias, cx.accum) {
            dbias.fill(0.0); // the sweep below adds
        }
        let z = z.unwrap_or_default();
        self.activation
            .grad_bias_on(cx.par, cx.y.data, z, cx.dy.data, n, dbias); // dy holds dz from here on
        let (x, dz) = (Mat::new(cx.x[0].data, k), Mat::new(cx.dy.data, n));
        if let Some(dkernel) = dkernel {
            gemm(k, m, n, x.t(), dz, cx.accum, dkernel, n, cx.par);
        }
        let mut dx = cx.dx[0].as_mut().map(|dx| &mut *dx.data);
        if let Some(dx) = &mut dx {
            let kernel = Mat::new(kernel, n).t();
            gemm(m, n, k, dz, kernel, Accum::Replace, dx, k, cx.par);
        }
        let Some(Lora { rank, scale }) = lora else {
            return;
        };
        cx.w.take_front(usize::from(self.use_bias));
        let [a, b] = [cx.w.next().expect("a"), cx.w.next().expect("b")];
        let [u, du] = [cx.saved.next().expect("u"), cx.scratch.next().expect("du")];
        gemm(
            m,
            n,
            rank,
            dz,
            Mat::new(b, n).t(),
            Accum::Replace,
            du,
            rank,
            cx.par,
        );
        elementwise::scale(scale, du);
        let (u, du) = (Mat::new(u, rank), Mat::new(du, rank));
        if let (Some(da), Some(db)) = (dw.next(), dw.next()) {
            gemm(k, m, rank, x.t(), du, cx.accum, da, rank, cx.par);
            gemm(rank, m, n, u.t(), dz, cx.accum, db, n, cx.par);
        }
        if let Some(dx) = dx {
            gemm(
                m,
                rank,
                k,
                du,
                Mat::new(a, rank).t(),
                Accum::Add,
                dx,
                k,
                cx.par,
            );
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
        for activation in Activation::all() {
            check_layer(Dense::new(3).activation(activation), &[[5].into()]);
        }
        check_layer(Dense::new(3).use_bias(false), &[[2, 4].into()]);
        check_layer(Dense::new(1), &[[2, 3, 4].into()]);
        let lora = Dense::new(4).lora_rank(2);
        check_layer(
            lora.clone().lora_alpha(3.0).activation("gelu"),
            &[[5].into()],
        );
        check_layer(lora.use_bias(false), &[[2, 5].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let e = Dense::new(0)
            .output_shape(&[[5].into()])
            .unwrap_err()
            .owned_by("dense");
        assert_eq!(
            e.to_string(),
            "dense: argument `units`: expected a positive integer, got 0"
        );
        assert!(Dense::new(2).output_shape(&[[None].into()]).is_err());
        let refused = |layer: Dense| assert!(layer.output_shape(&[[5].into()]).is_err());
        refused(Dense::new(usize::MAX));
        refused(Dense::new(2).lora_rank(0));
        refused(Dense::new(2).lora_rank(usize::MAX));
        refused(Dense::new(2).lora_rank(1).lora_alpha(f64::NAN));
        refused(Dense::new(2).lora_rank(1).kernel_constraint("non_neg"));
        assert!(Dense::new(2).output_shape(&[Shape::default()]).is_err());
        assert!(
            Dense::new(2)
                .output_shape(&[[1].into(), [1].into()])
                .is_err()
        );
    }
}
