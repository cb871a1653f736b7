//! From Keras's JSON to a [`Spec`]: layers, their calls, inputs and outputs. Everything that a file says is checked here or by the
//! layer it concerns; nothing in a configuration names code, a file or an address.

use serde_json::Value;

use super::registry::{Registry, unknown};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::layer::LayerRef;
use crate::layers;
use crate::models::spec::{Block, Chain, Input, MAX_DEPTH, Nested, Spec};
use crate::regularizer::Regularizer;
use crate::shape::{MAX_RANK, Shape};

/// Most layers, and most calls, of one model.
pub(super) const MAX_LAYERS: usize = 100_000;
/// Longest name of a layer.
const MAX_NAME: usize = 255;

/// A model as its configuration says.
#[derive(Debug)]
pub(super) struct Architecture {
    pub name: String,
    pub trainable: bool,
    pub spec: Spec,
}

pub(super) fn problem(path: &str, problem: impl Into<String>) -> Error {
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

pub(super) fn describe(value: Option<&Value>) -> String {
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

pub(super) fn text<'a>(object: &'a Value, key: &str, path: &str) -> Result<&'a str> {
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

pub(super) fn list<'a>(object: &'a Value, key: &str, path: &str) -> Result<&'a Vec<Value>> {
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
pub(super) fn checked_name(name: &str, path: &str) -> Result<String> {
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

pub(super) struct Reader<'a> {
    registry: &'a Registry,
}

impl Reader<'_> {
    /// `None` if it is no model.
    fn model(&self, object: &Value, depth: usize) -> Result<Option<Architecture>> {
        let class = text(object, "class_name", "model")?;
        if !matches!(class, "Sequential" | "Functional" | "Model" | "Pipeline") {
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
            "Pipeline" => Spec::Sequential(Chain {
                pipeline: true,
                ..self.chain(object, config, layers, &name, depth)?
            }),
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
    pub(super) fn block(&self, object: &Value, owner: &str, depth: usize) -> Result<Block> {
        if let Some(model) = self.model(object, depth + 1)? {
            return Ok(Block::Model(Nested {
                name: Some(model.name),
                trainable: model.trainable,
                spec: model.spec.into(),
                donor: None,
                every_step: None,
            }));
        }
        if let Some(steps) = self.every_step(object, owner, depth)? {
            return Ok(Block::Model(steps));
        }
        self.layer(object, owner).map(Block::Layer)
    }

    /// `TimeDistributed` of a model; around a layer it is a layer itself.
    fn every_step(&self, object: &Value, owner: &str, depth: usize) -> Result<Option<Nested>> {
        let config = &object["config"];
        let inner = &config["layer"];
        if object["class_name"] != "TimeDistributed" || !inner["class_name"].is_string() {
            return Ok(None);
        }
        let Some(model) = self.model(inner, depth + 1)? else {
            return Ok(None);
        };
        let name = match config.get("name") {
            None | Some(Value::Null) => crate::layer::default_name("TimeDistributed"),
            Some(_) => checked_name(text(config, "name", owner)?, owner)?,
        };
        let outer = match config.get("trainable") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(trainable)) => *trainable,
            other => {
                let got = describe(other);
                return Err(problem(
                    &name,
                    format!("`trainable`: expected true or false, got {got}"),
                ));
            }
        };
        check_dtype(config.get("dtype"), &name)?;
        let known = ["name", "trainable", "dtype", "layer"];
        let keys = config.as_object().into_iter().flat_map(|c| c.keys());
        if let Some(key) = keys.into_iter().find(|k| !known.contains(&k.as_str())) {
            return Err(problem(&name, format!("unknown field `{key}`")));
        }
        Ok(Some(Nested {
            name: Some(name),
            trainable: outer && model.trainable,
            spec: model.spec.into(),
            donor: None,
            every_step: Some(model.name),
        }))
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
        let module = object.get("module").and_then(Value::as_str);
        // To an operation the type is an argument like others (`cast`).
        if !module.is_some_and(|m| m.starts_with("keras.src.ops")) {
            check_dtype(config.remove("dtype").as_ref(), &name)?;
        }
        let registered = object.get("registered_name").and_then(Value::as_str);
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
                if class == "Lambda" {
                    return Err(problem(
                        owner,
                        format!(
                            "`{name}` is a Lambda layer: it holds Python code, which is never run. Save the model with a layer class of your own in its place and register that"
                        ),
                    ));
                }
                if matches!(class, "TextVectorization" | "StringLookup") {
                    return Err(problem(
                        owner,
                        format!(
                            "`{name}` is a {class}: it takes texts, which are no tensors. `saving::load_text_model` gives back the layers for texts at a model's inputs, and the model of numbers behind them"
                        ),
                    ));
                }
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
}

/// Keras's own layer of this class; `None` if there is none.
fn known_layer(
    module: Option<&str>,
    class: &str,
    config: &Config,
) -> Option<Result<std::sync::Arc<dyn crate::layer::Layer>>> {
    match module {
        Some(module) if !module.starts_with("keras") => None,
        _ => layers::of_module(module.unwrap_or_default(), class, config),
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

/// The shape that Keras 1 and 2 wrote into the first layer of a Sequential.
fn first_shape(config: &Value) -> Option<&Value> {
    config
        .get("batch_input_shape")
        .or_else(|| config.get("batch_shape"))
        .filter(|s| s.is_array())
}

pub(super) fn input(config: &Value, owner: &str) -> Result<Input> {
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
