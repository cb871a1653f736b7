//! Cells that are a formula over products with a kernel and a recurrent kernel: arguments, weights, dropout, and the products
//! themselves. What differs is in `simple_rnn`, `lstm` and `gru`.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cell::{AllRows, At, Cell, Room, Step, StepBack, Way};
use super::products::{Product, Products};
use crate::activation::{Activation, Reads};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise;
use crate::layer::{Accum, Par, Slices, Stream, Weight, Weights};
use crate::layers::args::{glorot_uniform, yes, zeros};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Largest number of units and of features: squares of it can be counted.
const MOST: usize = 1 << 28;

/// Samples in a piece.
const ROWS: usize = 16;
/// Rows projected at once: a few steps of a piece.
const AHEAD: usize = 64;

/// The arguments of all such cells under Keras's names. A class that lacks one of the optional ones refuses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    pub units: usize,
    #[serde(default = "tanh")]
    pub activation: Activation,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub recurrent_activation: Option<Activation>,
    #[serde(default = "yes")]
    pub use_bias: bool,
    #[serde(default = "glorot_uniform")]
    pub kernel_initializer: Initializer,
    #[serde(default = "orthogonal")]
    pub recurrent_initializer: Initializer,
    #[serde(default = "zeros")]
    pub bias_initializer: Initializer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_forget_bias: Option<bool>,
    #[serde(default)]
    pub kernel_regularizer: Option<Regularizer>,
    #[serde(default)]
    pub recurrent_regularizer: Option<Regularizer>,
    #[serde(default)]
    pub bias_regularizer: Option<Regularizer>,
    #[serde(default)]
    pub kernel_constraint: Option<Constraint>,
    #[serde(default)]
    pub recurrent_constraint: Option<Constraint>,
    #[serde(default)]
    pub bias_constraint: Option<Constraint>,
    #[serde(default)]
    pub dropout: f64,
    #[serde(default)]
    pub recurrent_dropout: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<bool>,
    #[serde(default)]
    pub seed: Option<u64>,
}

/// Default of activations.
pub(super) fn tanh() -> Activation {
    Activation::Tanh
}

/// Default of recurrent kernels.
pub(super) fn orthogonal() -> Initializer {
    Initializer::from("orthogonal")
}

/// Null is an activation too (the linear one), and not a missing argument.
fn given<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<Activation>, D::Error> {
    Activation::deserialize(d).map(Some)
}

impl Arguments {
    /// The defaults of a class.
    pub fn new<K: Formula>(units: usize) -> Self {
        Arguments {
            units,
            activation: tanh(),
            recurrent_activation: K::GATED.then_some(Activation::Sigmoid),
            use_bias: true,
            kernel_initializer: glorot_uniform(),
            recurrent_initializer: orthogonal(),
            bias_initializer: zeros(),
            unit_forget_bias: K::UNIT_FORGET_BIAS.then_some(true),
            kernel_regularizer: None,
            recurrent_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            recurrent_constraint: None,
            bias_constraint: None,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            reset_after: K::RESET_AFTER.then_some(true),
            seed: None,
        }
    }

    /// Fills in what the class has, and refuses what it has not.
    pub fn complete<K: Formula>(&mut self) -> std::result::Result<(), String> {
        fn one<T>(
            name: &str,
            has: bool,
            value: &mut Option<T>,
            default: T,
        ) -> std::result::Result<(), String> {
            match (has, &value) {
                (false, Some(_)) => return Err(format!("unknown field `{name}`")),
                (true, None) => *value = Some(default),
                _ => {}
            }
            Ok(())
        }
        one(
            "recurrent_activation",
            K::GATED,
            &mut self.recurrent_activation,
            Activation::Sigmoid,
        )?;
        one(
            "unit_forget_bias",
            K::UNIT_FORGET_BIAS,
            &mut self.unit_forget_bias,
            true,
        )?;
        one("reset_after", K::RESET_AFTER, &mut self.reset_after, true)
    }

    /// Activation of the gates.
    pub fn recurrent_activation(&self) -> &Activation {
        self.recurrent_activation
            .as_ref()
            .unwrap_or(&Activation::Linear)
    }

    /// The activations that have a sweep of their own.
    pub fn usual(&self) -> bool {
        self.activation == Activation::Tanh && *self.recurrent_activation() == Activation::Sigmoid
    }

    /// Whether backward needs pre-activations.
    pub fn reads_input(&self) -> bool {
        let reads = |a: &Activation| a.reads() == Reads::Input;
        reads(&self.activation) || reads(self.recurrent_activation())
    }

