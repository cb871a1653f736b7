//! Keras's older whole-model files: one HDF5 file with the configuration in attributes.

use std::io::Write;

use serde_json::{Value, json};

use super::hdf5::{H5File, H5Writer};
use super::load::{Loader, parse};
use super::read_compiled;
use super::read_config::read_model;
use super::write_config::{KERAS_VERSION, write_compiled};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::models::spec::{Block, Spec};

/// Reads `model_config`, the weights and `training_config`.
pub(super) fn load(loader: &Loader, file: H5File, file_len: u64) -> Result<Model> {
    let Some(config) = file.attr_string("", "model_config")? else {
        return Err(Error::data(
            "model_config",
            "the file has no such attribute: it holds weights only, or is no model of Keras",
        ));
    };
    let config = parse(config.as_bytes(), "model_config")?;
    let architecture = read_model(&config, loader.registry())?;
    let mut model = loader.skeleton(architecture, file_len)?;
    fill(&mut model, &file)?;
    if loader.compiles()
        && let Some(training) = file.attr_string("", "training_config")?
    {
        let mut training = parse(training.as_bytes(), "training_config")?;
        if let Some(optimizer) = training.get("optimizer_config").cloned() {
            training["optimizer"] = optimizer;
        }
        if let Some(compiled) = read_compiled::read(&training, loader.registry())? {
            model.compiled = Some(compiled);
        }
    }
    Ok(model)
}

/// Reads the weights. The groups are the model's own layers by name; the arrays of a layer are listed in its `weight_names`.
fn fill(model: &mut Model, file: &H5File) -> Result<()> {
    if !model.built {
        return Ok(());
    }
    let root = if file.has("model_weights") {
        "model_weights"
    } else {
        ""
    };
    for (name, vars) in layer_vars(model) {
        let group = if root.is_empty() {
            name.clone()
        } else {
            format!("{root}/{name}")
        };
        let names = match file.has(&group) {
            true => file
                .attr_strings(&group, "weight_names")?
                .unwrap_or_default(),
            false => Vec::new(),
        };
        if names.len() != vars.len() {
            return Err(Error::Shape {
                owner: name,
                want: format!("{} weights", vars.len()),
                got: format!("{} in `{group}`", names.len()),
            });
        }
        for (weight, &var) in names.iter().zip(&vars) {
            let var = &model.graph.vars[var];
            let out = model.weights.var_mut(var);
            file.read_into(&format!("{group}/{weight}"), &var.weight.shape, out)
                .map_err(|e| e.owned_by(&name))?;
        }
    }
    Ok(())
}

/// The model's own layers with their variables, those of nested models gathered: trainable ones first, then the others.
fn layer_vars(model: &Model) -> Vec<(String, Vec<usize>)> {
    let names = crate::models::spec::block_names(model.spec.blocks());
    let mut out: Vec<(String, Vec<usize>)> = Vec::new();
    for (block, name) in model.spec.blocks().iter().zip(names) {
        let scope = format!("{name}/");
        let nested = matches!(block, Block::Model(_));
        let mut vars: Vec<usize> = Vec::new();
        for entry in &model.graph.entries {
            if entry.name == name || (nested && entry.name.starts_with(&scope)) {
                vars.extend(entry.vars.clone());
            }
        }
        if nested {
            // Keras lists the trainable weights of a nested model first.
            let trained = |v: &usize| {
                let var = &model.graph.vars[*v];
                var.weight.kind == crate::layer::Kind::Trainable
                    && model.graph.entries[var.entry].trainable
            };
            let (mut first, rest): (Vec<usize>, Vec<usize>) = vars.iter().partition(|v| trained(v));
            first.extend(rest);
            vars = first;
        }
        out.push((name, vars));
    }
    out
}

/// Writes a whole model as Keras 3 writes `.h5`.
pub(super) fn write(model: &Model, w: &mut (impl Write + ?Sized)) -> Result<()> {
    let mut file = H5Writer::new();
    file.attr_string("", "backend", "tensorflow")?;
    file.attr_string("", "keras_version", KERAS_VERSION)?;
    let config: Value = serde_json::from_str(&model.to_json()?)
        .map_err(|e| Error::data("config", e.to_string()))?;
    let _ = (
        &config,
        Spec::class_name(&model.spec),
        json!(null),
        write_compiled,
    );
    file.write_to(w).map_err(|e| Error::io("model", e))
}
