//! From Keras's JSON to a [`Spec`]: layers, their calls, inputs and outputs. Everything that a file says is checked here or by the
//! layer it concerns; nothing in a configuration names code, a file or an address.

use std::collections::HashMap;

use serde_json::Value;

use super::registry::{Registry, unknown};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::layer::{Arg, Call, LayerRef};
use crate::layers;
use crate::models::spec::{
    Block, CallSite, Chain, Form, Input, MAX_DEPTH, Nested, Net, Source, Spec,
};
use crate::regularizer::Regularizer;
use crate::shape::{MAX_RANK, Shape};

/// Most layers, and most calls, of one model.
const MAX_LAYERS: usize = 100_000;
/// Longest name of a layer.
const MAX_NAME: usize = 255;

/// A model as its configuration says.
#[derive(Debug)]
pub(super) struct Architecture {
    pub name: String,
    pub trainable: bool,
    pub spec: Spec,
}

fn problem(path: &str, problem: impl Into<String>) -> Error {
    Error::Config {
        path: path.into(),
        problem: problem.into(),
    }
}

/// Reads `{"class_name": "Sequential" | "Functional", "config": {..}}`.
pub(super) fn read_model(object: &Value, registry: &Registry) -> Result<Architecture> {
    let reader = Reader { registry };
    match reader.model(object, 0)? {
        Some(architecture) => Ok(architecture),
        None => Err(problem(
            "model",
            format!(
                "expected a Sequential or Functional model, got {}",
                describe(object.get("class_name"))
            ),
        )),
    }
}

fn describe(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::String(s)) => format!("`{}`", s.chars().take(80).collect::<String>()),
        Some(other) => {
            let text = other.to_string();
            match text.char_indices().nth(80) {
                Some((end, _)) => format!("{}..", &text[..end]),
                None => text,
            }
        }
    }
}

fn text<'a>(object: &'a Value, key: &str, path: &str) -> Result<&'a str> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| {
        problem(
            path,
            format!(
                "`{key}`: expected a string, got {}",
                describe(object.get(key))
            ),
        )
    })
}

fn list<'a>(object: &'a Value, key: &str, path: &str) -> Result<&'a Vec<Value>> {
    object.get(key).and_then(Value::as_array).ok_or_else(|| {
        problem(
            path,
            format!(
                "`{key}`: expected a list, got {}",
                describe(object.get(key))
            ),
        )
    })
}

/// A name that may stand in a path of a file.
fn checked_name(name: &str, path: &str) -> Result<String> {
    let bad = name.is_empty()
        || name.len() > MAX_NAME
        || name == "."
        || name == ".."
        || name.chars().any(|c| c == '\\' || c.is_control())
        || name.split('/').any(|part| part.is_empty() || part == "..");
    if bad {
        return Err(problem(
            path,
            format!(
                "`{}` cannot be the name of a layer",
                name.escape_debug().take(80).collect::<String>()
            ),
        ));
    }
    Ok(name.into())
}

/// The types of Keras's `dtype`; everything is computed in f32 here, so it is only checked that it is one of them.
fn check_dtype(dtype: Option<&Value>, path: &str) -> Result<()> {
    const TYPES: &[&str] = &[
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "mixed_float16",
        "mixed_bfloat16",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "string",
    ];
    let name = match dtype {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(name)) => Some(name.as_str()),
        Some(policy) => match policy["class_name"].as_str() {
            Some("DTypePolicy" | "Policy" | "FloatDTypePolicy") => {
                policy["config"]["name"].as_str()
            }
            _ => None,
        },
    };
    match name {
        Some(name) if TYPES.contains(&name) => Ok(()),
        _ => Err(problem(
            path,
            format!(
                "`dtype`: expected one of {}, got {}",
                TYPES.join(", "),
                describe(dtype)
            ),
        )),
    }
}

struct Reader<'a> {
    registry: &'a Registry,
}

