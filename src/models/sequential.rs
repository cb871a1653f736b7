//! `Sequential`: layers one after the other.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Model;
use super::donor::Donor;
use super::spec::{Block, Chain, Input, Spec};
use crate::shape::Shape;

/// A model whose layers follow each other, each with one input and one output.
///
/// It is a [`Model`] (it dereferences to one), lowered to the same graph as every other.
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
///
/// let x = array![[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
/// let y = array![[0.0f32], [1.0], [1.0], [0.0]];
/// let mut model = Sequential::new().seed(1).input([2])
///     .add(Dense::new(8).activation("tanh"))
///     .add(Dense::new(1).activation("sigmoid"));
/// model.compile(Adam::new(0.05), BinaryCrossentropy::default(), ["accuracy"])?;
/// let history = model.fit(&x, &y, Fit::epochs(200).verbose(0))?;
/// assert_eq!(history.last("accuracy"), Some(1.0));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequential(Model);

impl Default for Sequential {
    fn default() -> Self {
        Sequential::new()
    }
}

impl Sequential {
    /// No layers yet.
    pub fn new() -> Self {
        Sequential(Model::with_spec(
            "sequential",
            Spec::Sequential(Chain::default()),
        ))
    }

    /// Declares the shape of one sample, without the batch axis; `None` for an axis whose size varies. Without it, the first
    /// `fit` takes the shape of its data.
    pub fn input(mut self, shape: impl Into<Shape>) -> Self {
        self.chain().input = Some(Input::new(shape.into()));
        self
    }

    /// [`input`](Self::input) with the number of samples of every batch in front: what stateful layers need.
    pub fn batch_shape(mut self, shape: impl Into<Shape>) -> Self {
        self.chain().input = Some(Input::of_batch(&shape.into()));
        self
    }

    /// Adds a layer, or a whole model, at the end.
    #[allow(clippy::should_implement_trait)] // Keras's name
    pub fn add(mut self, layer: impl Into<Block>) -> Self {
        self.push(layer);
        self
    }

    /// [`add`](Self::add) for use in a loop. A model that was built keeps the weights of the layers that it had.
    pub fn push(&mut self, layer: impl Into<Block>) {
        self.chain().blocks.push(layer.into());
        self.unbuild();
    }

    /// Removes and returns the last layer. The others keep their weights.
    pub fn pop(&mut self) -> Option<Block> {
        let last = self.chain().blocks.pop();
        self.unbuild();
        last
    }

    fn chain(&mut self) -> &mut Chain {
        match &mut self.0.spec {
            Spec::Sequential(chain) => chain,
            Spec::Functional(_) => unreachable!("a Sequential holds a chain"),
        }
    }

    fn unbuild(&mut self) {
        if std::mem::take(&mut self.0.built) {
            let donor = Donor::new(&self.0.graph, &self.0.weights);
            self.0.donors = vec![Arc::new(donor)];
        }
        self.0.forget_plans();
    }

    /// Names the model. Default: `sequential`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// See [`Model::set_seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.set_seed(seed);
        self
    }

    /// See [`Model::set_threads`].
    pub fn threads(mut self, threads: usize) -> Self {
        self.0.set_threads(threads);
        self
    }

    /// The model itself.
    pub fn into_model(self) -> Model {
        self.0
    }
}

impl Deref for Sequential {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.0
    }
}

impl DerefMut for Sequential {
    fn deref_mut(&mut self) -> &mut Model {
        &mut self.0
    }
}
