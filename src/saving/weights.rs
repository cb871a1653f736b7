//! Weights alone: `.weights.h5`, the older `.h5`, `.safetensors`, and those in a `.keras` archive.

use std::path::Path;

use super::archive::Archive;
use super::atomic::write_atomically;
use super::hdf5::H5File;
use super::legacy;
use super::load::{MAX_WEIGHTS_FREE, MAX_WEIGHTS_RATIO, file_len};
use super::paths::groups;
use super::safetensors::{SafeTensors, write_safetensors};
use crate::error::{Error, Result};
use crate::graph::weights::Weights;
use crate::models::Model;

/// How to read weights; see [`Model::load_weights_with`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `by_name` | false | layers are matched by their names; those that are not in the file keep their weights |
/// | `skip_mismatch` | false | layers whose weights have other shapes, or are missing, keep theirs instead of being an error |
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadWeights {
    pub(super) by_name: bool,
    pub(super) skip_mismatch: bool,
}

impl LoadWeights {
    /// With the defaults.
    pub fn new() -> Self {
        LoadWeights::default()
    }

    /// Whether layers are matched by name.
    pub fn by_name(mut self, yes: bool) -> Self {
        self.by_name = yes;
        self
    }

    /// Whether what does not fit is passed over.
    pub fn skip_mismatch(mut self, yes: bool) -> Self {
        self.skip_mismatch = yes;
        self
    }
}

/// The weights of one layer (or part of one) in a file.
pub(super) struct Piece {
    /// Name of the layer.
    pub layer: String,
    /// Where each array is in the file, with its row in the table of variables. `None`: the file does not have them.
    pub arrays: Option<Vec<(String, usize)>>,
    /// What is wrong, where they are not as expected.
    pub problem: Option<Error>,
}

impl Model {
    /// Saves the weights alone: as `.weights.h5` (Keras's `load_weights` reads it), or as `.safetensors` with Keras's names.
    ///
    /// # Errors
    /// If the model is not built, or the file system refuses.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.require_built("save_weights")?;
        let path = path.as_ref();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        if name.ends_with(".safetensors") {
            let names = self.weight_names();
            let tensors: Vec<_> = self
                .graph
                .vars
                .iter()
                .zip(&names)
                .map(|(var, name)| (name.as_str(), &var.weight.shape[..], self.weights.var(var)))
                .collect();
            return write_atomically(path, |w| {
                write_safetensors(w, &tensors, &[("format", "keras")])
                    .map_err(|e| Error::io(path, e))
            });
        }
        if name.ends_with(".weights.h5") {
            let file = self.weights_file(false)?;
            return write_atomically(path, |w| file.write_to(w).map_err(|e| Error::io(path, e)));
        }
        let want = "a name that ends in `.weights.h5` or `.safetensors`";
        Err(Error::arg("path", want, path.display()).owned_by("save_weights"))
    }

    /// Reads weights that [`save_weights`](Self::save_weights) or Keras saved, or those of a whole model (`.keras`, `.h5`), into
    /// this model, which must have the same layers. Nothing changes if anything does not fit.
    ///
    /// ```no_run
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([4]).add(Dense::new(2));
    /// model.build([4])?;
    /// model.load_weights("trained.weights.h5")?;
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is not built, or the file is malformed or does not fit.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.load_weights_with(path, LoadWeights::new()).map(drop)
    }

    /// [`load_weights`](Self::load_weights) with options; the names of the layers that kept their weights.
    ///
    /// # Errors
    /// As `load_weights`.
    pub fn load_weights_with(
        &mut self,
        path: impl AsRef<Path>,
        options: LoadWeights,
    ) -> Result<Vec<String>> {
        self.require_built("load_weights")?;
        let path = path.as_ref();
        let result = match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => self.load_safetensors(path, options),
            Some("keras") => Archive::open(path).and_then(|archive| {
                let limit = MAX_WEIGHTS_FREE + MAX_WEIGHTS_RATIO * file_len(path)?;
                self.load_h5(&archive.h5("model.weights.h5", limit)?, options)
            }),
            _ => H5File::open_path(path).and_then(|file| self.load_h5(&file, options)),
        };
        result.map_err(|e| e.in_file(&path.display().to_string()))
    }

    /// [`load_weights_with`](Self::load_weights_with) from the bytes of a `.weights.h5` or `.h5` file.
    ///
    /// # Errors
    /// As `load_weights`.
    pub fn load_weights_bytes(
        &mut self,
        bytes: Vec<u8>,
        options: LoadWeights,
    ) -> Result<Vec<String>> {
        self.require_built("load_weights_bytes")?;
        self.load_h5(&H5File::from_bytes(bytes)?, options)
    }

    fn load_h5(&mut self, file: &H5File, options: LoadWeights) -> Result<Vec<String>> {
        let pieces = match legacy::is_legacy(file)? {
            true => legacy::pieces(self, file, options.by_name)?,
            false => pieces(self, file, options.by_name)?,
        };
        let mut weights = self.weights.clone();
        let skipped = take(self, &mut weights, file, pieces, options)?;
        self.restore(&weights);
        Ok(skipped)
    }

    fn load_safetensors(&mut self, path: &Path, options: LoadWeights) -> Result<Vec<String>> {
        let file = SafeTensors::open(path)?;
        let mut weights = self.weights.clone();
        let mut skipped: Vec<String> = Vec::new();
        for (var, name) in self.graph.vars.iter().zip(self.weight_names()) {
            let layer = &self.graph.entries[var.entry].name;
            let there = file.tensors().iter().any(|t| t.name == name);
            let result = match there {
                false if options.by_name => Ok(false),
                _ => file
                    .read_into(&name, &var.weight.shape, weights.var_mut(var))
                    .map(|()| true),
            };
            match result {
                Ok(true) => {}
                Ok(false) => skipped.push(layer.clone()),
                Err(_) if options.skip_mismatch => {
                    weights.var_mut(var).copy_from_slice(self.weights.var(var));
                    skipped.push(layer.clone());
                }
                Err(e) => return Err(e.owned_by(layer)),
            }
        }
        skipped.dedup();
        if !options.by_name && !options.skip_mismatch {
            let names = self.weight_names();
            if let Some(extra) = file.tensors().iter().find(|t| !names.contains(&t.name)) {
                return Err(Error::unknown("weight in the file", &extra.name, names));
            }
        }
        self.restore(&weights);
        Ok(skipped)
    }
}

