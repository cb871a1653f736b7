//! Keras's older files: one HDF5 file with the configuration in attributes (`model.h5`), or weights alone.
//!
//! The groups are the model's own layers; the arrays of a layer are those that its `weight_names` lists, in Keras's order. Names
//! differ from session to session (`dense_7`), so layers are matched by their order, as Keras does it.

use std::io::Write;

use serde_json::Value;

use super::hdf5::{H5File, H5Writer};
use super::load::{Loader, parse};
use super::read_compiled;
use super::read_config::read_model;
use super::weights::{LoadWeights, Piece, take};
use super::write_config::{KERAS_VERSION, write_compiled, write_model};
use super::{dialect, optimizer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::weights::{Var, Weights};
use crate::layer::Kind;
use crate::models::Model;
use crate::models::spec::{Block, block_names};

/// Reads `model_config`, the weights, `training_config` and the optimizer's state.
pub(super) fn load(loader: &Loader, file: H5File, file_len: u64) -> Result<Model> {
    let Some(config) = file.attr_string("", "model_config")? else {
        return Err(Error::data(
            "model_config",
            "the file has no such attribute: it holds weights only, or is no model of Keras",
        ));
    };
    let mut config = parse(config.as_bytes(), "model_config")?;
    let version = file.attr_string("", "keras_version")?;
    let generation = dialect::generation(version.as_deref());
    dialect::modernize(&mut config, generation);
    let architecture = read_model(&config, loader.registry())?;
    let mut model = loader.skeleton(architecture, file_len)?;
    if model.built {
        let pieces = pieces(&model, &file, false)?;
        let mut values = std::mem::take(&mut model.weights);
        take(&model, &mut values, &file, pieces, LoadWeights::new())?;
        model.weights = values;
    }
    if loader.compiles()
        && let Some(training) = file.attr_string("", "training_config")?
    {
        let mut training = parse(training.as_bytes(), "training_config")?;
        if let Some(config) = training.get("optimizer_config").cloned() {
            training["optimizer"] = config;
        }
        if let Some(compiled) = read_compiled::read(&training, loader.registry())? {
            model.compiled = Some(compiled);
            if generation >= 3 {
                optimizer::read_legacy(&mut model, &file)?;
            }
        }
    }
    Ok(model)
}

/// The group of a file that holds the layers: older files have it in a group of its own, weights-only files at the root.
fn root(file: &H5File) -> &'static str {
    if file.has("model_weights") {
        "model_weights"
    } else {
        ""
    }
}

/// Whether a file lists its layers in an attribute, as the older format does.
pub(super) fn is_legacy(file: &H5File) -> Result<bool> {
    Ok(file.attr_strings(root(file), "layer_names")?.is_some())
}

/// Where the weights are.
pub(super) fn pieces(model: &Model, file: &H5File, by_name: bool) -> Result<Vec<Piece>> {
    let root = root(file);
    let listed = file.attr_strings(root, "layer_names")?.unwrap_or_default();
    let mut there: Vec<(String, Vec<String>)> = Vec::new();
    for name in listed {
        let group = join(root, &name);
        let weights = match file.has(&group) {
            true => file
                .attr_strings(&group, "weight_names")?
                .unwrap_or_default(),
            false => return Err(Error::data(&group, "a layer that is listed but not there")),
        };
        if !weights.is_empty() {
            let paths = weights.iter().map(|w| format!("{group}/{w}")).collect();
            there.push((name, paths));
        }
    }
    let wanted: Vec<(String, Vec<usize>)> = layer_vars(model)
        .into_iter()
        .filter(|(_, vars)| !vars.is_empty())
        .collect();
    if !by_name && wanted.len() != there.len() {
        return Err(Error::Shape {
            owner: "layers with weights".into(),
            want: wanted.len().to_string(),
            got: format!("{} in the file", there.len()),
        });
    }
    let mut pieces = Vec::new();
    for (i, (layer, vars)) in wanted.into_iter().enumerate() {
        let found = match by_name {
            true => there.iter().find(|(name, _)| *name == layer),
            false => there.get(i),
        };
        let Some((_, paths)) = found else {
            pieces.push(Piece {
                layer,
                arrays: None,
                problem: None,
            });
            continue;
        };
        let problem = (paths.len() != vars.len()).then(|| {
            Error::shape(
                format!("{} weights", vars.len()),
                format!("{} in the file", paths.len()),
            )
        });
        let arrays = paths.iter().cloned().zip(vars).collect();
        pieces.push(Piece {
            layer,
            arrays: Some(arrays),
            problem,
        });
    }
    Ok(pieces)
}

