//! The contract of a recurrent cell: what computes one step, for some samples at once.
//!
//! The layer around it walks through time, a few samples at a time, and knows of masks, directions and outputs. A cell knows of
//! one step: from the input `x` and the states before, it computes the states after, of which the first is the output.
//!
//! So that products are large, everything multiplied by weights is kept apart from its products, a row for each sample and step:
//!
//! * `inputs`: factors of the products, such as `[x h]`, and `recurrent`, if some must be apart;
//! * `gates`: the products; backward leaves their gradients there;
//! * `kept`: whatever else backward needs.
//!
//! Rows of many steps follow each other evenly. Hence the part of the gates that does not depend on the states is computed for
//! several steps at once ([`Cell::project`]), and the gradients of the weights are one product over all samples and steps
//! ([`Cell::gradients`]).

use std::fmt::Debug;

use crate::config::Config;
use crate::error::Result;
use crate::float::Float;
use crate::layer::{Accum, Par, Slices, Stream, Weight, Weights};
use crate::shape::{Dims, Shape};

/// A recurrent cell.
pub trait Cell: Debug + Send + Sync {
    /// Keras's class name.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// Shapes of the states of a sample for inputs of this shape, all of one size; the first is the output.
    ///
    /// # Errors
    /// All validation of arguments and input is here.
    fn states(&self, x: &Shape) -> Result<Vec<Dims>>;

    /// Number of states.
    fn state_count(&self) -> usize;

    /// Shape of the output for inputs of a shape that [`states`](Self::states) has accepted.
    fn output(&self, x: &[usize]) -> Dims;

    /// Number of weights.
    fn weight_count(&self) -> usize;

    /// The weights for inputs of this shape.
    ///
    /// # Errors
    /// If they would be too large.
    fn weights(&self, x: &Shape) -> Result<Vec<Weight>>;

    /// How much memory it needs for inputs of this shape.
    fn room(&self, x: &[usize]) -> Room;

    /// Rearranges the weights for a pass; read in [`At::packed`].
    fn pack(&self, x: &[usize], w: Weights<'_>, way: Way, packed: &mut [Float]);

    /// Draws the dropout masks of a sample, which are those of all its steps.
    fn draw(&self, _x: &[usize], _rng: Stream, _sample: u64, _masks: &mut [Float]) {}

    /// Fills tables for inputs of this shape, read in [`At::tables`].
    fn tables(&self, _x: &[usize], _tables: &mut [u32]) {}

    /// Puts the input of one sample and step, of this shape, into its row.
    fn load(&self, shape: &[usize], x: &[Float], masks: &[Float], inputs: &mut [Float]);

    /// The part of the gates that comes from the inputs alone, for the rows of some steps.
    fn project(&self, at: At<'_>, inputs: &[Float], gates: &mut [Float]);

    /// One step.
    fn step(&self, at: At<'_>, step: Step<'_>);

    /// The way back through one step.
    fn back(&self, at: At<'_>, step: StepBack<'_>);

    /// Gradients of the weights from the rows of all samples and steps.
    fn gradients(&self, at: At<'_>, all: AllRows<'_>, dw: Slices<'_>, accum: Accum, par: Par);
}

/// Memory of a cell, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// All states of a sample.
    pub state: usize,
    /// Factors of products, for a sample and step.
    pub inputs: usize,
    /// Factors of products that must be together for all rows and apart from `inputs`, for a sample and step.
    pub recurrent: usize,
    /// Products, for a sample and step.
    pub gates: usize,
    /// Other things for backward, for a sample and step.
    pub kept: usize,
    /// Dropout masks of a sample; 0 without dropout.
    pub masks: usize,
    /// Free to use within a step, for a sample.
    pub scratch: usize,
    /// Rearranged weights; free to use for their gradients.
    pub packed: usize,
    /// Tables.
    pub tables: usize,
    /// Samples that are worked on together: few enough that their gates stay in the nearest cache, enough that their product with
    /// the weights is worth reading these. Not 0.
    pub rows: usize,
    /// Rows whose inputs are loaded and projected at once; not fewer.
    pub ahead: usize,
}

/// Direction of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Towards the output, in steps of so many samples at most.
    Forward {
        /// Samples.
        rows: usize,
    },
    /// Towards the input, whose gradient may not be wanted.
    Backward {
        /// Whether it is.
        dx: bool,
    },
}

/// Where a step happens.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Shape of the input of one sample and step.
    pub x: &'a [usize],
    /// The weights.
    pub w: Weights<'a>,
    /// What [`Cell::pack`] made of them.
    pub packed: &'a [Float],
    /// Dropout masks, a row for each sample; empty in inference.
    pub masks: &'a [Float],
    /// What [`Cell::tables`] wrote.
    pub tables: &'a [u32],
}

/// One step of some samples, row by row.
#[derive(Debug)]
pub struct Step<'a> {
    /// Loaded, except for what depends on the states.
    pub inputs: &'a mut [Float],
    /// To be written; see [`Room::recurrent`].
    pub recurrent: &'a mut [Float],
    /// Projected.
    pub gates: &'a mut [Float],
    /// To be written.
    pub kept: &'a mut [Float],
    /// The states before.
    pub state: &'a [Float],
    /// The states after, to be written.
    pub next: &'a mut [Float],
    /// See [`Room::scratch`].
    pub scratch: &'a mut [Float],
}

/// What all steps of all samples left.
#[derive(Debug)]
pub struct AllRows<'a> {
    /// Factors.
    pub inputs: &'a [Float],
    /// See [`Room::recurrent`].
    pub recurrent: &'a [Float],
    /// Gradients of the products; may be destroyed.
    pub gates: &'a mut [Float],
    /// Free to use: as much as the rearranged weights.
    pub room: &'a mut [Float],
}

/// One step of some samples on the way back.
#[derive(Debug)]
pub struct StepBack<'a> {
    /// As forward left them.
    pub inputs: &'a [Float],
    /// As forward left them; to be made gradients of the products.
    pub gates: &'a mut [Float],
    /// As forward left them.
    pub kept: &'a [Float],
    /// Gradients of the states after, to be made those of the states before.
    pub dstate: &'a mut [Float],
    /// Where the gradient of the input is written: row `r` begins at `r` times the distance.
    pub dx: Option<(&'a mut [Float], usize)>,
    /// See [`Room::scratch`].
    pub scratch: &'a mut [Float],
}
