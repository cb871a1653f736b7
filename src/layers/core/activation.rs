//! An activation as a layer: `y = f(x)`, `dx = dy * f'(.)`, in place where the derivative reads only the output.
//!
//! The gated linear unit halves the last axis: with `x = [a, b]`, `y = a s(b)`, `da = dy s(b)`, `db = dy a s(b) (1 - s(b))`.

use serde::{Deserialize, Serialize};

use crate::activation::{Activation as Function, Reads};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Buffers, Contract, Forward, Head, Layer, Len, MaskRule};
use crate::shape::{Dims, Shape};

/// Applies an activation function. [Keras](https://keras.io/api/layers/core_layers/activation/)
///
/// Input and output have the same shape, except for `glu`, which halves the last axis. Softmax and its relatives work on the last
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
        if self.activation != Function::Glu {
            self.activation.check("activation")?;
        }
        match inputs {
            [x] if self.activation == Function::Glu => match x.last() {
                Some(n) if n > 0 && n % 2 == 0 => x.with_last(n / 2),
                _ => Err(Error::shape("an even last axis for `glu`", x)),
            },
            [x] => Ok(x.clone()),
            _ => Err(Error::shape(
                "one input",
                format!("{} inputs", inputs.len()),
            )),
        }
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let z = Len::PerSample(inputs[0].numel());
        Buffers {
            saved: if self.activation.reads() == Reads::Input {
                vec![z]
            } else {
                Vec::new()
            },
            ..Buffers::default()
        }
    }

    fn inference_buffers(&self, _inputs: &[Dims]) -> Buffers {
        Buffers::default()
    }

    fn contract(&self) -> Contract {
        let reads_y = self.activation.reads() == Reads::Output;
        let glu = self.activation == Function::Glu;
        Contract {
            reads_x: glu,
            reads_y,
            in_place: !glu,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let cols = cx.y.cols();
        if self.activation == Function::Glu {
            let rows = cx.x[0].data.chunks_exact(2 * cols);
            for (x, y) in rows.zip(cx.y.data.chunks_exact_mut(cols)) {
                let (a, b) = x.split_at(cols);
                y.copy_from_slice(b);
                Function::Sigmoid.apply(y, cols);
                y.iter_mut().zip(a).for_each(|(y, a)| *y *= a);
            }
            return;
        }
        self.activation
            .apply_bias(None, cx.y.data, cols, cx.saved.next());
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (cols, z) = (cx.y.cols(), cx.saved.next().unwrap_or_default());
        if let Some(dx) = &mut cx.dx[0] {
            if self.activation == Function::Glu {
                let cols = cx.x[0].cols() / 2;
                let rows = cx.x[0].data.chunks_exact(2 * cols);
                let grads = dx.data.chunks_exact_mut(2 * cols);
                for ((x, dx), dy) in rows.zip(grads).zip(cx.dy.data.chunks_exact(cols)) {
                    let ((a, b), (da, db)) = (x.split_at(cols), dx.split_at_mut(cols));
                    db.copy_from_slice(b);
                    Function::Sigmoid.apply(db, cols);
                    for i in 0..cols {
                        da[i] = dy[i] * db[i];
                        db[i] = da[i] * a[i] * (1.0 - db[i]);
                    }
                }
                return;
            }
            self.activation.grad(cx.y.data, z, dx.data, cols);
        }
    }

    fn head(&self) -> Head {
        if self.activation == Function::Glu {
            return Head::None;
        }
        Head::Whole(self.activation.clone())
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
        assert!(Activation::new("glu").output_shape(&[[3].into()]).is_err());
    }
}
