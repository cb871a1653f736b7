//! A line of a CSV file for every epoch.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

use super::python_format::repr;
use super::{Callback, Logs, State, TrainContext};
use crate::error::{Error, Result};

/// Writes losses and metrics of every epoch to a CSV file, byte for byte as Keras does: the names in alphabetic order, and after
/// an epoch without some of them `NA`. [Keras](https://keras.io/api/callbacks/csv_logger/)
///
/// The file is there after the first epoch, and whole after every one. With a
/// [`BackupAndRestore`](super::BackupAndRestore) an epoch that is run again has one line.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `filename` | | the file |
/// | `separator` | `,` | between values |
/// | `append` | false | whether lines are added to a file that exists (which then needs no header) |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("zeros").use_bias(false));
/// model.compile(Sgd::new(0.25), "mse", ["mae"])?;
/// let (x, y) = ([[1.0f32]], [[1.0f32]]);
/// let path = std::env::temp_dir().join(format!("oxhorn-doc-{}.csv", std::process::id()));
/// model.fit(&x, &y, Fit::epochs(2).validation(&x, &y).verbose(0).callback(CSVLogger::new(&path).separator(';')))?;
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert_eq!(text, "epoch;loss;mae;val_loss;val_mae\r\n0;1.0;1.0;0.25;0.5\r\n1;0.25;0.5;0.0625;0.25\r\n");
/// std::fs::remove_file(path).unwrap();
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// `fit` fails if the file cannot be written.
#[derive(Debug)]
pub struct CSVLogger {
    filename: PathBuf,
    separator: char,
    append: bool,
    file: Option<File>,
    keys: Vec<String>,
}

impl CSVLogger {
    /// Writes this file.
    pub fn new(filename: impl Into<PathBuf>) -> Self {
        CSVLogger {
            filename: filename.into(),
            separator: ',',
            append: false,
            file: None,
            keys: Vec::new(),
        }
    }

    /// What is between values.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Whether lines are added to a file that exists.
    pub fn append(mut self, yes: bool) -> Self {
        self.append = yes;
        self
    }

    /// Opens the file and chooses the columns; the header, if it needs one.
    fn open(&mut self, logs: &Logs) -> Result<(File, String)> {
        let io = |e| Error::io(&self.filename, e);
        let mut header = true;
        if self.append
            && let Ok(file) = File::open(&self.filename)
        {
            let mut first = Vec::new();
            BufReader::new(file)
                .take(1)
                .read_until(b'\n', &mut first)
                .map_err(io)?;
            header = first.is_empty();
        }
        let mut options = OpenOptions::new();
        let file = match self.append {
            true => options.append(true).create(true).open(&self.filename),
            false => options
                .write(true)
                .create(true)
                .truncate(true)
                .open(&self.filename),
        };
        let file = file.map_err(io)?;
        let mut keys: Vec<String> = logs.names().iter().map(|n| n.to_string()).collect();
        keys.sort();
        if !keys.iter().any(|k| k.starts_with("val_")) {
            // A later epoch may have a validation.
            keys.extend(keys.clone().iter().map(|k| format!("val_{k}")));
        }
        self.keys = keys;
        let header = header.then(|| {
            let keys = self.keys.iter().map(|k| self.quoted(k));
            self.line(std::iter::once("epoch".into()).chain(keys))
        });
        Ok((file, header.unwrap_or_default()))
    }

    fn line(&self, values: impl Iterator<Item = String>) -> String {
        let values: Vec<String> = values.collect();
        format!("{}\r\n", values.join(&self.separator.to_string()))
    }

    /// Quoted where Python's `csv` quotes.
    fn quoted(&self, value: &str) -> String {
        match value.contains([self.separator, '"', '\r', '\n']) {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value.into(),
        }
    }

    fn value(&self, key: &str, logs: &Logs) -> String {
        match logs.values(key) {
            None => "NA".into(),
            Some([one]) => self.quoted(&repr(*one)),
            Some(many) => {
                let many: Vec<String> = many.iter().map(|v| repr(*v)).collect();
                self.quoted(&format!("\"[{}]\"", many.join(", ")))
            }
        }
    }
}

impl Callback for CSVLogger {
    fn on_train_begin(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        // Opened after the first epoch: going on from a backup must find the file as it is.
        self.file = None;
        self.keys.clear();
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        epoch: usize,
        logs: &mut Logs,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        let (mut file, mut text) = match self.file.take() {
            Some(file) => (file, String::new()),
            None => self.open(logs)?,
        };
        let values = self.keys.iter().map(|key| self.value(key, logs));
        text += &self.line(std::iter::once(epoch.to_string()).chain(values));
        file.write_all(text.as_bytes())
            .map_err(|e| Error::io(&self.filename, e))?;
        self.file = Some(file);
        Ok(())
    }

    fn on_train_end(&mut self, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.file = None;
        Ok(())
    }

    fn state(&self) -> Option<State> {
        let len = self.file.as_ref()?.metadata().ok()?.len();
        let state = State::new().number("length", len as f64);
        Some(state.text("keys", self.keys.join("\n")))
    }

    fn restore(&mut self, state: &State, _cx: &mut TrainContext<'_>) -> Result<()> {
        let io = |e| Error::io(&self.filename, e);
        let (len, keys) = (state.count("length")? as u64, state.get_text("keys"));
        let file = OpenOptions::new()
            .append(true)
            .open(&self.filename)
            .map_err(io)?;
        // What was written after the backup is written again.
        if file.metadata().map_err(io)?.len() < len {
            let problem = format!("is shorter than the {len} bytes that it had at the backup");
            return Err(Error::data(self.filename.display().to_string(), problem));
        }
        file.set_len(len).map_err(io)?;
        self.file = Some(file);
        self.keys = keys
            .unwrap_or_default()
            .split('\n')
            .map(String::from)
            .collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_and_lists_are_quoted_as_python_does() {
        let mut logs = Logs::default();
        logs.set_values("f1", 0.5, &[0.25, 0.75]);
        logs.set("a,b", 1e-5);
        let logger = CSVLogger::new("x");
        assert_eq!(logger.value("f1", &logs), "\"\"\"[0.25, 0.75]\"\"\"");
        assert_eq!(logger.value("a,b", &logs), "1e-05");
        assert_eq!(logger.quoted("a,b"), "\"a,b\"");
        assert_eq!(logger.value("none", &logs), "NA");
    }
}
