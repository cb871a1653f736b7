//! Fully connected layer: `y = act(x W + b)`.
//!
//! With `z = x W + b`: `dz = dy * act'(z)`, `dW += x^T dz`, `db += sum_rows dz`, `dx = dz W^T`.
//! x: (.., k)  W: (k, units)  b: (units)  y: (.., units); all axes but the last are rows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::{Activation, Reads};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Len, MaskRule, Weight};
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
}

fn yes() -> bool {
    true
}

fn glorot_uniform() -> Initializer {
    Initializer::from("glorot_uniform")
}

fn zeros() -> Initializer {
    Initializer::Zeros
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
        let [x] = inputs else {
            return Err(Error::shape(
                "one input",
                format!("{} inputs", inputs.len()),
            ));
        };
        match x.last() {
            Some(0) | None => Err(Error::shape("an input whose last axis has a known size", x)),
            Some(_) => x.with_last(self.units),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let k = inputs[0].last().unwrap_or(0);
        let kernel = Weight::new("kernel", [k, self.units], &self.kernel_initializer)
            .regularizer(&self.kernel_regularizer)
            .constraint(&self.kernel_constraint);
        let bias = Weight::new("bias", [self.units], &self.bias_initializer)
            .regularizer(&self.bias_regularizer)
            .constraint(&self.bias_constraint);
        Ok(if self.use_bias {
            vec![kernel, bias]
        } else {
            vec![kernel]
        })
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        // The pre-activation, where the derivative needs it.
        let z = Len::PerSample(inputs[0].without_last().numel() * self.units);
        Buffers {
            saved: if self.activation.reads() == Reads::Input {
                vec![z]
            } else {
                Vec::new()
            },
            ..Buffers::default()
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
        let (x, kernel, bias) = (cx.x[0], cx.w.next().expect("kernel"), cx.w.next());
        let (m, k, n) = (x.rows(), x.cols(), self.units);
        gemm(
            m,
            k,
            n,
            Mat::new(x.data, k),
            Mat::new(kernel, n),
            Accum::Replace,
            cx.y.data,
            n,
            cx.par,
        );
        self.activation
            .apply_bias(bias, cx.y.data, n, cx.saved.next());
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (x, kernel) = (cx.x[0], cx.w.next().expect("kernel"));
        let (m, k, n) = (x.rows(), x.cols(), self.units);
        let z = cx.saved.next().unwrap_or_default();
        let (dkernel, mut dbias) = match &mut cx.dw {
            Some(dw) => (dw.next(), dw.next()),
            None => (None, None),
        };
        if let (Some(dbias), Accum::Replace) = (&mut dbias, cx.accum) {
            dbias.fill(0.0); // the sweep below adds
        }
        self.activation
            .grad_bias(cx.y.data, z, cx.dy.data, n, dbias); // dy holds dz from here on
        let dz = Mat::new(cx.dy.data, n);
        if let Some(dkernel) = dkernel {
            gemm(
                k,
                m,
                n,
                Mat::new(x.data, k).t(),
                dz,
                cx.accum,
                dkernel,
                n,
                cx.par,
            );
        }
        if let Some(dx) = &mut cx.dx[0] {
            gemm(
                m,
                n,
                k,
                dz,
                Mat::new(kernel, n).t(),
                Accum::Replace,
                dx.data,
                k,
                cx.par,
            );
        }
    }

    fn head(&self) -> Head {
        match self.activation {
            Activation::Linear => Head::None,
            _ => Head::Split(
                Arc::new(self.clone().activation(Activation::Linear)),
                self.activation.clone(),
            ),
        }
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
        assert!(Dense::new(2).output_shape(&[Shape::default()]).is_err());
        assert!(
            Dense::new(2)
                .output_shape(&[[1].into(), [1].into()])
                .is_err()
        );
    }
}