    /// Kernel, recurrent kernel and bias of these shapes.
    pub fn weights(&self, shapes: [Dims; 3], bias_initializer: Initializer) -> Vec<Weight> {
        let [kernel, recurrent, bias] = shapes;
        let mut weights = vec![
            Weight::new("kernel", kernel, &self.kernel_initializer)
                .regularizer(&self.kernel_regularizer)
                .constraint(&self.kernel_constraint),
            Weight::new("recurrent_kernel", recurrent, &self.recurrent_initializer)
                .regularizer(&self.recurrent_regularizer)
                .constraint(&self.recurrent_constraint),
        ];
        if self.use_bias {
            let bias = Weight::new("bias", bias, &bias_initializer)
                .regularizer(&self.bias_regularizer)
                .constraint(&self.bias_constraint);
            weights.push(bias);
        }
        weights
    }

    /// Whether they make sense.
    pub fn check(&self) -> Result<()> {
        if self.units == 0 || self.units > MOST {
            return Err(Error::arg(
                "units",
                format!("a positive integer up to {MOST}"),
                self.units,
            ));
        }
        self.activation.check("activation")?;
        self.recurrent_activation().check("recurrent_activation")?;
        for (name, rate) in [
            ("dropout", self.dropout),
            ("recurrent_dropout", self.recurrent_dropout),
        ] {
            if !(0.0..1.0).contains(&rate) {
                return Err(Error::arg(name, "a fraction in [0, 1)", rate));
            }
        }
        Ok(())
    }
}

/// What distinguishes one such cell from another.
pub trait Formula: Copy + Debug + Default + Send + Sync + 'static {
    /// Keras's name of the layer.
    const LAYER: &'static str;
    /// Keras's name of the cell.
    const CELL: &'static str;
    /// Columns of the kernels for each unit.
    const GATES: usize;
    /// Number of states.
    const STATES: usize;
    /// Whether there is a `recurrent_activation`.
    const GATED: bool;
    /// Whether there is a `unit_forget_bias`.
    const UNIT_FORGET_BIAS: bool;
    /// Whether there is a `reset_after`.
    const RESET_AFTER: bool;

    /// The products for so many features; `copies` of the inputs where every gate has dropout masks of its own.
    fn products(args: &Arguments, features: usize, copies: usize) -> Products;

    /// Shape of the bias.
    fn bias(args: &Arguments) -> Dims {
        Dims::from([Self::GATES * args.units])
    }

    /// How the bias starts.
    fn bias_initializer(args: &Arguments) -> Initializer {
        args.bias_initializer.clone()
    }

    /// Numbers kept for backward.
    fn kept(args: &Arguments) -> usize;

    /// Numbers of scratch memory.
    fn scratch(args: &Arguments) -> usize;

    /// One step; the states before are in the inputs already.
    fn step(cx: Context<'_>, step: Step<'_>);

    /// The way back, as far as the gates and the states.
    fn back(cx: Context<'_>, step: &mut StepBack<'_>);

    /// Gradient of the bias, where it is not one more row of the kernels.
    fn bias_gradient(
        args: &Arguments,
        products: &Products,
        gates: &[Float],
        accum: Accum,
        dbias: &mut [Float],
        par: Par,
    ) {
        products.sums(0, Self::GATES * args.units, gates, accum, dbias, par);
    }
}

/// What the mathematics of a step need besides its rows.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub args: &'a Arguments,
    pub products: &'a Products,
    pub at: At<'a>,
}

impl Context<'_> {
    pub fn bias(&self) -> Option<&[Float]> {
        let mut w = self.at.w;
        w.nth(2)
    }

    /// Gradient of the factors of a product, through its dropout mask.
    pub fn back(
        &self,
        p: &Product,
        gates: &[Float],
        accum: Accum,
        c: &mut [Float],
        distance: usize,
        scratch: &mut [Float],
    ) {
        if self.at.masks.is_empty() {
            return self.products.back(p, self.at, gates, accum, c, distance);
        }
        let rows = gates.len() / self.products.gates;
        let (scratch, width) = (&mut scratch[..rows * p.k], self.at.masks.len() / rows);
        self.products
            .back(p, self.at, gates, Accum::Replace, scratch, p.k);
        for (r, (factors, c)) in scratch
            .chunks_exact(p.k)
            .zip(c.chunks_mut(distance))
            .enumerate()
        {
            let (c, mask) = (&mut c[..p.k], &self.at.masks[r * width + p.input..][..p.k]);
            match accum {
                Accum::Replace => elementwise::mul_to(factors, mask, c),
                Accum::Add => elementwise::mul_add(factors, mask, c),
            }
        }
    }
}

