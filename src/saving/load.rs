//! Reading models: `.keras` archives, weights files, configurations.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::archive::Archive;
use super::hdf5::H5File;
use super::read_config::{Architecture, read_model};
use super::registry::Registry;
use super::weights::{self, LoadWeights};
use super::{assets, dialect, legacy, optimizer, read_compiled};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::graph::weights::Weights;
use crate::models::Model;
use crate::models::lower::lower;

/// Largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 64 << 20;
/// Largest metadata.
const MAX_METADATA: u64 = 1 << 20;
/// Weights may take this much, and this many times the size of the file: what a file merely declares is not allocated.
pub(super) const MAX_WEIGHTS_FREE: u64 = 64 << 20;
pub(super) const MAX_WEIGHTS_RATIO: u64 = 100;

/// Reads a model that Keras or this crate saved: a `.keras` archive, or a whole-model `.h5`. The compilation comes along, and
/// the optimizer's state, so that training goes on where it stopped. [Keras](https://keras.io/api/models/model_saving_apis/model_saving_and_loading/)
///
/// A file is data: whatever it says, the answer is a model or an error. See [`Loader`] for custom classes.
///
/// ```no_run
/// let model = oxhorn::saving::load_model("model.keras")?;
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If the file cannot be read, is malformed, holds a class that is not known, or weights that do not fit the configuration.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    Loader::new().load(path)
}

/// How to read a model.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `custom_objects` | none | classes of the user's, see [`Registry`] |
/// | `compile` | true | whether the compilation and the optimizer's state are restored |
#[derive(Clone, Debug)]
pub struct Loader {
    registry: Registry,
    compile: bool,
}

impl Default for Loader {
    fn default() -> Self {
        Loader::new()
    }
}

impl Loader {
    /// With the defaults.
    pub fn new() -> Self {
        Loader {
            registry: Registry::new(),
            compile: true,
        }
    }

    /// Classes of the user's that the file may hold.
    pub fn custom_objects(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Whether the compilation and the optimizer's state are restored.
    pub fn compile(mut self, yes: bool) -> Self {
        self.compile = yes;
        self
    }

    /// Reads a model from a file. The ending says the format: `.keras` is an archive, `.h5` and `.hdf5` are Keras's older
    /// format; for other endings the first bytes decide.
    ///
    /// # Errors
    /// As [`load_model`].
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        let result = match ending {
            "keras" => self.archive(Archive::open(path)?, file_len(path)?),
            "h5" | "hdf5" => legacy::load(self, H5File::open_path(path)?, file_len(path)?),
            _ if is_hdf5(&first_bytes(path)?) => {
                legacy::load(self, H5File::open_path(path)?, file_len(path)?)
            }
            _ => self.archive(Archive::open(path)?, file_len(path)?),
        };
        result.map_err(|e| e.in_file(&path.display().to_string()))
    }

    /// Reads a model from the bytes of a `.keras` or `.h5` file.
    ///
    /// # Errors
    /// As [`load_model`].
    pub fn load_bytes(&self, bytes: Vec<u8>) -> Result<Model> {
        let len = bytes.len() as u64;
        match is_hdf5(&bytes) {
            true => legacy::load(self, H5File::from_bytes(bytes)?, len),
            false => self.archive(Archive::from_bytes(bytes)?, len),
        }
    }

    /// A model of this architecture with fresh weights: Keras's `model_from_json`.
    ///
    /// # Errors
    /// If the configuration is malformed or holds a class that is not known.
    ///
    /// The JSON of Keras 1 and 2 says which version wrote it (`keras_version`), and is read with the meaning it had then.
    pub fn from_json(&self, json: &str) -> Result<Model> {
        let mut config = parse(json.as_bytes(), "JSON")?;
        let version = config.get("keras_version").and_then(Value::as_str);
        let modern = config.get("module").is_some() && version.is_none();
        let generation = if modern {
            3
        } else {
            dialect::generation(version)
        };
        dialect::modernize(&mut config, generation);
        let Architecture {
            name,
            trainable,
            spec,
        } = read_model(&config, &self.registry)?;
        let mut model = Model::with_spec(&name, spec);
        model.build_declared()?;
        if !trainable {
            model
                .graph
                .entries
                .iter_mut()
                .for_each(|e| e.trainable = false);
        }
        Ok(model)
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn compiles(&self) -> bool {
        self.compile
    }

    fn archive(&self, archive: Archive, file_len: u64) -> Result<Model> {
        self.archive_with(archive, file_len, |_| Ok(()))
    }

    /// Reads an archive whose configuration is changed by `change` first.
    pub(super) fn archive_with(
        &self,
        archive: Archive,
        file_len: u64,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<Model> {
        let mut config = parse(&archive.read("config.json", MAX_CONFIG)?, "config.json")?;
        let metadata = parse(
            &archive.read("metadata.json", MAX_METADATA)?,
            "metadata.json",
        )?;
        if !metadata.is_object() {
            return Err(Error::data("metadata.json", "expected an object"));
        }
        dialect::modernize(&mut config, 3);
        let limit = MAX_WEIGHTS_FREE + MAX_WEIGHTS_RATIO * file_len;
        let file = archive.h5("model.weights.h5", limit)?;
        assets::restore(&mut config, &archive, &file)?;
        change(&mut config)?;
        let architecture = read_model(&config, &self.registry)?;
        let mut model = self.skeleton(architecture, file_len)?;
        if model.built {
            let pieces = weights::pieces(&model, &file, false)?;
            let mut values = std::mem::take(&mut model.weights);
            weights::take(&model, &mut values, &file, pieces, LoadWeights::new())?;
            model.weights = values;
        }
        if self.compile
            && let Some(config) = config.get("compile_config")
            && let Some(compiled) = read_compiled::read(config, &self.registry)?
        {
            model.compiled = Some(compiled);
            optimizer::read(&mut model, &file)?;
        }
        Ok(model)
    }

    /// The model with weights that are all zero. An architecture whose weights cannot be in a file of this size is an error.
    pub(super) fn skeleton(&self, architecture: Architecture, file_len: u64) -> Result<Model> {
        let Architecture {
            name,
            trainable,
            spec,
        } = architecture;
        let Some(shapes) = spec.declared() else {
            return Ok(Model::with_spec(&name, spec));
        };
        let mut graph = lower(&spec, &shapes)?;
        check_size(&graph, file_len)?;
        if !trainable {
            graph.entries.iter_mut().for_each(|e| e.trainable = false);
        }
        let weights = Weights::zeros(&graph);
        Ok(Model::assemble(&name, spec, graph, weights))
    }
}

fn check_size(graph: &Graph, file_len: u64) -> Result<()> {
    let bytes = 4 * (graph.params_len as u64).saturating_add(graph.state_len as u64);
    if bytes > MAX_WEIGHTS_FREE.saturating_add(file_len.saturating_mul(MAX_WEIGHTS_RATIO)) {
        return Err(Error::Model(format!(
            "the configuration asks for {bytes} bytes of weights, which a file of {file_len} bytes cannot hold"
        )));
    }
    Ok(())
}

pub(super) fn file_len(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)
        .map_err(|e| Error::io(path, e))?
        .len())
}

fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    match file.take(8).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) => Err(Error::io(path, e)),
    }
}

fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89HDF\r\n\x1a\n")
}

pub(super) fn parse(bytes: &[u8], name: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|e| Error::data(name, e.to_string()))
}
