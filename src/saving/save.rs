//! Writing models.

use std::borrow::Cow;
use std::io::{Cursor, Seek, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::archive::ArchiveWriter;
use super::atomic::write_atomically;
use super::hdf5::H5Writer;
use super::paths::groups;
use super::write_config::{KERAS_VERSION, write_compiled, write_model};
use super::{legacy, optimizer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::Weights;
use crate::models::Model;

impl Model {
    /// Saves the model, with its compilation and the optimizer's state: as Keras's `.keras` archive, or as a whole-model `.h5`
    /// where the path ends so. Python's `keras.models.load_model` reads both. The file is replaced whole or not at all.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([3]).add(Dense::new(2).activation("tanh"));
    /// model.compile("adam", "mse", ["mae"])?;
    /// let bytes = model.to_keras_bytes()?; // what `save("model.keras")` writes
    /// let again = saving::Loader::new().load_bytes(bytes)?;
    /// assert_eq!(again.get_weights(), model.get_weights());
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a layer cannot be written, or the file system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match path.extension().and_then(|e| e.to_str()) {
            Some("keras") => {
                let bytes = self.to_keras_bytes()?;
                write_atomically(path, |w| {
                    w.write_all(&bytes).map_err(|e| Error::io(path, e))
                })
            }
            Some("h5" | "hdf5") => write_atomically(path, |w| legacy::write(self, w)),
            _ => Err(Error::arg(
                "path",
                "a name that ends in `.keras` or `.h5`",
                path.display(),
            )
            .owned_by("save")),
        }
    }

    /// The bytes of a `.keras` archive.
    ///
    /// # Errors
    /// If a layer cannot be written.
    pub fn to_keras_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        self.write_archive(&mut bytes)?;
        Ok(bytes.into_inner())
    }

    /// The bytes of a whole-model `.h5`, Keras's older format.
    ///
    /// # Errors
    /// If a layer cannot be written.
    pub fn to_h5_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        legacy::write(self, &mut bytes)?;
        Ok(bytes)
    }

    /// The architecture without weights, as Keras's `to_json`.
    ///
    /// # Errors
    /// If a layer cannot be written.
    pub fn to_json(&self) -> Result<String> {
        Ok(self.config()?.to_string())
    }

    pub(super) fn config(&self) -> Result<Value> {
        let inputs = self.built.then(|| self.input_shapes());
        let mut config = write_model(&self.name, true, &self.spec, inputs.as_deref())?;
        if let Some(compiled) = &self.compiled {
            config["compile_config"] = write_compiled(compiled);
        }
        Ok(config)
    }

    fn write_archive(&self, w: &mut (impl Write + Seek)) -> Result<()> {
        let config = self.config()?;
        self.write_parts(w, &config, Vec::new())
    }

    /// An archive with this configuration, and these arrays besides the weights.
    pub(super) fn write_parts(
        &self,
        w: &mut (impl Write + Seek),
        config: &Value,
        arrays: Vec<(String, Vec<Float>)>,
    ) -> Result<()> {
        let mut weights = self.weights_file(true)?;
        for (path, values) in arrays {
            weights.dataset(&path, &[values.len()], values)?;
        }
        let metadata = json!({"keras_version": KERAS_VERSION, "date_saved": date()}).to_string();
        let config = config.to_string();
        let write = || {
            let mut archive = ArchiveWriter::new(w)?;
            for (name, text) in [("metadata.json", &metadata), ("config.json", &config)] {
                archive.member(name, text.len() as u64, |w| w.write_all(text.as_bytes()))?;
            }
            archive.member("model.weights.h5", weights.size(), |w| weights.write_to(w))?;
            archive.finish().map(drop)
        };
        write().map_err(|e| Error::io(&self.name, e))
    }

    /// The weights, and with `optimizer` its state.
    pub(super) fn weights_file(&self, optimizer: bool) -> Result<H5Writer<'_>> {
        let mut file = H5Writer::new();
        file.group("layers")?;
        file.group("vars")?;
        file.attr_string("vars", "name", &self.name)?;
        for group in groups(&self.spec, &self.graph) {
            let path = format!("{}/vars", group.path);
            file.group(&path)?;
            file.attr_string(&path, "name", &group.name)?;
            for (name, values) in group.constants {
                let shape = [values.len()];
                file.dataset(&format!("{path}/{name}"), &shape, values)?;
            }
            for (i, &var) in group.vars.iter().enumerate() {
                let var = &self.graph.vars[var];
                let entry = &self.graph.entries[var.entry];
                let w = Weights::new(
                    &self.weights.params[entry.params.clone()],
                    &entry.param_lens,
                );
                let state =
                    Weights::new(&self.weights.state[entry.state.clone()], &entry.state_lens);
                let values = match entry.layer.filed(var.weight.name, w, state) {
                    Some(values) => Cow::Owned(values),
                    None => Cow::Borrowed(self.weights.var(var)),
                };
                file.dataset(&format!("{path}/{i}"), &var.weight.shape, values)?;
            }
        }
        if optimizer {
            optimizer::write(self, &mut file)?;
        }
        Ok(file)
    }
}

/// `2026-11-24@16:55:33`, in UTC.
fn date() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Days since 1970 to a date of the proleptic Gregorian calendar (Howard Hinnant's algorithm).
    let z = days as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (
        doy - (153 * mp + 2) / 5 + 1,
        if mp < 10 { mp + 3 } else { mp - 9 },
    );
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}@{h:02}:{m:02}:{s:02}")
}
