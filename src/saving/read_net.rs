//! Functional models in Keras's JSON: layers, their calls (`inbound_nodes`), and the tensors between them.

use std::collections::HashMap;

use serde_json::Value;

use super::read_config::{MAX_LAYERS, Reader, checked_name, describe, input, problem, text};
use crate::error::Result;
use crate::layer::{Arg, Call};
use crate::models::spec::{CallSite, Form, Input, Net, Source};

impl Reader<'_> {
    /// A functional model.
    pub(super) fn net(
        &self,
        config: &Value,
        layers: &[Value],
        name: &str,
        depth: usize,
    ) -> Result<Net> {
        let mut inputs: Vec<Input> = Vec::new();
        let mut blocks = Vec::new();
        let mut places: HashMap<String, Place> = HashMap::new();
        let mut nodes: Vec<Node> = Vec::new();
        for layer in layers {
            let label = match layer.get("name").or(layer["config"].get("name")) {
                Some(Value::String(label)) => checked_name(label, name)?,
                other => {
                    return Err(problem(
                        name,
                        format!("a layer without a name: {}", describe(other)),
                    ));
                }
            };
            let place = if text(layer, "class_name", name)? == "InputLayer" {
                let mut input = input(&layer["config"], &label)?;
                input.name = Some(label.clone());
                inputs.push(input);
                Place::Input(inputs.len() - 1)
            } else {
                let mut block = self.block(layer, name, depth)?;
                block.set_name(label.clone());
                let built_in = block.class_name() == "Functional";
                blocks.push(block);
                let first = nodes.len();
                let empty = Vec::new();
                let calls = layer
                    .get("inbound_nodes")
                    .map_or(Some(&empty), Value::as_array);
                for call in
                    calls.ok_or_else(|| problem(&label, "`inbound_nodes`: expected a list"))?
                {
                    nodes.push(node(blocks.len() - 1, call, &label)?);
                }
                if nodes.len() > MAX_LAYERS {
                    return Err(problem(
                        name,
                        format!("more than {MAX_LAYERS} calls of layers"),
                    ));
                }
                Place::Block {
                    first,
                    count: nodes.len() - first,
                    built_in,
                }
            };
            if places.insert(label.clone(), place).is_some() {
                return Err(problem(
                    name,
                    format!("two layers are named `{label}`; names must be unique"),
                ));
            }
        }
        let order = runnable(&nodes, &places, name)?;
        let mut numbers = vec![0; nodes.len()];
        order
            .iter()
            .enumerate()
            .for_each(|(to, &from)| numbers[from] = to);
        let source = |tensor: &Tensor, outer: bool| -> Result<Source> {
            match places.get(&tensor.layer) {
                Some(Place::Input(i)) => Ok(Source::Input(*i)),
                Some(place) => Ok(Source::Call(
                    numbers[place.node(tensor, outer, name)?],
                    tensor.output,
                )),
                None => Err(problem(
                    name,
                    format!(
                        "a tensor of the layer `{}`, which does not exist",
                        tensor.layer
                    ),
                )),
            }
        };
        let mut calls = Vec::with_capacity(nodes.len());
        for &n in &order {
            let node = &nodes[n];
            calls.push(CallSite {
                block: node.block,
                call: node.call.clone(),
                tensors: node
                    .tensors
                    .iter()
                    .map(|t| source(t, false))
                    .collect::<Result<_>>()?,
            });
        }
        let (input_form, given) = ends(config.get("input_layers"), "input_layers", name)?;
        let (output_form, wanted) = ends(config.get("output_layers"), "output_layers", name)?;
        // Inputs in the order of the data; those that are listed nowhere stay behind.
        let mut data_order = Vec::new();
        for tensor in &given {
            match places.get(&tensor.layer) {
                Some(Place::Input(i)) if !data_order.contains(i) => data_order.push(*i),
                _ => {
                    return Err(problem(
                        name,
                        format!("`input_layers`: `{}` is not an input", tensor.layer),
                    ));
                }
            }
        }
        if data_order.len() != inputs.len() {
            return Err(problem(
                name,
                format!(
                    "{} inputs are declared, {} are listed in `input_layers`",
                    inputs.len(),
                    data_order.len()
                ),
            ));
        }
        let outputs = wanted
            .iter()
            .map(|t| source(t, true))
            .collect::<Result<Vec<_>>>()?;
        let mut rank = vec![0; inputs.len()];
        data_order
            .iter()
            .enumerate()
            .for_each(|(to, &from)| rank[from] = to);
        let place = |s: Source| match s {
            Source::Input(i) => Source::Input(rank[i]),
            call => call,
        };
        calls
            .iter_mut()
            .flat_map(|c| &mut c.tensors)
            .for_each(|t| *t = place(*t));
        Ok(Net {
            inputs: data_order.iter().map(|&i| inputs[i].clone()).collect(),
            blocks,
            calls,
            outputs: outputs.into_iter().map(place).collect(),
            input_form,
            output_form,
        })
    }
}