fn join(root: &str, name: &str) -> String {
    if root.is_empty() {
        name.into()
    } else {
        format!("{root}/{name}")
    }
}

/// Reads one array. Recurrent layers for NVIDIA's library kept two biases: they are added (LSTM) or stacked (GRU).
pub(super) fn read_var(file: &H5File, path: &str, var: &Var, out: &mut [Float]) -> Result<()> {
    let shape = &var.weight.shape[..];
    if var.weight.name == "bias"
        && let Ok(there) = file.shape(path)
        && there != shape
    {
        if shape.len() == 1 && there == [2 * shape[0]] {
            let mut both = vec![0.0; 2 * shape[0]];
            file.read_into(path, &there, &mut both)?;
            let (input, recurrent) = both.split_at(shape[0]);
            let sums = input.iter().zip(recurrent).map(|(a, b)| a + b);
            out.iter_mut().zip(sums).for_each(|(o, s)| *o = s);
            return Ok(());
        }
        if shape.len() == 2 && shape[0] == 2 && there == [2 * shape[1]] {
            return file.read_into(path, &there, out);
        }
    }
    file.read_into(path, shape, out)
}

/// Whether a layer's arrays are those of a recurrent layer for NVIDIA's library: the bias tells.
pub(super) fn is_cudnn(model: &Model, file: &H5File, arrays: &[(String, usize)]) -> Option<usize> {
    let [_, (_, recurrent), (bias_path, bias)] = arrays else {
        return None;
    };
    let (recurrent, bias) = (
        &model.graph.vars[*recurrent].weight,
        &model.graph.vars[*bias].weight,
    );
    if recurrent.name != "recurrent_kernel" || bias.name != "bias" {
        return None;
    }
    let gates = recurrent
        .shape
        .get(1)?
        .checked_div(*recurrent.shape.first()?)?;
    let there = file.shape(bias_path).ok()?;
    let stacked = there.len() == 1 && there[0] == 2 * gates * recurrent.shape[0];
    (stacked && matches!(gates, 3 | 4)).then_some(gates)
}

/// Turns kernels of NVIDIA's layout into Keras's: every gate's block is transposed, the input kernel's with its memory read
/// row by row.
pub(super) fn from_cudnn(
    kernel: &mut [Float],
    recurrent: &mut [Float],
    units: usize,
    gates: usize,
) {
    let cols = units * gates;
    let inputs = kernel.len() / cols;
    let (old, old_recurrent) = (kernel.to_vec(), recurrent.to_vec());
    for gate in 0..gates {
        let at = gate * units;
        for b in 0..units {
            for a in 0..inputs {
                let flat = b * inputs + a;
                kernel[a * cols + at + b] = old[flat / units * cols + at + flat % units];
            }
            for a in 0..units {
                recurrent[a * cols + at + b] = old_recurrent[b * cols + at + a];
            }
        }
    }
}

/// The model's own layers with their variables, those of nested models gathered: trainable ones first, then the others.
fn layer_vars(model: &Model) -> Vec<(String, Vec<usize>)> {
    let names = block_names(model.spec.blocks());
    let graph = &model.graph;
    let mut out: Vec<(String, Vec<usize>)> = Vec::new();
    for (block, name) in model.spec.blocks().iter().zip(names) {
        let scope = format!("{name}/");
        let nested = matches!(block, Block::Model(_));
        let entries = graph
            .entries
            .iter()
            .filter(|e| e.name == name || (nested && e.name.starts_with(&scope)));
        let mut vars: Vec<usize> = entries.flat_map(|e| e.vars.clone()).collect();
        let later = |v: &usize| {
            let var = &graph.vars[*v];
            let trained = graph.entries[var.entry].trainable || !nested;
            !(var.weight.kind == Kind::Trainable && trained)
        };
        vars.sort_by_key(later);
        out.push((name, vars));
    }
    out
}

