//! Functional models: symbolic tensors, calls of layers on them, and [`Model::new`].

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::Model;
use super::donor::Donor;
use super::spec::{
    Block, CallSite, Chain, Form, Input as InputSpec, Nested, Net, Source, Spec, bind, block_names,
    key, lower,
};
use crate::error::{Error, Result};
use crate::layer::{Arg, Call, Layer, LayerRef};
use crate::shape::Shape;

/// A tensor without values: an input of a model to be, or what a layer would make of others.
#[derive(Clone, Debug)]
pub struct KerasTensor(Arc<Symbol>);

#[derive(Debug)]
struct Symbol {
    shape: Shape,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Input(InputSpec),
    Call(Arc<CallRecord>, usize),
}

#[derive(Debug)]
struct CallRecord {
    block: Block,
    call: Call,
    tensors: Vec<KerasTensor>,
    donor: Option<Arc<Donor>>,
}

impl KerasTensor {
    /// Shape of one sample.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// An input of a functional model. [Keras](https://keras.io/api/layers/core_layers/input/)
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let (a, b) = (Input::new([3]).name("a"), Input::new([3]).name("b"));
/// let dense = LayerRef::from(Dense::new(4).kernel_initializer("ones"));
/// let (ya, yb) = (dense.call(&a)?, dense.call(&b)?); // one layer, called twice
/// let model = Model::new([&a, &b], [&ya, &yb])?;
/// assert_eq!(model.count_params(), 3 * 4 + 4);
/// let y = model.predict_all([("b", &array![[1.0f32, 1.0, 1.0]]), ("a", &array![[1.0f32, 0.0, 0.0]])])?;
/// assert_eq!((y[0][[0, 0]], y[1][[0, 0]]), (1.0, 3.0));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Input {
    spec: InputSpec,
    tensor: KerasTensor,
}

impl Input {
    /// Samples of this shape, without the batch axis; `None` for an axis whose size varies.
    pub fn new(shape: impl Into<Shape>) -> Self {
        Input::from_spec(InputSpec::new(shape.into()))
    }

    /// Names the input: data may then be given by name.
    pub fn name(self, name: impl Into<String>) -> Self {
        Input::from_spec(InputSpec {
            name: Some(name.into()),
            ..self.spec
        })
    }

    /// Keras's type of the data, for files that Python will read: `int32` for token ids. Default `float32`.
    pub fn dtype(self, dtype: impl Into<String>) -> Self {
        Input::from_spec(InputSpec {
            dtype: dtype.into(),
            ..self.spec
        })
    }

    fn from_spec(spec: InputSpec) -> Self {
        let tensor = KerasTensor(Arc::new(Symbol {
            shape: spec.shape.clone(),
            origin: Origin::Input(spec.clone()),
        }));
        Input { spec, tensor }
    }
}

impl Deref for Input {
    type Target = KerasTensor;
    fn deref(&self) -> &KerasTensor {
        &self.tensor
    }
}

/// What stands for one symbolic tensor: a [`KerasTensor`] or an [`Input`].
pub trait Symbolic {
    /// The tensor.
    fn tensor(&self) -> &KerasTensor;
}

impl Symbolic for KerasTensor {
    fn tensor(&self) -> &KerasTensor {
        self
    }
}

impl<T: Symbolic> Symbolic for &T {
    fn tensor(&self) -> &KerasTensor {
        (*self).tensor()
    }
}

impl Symbolic for Input {
    fn tensor(&self) -> &KerasTensor {
        &self.tensor
    }
}

/// Arguments of a symbolic call, when they are more than tensors by position:
/// `Inputs::of(&query).and(&value).keyword("attention_mask", &mask).constant("use_causal_mask", true)`.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    call: Call,
    tensors: Vec<KerasTensor>,
}

impl Inputs {
    /// With this first argument: a tensor or a list of tensors.
    pub fn of(tensors: impl IntoInputs) -> Self {
        tensors.into_inputs()
    }

    /// And this one, by position.
    pub fn and(mut self, tensors: impl IntoInputs) -> Self {
        let arg = self.take(tensors.into_inputs());
        self.call.args.push(arg);
        self
    }

    /// And this one, by name.
    pub fn keyword(mut self, name: &str, tensors: impl IntoInputs) -> Self {
        let arg = self.take(tensors.into_inputs());
        self.call.kwargs.push((name.into(), arg));
        self
    }

