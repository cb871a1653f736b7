//! What is measured, by name.

use std::cell::OnceCell;

use super::progress;
use crate::train::step::Trainer;

/// Names and values in order: `loss`, the metrics, and those of the validation with `val_` in front.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs(Vec<Entry>);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    name: String,
    value: f64,
    /// Of a metric that has several; else empty.
    values: Vec<f64>,
}

impl Logs {
    fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|e| e.name == name)
    }

    /// The value of this name: of a metric with several, their mean.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(name).map(|e| e.value)
    }

    /// All values of this name: those of `F1Score` for each class; of most metrics one.
    pub fn values(&self, name: &str) -> Option<&[f64]> {
        self.find(name).map(|e| match e.values.is_empty() {
            true => std::slice::from_ref(&e.value),
            false => &e.values,
        })
    }

    /// Sets the value of this name.
    pub fn set(&mut self, name: &str, value: f64) {
        self.set_values(name, value, &[]);
    }

    /// Sets the value of this name, and the values that it stands for.
    pub(crate) fn set_values(&mut self, name: &str, value: f64, values: &[f64]) {
        match self.0.iter_mut().find(|e| e.name == name) {
            Some(entry) => {
                entry.value = value;
                entry.values.clear();
                entry.values.extend_from_slice(values);
            }
            None => self.0.push(Entry {
                name: name.to_string(),
                value,
                values: values.to_vec(),
            }),
        }
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|e| (e.name.as_str(), e.value))
    }

    /// The names.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(n, _)| n).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes over what a trainer has measured since its last reset, with `prefix` before the names.
    pub(crate) fn collect(&mut self, trainer: &Trainer, prefix: &str) {
        trainer.results(|name, value, values| match prefix {
            "" => self.set_values(name, value, values),
            _ => self.set_values(&format!("{prefix}{name}"), value, values),
        });
    }
}

/// The [`Logs`] of a batch: the means over the epoch so far. They are computed when somebody looks, so that a callback that does
/// not look costs nothing.
///
/// ```
/// use oxhorn::callbacks::{BatchLogs, Logs};
/// let mut logs = Logs::default();
/// logs.set("loss", 0.25);
/// assert_eq!(BatchLogs::from(logs).get("loss"), Some(0.25)); // to call a callback by hand
/// ```
#[derive(Debug)]
pub struct BatchLogs<'a> {
    trainer: Option<&'a Trainer>,
    logs: OnceCell<Logs>,
}

impl<'a> BatchLogs<'a> {
    pub(crate) fn new(trainer: &'a Trainer) -> Self {
        BatchLogs {
            trainer: Some(trainer),
            logs: OnceCell::new(),
        }
    }
}

impl From<Logs> for BatchLogs<'_> {
    fn from(logs: Logs) -> Self {
        BatchLogs {
            trainer: None,
            logs: OnceCell::from(logs),
        }
    }
}

impl std::ops::Deref for BatchLogs<'_> {
    type Target = Logs;

    fn deref(&self) -> &Logs {
        self.logs.get_or_init(|| {
            let mut logs = Logs::default();
            if let Some(trainer) = self.trainer {
                logs.collect(trainer, "");
            }
            logs
        })
    }
}

impl std::fmt::Display for Logs {
    /// `loss: 0.1234 - accuracy: 0.9876`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            write!(
                f,
                "{}{name}: {}",
                if i > 0 { " - " } else { "" },
                progress::number(value)
            )?;
        }
        Ok(())
    }
}
