//! How a model was written down: [`Chain`] is `Sequential`'s form, [`Net`] the functional one; both hold [`Block`]s, which are
//! layers or whole models.

use std::collections::HashMap;
use std::sync::Arc;

use super::donor::Donor;
use super::lower::lower_steps;
use crate::error::Result;
use crate::layer::{Bound, Call, Layer, LayerRef, default_name};
use crate::shape::Shape;

/// Models inside models deeper than this are refused: lowering, and reading a file, recurse.
pub(crate) const MAX_DEPTH: usize = 64;

/// How a model was written down.
#[derive(Clone, Debug)]
pub(crate) enum Spec {
    /// Layers one after the other.
    Sequential(Chain),
    /// A graph of calls.
    Functional(Net),
}

/// Layers one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// Declared input.
    pub input: Option<Input>,
    /// The layers.
    pub blocks: Vec<Block>,
    /// Whether it is one layer to its reader, a [`Pipeline`](super::Pipeline).
    pub pipeline: bool,
}

/// A declared input.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its name: Keras's name of the InputLayer.
    pub name: Option<String>,
    /// Shape of one sample.
    pub shape: Shape,
    /// Fixed size of a batch. A batch of any size is accepted, unless a layer is stateful.
    pub batch_size: Option<usize>,
    /// Keras's type of the data. Only carried: inside everything is a float.
    pub dtype: String,
}

impl Input {
    /// `[batch, sizes..]`, where the size of a batch may be unknown.
    pub fn of_batch(shape: &Shape) -> Self {
        let (batch_size, sizes) = match shape.dims().split_first() {
            Some((batch, sizes)) => (*batch, sizes.to_vec()),
            None => (None, Vec::new()),
        };
        Input {
            batch_size,
            ..Input::new(sizes.into())
        }
    }

    pub fn new(shape: Shape) -> Self {
        Input {
            name: None,
            shape,
            batch_size: None,
            dtype: "float32".into(),
        }
    }
}

/// A layer or a model, as a part of a model.
#[derive(Clone, Debug)]
pub enum Block {
    /// A layer.
    Layer(LayerRef),
    /// A model; its layers become layers of the whole, and their weights start with the values that they have in it.
    Model(Nested),
}

/// A model as a part of another one.
#[derive(Clone, Debug)]
pub struct Nested {
    pub(crate) name: Option<String>,
    pub(crate) trainable: bool,
    pub(crate) spec: Arc<Spec>,
    pub(crate) donor: Option<Arc<Donor>>,
    /// The model's own name, where it is applied to every time step: then the other is that of Keras's `TimeDistributed`.
    pub(crate) every_step: Option<String>,
}

impl Block {
    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        match self {
            Block::Layer(layer) => layer.name.as_deref(),
            Block::Model(model) => model.name.as_deref(),
        }
    }

    pub(crate) fn class_name(&self) -> &'static str {
        match self {
            Block::Layer(layer) => layer.layer.class_name(),
            Block::Model(model) if model.every_step.is_some() => "TimeDistributed",
            Block::Model(model) => model.spec.class_name(),
        }
    }

    pub(crate) fn set_name(&mut self, name: String) {
        match self {
            Block::Layer(layer) => layer.name = Some(name),
            Block::Model(model) => model.name = Some(name),
        }
    }

    /// Freezes or unfreezes the layer at this path below the block; false if there is none. An empty path is all of it.
    pub(crate) fn set_trainable(&mut self, path: &[&str], trainable: bool) -> bool {
        match self {
            Block::Layer(layer) if path.is_empty() => layer.trainable = trainable,
            Block::Layer(_) => return false,
            Block::Model(model) => {
                if path.is_empty() {
                    model.trainable = trainable;
                }
                return Arc::make_mut(&mut model.spec).set_trainable(path, trainable);
            }
        }
        true
    }
}

impl<L: Layer + 'static> From<L> for Block {
    fn from(layer: L) -> Self {
        Block::Layer(layer.into())
    }
}

impl From<LayerRef> for Block {
    fn from(layer: LayerRef) -> Self {
        Block::Layer(layer)
    }
}

/// A graph of calls.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// Inputs, in the order of the data.
    pub inputs: Vec<Input>,
    /// Layers in Keras's order, all named.
    pub blocks: Vec<Block>,
    /// Calls in an order in which they can run.
    pub calls: Vec<CallSite>,
    /// Outputs.
    pub outputs: Vec<Source>,
    /// Whether inputs were given alone, in a list or by name.
    pub input_form: Form,
    /// The same of the outputs.
    pub output_form: Form,
}

/// One call of a layer or model.
#[derive(Clone, Debug)]
pub(crate) struct CallSite {
    /// Which block.
    pub block: usize,
    /// Its arguments.
    pub call: Call,
    /// The tensors among them.
    pub tensors: Vec<Source>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An input.
    Input(usize),
    /// An output of a call: the call and the output's number.
    Call(usize, usize),
}

/// How several tensors were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One, alone.
    One,
    /// A list.
    List,
    /// By name.
    Names(Vec<String>),
}

impl Block {
    /// Shapes of the outputs for inputs of these shapes; `layer` is what the call bound it to, if that is not the layer itself.
    pub(crate) fn output_shapes(
        &self,
        layer: Option<&Arc<dyn Layer>>,
        inputs: &[Shape],
    ) -> Result<Vec<Shape>> {
        match self {
            Block::Layer(own) => {
                let layer = layer.unwrap_or(&own.layer);
                let mut outputs = vec![layer.output_shape(inputs)?];
                outputs.extend(layer.more_outputs(inputs)?);
                Ok(outputs)
            }
            Block::Model(model) => {
                let graph = lower_steps(&model.spec, inputs, model.every_step.is_some())?;
                let shape = |&v: &usize| graph.values[v].clone();
                Ok(graph.outputs.iter().map(shape).collect())
            }
        }
    }
}