    /// And this constant, by name.
    pub fn constant(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.call
            .kwargs
            .push((name.into(), Arg::Value(value.into())));
        self
    }

    /// And this constant, by position.
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.call.args.push(Arg::Value(value.into()));
        self
    }

    /// Takes over the tensors of `other`, which has one argument.
    fn take(&mut self, mut other: Inputs) -> Arg {
        let offset = self.tensors.len();
        self.tensors.append(&mut other.tensors);
        let mut arg = other.call.args.pop().unwrap_or(Arg::List(Vec::new()));
        shift(&mut arg, offset);
        arg
    }
}

fn shift(arg: &mut Arg, offset: usize) {
    match arg {
        Arg::Tensor(i) => *i += offset,
        Arg::List(list) => list.iter_mut().for_each(|a| shift(a, offset)),
        Arg::Value(_) => {}
    }
}

/// What a layer can be called on: `&tensor`, a list `[&a, &b]` or `&[a, b]`, or [`Inputs`].
pub trait IntoInputs {
    /// As arguments.
    fn into_inputs(self) -> Inputs;
}

impl IntoInputs for Inputs {
    fn into_inputs(self) -> Inputs {
        self
    }
}

impl IntoInputs for &KerasTensor {
    fn into_inputs(self) -> Inputs {
        Inputs {
            call: Call::plain(1),
            tensors: vec![self.clone()],
        }
    }
}

impl IntoInputs for &Input {
    fn into_inputs(self) -> Inputs {
        (&self.tensor).into_inputs()
    }
}

fn list<'a>(tensors: impl IntoIterator<Item = &'a KerasTensor>) -> Inputs {
    let tensors: Vec<KerasTensor> = tensors.into_iter().cloned().collect();
    Inputs {
        call: Call {
            args: vec![Arg::List((0..tensors.len()).map(Arg::Tensor).collect())],
            kwargs: Vec::new(),
        },
        tensors,
    }
}

impl IntoInputs for &[KerasTensor] {
    fn into_inputs(self) -> Inputs {
        list(self)
    }
}

impl IntoInputs for &Vec<KerasTensor> {
    fn into_inputs(self) -> Inputs {
        list(self)
    }
}

impl<T: Symbolic, const N: usize> IntoInputs for [T; N] {
    fn into_inputs(self) -> Inputs {
        list(self.iter().map(T::tensor))
    }
}

/// Calls a layer on symbolic tensors. For a layer by value; to call one layer twice make it a [`LayerRef`] first.
pub trait LayerCall: Layer + Sized + 'static {
    /// The layer's (only) output for these inputs.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its arguments, or has several outputs (see [`LayerRef::call_all`]).
    fn call(self, inputs: impl IntoInputs) -> Result<KerasTensor> {
        LayerRef::from(self).call(inputs)
    }
}

impl<L: Layer + 'static> LayerCall for L {}

impl LayerRef {
    /// The layer's (only) output for these inputs. Calling it again shares its weights.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its arguments, or has several outputs.
    pub fn call(&self, inputs: impl IntoInputs) -> Result<KerasTensor> {
        one(self.call_all(inputs)?, self.layer.class_name())
    }

    /// All outputs of the layer for these inputs.
    ///
    /// # Errors
    /// If the layer refuses the shapes or its arguments.
    pub fn call_all(&self, inputs: impl IntoInputs) -> Result<Vec<KerasTensor>> {
        record(Block::Layer(self.clone()), inputs.into_inputs(), None)
    }
}

fn one(mut outputs: Vec<KerasTensor>, class: &str) -> Result<KerasTensor> {
    match outputs.len() {
        1 => Ok(outputs.remove(0)),
        n => Err(Error::Model(format!(
            "{class} has {n} outputs: call `call_all`"
        ))),
    }
}

