//! Models: [`Sequential`], and [`Model`], which both it and functional models are.

mod donor;
mod functional;
pub(crate) mod lower;
#[cfg(feature = "ops")]
pub mod ops;
mod pipeline;
mod sequential;
pub(crate) mod spec;
mod summary;
mod symbolic;

pub use functional::ModelTensors;
pub use pipeline::Pipeline;
pub use sequential::Sequential;
pub use spec::{Block, Nested};
pub use symbolic::{Input, Inputs, IntoInputs, KerasTensor, LayerCall, Symbolic};

use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::Graph;
use crate::graph::weights::{Var, Weights};
use crate::kernels::memory::Buffer;
use crate::random;
use crate::shape::Shape;
use crate::tensor::ToTensor;
use crate::train::compile::Compiled;
use crate::train::predict::Pool;
use crate::train::step::Trainer;
use donor::Donor;
use spec::Spec;

/// A model: a graph of layers, its weights, and once compiled what it takes to train them.
///
/// `fit` takes `&mut self`; `predict` and `evaluate` take `&self` and may run on many threads at once.
#[derive(Debug)]
pub struct Model {
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) graph: Graph,
    pub(crate) weights: Weights,
    pub(crate) built: bool,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) compiled: Option<Compiled>,
    pub(crate) trainer: Option<Box<Trainer>>,
    pub(crate) pool: Pool,
    /// Weights that layers bring along for the next build.
    donors: Vec<Arc<Donor>>,
}

impl Model {
    pub(crate) fn with_spec(name: &str, spec: Spec) -> Self {
        Model {
            name: name.to_string(),
            spec,
            graph: Graph::default(),
            weights: Weights::default(),
            built: false,
            seed: random::next_seed(),
            threads: 0,
            compiled: None,
            trainer: None,
            pool: Pool::default(),
            donors: Vec::new(),
        }
    }

    /// A built model of parts that fit each other.
    pub(crate) fn assemble(name: &str, spec: Spec, graph: Graph, weights: Weights) -> Self {
        Model {
            graph,
            weights,
            built: true,
            ..Model::with_spec(name, spec)
        }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the weights exist.
    pub fn is_built(&self) -> bool {
        self.built
    }

    /// Creates the weights for inputs of this shape (without the batch axis). Does nothing if they exist already.
    ///
    /// # Errors
    /// If a layer refuses its input or its arguments (the error names it), or another input shape was declared.
    pub fn build(&mut self, shape: impl Into<Shape>) -> Result<()> {
        let shape = shape.into();
        let declared = match self.built {
            true => Some(self.input_shapes()),
            false => self.spec.declared(),
        };
        if let Some(declared) = &declared {
            let [one] = &declared[..] else {
                return Err(
                    Error::shape(format!("{} inputs", declared.len()), "one").owned_by("build")
                );
            };
            if !one.agrees(&shape) {
                return Err(Error::shape(one, &shape).owned_by("build"));
            }
        }
        self.build_shapes(&declared.unwrap_or(vec![shape]))
    }

    /// Builds from the declared input shape, if there is one.
    pub(crate) fn build_declared(&mut self) -> Result<()> {
        match self.spec.declared() {
            Some(shapes) => self.build_shapes(&shapes),
            None => Ok(()),
        }
    }

    fn build_shapes(&mut self, shapes: &[Shape]) -> Result<()> {
        if self.built {
            return Ok(());
        }
        let graph = lower::lower(&self.spec, shapes)?;
        let mut weights = Weights::new(&graph, self.seed)?;
        for donor in self.spec.donors().iter().chain(&self.donors) {
            donor.give(&graph, &mut weights);
        }
        self.donors.clear();
        (self.weights, self.graph, self.built) = (weights, graph, true);
        Ok(())
    }

    /// A model of the same architecture with fresh weights, not compiled: Keras's `clone_model`. (`clone` keeps weights and
    /// compilation.)
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn clone_model(&self) -> Result<Model> {
        let mut model = Model::with_spec(&self.name, self.spec.clone());
        model.threads = self.threads;
        if self.built {
            let graph = self.graph.clone();
            (model.weights, model.graph) = (Weights::new(&graph, model.seed)?, graph);
            model.built = true;
        }
        Ok(model)
    }

    /// Shapes of the inputs, one sample each. Empty before the model is built.
    pub fn input_shapes(&self) -> Vec<Shape> {
        let shape = |&v: &usize| self.graph.values[v].clone();
        self.graph.inputs.iter().map(shape).collect()
    }

    /// Shapes of the outputs, one sample each. Empty before the model is built.
    pub fn output_shapes(&self) -> Vec<Shape> {
        let shape = |&v: &usize| self.graph.values[v].clone();
        self.graph.outputs.iter().map(shape).collect()
    }

    /// Names of the inputs, by which data may be given.
    pub fn input_names(&self) -> Vec<String> {
        match &self.spec {
            Spec::Sequential(chain) => {
                let name = chain.input.as_ref().and_then(|i| i.name.clone());
                vec![name.unwrap_or_else(|| "input_layer".into())]
            }
            Spec::Functional(net) => {
                let name = |(i, input): (usize, &spec::Input)| {
                    input.name.clone().unwrap_or_else(|| format!("input_{i}"))
                };
                net.inputs.iter().enumerate().map(name).collect()
            }
        }
    }

    /// Names of the outputs: the keys they were given by, or those of the layers that make them. Targets may be given by them.
    pub fn output_names(&self) -> Vec<String> {
        let names = spec::block_names(self.spec.blocks());
        match &self.spec {
            Spec::Sequential(_) => names.last().cloned().into_iter().collect(),
            Spec::Functional(net) => {
                if let spec::Form::Names(names) = &net.output_form {
                    return names.clone();
                }
                let name = |source: &spec::Source| match *source {
                    spec::Source::Input(i) => self.input_names()[i].clone(),
                    spec::Source::Call(call, _) => names[net.calls[call].block].clone(),
                };
                net.outputs.iter().map(name).collect()
            }
        }
    }

    pub(crate) fn require_built(&self, call: &'static str) -> Result<()> {
        if self.built {
            Ok(())
        } else {
            Err(Error::NotBuilt { call })
        }
    }

    /// Seeds everything random about this model: initial weights, shuffling, dropout. One seed gives the same bits on every run
    /// and for any number of threads. Without it, the models of a program are seeded 0, 1, 2, ... in the order of their making
    /// (see [`set_random_seed`](crate::random::set_random_seed)).
    ///
    /// Takes effect on the weights if they do not exist yet.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// How many threads `fit`, `evaluate` and `predict` may use: 0 (the default) for all, 1 for none but the caller's.
    /// Results do not depend on it.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
    }

