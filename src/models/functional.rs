//! Functional models: [`Model::new`], models as layers of models, and a model's inner tensors.

use std::collections::HashMap;
use std::sync::Arc;

use super::Model;
use super::donor::Donor;
use super::spec::{
    Block, CallSite, Chain, Form, Input as InputSpec, Nested, Net, Source, Spec, block_names, key,
};
use super::symbolic::{CallRecord, Input, Inputs, IntoInputs, KerasTensor, Origin, one, record};
use crate::error::{Error, Result};
use crate::layer::Arg;
use crate::shape::Shape;

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
            every_step: None,
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
    /// The model as a part of another one that is applied to every time step: Keras's `TimeDistributed(model)`. Each of its layers
    /// is; the weights are those of one model.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let frame = Sequential::new().input([8, 8, 1]).add(Flatten::new()).add(Dense::new(4));
    /// let mut model = Sequential::new().input([5, 8, 8, 1]).add(frame.time_distributed()).add(LSTM::new(3));
    /// model.build([5, 8, 8, 1])?;
    /// assert_eq!(model.output_shapes()[0].to_string(), "(None, 3)");
    /// assert_eq!(model.weight_names()[0], "time_distributed/dense/kernel");
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    #[cfg(feature = "recurrent")]
    pub fn time_distributed(&self) -> Block {
        match Block::from(self) {
            Block::Model(model) => Block::Model(Nested {
                every_step: model.name,
                name: None,
                ..model
            }),
            layer => layer,
        }
    }

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