/// The outputs of calling this block, with their shapes.
fn record(block: Block, inputs: Inputs, donor: Option<Arc<Donor>>) -> Result<Vec<KerasTensor>> {
    let Inputs { call, tensors } = inputs;
    let shapes: Vec<Shape> = tensors.iter().map(|t| t.shape().clone()).collect();
    let owner = block.name().unwrap_or(block.class_name()).to_string();
    let bound = bind(&block, &call).map_err(|e| e.owned_by(&owner))?;
    let shapes: Vec<Shape> = bound.inputs.iter().map(|&i| shapes[i].clone()).collect();
    let outputs = match &block {
        Block::Layer(layer) => {
            let layer = bound.layer.as_ref().unwrap_or(&layer.layer);
            let named = |e: Error| e.owned_by(&owner);
            let mut outputs = vec![layer.output_shape(&shapes).map_err(named)?];
            layer.weights(&shapes).map_err(named)?;
            outputs.extend(layer.more_outputs(&shapes).map_err(named)?);
            outputs
        }
        Block::Model(model) => {
            let graph = lower(&model.spec, &shapes).map_err(|e| e.owned_by(&owner))?;
            graph
                .outputs
                .iter()
                .map(|&v| graph.values[v].clone())
                .collect()
        }
    };
    let record = Arc::new(CallRecord {
        block,
        call,
        tensors,
        donor,
    });
    let tensor = |(i, shape)| {
        KerasTensor(Arc::new(Symbol {
            shape,
            origin: Origin::Call(record.clone(), i),
        }))
    };
    Ok(outputs.into_iter().enumerate().map(tensor).collect())
}

impl Model {
    /// A functional model: what leads from these inputs to these outputs. It is built at once.
    ///
    /// Layers that come from another model (its inner tensors, or the model called as a layer) start with the weights they have
    /// there; the two models share nothing afterwards.
    ///
    /// # Errors
    /// If an output depends on an input that is not listed, or two layers have one name.
    pub fn new(inputs: impl IntoInputs, outputs: impl IntoInputs) -> Result<Model> {
        let (inputs, outputs) = (inputs.into_inputs(), outputs.into_inputs());
        let form = |i: &Inputs| match i.call.args.first() {
            Some(Arg::Tensor(_)) => Form::One,
            _ => Form::List,
        };
        let forms = (form(&inputs), form(&outputs));
        let (mut net, donors) = flatten(&inputs.tensors, &outputs.tensors)?;
        (net.input_form, net.output_form) = forms;
        let mut model = Model::with_spec("functional", Spec::Functional(net));
        model.donors = donors;
        model.build_declared()?;
        Ok(model)
    }

    /// Names the model.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Calls the model as a layer: its layers become part of the new model, starting with the weights they have now.
    ///
    /// # Errors
    /// If it refuses the shapes, or has several outputs.
    pub fn call(&self, inputs: impl IntoInputs) -> Result<KerasTensor> {
        one(self.call_all(inputs)?, self.name())
    }

    /// [`call`](Self::call) for a model with several outputs.
    ///
    /// # Errors
    /// If it refuses the shapes.
    pub fn call_all(&self, inputs: impl IntoInputs) -> Result<Vec<KerasTensor>> {
        record(Block::from(self), inputs.into_inputs(), None)
    }

    /// Symbolic inputs of this model, to build another one from its inner tensors.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([4]).add(Dense::new(8).activation("relu").name("features")).add(Dense::new(1));
    /// model.build([4])?;
    /// let tensors = model.tensors()?;
    /// let features = Model::new(&tensors.inputs, tensors.output_of("features")?)?; // the same weights
    /// assert_eq!(features.get_weights(), model.get_weights()[..2]);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is not built.
    pub fn tensors(&self) -> Result<ModelTensors> {
        self.require_built("tensors")?;
        let donor = Some(Arc::new(Donor::new(&self.graph, &self.weights)));
        let mut outputs_of: Vec<(String, Vec<KerasTensor>)> = Vec::new();
        let names = block_names(self.spec.blocks());
        match &self.spec {
            Spec::Sequential(chain) => {
                let spec = InputSpec {
                    shape: self.graph.values[self.graph.inputs[0]].clone(),
                    ..chain
                        .input
                        .clone()
                        .unwrap_or(InputSpec::new(Shape::default()))
                };
                let input = Input::from_spec(spec).tensor;
                let mut x = input.clone();
                for (block, name) in chain.blocks.iter().zip(&names) {
                    let mut block = block.clone();
                    block.set_name(name.clone());
                    let outputs = record(block, (&x).into_inputs(), donor.clone())?;
                    x = outputs[0].clone();
                    outputs_of.push((name.clone(), outputs));
                }
                Ok(ModelTensors {
                    inputs: vec![input],
                    outputs: vec![x],
                    outputs_of,
                })
            }
            Spec::Functional(net) => {
                let inputs: Vec<KerasTensor> = net
                    .inputs
                    .iter()
                    .map(|i| Input::from_spec(i.clone()).tensor)
                    .collect();
                let mut results: Vec<Vec<KerasTensor>> = Vec::new();
                for site in &net.calls {
                    let tensors = site.tensors.iter().map(|s| pick(s, &inputs, &results));
                    let inputs = Inputs {
                        call: site.call.clone(),
                        tensors: tensors.collect(),
                    };
                    let outputs = record(net.blocks[site.block].clone(), inputs, donor.clone())?;
                    outputs_of.push((names[site.block].clone(), outputs.clone()));
                    results.push(outputs);
                }
                Ok(ModelTensors {
                    outputs: net
                        .outputs
                        .iter()
                        .map(|s| pick(s, &inputs, &results))
                        .collect(),
                    inputs,
                    outputs_of,
                })
            }
        }
    }
}

