//! Vocabularies that Keras learned, which are in files of their own: they become part of the configuration before it is read.
//!
//! A vocabulary that was given to the layer is in the configuration anyway, and so is every one that this crate writes.

use serde_json::{Value, json};

use super::archive::Archive;
use super::hdf5::H5File;
use super::paths::Names;
use crate::error::{Error, Result};
use crate::models::spec::MAX_DEPTH;

/// Largest vocabulary, in bytes.
const MAX_VOCABULARY: u64 = 256 << 20;

/// Completes the lookups of a model.
pub(super) fn restore(config: &mut Value, archive: &Archive, file: &H5File) -> Result<()> {
    walk(config, "", archive, file, 0)
}

fn walk(
    model: &mut Value,
    prefix: &str,
    archive: &Archive,
    file: &H5File,
    depth: usize,
) -> Result<()> {
    let Some(layers) = model
        .pointer_mut("/config/layers")
        .and_then(Value::as_array_mut)
    else {
        return Ok(());
    };
    if depth > MAX_DEPTH {
        return Ok(()); // refused by who reads it
    }
    let mut names = Names::default();
    for layer in layers {
        let Some(class) = layer["class_name"].as_str().map(String::from) else {
            continue;
        };
        let path = format!("{prefix}layers/{}", names.next(&class));
        match class.as_str() {
            "Sequential" | "Functional" | "Model" | "Pipeline" => {
                walk(layer, &format!("{path}/"), archive, file, depth + 1)?;
            }
            "IntegerLookup" | "StringLookup" | "TextVectorization" => {
                lookup(&class, &mut layer["config"], &path, archive, file)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn lookup(
    class: &str,
    config: &mut Value,
    path: &str,
    archive: &Archive,
    file: &H5File,
) -> Result<()> {
    let asset = format!("assets/{path}/vocabulary.txt");
    let given = config.get("vocabulary").is_some_and(|v| !v.is_null());
    if !config.is_object() || given || !archive.names().any(|n| n == asset) {
        return Ok(());
    }
    let bad = |problem: String| Error::data(&asset, problem);
    let text = String::from_utf8(archive.read(&asset, MAX_VOCABULARY)?);
    let text = text.map_err(|_| bad("expected UTF-8".into()))?;
    let mut lines: Vec<&str> = text.lines().collect();
    while lines.last() == Some(&"") {
        lines.pop();
    }
    let tokens: Vec<Value> = match class {
        "IntegerLookup" => {
            let number = |line: &&str| {
                let parsed = line.parse::<i64>().map(|n| json!(n));
                parsed.map_err(|_| bad(format!("expected an integer, got {line:?}")))
            };
            lines.iter().map(number).collect::<Result<_>>()?
        }
        _ => lines.iter().map(|line| json!(line)).collect(),
    };
    if config["output_mode"] == "tf_idf" {
        // As many as there are tokens: behind them is padding.
        let idf = format!("{path}/vars/idf_weights");
        let shape = file.shape(&idf)?;
        let len = shape
            .first()
            .copied()
            .filter(|n| shape.len() == 1 && *n >= tokens.len());
        let len = len.filter(|n| *n <= 1 << 24).ok_or_else(|| {
            let problem = format!("expected {} weights, got {shape:?}", tokens.len());
            Error::data(&idf, problem)
        })?;
        let mut weights = vec![0.0; len];
        file.read_into(&idf, &shape, &mut weights)?;
        weights.truncate(tokens.len());
        config["idf_weights"] = json!(weights);
    }
    config["vocabulary"] = Value::Array(tokens);
    Ok(())
}
