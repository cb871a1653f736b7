//! What a callback may see and change, and what it remembers.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::models::Model;
use crate::train::backup::BackupFormat;

/// What a callback may see and change.
#[derive(Debug)]
pub struct TrainContext<'a> {
    /// The model in training: its weights, learning rate, names. Of `evaluate` and `predict`, a copy that is dropped afterwards.
    pub model: &'a mut Model,
    /// Epochs that were asked for; 0 outside of training.
    pub epochs: usize,
    /// Batches an epoch (of `evaluate` and `predict`: in all); 0 during the first epoch with a dataset that does not know.
    pub steps: usize,
    /// Whether anything is printed.
    pub verbose: bool,
    /// In [`on_train_end`](super::Callback::on_train_end): whether the training ended with an error.
    pub failed: bool,
    pub(crate) stop: bool,
    /// Whether there are validation data.
    pub(crate) validates: bool,
    /// Names of the metrics, and whether more of them is better, where that is known.
    pub(crate) directions: Vec<(String, Option<bool>)>,
    /// A backup to be read before the first epoch, or to be written once every callback has been called.
    pub(crate) backup: Option<BackupFiles>,
}

/// Where a backup lies.
#[derive(Clone, Debug)]
pub(crate) struct BackupFiles {
    pub latest: PathBuf,
    /// The one before, if two are kept.
    pub previous: Option<PathBuf>,
    /// Reads and writes it: by address, because a program without backups should have none of that code.
    pub format: &'static BackupFormat,
}

impl<'a> TrainContext<'a> {
    pub(crate) fn new(model: &'a mut Model, steps: usize, verbose: bool) -> Self {
        TrainContext {
            model,
            epochs: 0,
            steps,
            verbose,
            failed: false,
            stop: false,
            validates: false,
            directions: Vec::new(),
            backup: None,
        }
    }

    /// Ends training after this epoch (or batch).
    pub fn stop_training(&mut self) {
        self.stop = true;
    }

    /// Whether the training is to end.
    pub fn stops(&self) -> bool {
        self.stop
    }
}

/// What a callback remembers, as a [`BackupAndRestore`](super::BackupAndRestore) keeps it: numbers (exact to the bit), texts and arrays by
/// name.
///
/// ```
/// use oxhorn::callbacks::State;
/// let state = State::new().number("best", f64::INFINITY).array("weights", &[1.0, 2.0]);
/// assert_eq!(state.get("best"), Some(f64::INFINITY));
/// assert_eq!(state.get_array("weights"), Some(&[1.0, 2.0][..]));
/// assert_eq!(state.get("wait"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) numbers: Vec<(String, f64)>,
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) arrays: Vec<(String, Vec<Float>)>,
}

impl State {
    /// Nothing yet.
    pub fn new() -> Self {
        State::default()
    }

    /// With a number.
    pub fn number(mut self, name: &str, value: f64) -> Self {
        self.numbers.push((name.into(), value));
        self
    }

    /// With a number, if there is one.
    pub fn maybe(self, name: &str, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    /// With a text.
    pub fn text(mut self, name: &str, value: impl Into<String>) -> Self {
        self.texts.push((name.into(), value.into()));
        self
    }

    /// With an array.
    pub fn array(mut self, name: &str, values: &[Float]) -> Self {
        self.arrays.push((name.into(), values.to_vec()));
        self
    }

    /// The number of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        find(&self.numbers, name).copied()
    }

    /// The number of this name as a count.
    ///
    /// # Errors
    /// If there is none, or it is no count.
    pub fn count(&self, name: &str) -> Result<usize> {
        match self.get(name) {
            Some(n) if n >= 0.0 && n.trunc() == n && n < 9e15 => Ok(n as usize),
            got => Err(Error::data(
                "backup",
                format!("`{name}` is no count: {got:?}"),
            )),
        }
    }

    /// The text of this name.
    pub fn get_text(&self, name: &str) -> Option<&str> {
        find(&self.texts, name).map(String::as_str)
    }

    /// The array of this name.
    pub fn get_array(&self, name: &str) -> Option<&[Float]> {
        find(&self.arrays, name).map(Vec::as_slice)
    }
}

fn find<'a, T>(list: &'a [(String, T)], name: &str) -> Option<&'a T> {
    list.iter().find(|(n, _)| n == name).map(|(_, v)| v)
}