    /// Number of weights, trainable or not.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([30]).add(Dense::new(64)).add(Dense::new(1));
    /// model.build([30])?;
    /// assert_eq!(model.count_params(), 30 * 64 + 64 + 64 + 1);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn count_params(&self) -> usize {
        let (trainable, other) = self.graph.count_params();
        trainable + other
    }

    /// Every weight of the model in Keras's order: layer by layer, trainable ones first.
    pub fn get_weights(&self) -> Vec<ArrayD<Float>> {
        let array = |var: &Var| {
            ArrayD::from_shape_vec(IxDyn(&var.weight.shape), self.weights.var(var).to_vec())
                .expect("a variable holds its shape")
        };
        self.graph.vars.iter().map(array).collect()
    }

    /// Name of every weight, `layer/weight`, in the order of [`get_weights`](Self::get_weights).
    pub fn weight_names(&self) -> Vec<String> {
        self.graph.vars.iter().map(|v| self.graph.path(v)).collect()
    }

    /// Sets every weight, in the order of [`get_weights`](Self::get_weights).
    ///
    /// # Errors
    /// If the number or a shape differs; then nothing has changed.
    pub fn set_weights<A: ToTensorOrScalar>(&mut self, weights: &[A]) -> Result<()> {
        self.require_built("set_weights")?;
        if weights.len() != self.graph.vars.len() {
            let (want, got) = (
                format!("{} arrays", self.graph.vars.len()),
                format!("{} arrays", weights.len()),
            );
            return Err(Error::shape(want, got).owned_by("set_weights"));
        }
        let mut new = self.weights.clone();
        for (var, given) in self.graph.vars.iter().zip(weights) {
            let (data, shape) = given.flat()?;
            if shape[..] != var.weight.shape[..] {
                return Err(Error::shape(var.weight.shape, format!("{shape:?}"))
                    .owned_by(&self.graph.path(var)));
            }
            new.var_mut(var).copy_from_slice(&data);
        }
        self.weights = new;
        Ok(())
    }

    /// One weight by name (`"dense/kernel"`).
    ///
    /// # Errors
    /// If there is no such weight.
    pub fn weight(&self, name: &str) -> Result<ArrayD<Float>> {
        let names = self.weight_names();
        let i = names
            .iter()
            .position(|n| n == name)
            .ok_or_else(|| Error::unknown("weight", name, names))?;
        let var = &self.graph.vars[i];
        Ok(
            ArrayD::from_shape_vec(IxDyn(&var.weight.shape), self.weights.var(var).to_vec())
                .expect("a variable holds its shape"),
        )
    }

    /// Names of the layers, in order.
    pub fn layer_names(&self) -> Vec<&str> {
        self.graph.entries.iter().map(|e| e.name.as_str()).collect()
    }

    /// Freezes (`false`) or unfreezes the weights of one layer, or of all layers of a nested model; takes effect at once. A layer
    /// in a nested model is called `model/layer`.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn set_trainable(&mut self, layer: &str, trainable: bool) -> Result<()> {
        self.build_declared()?;
        self.require_built("set_trainable")?;
        let path: Vec<&str> = layer.split('/').collect();
        if !self.spec.set_trainable(&path, trainable) {
            return Err(Error::unknown("layer", layer, self.layer_names()));
        }
        let scope = format!("{layer}/");
        for entry in &mut self.graph.entries {
            if entry.name == layer || entry.name.starts_with(&scope) {
                entry.trainable = trainable;
            }
        }
        self.forget_plans();
        Ok(())
    }

    /// Lets stateful layers forget what they remember of the samples of the last batch: their states are zero again.
    pub fn reset_states(&mut self) {
        for range in self.graph.entries.iter().flat_map(|e| &e.memory) {
            self.weights.state[range.clone()].fill(0.0);
        }
    }

    /// An error unless stateful layers can have batches of this size from so many samples.
    pub(crate) fn check_stateful(
        &self,
        call: &str,
        batch_size: usize,
        samples: usize,
    ) -> Result<()> {
        match self.graph.stateful() {
            Some(size) if batch_size != size || !samples.is_multiple_of(size) => {
                let want = format!("batches of exactly {size} samples: the model is stateful");
                let got = format!("{samples} samples in batches of {batch_size}");
                Err(Error::arg("batch_size", want, got).owned_by(call))
            }
            _ => Ok(()),
        }
    }

    /// Plans depend on what is trainable.
    pub(crate) fn forget_plans(&mut self) {
        self.trainer = None;
        self.pool = Pool::default();
    }

    /// The weights as they are, to be put back by [`restore`](Self::restore).
    pub(crate) fn snapshot(&self) -> Weights {
        self.weights.clone()
    }

    pub(crate) fn restore(&mut self, weights: &Weights) {
        self.weights.params.copy_from_slice(&weights.params);
        self.weights.state.copy_from_slice(&weights.state);
    }

    /// An error unless these are weights of this model.
    pub(crate) fn check_fits(&self, weights: &Weights) -> Result<()> {
        let sizes = |w: &Weights| (w.params.len(), w.state.len());
        match sizes(weights) == sizes(&self.weights) {
            true => Ok(()),
            false => Err(Error::data("backup", "it is of another model")),
        }
    }

    /// The arena of trainable weights (for optimizers and callbacks that treat all weights alike).
    pub fn params(&self) -> &[Float] {
        &self.weights.params
    }
}

