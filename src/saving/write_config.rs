//! From a [`Spec`] to Keras's JSON.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::envelope::{custom, envelope};
use crate::error::{Error, Result};
use crate::layer::{Arg, LayerRef};
use crate::layers::{
    self,
    inner::{common, dtype},
};
use crate::losses;
use crate::metrics::{self, Metric};
use crate::models::spec::{Block, CallSite, Chain, Form, Input, Net, Source, Spec, block_names};
use crate::optimizers;
use crate::shape::Shape;
use crate::train::compile::{Compiled, PerOutput};

/// The version of Keras whose form is written.
pub(super) const KERAS_VERSION: &str = "3.15.1";

/// `{"module", "class_name": "Sequential" | "Functional", "config", ..}`; `inputs` are the shapes the model was built for.
pub(super) fn write_model(
    name: &str,
    trainable: bool,
    spec: &Spec,
    inputs: Option<&[Shape]>,
) -> Result<Value> {
    match spec {
        Spec::Sequential(chain) => write_chain(name, trainable, chain, inputs),
        Spec::Functional(net) => write_net(name, trainable, net),
    }
}

fn write_chain(
    name: &str,
    trainable: bool,
    chain: &Chain,
    inputs: Option<&[Shape]>,
) -> Result<Value> {
    let mut layers = Vec::new();
    if chain.pipeline {
        for (block, label) in chain.blocks.iter().zip(block_names(&chain.blocks)) {
            layers.push(write_block(block, &label)?);
        }
        let config = json!({"layers": layers, "name": name});
        return Ok(envelope("keras.layers", "Pipeline", config));
    }
    let built = inputs
        .and_then(|shapes| shapes.first().cloned())
        .map(Input::new);
    let input = chain.input.as_ref().or(built.as_ref());
    if let Some(input) = input {
        let mut layer = write_input(input, "input_layer");
        layer
            .as_object_mut()
            .map(|l| l.shift_remove("inbound_nodes"));
        layers.push(layer);
    }
    for (block, label) in chain.blocks.iter().zip(block_names(&chain.blocks)) {
        layers.push(write_block(block, &label)?);
    }
    let mut config =
        json!({"name": name, "trainable": trainable, "dtype": dtype(), "layers": layers});
    if let Some(input) = input {
        config["build_input_shape"] = batch_shape(input.batch_size, &input.shape);
    }
    let mut object = envelope("keras", "Sequential", config);
    if let Some(input) = input {
        object["build_config"] =
            json!({"input_shape": batch_shape(input.batch_size, &input.shape)});
    }
    Ok(object)
}

fn write_net(name: &str, trainable: bool, net: &Net) -> Result<Value> {
    let names = block_names(&net.blocks);
    let input_name = |i: usize| {
        net.inputs[i]
            .name
            .clone()
            .unwrap_or_else(|| format!("input_{i}"))
    };
    let shapes = net.value_shapes()?;
    // Keras counts the calls of each layer; at the ends of a model from 1 where the layer is a functional model.
    let mut count: HashMap<usize, usize> = HashMap::new();
    let number: Vec<usize> = net
        .calls
        .iter()
        .map(|c| {
            let n = count.entry(c.block).or_insert(0);
            *n += 1;
            *n - 1
        })
        .collect();
    let history = |source: &Source, outer: bool| match *source {
        Source::Input(i) => json!([input_name(i), 0, 0]),
        Source::Call(call, output) => {
            let block = net.calls[call].block;
            let shift = outer && net.blocks[block].class_name() == "Functional";
            json!([names[block], number[call] + usize::from(shift), output])
        }
    };
    let tensor = |source: &Source| {
        let (shape, batch, dtype) = match *source {
            Source::Input(i) => (
                &net.inputs[i].shape,
                net.inputs[i].batch_size,
                net.inputs[i].dtype.as_str(),
            ),
            Source::Call(call, output) => (&shapes[call][output], None, "float32"),
        };
        json!({"class_name": "__keras_tensor__", "config": {
            "shape": batch_shape(batch, shape), "dtype": dtype, "keras_history": history(source, false)}})
    };
    let mut layers: Vec<Value> = (0..net.inputs.len())
        .map(|i| write_input(&net.inputs[i], &input_name(i)))
        .collect();
    for (b, block) in net.blocks.iter().enumerate() {
        let mut layer = write_block(block, &names[b])?;
        let calls = net.calls.iter().filter(|c| c.block == b);
        let nodes: Vec<Value> = calls.map(|c| write_call(c, &tensor)).collect();
        layer["name"] = json!(names[b]);
        layer["inbound_nodes"] = Value::Array(nodes);
        layers.push(layer);
    }
    let end = |form: &Form, sources: &[Source]| {
        let mut all: Vec<Value> = sources.iter().map(|s| history(s, true)).collect();
        match form {
            Form::One => all.swap_remove(0),
            Form::List => Value::Array(all),
            Form::Names(names) => Value::Object(names.iter().cloned().zip(all).collect()),
        }
    };
    let inputs: Vec<Source> = (0..net.inputs.len()).map(Source::Input).collect();
    let config = json!({"name": name, "trainable": trainable, "layers": layers,
        "input_layers": end(&net.input_form, &inputs), "output_layers": end(&net.output_form, &net.outputs)});
    let mut object = envelope("keras.src.models.functional", "Functional", config);
    object["registered_name"] = json!("Functional");
    object["build_config"] = json!({"input_shape": null});
    Ok(object)
}