/// Writes a whole model as Keras 3 writes `.h5`.
pub(super) fn write(model: &Model, w: &mut dyn Write) -> Result<()> {
    model.require_built("save")?;
    let mut file = H5Writer::new();
    file.attr_string("", "backend", "tensorflow")?;
    file.attr_string("", "keras_version", KERAS_VERSION)?;
    let shapes = model.input_shapes();
    let mut config = write_model(&model.name, true, &model.spec, Some(&shapes))?;
    plain(&mut config);
    file.attr_string("", "model_config", &config.to_string())?;
    if let Some(compiled) = &model.compiled {
        let mut training = write_compiled(compiled);
        let mut optimizer = training["optimizer"].take();
        plain(&mut optimizer);
        training["optimizer_config"] = optimizer;
        if let Some(object) = training.as_object_mut() {
            object.shift_remove("optimizer");
        }
        file.attr_string("", "training_config", &training.to_string())?;
        optimizer::write_legacy(model, &mut file)?;
    }
    let layers = layer_vars(model);
    let names: Vec<&str> = layers.iter().map(|(name, _)| name.as_str()).collect();
    file.group("model_weights")?;
    file.attr_strings("model_weights", "layer_names", &names)?;
    file.attr_string("model_weights", "backend", "tensorflow")?;
    file.attr_string("model_weights", "keras_version", KERAS_VERSION)?;
    let weight_names = model.weight_names();
    for (layer, vars) in &layers {
        let group = format!("model_weights/{layer}");
        file.group(&group)?;
        let names: Vec<&str> = vars.iter().map(|&v| weight_names[v].as_str()).collect();
        file.attr_strings(&group, "weight_names", &names)?;
        for (name, &var) in names.iter().zip(vars) {
            let var = &model.graph.vars[var];
            file.dataset(
                &format!("{group}/{name}"),
                &var.weight.shape,
                model.weights.var(var),
            )?;
        }
    }
    file.group("model_weights/top_level_model_weights")?;
    let none: [&str; 0] = [];
    file.attr_strings(
        "model_weights/top_level_model_weights",
        "weight_names",
        &none,
    )?;
    file.write_to(w).map_err(|e| Error::io(&model.name, e))
}

/// The older form of layers and models: class and arguments without a module.
fn plain(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let operation = map
        .get("module")
        .and_then(Value::as_str)
        .is_some_and(|m| m.starts_with("keras.src.ops"));
    if !operation && map.get("module").is_some_and(|m| !m.is_null()) {
        for key in ["module", "registered_name", "build_config"] {
            map.shift_remove(key);
        }
    }
    if let Some(Value::Array(layers)) = object.pointer_mut("/config/layers") {
        layers.iter_mut().for_each(plain);
    }
}

/// Reads arrays of one layer, converting those of NVIDIA's library.
pub(super) fn read_arrays(
    model: &Model,
    file: &H5File,
    arrays: &[(String, usize)],
    weights: &mut Weights,
) -> Result<()> {
    for (path, var) in arrays {
        let var = &model.graph.vars[*var];
        read_var(file, path, var, weights.var_mut(var))?;
    }
    if let Some(gates) = is_cudnn(model, file, arrays) {
        let (kernel, recurrent) = (
            &model.graph.vars[arrays[0].1],
            &model.graph.vars[arrays[1].1],
        );
        let units = recurrent.weight.shape[0];
        let mut a = weights.var(kernel).to_vec();
        let mut b = weights.var(recurrent).to_vec();
        from_cudnn(&mut a, &mut b, units, gates);
        weights.var_mut(kernel).copy_from_slice(&a);
        weights.var_mut(recurrent).copy_from_slice(&b);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvidia_s_kernels_are_transposed_gate_by_gate() {
        // numpy: `np.hstack([k.T.reshape(k.shape, order="F") for k in np.hsplit(kernel, 3)])` of `arange(18).reshape(3, 6)`.
        let mut kernel: Vec<Float> = (0..18).map(|i| i as Float).collect();
        let mut recurrent: Vec<Float> = (0..12).map(|i| i as Float).collect();
        from_cudnn(&mut kernel, &mut recurrent, 2, 3);
        let want =
            [0, 7, 2, 9, 4, 11, 1, 12, 3, 14, 5, 16, 6, 13, 8, 15, 10, 17].map(|i| i as Float);
        assert_eq!(kernel, want);
        assert_eq!(
            recurrent,
            [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11].map(|i| i as Float)
        );
    }
}