/// A cell of the formula `K`: [`SimpleRNNCell`](super::SimpleRNNCell), [`LSTMCell`](super::LSTMCell), [`GRUCell`](super::GRUCell).
///
/// Used in [`RNN`](super::RNN) and [`StackedRNNCells`](super::StackedRNNCells).
///
/// | name | default | meaning |
/// |---|---|---|
/// | `units` | | size of the state and the output |
/// | `activation` | tanh | of the output |
/// | `recurrent_activation` | sigmoid | of the gates (not `SimpleRNNCell`) |
/// | `use_bias` | true | whether a bias is added |
/// | `kernel_initializer`, `recurrent_initializer`, `bias_initializer` | `glorot_uniform`, `orthogonal`, `zeros` | how the weights start |
/// | `unit_forget_bias` | true | the bias of the forget gate starts at 1 (`LSTMCell`) |
/// | `kernel_regularizer`, `recurrent_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `recurrent_constraint`, `bias_constraint` | none | projections after each update |
/// | `dropout`, `recurrent_dropout` | 0 | fraction of the input and of the state that is dropped in training, the same in all steps; with `recurrent_dropout` every gate has masks of its own |
/// | `reset_after` | true | whether the reset gate comes after the product (`GRUCell`) |
/// | `seed` | none | mixed with the model's seed into the dropout masks |
///
/// Weights: `kernel (features, gates * units)`, `recurrent_kernel (units, gates * units)`, `bias (gates * units)`.
#[derive(Clone, Debug)]
pub struct RecurrentCell<K> {
    pub(super) args: Arguments,
    formula: PhantomData<K>,
}

impl<K: Formula> Serialize for RecurrentCell<K> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.args.serialize(s)
    }
}

impl<'de, K: Formula> Deserialize<'de> for RecurrentCell<K> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let mut args = Arguments::deserialize(d)?;
        args.complete::<K>().map_err(D::Error::custom)?;
        let formula = PhantomData;
        Ok(RecurrentCell { args, formula })
    }
}

impl<K: Formula> RecurrentCell<K> {
    /// With so many units.
    pub fn new(units: usize) -> Self {
        RecurrentCell {
            args: Arguments::new::<K>(units),
            formula: PhantomData,
        }
    }

    /// Copies of the inputs: with recurrent dropout every gate has its own.
    fn copies(&self) -> usize {
        match self.args.recurrent_dropout > 0.0 {
            true => K::GATES,
            false => 1,
        }
    }

    fn products(&self, x: &[usize]) -> Products {
        K::products(&self.args, x[0], self.copies())
    }

    fn context<'a>(&'a self, products: &'a Products, at: At<'a>) -> Context<'a> {
        Context {
            args: &self.args,
            products,
            at,
        }
    }
}