impl Clone for Model {
    /// The same architecture, weights, compilation and optimizer state; nothing is shared, so a clone can be trained while
    /// threads predict with the original.
    fn clone(&self) -> Self {
        Model {
            name: self.name.clone(),
            spec: self.spec.clone(),
            graph: self.graph.clone(),
            weights: Weights {
                params: Buffer::from(&self.weights.params[..]),
                state: Buffer::from(&self.weights.state[..]),
            },
            built: self.built,
            seed: self.seed,
            threads: self.threads,
            compiled: self.compiled.clone(),
            trainer: None,
            pool: Pool::default(),
            donors: self.donors.clone(),
        }
    }
}

/// A weight's value: an array of any rank, scalars included.
pub trait ToTensorOrScalar {
    /// The values and the shape.
    fn flat(&self) -> Result<(Vec<Float>, Vec<usize>)>;
}

impl<T: crate::tensor::Element, S: ndarray::Data<Elem = T>, D: ndarray::Dimension> ToTensorOrScalar
    for ndarray::ArrayBase<S, D>
{
    fn flat(&self) -> Result<(Vec<Float>, Vec<usize>)> {
        if self.ndim() == 0 {
            let value = self.iter().next().expect("a scalar").to_float()?;
            return Ok((vec![value], Vec::new()));
        }
        let tensor = self.to_tensor()?;
        Ok((tensor.data().to_vec(), self.shape().to_vec()))
    }
}