/// Reads the pieces into `weights`; the layers that were passed over.
pub(super) fn take(
    model: &Model,
    weights: &mut Weights,
    file: &H5File,
    pieces: Vec<Piece>,
    options: LoadWeights,
) -> Result<Vec<String>> {
    let mut skipped = Vec::new();
    for piece in pieces {
        let Piece {
            layer,
            arrays,
            problem,
        } = piece;
        let result = match (problem, arrays) {
            (Some(problem), _) => Err(problem),
            (None, None) => {
                skipped.push(layer);
                continue;
            }
            (None, Some(arrays)) => {
                clear_factors(model, &layer, &arrays, weights);
                legacy::read_arrays(model, file, &arrays, weights)
            }
        };
        match result {
            Ok(()) => {}
            Err(_) if options.skip_mismatch => {
                for entry in model.graph.entries.iter().filter(|e| e.name == layer) {
                    for var in &model.graph.vars[entry.vars.clone()] {
                        weights.var_mut(var).copy_from_slice(model.weights.var(var));
                    }
                }
                skipped.push(layer);
            }
            Err(e) => return Err(e.owned_by(&layer)),
        }
    }
    skipped.dedup();
    Ok(skipped)
}

/// Zeroes what the file holds as part of another weight ([`Weight::adapts`](crate::layer::Weight)).
fn clear_factors(model: &Model, layer: &str, arrays: &[(String, usize)], weights: &mut Weights) {
    for entry in model.graph.entries.iter().filter(|e| e.name == layer) {
        for row in entry.vars.clone() {
            let var = &model.graph.vars[row];
            if var.weight.adapts && arrays.iter().all(|(_, there)| *there != row) {
                weights.var_mut(var).fill(0.0);
            }
        }
    }
}

/// Where the weights are in a file of Keras 3: by the classes of layers, or by the names that the groups are marked with.
pub(super) fn pieces(model: &Model, file: &H5File, by_name: bool) -> Result<Vec<Piece>> {
    let named = match by_name {
        true => named_groups(file, "layers", 0)?,
        false => Vec::new(),
    };
    let groups = groups(&model.spec, &model.graph);
    let mut pieces = Vec::with_capacity(groups.len());
    // What is no weight follows from the configuration.
    for group in groups.into_iter().filter(|g| !g.vars.is_empty()) {
        let mut path = format!("{}/vars", group.path);
        if by_name {
            let own = group.name.rsplit('/').next().unwrap_or(&group.name);
            match named.iter().find(|(name, _)| name == own) {
                Some((_, found)) => path = format!("{found}{}/vars", group.part),
                None => {
                    pieces.push(Piece {
                        layer: group.name,
                        arrays: None,
                        problem: None,
                    });
                    continue;
                }
            }
        }
        let there = match file.has(&path) {
            true => file.datasets(&path)?.len(),
            false => 0,
        };
        let problem = (there != group.vars.len()).then(|| {
            Error::shape(
                format!("{} weights", group.vars.len()),
                format!("{there} in `{path}`"),
            )
        });
        let arrays = group
            .vars
            .iter()
            .enumerate()
            .map(|(i, &var)| (format!("{path}/{i}"), var));
        pieces.push(Piece {
            layer: group.name,
            arrays: Some(arrays.collect()),
            problem,
        });
    }
    Ok(pieces)
}

/// Names of the layers in a file, with their groups.
fn named_groups(file: &H5File, path: &str, depth: usize) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    if depth > 16 || !file.has(path) {
        return Ok(out);
    }
    for group in file.groups(path)? {
        let group = format!("{path}/{group}");
        let vars = format!("{group}/vars");
        if file.has(&vars)
            && let Some(name) = file.attr_string(&vars, "name")?
        {
            out.push((name, group.clone()));
        }
        out.extend(named_groups(file, &format!("{group}/layers"), depth + 1)?);
    }
    Ok(out)
}
