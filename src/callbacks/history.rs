//! What `fit` returns.

use super::Logs;

/// The losses and metrics of every epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The epochs that were run, counted from 0.
    pub epochs: Vec<usize>,
    columns: Vec<(String, Vec<f64>)>,
    /// Of metrics with several values: all of them, epoch by epoch.
    many: Vec<(String, Vec<Vec<f64>>)>,
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
            let values = logs.values(name).unwrap_or_default();
            if values.len() > 1 {
                let epochs = self.epochs.len();
                let at = match self.many.iter().position(|(n, _)| n == name) {
                    Some(i) => i,
                    None => {
                        self.many.push((name.to_string(), Vec::new()));
                        self.many.len() - 1
                    }
                };
                self.many[at].1.resize(epochs - 1, Vec::new());
                self.many[at].1.push(values.to_vec());
            }
        }
    }

    /// The values of one name (`"loss"`, `"val_accuracy"`), an epoch each; of a metric with several, their mean.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.columns
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_slice())
    }

    /// All values of a metric that has several (one a class, one a threshold), an epoch each. `None` for all others.
    pub fn values(&self, name: &str) -> Option<&[Vec<f64>]> {
        self.many
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