/// Where a layer of a functional model is.
enum Place {
    Input(usize),
    /// Its calls are nodes `first .. first + count`; Keras counts from 1 at the model's ends where a Functional is the layer.
    Block {
        first: usize,
        count: usize,
        built_in: bool,
    },
}

impl Place {
    fn node(&self, tensor: &Tensor, outer: bool, owner: &str) -> Result<usize> {
        let Place::Block {
            first,
            count,
            built_in,
        } = self
        else {
            unreachable!("asked for layers only")
        };
        let call = tensor.call.checked_sub(usize::from(outer && *built_in));
        match call.filter(|c| c < count) {
            Some(call) => Ok(first + call),
            None => Err(problem(
                owner,
                format!(
                    "call {} of the layer `{}` does not exist",
                    tensor.call, tensor.layer
                ),
            )),
        }
    }
}

/// A tensor as Keras writes it: output `output` of call `call` of a layer.
#[derive(Clone, Debug)]
struct Tensor {
    layer: String,
    call: usize,
    output: usize,
}

/// A call, its tensors still by name.
struct Node {
    block: usize,
    call: Call,
    tensors: Vec<Tensor>,
}

fn history(value: &Value, owner: &str) -> Result<Tensor> {
    let bad = || {
        problem(
            owner,
            format!(
                "expected [layer, call, output], got {}",
                describe(Some(value))
            ),
        )
    };
    let Some([layer, call, output, ..]) = value.as_array().map(Vec::as_slice) else {
        return Err(bad());
    };
    match (layer.as_str(), call.as_u64(), output.as_u64()) {
        (Some(layer), Some(call), Some(output)) => Ok(Tensor {
            layer: layer.into(),
            call: usize::try_from(call).map_err(|_| bad())?,
            output: usize::try_from(output).map_err(|_| bad())?,
        }),
        _ => Err(bad()),
    }
}

/// Reads one entry of `inbound_nodes`: Keras 3's `{"args", "kwargs"}`, or Keras 2's list of `[layer, call, output, kwargs]`.
fn node(block: usize, value: &Value, owner: &str) -> Result<Node> {
    let mut node = Node {
        block,
        call: Call::default(),
        tensors: Vec::new(),
    };
    match value {
        Value::Object(parts) => {
            let empty = Value::Array(Vec::new());
            let args = parts.get("args").unwrap_or(&empty);
            let Value::Array(args) = args else {
                return Err(problem(
                    owner,
                    format!("`args`: expected a list, got {}", describe(Some(args))),
                ));
            };
            for value in args {
                let arg = node.arg(value, owner)?;
                node.call.args.push(arg);
            }
            match parts.get("kwargs") {
                None | Some(Value::Null) => {}
                Some(Value::Object(kwargs)) => {
                    for (key, value) in kwargs {
                        let arg = node.arg(value, owner)?;
                        node.call.kwargs.push((key.clone(), arg));
                    }
                }
                other => {
                    return Err(problem(
                        owner,
                        format!("`kwargs`: expected an object, got {}", describe(other)),
                    ));
                }
            }
        }
        Value::Array(tensors) => {
            for value in tensors {
                node.tensors.push(history(value, owner)?);
                if let Some(Value::Object(kwargs)) = value.get(3) {
                    for (key, value) in kwargs {
                        let arg = node.legacy_arg(value, owner)?;
                        node.call.kwargs.push((key.clone(), arg));
                    }
                }
            }
            let count = tensors.len();
            node.call.args = Call::plain(count).args;
        }
        other => {
            return Err(problem(
                owner,
                format!(
                    "`inbound_nodes`: expected calls, got {}",
                    describe(Some(other))
                ),
            ));
        }
    }
    // Keras writes the default of `training` where none was given (Dropout: false, RandomFlip: true), and in `fit`, `evaluate` and
    // `predict` its own takes the place of whatever was given.
    node.call.kwargs.retain(|(key, _)| key != "training");
    Ok(node)
}

