//! The simplest recurrent cell: `h' = act(x W + h U + b)`.
//!
//! With `z = x W + h U + b`: `dz = dh' * act'(z)`, `dx = dz W^T`, `dh = dz U^T`; over all steps `dW += x^T dz`, `dU += h^T dz`,
//! `db += sum dz`. x: (features)  h: (units)  W: (features, units)  U: (units, units).

use super::cell::{Step, StepBack};
use super::formula::{Arguments, Context, Formula, RecurrentCell};
use super::layer::RecurrentLayer;
use super::products::{Product, Products};
use crate::activation::Reads;
use crate::layer::Accum;

/// Recurrent layer whose output is fed back: `h = act(x W + h U + b)`. [Keras](https://keras.io/api/layers/recurrent_layers/simple_rnn/)
///
/// Input `(batch, time, features)`, output `(batch, units)`, or `(batch, time, units)` with `return_sequences`. Arguments are those
/// of [`RecurrentCell`] and [`RecurrentLayer`]; weights `kernel (features, units)`, `recurrent_kernel (units, units)`,
/// `bias (units)`.
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::{array, Array3};
/// let mut model = Sequential::new().input([3, 1]).add(SimpleRNN::new(1).activation("linear"));
/// model.build([3, 1])?;
/// model.set_weights(&[array![[1.0f32]].into_dyn(), array![[2.0f32]].into_dyn(), array![0.0f32].into_dyn()])?;
/// let y = model.predict(&Array3::<f32>::ones((1, 3, 1)))?; // 1, 1 + 2 * 1, 1 + 2 * 3
/// assert_eq!(y, array![[7.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type SimpleRNN = RecurrentLayer<SimpleRNNCell>;

/// The cell of [`SimpleRNN`]; arguments are those of [`RecurrentCell`]. [Keras](https://keras.io/api/layers/recurrent_layers/simple_rnn_cell/)
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([5, 2]).add(RNN::new(SimpleRNNCell::new(3)));
/// model.build([5, 2])?;
/// assert_eq!(model.count_params(), 2 * 3 + 3 * 3 + 3);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub type SimpleRNNCell = RecurrentCell<Simple>;

/// The formula of [`SimpleRNN`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Simple;

impl Formula for Simple {
    const LAYER: &'static str = "SimpleRNN";
    const CELL: &'static str = "SimpleRNNCell";
    const GATES: usize = 1;
    const STATES: usize = 1;
    const GATED: bool = false;
    const UNIT_FORGET_BIAS: bool = false;
    const RESET_AFTER: bool = false;

    fn products(args: &Arguments, features: usize, _copies: usize) -> Products {
        let units = args.units;
        let product = |weight| Product {
            weight,
            input: weight * features,
            k: if weight == 0 { features } else { units },
            col: 0,
            n: units,
            gate: 0,
            accum: if weight == 0 {
                Accum::Replace
            } else {
                Accum::Add
            },
        };
        let inputs = features + units + usize::from(args.use_bias);
        Products::new(units, inputs, units, [0, 1].map(product).into_iter())
    }

    fn kept(args: &Arguments) -> usize {
        // The output, and the pre-activation where the derivative needs it.
        args.units * (1 + usize::from(args.reads_input()))
    }

    fn scratch(_args: &Arguments) -> usize {
        0
    }

    fn step(cx: Context<'_>, step: Step<'_>) {
        let (args, units) = (cx.args, cx.args.units);
        for p in cx.products.of(1) {
            cx.products.run(p, cx.at, step.inputs, step.gates);
        }
        let rows = step.gates.len() / units;
        let (y, z) = step.kept.split_at_mut(rows * units);
        step.next.copy_from_slice(step.gates);
        let z = (args.activation.reads() == Reads::Input).then_some(z);
        args.activation.apply_bias(cx.bias(), step.next, units, z);
        y.copy_from_slice(step.next);
    }

    fn back(cx: Context<'_>, step: &mut StepBack<'_>) {
        let (args, units) = (cx.args, cx.args.units);
        let rows = step.gates.len() / units;
        let (y, z) = step.kept.split_at(rows * units);
        step.gates.copy_from_slice(step.dstate);
        args.activation.grad(y, z, step.gates, units);
        for p in cx.products.of(1) {
            let (dh, scratch) = (&mut *step.dstate, &mut *step.scratch);
            cx.back(p, step.gates, Accum::Replace, dh, units, scratch);
        }
    }
}