fn write_call(site: &CallSite, tensor: &dyn Fn(&Source) -> Value) -> Value {
    let args: Vec<Value> = site
        .call
        .args
        .iter()
        .map(|a| write_arg(a, site, tensor))
        .collect();
    let kwargs: Map<String, Value> = site
        .call
        .kwargs
        .iter()
        .map(|(name, a)| (name.clone(), write_arg(a, site, tensor)))
        .collect();
    json!({"args": args, "kwargs": kwargs})
}

fn write_arg(arg: &Arg, site: &CallSite, tensor: &dyn Fn(&Source) -> Value) -> Value {
    match arg {
        Arg::Tensor(i) => tensor(&site.tensors[*i]),
        Arg::List(list) => list.iter().map(|a| write_arg(a, site, tensor)).collect(),
        Arg::Value(value) => value.clone(),
    }
}

fn write_block(block: &Block, name: &str) -> Result<Value> {
    match block {
        Block::Layer(layer) => write_layer(layer, name),
        Block::Model(model) => match &model.every_step {
            None => write_model(name, model.trainable, &model.spec, None),
            Some(own) => {
                let layer = write_model(own, model.trainable, &model.spec, None)?;
                let config =
                    json!({"name": name, "trainable": true, "dtype": dtype(), "layer": layer});
                Ok(envelope("keras.layers", "TimeDistributed", config))
            }
        },
    }
}

fn write_layer(layer: &LayerRef, name: &str) -> Result<Value> {
    let (class, module) = (layer.layer.class_name(), layer.layer.module());
    if module.starts_with("keras.src.ops") {
        let mut config = layer.layer.config();
        config.shift_insert(0, "name".into(), json!(name));
        let mut object = envelope(module, class, Value::Object(config));
        object["registered_name"] = json!(class);
        return Ok(object);
    }
    let own = layer.layer.config();
    let mut config = common(class, &own, name, layer.trainable);
    if let Some(key) = ["name", "trainable", "dtype"]
        .iter()
        .find(|k| own.contains_key(**k))
    {
        return Err(Error::Config {
            path: name.into(),
            problem: format!("{class}: `{key}` is no argument of a layer's own"),
        });
    }
    config.extend(own);
    if let Some(penalty) = &layer.activity_regularizer {
        let value = serde_json::to_value(penalty).map_err(|e| Error::data(name, e.to_string()))?;
        config.insert("activity_regularizer".into(), value);
    }
    let known = layers::from_config(class, &layer.layer.config()).is_some();
    Ok(match known {
        true => envelope("keras.layers", class, Value::Object(config)),
        false => custom(class, Value::Object(config)),
    })
}

fn write_input(input: &Input, name: &str) -> Value {
    let name = input.name.as_deref().unwrap_or(name);
    let config = json!({"batch_shape": batch_shape(input.batch_size, &input.shape), "dtype": input.dtype,
        "sparse": false, "ragged": false, "name": name, "optional": false});
    let mut object = envelope("keras.layers", "InputLayer", config);
    object["name"] = json!(name);
    object["inbound_nodes"] = json!([]);
    object
}

fn batch_shape(batch: Option<usize>, shape: &Shape) -> Value {
    let sizes = std::iter::once(&batch).chain(shape.dims());
    sizes.map(|n| json!(n)).collect()
}

/// Keras's `compile_config`.
pub(super) fn write_compiled(compiled: &Compiled) -> Value {
    json!({
        "optimizer": optimizers::serialize(compiled.optimizer.as_ref()),
        "loss": per_output(&compiled.losses, &|l| losses::serialize(l.as_ref())),
        "loss_weights": compiled.loss_weights.as_ref().map(|w| per_output(w, &|w| json!(w))),
        "metrics": write_metrics(&compiled.metrics),
        "weighted_metrics": write_metrics(&compiled.weighted_metrics),
        "run_eagerly": false,
        "steps_per_execution": 1,
        "jit_compile": false,
    })
}

fn write_metrics(all: &PerOutput<Vec<Box<dyn Metric>>>) -> Value {
    if all.iter().all(Vec::is_empty) {
        return Value::Null;
    }
    per_output(all, &|list| {
        list.iter()
            .map(|m| metrics::serialize(m.as_ref()))
            .collect()
    })
}

fn per_output<T>(values: &PerOutput<T>, write: &dyn Fn(&T) -> Value) -> Value {
    match values {
        PerOutput::All(one) => write(one),
        PerOutput::Each(list) => list
            .iter()
            .map(|v| v.as_ref().map_or(Value::Null, write))
            .collect(),
        PerOutput::Named(named) => Value::Object(
            named
                .iter()
                .map(|(name, v)| (name.clone(), write(v)))
                .collect(),
        ),
    }
}