impl Node {
    fn tensor(&mut self, tensor: Tensor) -> Arg {
        self.tensors.push(tensor);
        Arg::Tensor(self.tensors.len() - 1)
    }

    fn arg(&mut self, value: &Value, owner: &str) -> Result<Arg> {
        match value {
            Value::Object(object) => match object.get("class_name").and_then(Value::as_str) {
                Some("__keras_tensor__") => {
                    let tensor = history(&value["config"]["keras_history"], owner)?;
                    Ok(self.tensor(tensor))
                }
                Some("__slice__" | "__ellipsis__" | "__numpy__" | "__tensor__") => {
                    Ok(Arg::Value(value.clone()))
                }
                Some("__tuple__") => self.arg(&value["config"]["value"], owner),
                _ => Err(problem(
                    owner,
                    format!(
                        "an argument that is no tensor, number or slice: {}",
                        describe(Some(value))
                    ),
                )),
            },
            Value::Array(list) => list
                .iter()
                .map(|v| self.arg(v, owner))
                .collect::<Result<_>>()
                .map(Arg::List),
            plain => Ok(Arg::Value(plain.clone())),
        }
    }

    /// In Keras 2 a tensor among the keywords is `[layer, call, output]`, or a list of such.
    fn legacy_arg(&mut self, value: &Value, owner: &str) -> Result<Arg> {
        match value {
            Value::Array(list) if list.first().is_some_and(Value::is_string) => {
                let tensor = history(value, owner)?;
                Ok(self.tensor(tensor))
            }
            Value::Array(list) => list
                .iter()
                .map(|v| self.legacy_arg(v, owner))
                .collect::<Result<_>>()
                .map(Arg::List),
            other => self.arg(other, owner),
        }
    }
}

/// The calls in an order in which they can run; an error names what is missing or goes round in a circle.
fn runnable(nodes: &[Node], places: &HashMap<String, Place>, owner: &str) -> Result<Vec<usize>> {
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (n, node) in nodes.iter().enumerate() {
        for tensor in &node.tensors {
            match places.get(&tensor.layer) {
                Some(Place::Input(_)) => {}
                Some(place) => {
                    readers[place.node(tensor, false, owner)?].push(n);
                    waiting[n] += 1;
                }
                None => {
                    return Err(problem(
                        owner,
                        format!(
                            "a tensor of the layer `{}`, which does not exist",
                            tensor.layer
                        ),
                    ));
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|&n| waiting[n] == 0).collect();
    let mut done = 0;
    while done < order.len() {
        for &reader in &readers[order[done]] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                order.push(reader);
            }
        }
        done += 1;
    }
    if order.len() < nodes.len() {
        return Err(problem(owner, "some layers take part in a circle of calls"));
    }
    Ok(order)
}

/// The ends of a functional model: one tensor, a list, or tensors by name (in the order of the names, as Keras flattens them).
fn ends(value: Option<&Value>, key: &str, owner: &str) -> Result<(Form, Vec<Tensor>)> {
    let at = format!("{owner}: `{key}`");
    let (form, tensors) = match value {
        Some(Value::Array(list)) if list.first().is_some_and(Value::is_string) => {
            (Form::One, vec![history(&Value::Array(list.clone()), &at)?])
        }
        Some(Value::Array(list)) => (
            Form::List,
            list.iter()
                .map(|v| history(v, &at))
                .collect::<Result<Vec<_>>>()?,
        ),
        Some(Value::Object(named)) => {
            let mut names: Vec<&String> = named.keys().collect();
            names.sort();
            let tensors = names
                .iter()
                .map(|n| history(&named[*n], &at))
                .collect::<Result<Vec<_>>>()?;
            (Form::Names(names.into_iter().cloned().collect()), tensors)
        }
        other => {
            return Err(problem(
                &at,
                format!("expected tensors, got {}", describe(other)),
            ));
        }
    };
    if tensors.is_empty() {
        return Err(problem(&at, "there are none"));
    }
    Ok((form, tensors))
}
