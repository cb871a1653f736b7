//! An activation as a layer: `y = f(x)`, `dx = dy * f'(.)`, in place.
//!
//! `glu` alone changes the shape: `y = a s` with `s = sigmoid(b)`, `da = dy s`, `db = dy a s (1 - s)` for the halves of a row.

use serde::{Deserialize, Serialize};

use crate::activation::{Activation as Function, Reads};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::{mul_to, sigmoid};
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Len, MaskRule};
use crate::layers::args::one_input;
use crate::shape::{Dims, Shape};

/// Applies an activation function. [Keras](https://keras.io/api/layers/core_layers/activation/)
///
/// Input and output have the same shape, but for `glu`, which halves the last axis. Softmax and its relatives work on the last
/// axis.
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([3]).add(Activation::new("relu"));
/// model.build([3])?;
/// assert_eq!(model.predict(&array![[-1.0f32, 0.0, 2.0]])?, array![[0.0, 0.0, 2.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    activation: Function,
}

impl Activation {
    /// This function: a name of Keras's or an [`activation::Activation`](Function).
    pub fn new(activation: impl Into<Function>) -> Self {
        Activation {
            activation: activation.into(),
        }
    }
}

impl Layer for Activation {
    fn class_name(&self) -> &'static str {
        "Activation"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        if self.activation != Function::Glu {
            self.activation.check("activation")?;
            return Ok(x.clone());
        }
        match x.last() {
            Some(n) if n > 0 && n % 2 == 0 => x.with_last(n / 2),
            _ => Err(Error::shape("an even number of features for `glu`", x)),
        }
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        // The input, where the derivative needs it; of `glu`, the gates.
        let halves = if self.activation == Function::Glu {
            2
        } else {
            1
        };
        let z = Len::PerSample(inputs[0].numel() / halves);
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
        let is_glu = self.activation == Function::Glu;
        Contract {
            reads_x: is_glu,
            reads_y: self.activation.reads() == Reads::Output,
            in_place: !is_glu,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let (cols, z) = (cx.y.cols(), cx.saved.next());
        if self.activation == Function::Glu {
            return glu(cx.x[0].data, z.unwrap_or_default(), cx.y.data, cols);
        }
        self.activation.apply_bias(None, cx.y.data, cols, z);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (cols, z) = (cx.y.cols(), cx.saved.next().unwrap_or_default());
        let Some(dx) = &mut cx.dx[0] else { return };
        if self.activation == Function::Glu {
            return glu_backward(cx.x[0].data, z, cx.dy.data, dx.data, cols);
        }
        self.activation.grad(cx.y.data, z, dx.data, cols);
    }

    fn head(&self) -> Head {
        match self.activation {
            Function::Glu => Head::None,
            _ => Head::Whole(self.activation.clone()),
        }
    }
}

fn glu(x: &[Float], gates: &mut [Float], y: &mut [Float], cols: usize) {
    let rows = || x.chunks_exact(2 * cols).map(|row| row.split_at(cols));
    for (gates, (_, b)) in gates.chunks_exact_mut(cols).zip(rows()) {
        gates.copy_from_slice(b);
    }
    sigmoid(gates);
    for ((y, gates), (a, _)) in y
        .chunks_exact_mut(cols)
        .zip(gates.chunks_exact(cols))
        .zip(rows())
    {
        mul_to(a, gates, y);
    }
}

fn glu_backward(x: &[Float], gates: &[Float], dy: &[Float], dx: &mut [Float], cols: usize) {
    let rows = x.chunks_exact(2 * cols).zip(dx.chunks_exact_mut(2 * cols));
    let halves = gates.chunks_exact(cols).zip(dy.chunks_exact(cols));
    for ((x, dx), (gates, dy)) in rows.zip(halves) {
        let (da, db) = dx.split_at_mut(cols);
        mul_to(dy, gates, da);
        for (((db, da), s), a) in db.iter_mut().zip(&*da).zip(gates).zip(x) {
            *db = da * a * (1.0 - s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        for activation in Function::all() {
            check_layer(Activation::new(activation), &[[2, 3].into()]);
        }
        check_layer(Activation::new("glu"), &[[2, 6].into()]);
    }

    #[test]
    fn glu_needs_halves() {
        let glu = Activation::new("glu");
        assert_eq!(glu.output_shape(&[[3, 4].into()]).unwrap(), [3, 2].into());
        assert!(glu.output_shape(&[[3].into()]).is_err());
        assert!(glu.output_shape(&[[None].into()]).is_err());
        let e = crate::layers::Dense::new(4)
            .activation("glu")
            .output_shape(&[[3].into()]);
        assert!(
            e.unwrap_err()
                .to_string()
                .contains("put it into an Activation layer")
        );
    }
}
