//! What `fit` returns.

use super::Logs;

/// The losses and metrics of every epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The epochs that were run, counted from 0.
    pub epochs: Vec<usize>,
    columns: Vec<(String, Vec<f64>)>,
}

impl History {
    pub(crate) fn push(&mut self, epoch: usize, logs: &Logs) {
        self.epochs.push(epoch);
        for (name, value) in logs.iter() {
            let at = match self.columns.iter().position(|(n, _)| n == name) {
                Some(i) => i,
                None => {
                    self.columns.push((name.to_string(), Vec::new()));
                    self.columns.len() - 1
                }
            };
            // An epoch without validation has no value: keep the columns aligned.
            self.columns[at].1.resize(self.epochs.len() - 1, f64::NAN);
            self.columns[at].1.push(value);
        }
    }

    /// The values of one name (`"loss"`, `"val_accuracy"`), an epoch each.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.columns
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_slice())
    }

    /// The last value of one name.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name)?.last().copied()
    }

    /// The names, in the order in which they are shown.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(n, _)| n.as_str())
    }
}