fn pick(source: &Source, inputs: &[KerasTensor], results: &[Vec<KerasTensor>]) -> KerasTensor {
    match *source {
        Source::Input(i) => inputs[i].clone(),
        Source::Call(call, output) => results[call][output].clone(),
    }
}

/// The symbolic tensors of a model; see [`Model::tensors`].
#[derive(Clone, Debug)]
pub struct ModelTensors {
    /// Its inputs.
    pub inputs: Vec<KerasTensor>,
    /// Its outputs.
    pub outputs: Vec<KerasTensor>,
    outputs_of: Vec<(String, Vec<KerasTensor>)>,
}

impl ModelTensors {
    /// The first output of a layer's first call.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn output_of(&self, layer: &str) -> Result<&KerasTensor> {
        match self.outputs_of.iter().find(|(name, _)| name == layer) {
            Some((_, outputs)) => Ok(&outputs[0]),
            None => Err(Error::unknown(
                "layer",
                layer,
                self.outputs_of.iter().map(|(name, _)| name),
            )),
        }
    }
}

impl From<&Model> for Block {
    fn from(model: &Model) -> Self {
        Block::Model(Nested {
            name: Some(model.name.clone()),
            trainable: true,
            spec: Arc::new(model.named_spec()),
            donor: model
                .built
                .then(|| Arc::new(Donor::new(&model.graph, &model.weights))),
        })
    }
}

impl From<Model> for Block {
    fn from(model: Model) -> Self {
        Block::from(&model)
    }
}

impl From<super::Sequential> for Block {
    fn from(model: super::Sequential) -> Self {
        Block::from(&*model)
    }
}

impl Model {
    /// The specification with every layer named, so that names stay when it becomes part of another model.
    fn named_spec(&self) -> Spec {
        let mut spec = self.spec.clone();
        let names = block_names(spec.blocks());
        let named = spec.blocks_mut().iter_mut().zip(names);
        named.for_each(|(block, name)| block.set_name(name));
        if let Spec::Sequential(Chain { input, .. }) = &mut spec
            && input.is_none()
            && self.built
        {
            *input = Some(InputSpec::new(
                self.graph.values[self.graph.inputs[0]].clone(),
            ));
        }
        spec
    }
}

/// The net of everything between these tensors, in Keras's order: calls by their distance from the outputs, and among equals in
/// the order of a depth-first walk.
fn flatten(inputs: &[KerasTensor], outputs: &[KerasTensor]) -> Result<(Net, Vec<Arc<Donor>>)> {
    let mut walk = Walk::default();
    for (i, tensor) in inputs.iter().enumerate() {
        if walk.sources.insert(tensor.id(), Source::Input(i)).is_some() {
            return Err(Error::Model(format!("input {i} is listed twice")));
        }
    }
    for output in outputs {
        walk.visit(output)?;
    }
    if outputs.is_empty() || inputs.is_empty() {
        return Err(Error::Model("a model needs an input and an output".into()));
    }
    let order = walk.block_order();
    let mut place = vec![0; order.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(to, &from)| place[from] = to);
    let mut blocks: Vec<Block> = order.iter().map(|&b| walk.blocks[b].clone()).collect();
    let names = block_names(&blocks);
    if let Some((_, name)) = names
        .iter()
        .enumerate()
        .find(|(i, n)| names[..*i].contains(n))
    {
        return Err(Error::Model(format!(
            "two layers are named `{name}`; names must be unique within a model"
        )));
    }
    blocks
        .iter_mut()
        .zip(names)
        .for_each(|(block, name)| block.set_name(name));
    let calls = walk
        .calls
        .iter()
        .map(|(record, block)| CallSite {
            block: place[*block],
            call: record.call.clone(),
            tensors: record
                .tensors
                .iter()
                .map(|t| walk.sources[&t.id()])
                .collect(),
        })
        .collect();
    let net = Net {
        inputs: inputs
            .iter()
            .enumerate()
            .map(|(i, t)| match &t.0.origin {
                Origin::Input(input) => InputSpec {
                    name: Some(input.name.clone().unwrap_or_else(|| default_input_name(i))),
                    ..input.clone()
                },
                Origin::Call(..) => InputSpec {
                    name: Some(default_input_name(i)),
                    ..InputSpec::new(t.shape().clone())
                },
            })
            .collect(),
        blocks,
        calls,
        outputs: outputs.iter().map(|t| walk.sources[&t.id()]).collect(),
        input_form: Form::List,
        output_form: Form::List,
    };
    let mut donors: Vec<Arc<Donor>> = Vec::new();
    for (record, _) in &walk.calls {
        if let Some(donor) = &record.donor
            && !donors.iter().any(|d| Arc::ptr_eq(d, donor))
        {
            donors.push(donor.clone());
        }
    }
    Ok((net, donors))
}