impl<K: Formula> Cell for RecurrentCell<K> {
    fn class_name(&self) -> &'static str {
        K::CELL
    }

    fn config(&self) -> Config {
        to_config(&self.args)
    }

    fn states(&self, x: &Shape) -> Result<Vec<Dims>> {
        self.args.check()?;
        match x.dims() {
            [Some(features)] if (1..=MOST).contains(features) => {
                Ok(vec![Dims::from([self.args.units]); K::STATES])
            }
            _ => Err(Error::shape(
                "3 axes (batch, time, features) with a known number of features",
                format!("steps of shape {x}"),
            )),
        }
    }

    fn state_count(&self) -> usize {
        K::STATES
    }

    fn output(&self, _x: &[usize]) -> Dims {
        Dims::from([self.args.units])
    }

    fn weight_count(&self) -> usize {
        2 + usize::from(self.args.use_bias)
    }

    fn weights(&self, x: &Shape) -> Result<Vec<Weight>> {
        let (args, features) = (&self.args, x.last().unwrap_or(0));
        let columns = K::GATES * args.units;
        let shapes = [
            Dims::from([features, columns]),
            Dims::from([args.units, columns]),
            K::bias(args),
        ];
        Ok(args.weights(shapes, K::bias_initializer(args)))
    }

    fn room(&self, x: &[usize]) -> Room {
        let (args, products) = (&self.args, self.products(x));
        let masks = match args.dropout > 0.0 || args.recurrent_dropout > 0.0 {
            true => self.copies() * (x[0] + args.units),
            false => 0,
        };
        let masked = if masks > 0 { x[0].max(args.units) } else { 0 };
        Room {
            state: K::STATES * args.units,
            inputs: products.inputs,
            gates: products.gates,
            kept: K::kept(args),
            masks,
            scratch: masked + K::scratch(args),
            packed: products.packed_len(),
            rows: ROWS,
            ahead: AHEAD,
            ..Room::default()
        }
    }

    fn pack(&self, x: &[usize], w: Weights<'_>, way: Way, packed: &mut [Float]) {
        self.products(x).pack(w, way, packed);
    }

    fn draw(&self, x: &[usize], rng: Stream, sample: u64, masks: &mut [Float]) {
        let args = &self.args;
        let rng = args.seed.map_or(rng, |seed| rng.reseeded(seed));
        let mut rng = rng.at(sample);
        for copy in masks.chunks_exact_mut(x[0] + args.units) {
            let (of_x, of_h) = copy.split_at_mut(x[0]);
            rng.dropout_mask(args.dropout, of_x);
            rng.dropout_mask(args.recurrent_dropout, of_h);
        }
    }

    fn load(&self, _shape: &[usize], x: &[Float], masks: &[Float], inputs: &mut [Float]) {
        let (features, width) = (x.len(), x.len() + self.args.units);
        let (copies, rest) = inputs.split_at_mut(self.copies() * width);
        if let Some(one) = rest.first_mut() {
            *one = 1.0; // the bias is one more weight
        }
        for (c, copy) in copies.chunks_exact_mut(width).enumerate() {
            match masks.get(c * width..) {
                Some(masks) if !masks.is_empty() => {
                    elementwise::mul_to(x, &masks[..features], &mut copy[..features]);
                }
                _ => copy[..features].copy_from_slice(x),
            }
        }
    }

    fn project(&self, at: At<'_>, inputs: &[Float], gates: &mut [Float]) {
        let products = self.products(at.x);
        products
            .of(0)
            .for_each(|p| products.run(p, at, inputs, gates));
    }

    fn step(&self, at: At<'_>, step: Step<'_>) {
        let (features, units) = (at.x[0], self.args.units);
        let (width, products) = (features + units, self.products(at.x));
        let rows = step.gates.len() / products.gates;
        let masks = at.masks.len() / rows;
        let (inputs, states) = (
            step.inputs.chunks_exact_mut(products.inputs),
            step.state.chunks_exact(step.state.len() / rows),
        );
        for (r, (inputs, state)) in inputs.zip(states).enumerate() {
            let (h, masks) = (&state[..units], &at.masks[r * masks..(r + 1) * masks]);
            for c in 0..self.copies() {
                let to = &mut inputs[c * width + features..][..units];
                match masks.is_empty() {
                    true => to.copy_from_slice(h),
                    false => elementwise::mul_to(h, &masks[c * width + features..][..units], to),
                }
            }
        }
        K::step(self.context(&products, at), step);
    }

    fn back(&self, at: At<'_>, mut step: StepBack<'_>) {
        let products = self.products(at.x);
        let cx = self.context(&products, at);
        K::back(cx, &mut step);
        if let Some((dx, distance)) = step.dx {
            let mut accum = Accum::Replace;
            for p in products.of(0) {
                cx.back(p, step.gates, accum, dx, distance, step.scratch);
                accum = Accum::Add;
            }
        }
    }

    fn gradients(&self, at: At<'_>, all: AllRows<'_>, mut dw: Slices<'_>, accum: Accum, par: Par) {
        let (x, inputs, gates) = (at.x, all.inputs, &*all.gates);
        let products = self.products(x);
        let width = x[0] + self.args.units;
        let whole = products.iter().all(|p| p.n == products.gates);
        if whole && products.cols == products.gates {
            // One product for all: the weights lie one after the other, as the factors do.
            let k = width + usize::from(self.args.use_bias);
            let all = Product {
                weight: 0,
                input: 0,
                k,
                col: 0,
                n: products.cols,
                gate: 0,
                accum,
            };
            return products.gradient(&all, inputs, gates, accum, dw.flat(), par);
        }
        for weight in 0..2 {
            let dw = dw.next().expect("two kernels");
            products
                .of(weight)
                .for_each(|p| products.gradient(p, inputs, gates, accum, dw, par));
        }
        if let Some(dbias) = dw.next() {
            K::bias_gradient(&self.args, &products, gates, accum, dbias, par);
        }
    }
}