impl Net {
    /// Shapes of the outputs of every call.
    pub fn value_shapes(&self) -> Result<Vec<Vec<Shape>>> {
        let mut shapes: Vec<Vec<Shape>> = Vec::with_capacity(self.calls.len());
        for site in &self.calls {
            let block = &self.blocks[site.block];
            let bound = bind(block, &site.call)?;
            let shape = |i: &usize| match site.tensors[*i] {
                Source::Input(i) => self.inputs[i].shape.clone(),
                Source::Call(call, output) => shapes[call][output].clone(),
            };
            let inputs: Vec<Shape> = bound.inputs.iter().map(shape).collect();
            shapes.push(block.output_shapes(bound.layer.as_ref(), &inputs)?);
        }
        Ok(shapes)
    }

    /// Whether every layer is called once, on the output of the one before it.
    pub fn is_chain(&self) -> bool {
        let follows = |(i, site): (usize, &CallSite)| match site.tensors[..] {
            [Source::Input(_)] => i == 0,
            [Source::Call(call, 0)] => call + 1 == i,
            _ => false,
        };
        self.inputs.len() == 1
            && self.calls.len() == self.blocks.len()
            && self.calls.iter().enumerate().all(follows)
    }
}

impl Spec {
    pub fn class_name(&self) -> &'static str {
        match self {
            Spec::Sequential(chain) if chain.pipeline => "Pipeline",
            Spec::Sequential(_) => "Sequential",
            Spec::Functional(_) => "Functional",
        }
    }

    pub fn blocks(&self) -> &[Block] {
        match self {
            Spec::Sequential(chain) => &chain.blocks,
            Spec::Functional(net) => &net.blocks,
        }
    }

    pub fn blocks_mut(&mut self) -> &mut Vec<Block> {
        match self {
            Spec::Sequential(chain) => &mut chain.blocks,
            Spec::Functional(net) => &mut net.blocks,
        }
    }

    /// The declared shapes of the inputs; `None` if there are none.
    pub fn declared(&self) -> Option<Vec<Shape>> {
        match self {
            Spec::Sequential(chain) => match (&chain.input, chain.blocks.first()) {
                (Some(input), _) => Some(vec![input.shape.clone()]),
                (None, Some(Block::Model(model))) if model.every_step.is_none() => {
                    model.spec.declared()
                }
                _ => None,
            },
            Spec::Functional(net) => Some(net.inputs.iter().map(|i| i.shape.clone()).collect()),
        }
    }

    /// The fixed size of a batch, if an input declares one.
    pub fn batch_size(&self) -> Option<usize> {
        match self {
            Spec::Sequential(chain) => match (&chain.input, chain.blocks.first()) {
                (Some(input), _) => input.batch_size,
                (None, Some(Block::Model(model))) if model.every_step.is_none() => {
                    model.spec.batch_size()
                }
                _ => None,
            },
            Spec::Functional(net) => net.inputs.iter().find_map(|i| i.batch_size),
        }
    }

    pub fn set_trainable(&mut self, path: &[&str], trainable: bool) -> bool {
        let names = block_names(self.blocks());
        let mut found = false;
        for (block, name) in self.blocks_mut().iter_mut().zip(names) {
            match path {
                [] => found |= block.set_trainable(&[], trainable),
                [first, rest @ ..] if *first == name => {
                    return block.set_trainable(rest, trainable);
                }
                _ => {}
            }
        }
        found || path.is_empty()
    }

    /// Every layer once, in Keras's order of `model.weights`.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a LayerRef)) {
        for block in self.blocks() {
            match block {
                Block::Layer(layer) => f(layer),
                Block::Model(model) => model.spec.visit(f),
            }
        }
    }

    /// Weights that nested models bring with them.
    pub fn donors(&self) -> Vec<Arc<Donor>> {
        let mut donors = Vec::new();
        for block in self.blocks() {
            if let Block::Model(model) = block {
                donors.extend(model.donor.iter().cloned());
                donors.extend(model.spec.donors());
            }
        }
        donors
    }
}

/// A layer is known by where it lies: all clones of a `LayerRef` are one layer.
pub(crate) fn key(layer: &Arc<dyn Layer>) -> usize {
    Arc::as_ptr(layer) as *const () as usize
}

/// The inputs of a call, flat; tensors by their number in the call.
pub(crate) fn bind(block: &Block, call: &Call) -> Result<Bound> {
    match block {
        Block::Layer(layer) => layer.layer.bind(call),
        Block::Model(_) => call.flat(),
    }
}

/// Given names, and for the others Keras's: `dense`, `dense_1`, ...
pub(crate) fn block_names(blocks: &[Block]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let taken: Vec<&str> = blocks.iter().filter_map(Block::name).collect();
    let mut next = |block: &Block| {
        let stem = default_name(block.class_name());
        loop {
            let count = counts.entry(stem.clone()).or_insert(0);
            let name = if *count == 0 {
                stem.clone()
            } else {
                format!("{stem}_{count}")
            };
            *count += 1;
            if !taken.contains(&name.as_str()) {
                return name;
            }
        }
    };
    blocks
        .iter()
        .map(|b| b.name().map_or_else(|| next(b), str::to_string))
        .collect()
}