fn default_input_name(i: usize) -> String {
    match i {
        0 => "input_layer".into(),
        n => format!("input_layer_{n}"),
    }
}

#[derive(Default)]
struct Walk {
    /// Where every tensor met so far comes from.
    sources: HashMap<usize, Source>,
    /// Calls in an order in which they can run, with their block.
    calls: Vec<(Arc<CallRecord>, usize)>,
    blocks: Vec<Block>,
    /// Number of every call record and block by its address.
    records: HashMap<usize, usize>,
    block_ids: HashMap<Vec<usize>, usize>,
    /// When the walk first met each block.
    met: Vec<usize>,
}

impl Walk {
    /// Depth first, with a stack of its own: a chain may be long.
    fn visit(&mut self, output: &KerasTensor) -> Result<()> {
        let mut stack = vec![(output.clone(), false)];
        while let Some((tensor, ready)) = stack.pop() {
            if self.sources.contains_key(&tensor.id()) {
                continue;
            }
            let (record, number) = match &tensor.0.origin {
                Origin::Call(record, number) => (record, *number),
                Origin::Input(input) => {
                    return Err(Error::Model(format!(
                        "an output depends on the input `{}` (shape {}), which is not among the model's inputs",
                        input.name.as_deref().unwrap_or("without a name"),
                        input.shape
                    )));
                }
            };
            let id = Arc::as_ptr(record) as usize;
            if let Some(&call) = self.records.get(&id) {
                self.sources.insert(tensor.id(), Source::Call(call, number));
                continue;
            }
            let block = self.block(&record.block);
            if !ready {
                stack.push((tensor.clone(), true));
                let todo = record.tensors.iter().rev();
                stack.extend(todo.map(|t| (t.clone(), false)));
                continue;
            }
            self.records.insert(id, self.calls.len());
            self.sources
                .insert(tensor.id(), Source::Call(self.calls.len(), number));
            self.calls.push((record.clone(), block));
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> usize {
        // A model is known by its layers: it may have been taken as a block several times.
        let mut id = Vec::new();
        match block {
            Block::Layer(layer) => id.push(key(&layer.layer)),
            Block::Model(model) => model.spec.visit(&mut |layer| id.push(key(&layer.layer))),
        }
        *self.block_ids.entry(id).or_insert_with(|| {
            self.blocks.push(block.clone());
            self.met.push(self.met.len());
            self.blocks.len() - 1
        })
    }

    /// Blocks by decreasing depth (the longest way from one of their calls to an output), then in the order of the walk.
    fn block_order(&self) -> Vec<usize> {
        let mut block_depth = vec![0usize; self.blocks.len()];
        let mut call_depth = vec![0usize; self.calls.len()];
        for (c, (record, block)) in self.calls.iter().enumerate().rev() {
            let depth = call_depth[c].max(block_depth[*block]);
            (call_depth[c], block_depth[*block]) = (depth, depth);
            for tensor in &record.tensors {
                if let Some(Source::Call(parent, _)) = self.sources.get(&tensor.id()) {
                    call_depth[*parent] = call_depth[*parent].max(depth + 1);
                }
            }
        }
        let mut order: Vec<usize> = (0..self.blocks.len()).collect();
        order.sort_by_key(|&b| (std::cmp::Reverse(block_depth[b]), self.met[b]));
        order
    }
}