impl Reader<'_> {
    /// `None` if it is no model.
    fn model(&self, object: &Value, depth: usize) -> Result<Option<Architecture>> {
        let class = text(object, "class_name", "model")?;
        if !matches!(class, "Sequential" | "Functional" | "Model") {
            return Ok(None);
        }
        if depth > MAX_DEPTH {
            return Err(problem(
                "model",
                format!("models are nested more than {MAX_DEPTH} deep"),
            ));
        }
        let config = &object["config"];
        // Keras 1 wrote the layers of a Sequential without an envelope.
        let bare = Value::Object(
            [("layers".to_string(), config.clone())]
                .into_iter()
                .collect(),
        );
        let config = if config.is_array() { &bare } else { config };
        let name = match config.get("name") {
            None | Some(Value::Null) => crate::layer::default_name(class),
            Some(_) => checked_name(text(config, "name", class)?, class)?,
        };
        check_dtype(config.get("dtype"), &name)?;
        let trainable = match config.get("trainable") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(b)) => *b,
            other => {
                return Err(problem(
                    &name,
                    format!(
                        "`trainable`: expected true or false, got {}",
                        describe(other)
                    ),
                ));
            }
        };
        let layers = list(config, "layers", &name)?;
        if layers.len() > MAX_LAYERS {
            return Err(problem(&name, format!("more than {MAX_LAYERS} layers")));
        }
        let spec = match class {
            "Sequential" => Spec::Sequential(self.chain(object, config, layers, &name, depth)?),
            _ => Spec::Functional(self.net(config, layers, &name, depth)?),
        };
        Ok(Some(Architecture {
            name,
            trainable,
            spec,
        }))
    }

    fn chain(
        &self,
        object: &Value,
        config: &Value,
        layers: &[Value],
        name: &str,
        depth: usize,
    ) -> Result<Chain> {
        let mut chain = Chain::default();
        for (i, layer) in layers.iter().enumerate() {
            if text(layer, "class_name", name)? == "InputLayer" {
                if i > 0 {
                    return Err(problem(name, "an InputLayer that is not the first layer"));
                }
                chain.input = Some(input(&layer["config"], name)?);
                continue;
            }
            // Keras 1 and 2: the first layer says what comes in.
            if i == 0
                && let Some(shape) = first_shape(&layer["config"])
            {
                chain.input = Some(Input::new(batch_shape(shape, name)?.1));
            }
            chain.blocks.push(self.block(layer, name, depth)?);
        }
        if chain.input.is_none()
            && chain
                .blocks
                .first()
                .is_none_or(|b| matches!(b, Block::Layer(_)))
        {
            let built = [
                config.get("build_input_shape"),
                object.pointer("/build_config/input_shape"),
            ];
            if let Some(shape) = built.into_iter().flatten().find(|s| s.is_array()) {
                chain.input = Some(Input::new(batch_shape(shape, name)?.1));
            }
        }
        Ok(chain)
    }

    /// A layer or a nested model.
    fn block(&self, object: &Value, owner: &str, depth: usize) -> Result<Block> {
        if let Some(model) = self.model(object, depth + 1)? {
            return Ok(Block::Model(Nested {
                name: Some(model.name),
                trainable: model.trainable,
                spec: model.spec.into(),
                donor: None,
            }));
        }
        self.layer(object, owner).map(Block::Layer)
    }

    fn layer(&self, object: &Value, owner: &str) -> Result<LayerRef> {
        let class = text(object, "class_name", owner)?;
        let Some(config) = object["config"].as_object() else {
            return Err(problem(
                owner,
                format!(
                    "{class}: `config`: expected an object, got {}",
                    describe(object.get("config"))
                ),
            ));
        };
        let mut config = config.clone();
        let name = match config.remove("name") {
            None | Some(Value::Null) => crate::layer::default_name(class),
            Some(Value::String(name)) => checked_name(&name, owner)?,
            other => {
                return Err(problem(
                    owner,
                    format!(
                        "{class}: `name`: expected a string, got {}",
                        describe(other.as_ref())
                    ),
                ));
            }
        };
        let trainable = match config.remove("trainable") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(b)) => b,
            other => {
                return Err(problem(
                    &name,
                    format!(
                        "`trainable`: expected true or false, got {}",
                        describe(other.as_ref())
                    ),
                ));
            }
        };
        check_dtype(config.remove("dtype").as_ref(), &name)?;
        let module = object.get("module").and_then(Value::as_str);
        let registered = object.get("registered_name").and_then(Value::as_str);
        super::dialect::retire(class, module.is_none(), &mut config);
        let layer = match self.own(class, registered, module, &config, &name)? {
            Some(layer) => layer,
            None => {
                // Layers that are penalised as a whole say so in their own configuration.
                if config
                    .get("activity_regularizer")
                    .is_some_and(Value::is_null)
                {
                    config.remove("activity_regularizer");
                }
                let penalty = config.remove("activity_regularizer");
                let layer = known_layer(module, class, &config)
                    .ok_or_else(|| unknown("layer", registered.unwrap_or(class), owner))?
                    .map_err(|e| named(e, &name))?;
                let mut layer = LayerRef::from_arc(layer);
                if let Some(penalty) = penalty {
                    let regularizer: Regularizer = serde_json::from_value(penalty)
                        .map_err(|e| problem(&name, format!("`activity_regularizer`: {e}")))?;
                    layer = layer.activity_regularizer(regularizer);
                }
                layer
            }
        };
        Ok(layer.name(name).trainable(trainable))
    }

    /// A layer of a class that the user registered; Keras's own classes cannot be replaced.
    fn own(
        &self,
        class: &str,
        registered: Option<&str>,
        module: Option<&str>,
        config: &Config,
        name: &str,
    ) -> Result<Option<LayerRef>> {
        let key = match registered {
            Some(name) if name.contains('>') => name,
            _ if known_layer(module, class, config).is_some() => return Ok(None),
            _ => class,
        };
        match self.registry.find_layer(key) {
            Some(make) => Ok(Some(LayerRef::from_arc(
                make(config).map_err(|e| named(e, name))?,
            ))),
            None => Ok(None),
        }
    }

    fn net(&self, config: &Value, layers: &[Value], name: &str, depth: usize) -> Result<Net> {
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
                let built_in =
                    matches!(&block, Block::Model(m) if matches!(*m.spec, Spec::Functional(_)));
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

/// Keras's own layer of this class; `None` if there is none. `keras.ops` have a table of their own: both have an `Add`.
fn known_layer(
    module: Option<&str>,
    class: &str,
    config: &Config,
) -> Option<Result<std::sync::Arc<dyn crate::layer::Layer>>> {
    match module {
        Some(module) if module.starts_with("keras.src.ops") => {
            layers::ops::from_config(class, config)
        }
        Some(module) if !module.starts_with("keras") => None,
        _ => layers::from_config(class, config),
    }
}

/// Names the layer in an error about its configuration.
fn named(e: Error, name: &str) -> Error {
    match e {
        Error::Config { path, problem } => Error::Config {
            path: format!("{name} ({path})"),
            problem,
        },
        other => other.owned_by(name),
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
                Some("__slice__" | "__ellipsis__") => Ok(Arg::Value(value.clone())),
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

/// The shape that Keras 1 and 2 wrote into the first layer of a Sequential.
fn first_shape(config: &Value) -> Option<&Value> {
    config
        .get("batch_input_shape")
        .or_else(|| config.get("batch_shape"))
        .filter(|s| s.is_array())
}

fn input(config: &Value, owner: &str) -> Result<Input> {
    let shape = first_shape(config).ok_or_else(|| {
        problem(
            owner,
            format!(
                "an InputLayer's `batch_shape`: expected a list, got {}",
                describe(config.get("batch_shape"))
            ),
        )
    })?;
    for flag in ["sparse", "ragged", "optional"] {
        if config.get(flag) == Some(&Value::Bool(true)) {
            return Err(problem(
                owner,
                format!(
                    "an InputLayer with `{flag}`: only dense data that is always there is supported"
                ),
            ));
        }
    }
    check_dtype(config.get("dtype"), owner)?;
    let (batch_size, shape) = batch_shape(shape, owner)?;
    let mut input = Input::new(shape);
    input.batch_size = batch_size;
    if let Some(dtype) = config.get("dtype").and_then(Value::as_str) {
        input.dtype = dtype.into();
    }
    if let Some(name) = config.get("name").and_then(Value::as_str) {
        input.name = Some(checked_name(name, owner)?);
    }
    Ok(input)
}

/// `[batch, sizes..]`, null for what is not known.
fn batch_shape(value: &Value, owner: &str) -> Result<(Option<usize>, Shape)> {
    let bad = || {
        problem(
            owner,
            format!(
                "expected a shape [null, sizes..] with at most {} axes, got {}",
                MAX_RANK + 1,
                describe(Some(value))
            ),
        )
    };
    let sizes = value.as_array().ok_or_else(bad)?;
    let size = |v: &Value| match v {
        Value::Null => Some(None),
        v => v
            .as_u64()
            .filter(|n| *n > 0 && *n < 1 << 40)
            .map(|n| Some(n as usize)),
    };
    let sizes: Vec<Option<usize>> = sizes
        .iter()
        .map(size)
        .collect::<Option<_>>()
        .ok_or_else(bad)?;
    match sizes.split_first() {
        Some((batch, sizes)) if sizes.len() <= MAX_RANK => {
            Ok((*batch, Shape::from(sizes.to_vec())))
        }
        _ => Err(bad()),
    }
}
