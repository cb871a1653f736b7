//! What `fit` returns.

use serde_json::{Map, Value};

use super::Logs;
use super::python_format::repr;
use crate::data::csv::Table;
use crate::error::{Error, Result};

/// The losses and metrics of every epoch. Epochs that lack a value, as those without validation do, have NaN.
///
/// It is written as JSON (the `epoch` and `history` of Keras's `History`) and as CSV, and read back to the bit.
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("zeros").use_bias(false));
/// model.compile(Sgd::new(0.25), "mse", ())?;
/// let (x, y) = ([[1.0f32]], [[1.0f32]]);
/// let history = model.fit(&x, &y, Fit::epochs(2).validation(&x, &y).validation_freq(2).verbose(0))?;
/// assert_eq!(history.to_csv(), "epoch,loss,val_loss\n0,1.0,\n1,0.25,0.0625\n");
/// assert_eq!(history.to_json(), r#"{"epoch":[0,1],"history":{"loss":[1.0,0.25],"val_loss":[null,0.0625]}}"#);
/// assert_eq!(History::from_csv(&history.to_csv())?.last("val_loss"), Some(0.0625));
/// assert_eq!(History::from_json(&history.to_json())?.get("loss"), history.get("loss"));
/// # Ok::<(), oxhorn::Error>(())
/// ```
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

    /// As JSON: `{"epoch": [..], "history": {"loss": [..], ..}}`. NaN is `null`, infinities are texts; a metric with several values has
    /// a list for each epoch.
    pub fn to_json(&self) -> String {
        let mut history = Map::new();
        for (name, values) in &self.columns {
            let list: Vec<Value> = match self.values(name) {
                None => values.iter().map(|v| to_value(*v)).collect(),
                Some(many) => {
                    let list = |list: &Vec<f64>| list.iter().map(|v| to_value(*v)).collect();
                    many.iter().map(list).collect()
                }
            };
            history.insert(name.clone(), list.into());
        }
        let mut all = Map::new();
        all.insert("epoch".into(), self.epochs.clone().into());
        all.insert("history".into(), history.into());
        Value::from(all).to_string()
    }

    /// What [`to_json`](Self::to_json) wrote, or `json.dump({"epoch": h.epoch, "history": h.history}, file)` of a Keras history.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_json(json: &str) -> Result<History> {
        let wrong = |problem: &str| Error::data("history", problem);
        let value: Value = serde_json::from_str(json).map_err(|e| wrong(&e.to_string()))?;
        let epochs = value.get("epoch").and_then(Value::as_array);
        let epochs = epochs.ok_or_else(|| wrong("expected a list `epoch`"))?;
        let epoch = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let epochs: Option<Vec<usize>> = epochs.iter().map(epoch).collect();
        let mut history = History {
            epochs: epochs.ok_or_else(|| wrong("`epoch` is to hold numbers of epochs"))?,
            ..History::default()
        };
        let columns = value.get("history").and_then(Value::as_object);
        for (name, values) in columns.ok_or_else(|| wrong("expected an object `history`"))? {
            let problem = || {
                wrong(&format!(
                    "`{name}` is to be a list of at most as many numbers as epochs"
                ))
            };
            let values = values.as_array().ok_or_else(problem)?;
            if values.len() > history.epochs.len() {
                return Err(problem());
            }
            let (mut means, mut many) = (Vec::new(), Vec::new());
            for value in values {
                let list = match value.as_array() {
                    Some(list) => list.iter().map(from_value).collect::<Option<Vec<f64>>>(),
                    None => from_value(value).map(|v| vec![v]),
                };
                let list = list.ok_or_else(problem)?;
                means.push(list.iter().sum::<f64>() / list.len().max(1) as f64);
                many.push(list);
            }
            if values.iter().any(Value::is_array) {
                history.many.push((name.clone(), many));
            }
            history.columns.push((name.clone(), means));
        }
        Ok(history)
    }

    /// As CSV: a column an epoch and one a name, nothing where an epoch lacks a value; a metric with several values has columns
    /// `name[0]`, `name[1]`, ... after its mean.
    pub fn to_csv(&self) -> String {
        let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
        for (name, values) in &self.columns {
            columns.push((name.clone(), values.clone()));
            let many = self.values(name).unwrap_or_default();
            let most = many.iter().map(Vec::len).max().unwrap_or(0);
            columns.extend((0..most).map(|i| {
                let values = many.iter();
                let one = values.map(|list| list.get(i).copied().unwrap_or(f64::NAN));
                (format!("{name}[{i}]"), one.collect())
            }));
        }
        let quoted = |name: &str| match name.contains([',', '"', '\r', '\n']) {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => name.to_string(),
        };
        let mut text = String::from("epoch");
        columns
            .iter()
            .for_each(|(name, _)| text += &format!(",{}", quoted(name)));
        for (row, epoch) in self.epochs.iter().enumerate() {
            text += &format!("\n{epoch}");
            for (_, values) in &columns {
                text.push(',');
                if let Some(value) = values.get(row).filter(|v| !v.is_nan()) {
                    text += &repr(*value);
                }
            }
        }
        text + "\n"
    }

    /// What [`to_csv`](Self::to_csv) wrote; also what [`CSVLogger`](super::CSVLogger) writes with commas.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_csv(text: &str) -> Result<History> {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        if lines == ["epoch"] || lines.len() == 1 && lines[0].starts_with("epoch,") {
            return Ok(History::default());
        }
        let table = Table::parse(text)?;
        let wrong = |name: &str, cell: &str| {
            Error::data("history", format!("column `{name}`: `{cell}` is no number"))
        };
        let epochs = table.text("epoch")?;
        let epoch = |cell: &&str| cell.parse().map_err(|_| wrong("epoch", cell));
        let mut history = History {
            epochs: epochs.iter().map(epoch).collect::<Result<_>>()?,
            ..History::default()
        };
        let names = table.headers().iter().enumerate();
        for (column, name) in names.filter(|(_, name)| *name != "epoch") {
            let number = |cell: &str| match cell.trim() {
                "" | "NA" | "nan" => Ok(f64::NAN),
                cell => cell.parse().map_err(|_| wrong(name, cell)),
            };
            let values: Vec<f64> = table.column(column).map(number).collect::<Result<_>>()?;
            // `f1_score[1]` after `f1_score` is one of its values.
            let own = name.strip_suffix(']').and_then(|n| n.rsplit_once('['));
            let before = history.columns.last().map(|(n, _)| n.clone());
            match own {
                Some((stem, _)) if before.as_deref() == Some(stem) => {
                    if history.many.last().is_none_or(|(n, _)| n != stem) {
                        let empty = vec![Vec::new(); values.len()];
                        history.many.push((stem.into(), empty));
                    }
                    let many = history.many.last_mut().map(|(_, many)| many);
                    let pairs = many.into_iter().flatten().zip(values);
                    pairs
                        .filter(|(_, v)| !v.is_nan())
                        .for_each(|(list, v)| list.push(v));
                }
                _ => history.columns.push((name.clone(), values)),
            }
        }
        Ok(history)
    }
}

/// JSON has no numbers that are not finite.
fn to_value(value: f64) -> Value {
    match value {
        v if v.is_nan() => Value::Null,
        v if v.is_infinite() => Value::from(if v > 0.0 { "Infinity" } else { "-Infinity" }),
        v => Value::from(v),
    }
}

fn from_value(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(f64::NAN),
        Value::String(s) if s == "Infinity" => Some(f64::INFINITY),
        Value::String(s) if s == "-Infinity" => Some(f64::NEG_INFINITY),
        value => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        let values = [
            (3, 0.1 + 0.2, [0.25, 0.5], None),
            (4, f64::INFINITY, [1.0 / 3.0, 1e-300], Some(1e-17)),
            (5, -0.0, [f64::NEG_INFINITY, 4.0], None),
        ];
        for (epoch, loss, many, extra) in values {
            let mut logs = Logs::default();
            logs.set("a,\"b\"", loss);
            logs.set_values("f1", (many[0] + many[1]) / 2.0, &many);
            if let Some(extra) = extra {
                logs.set("val_loss", extra);
            }
            history.push(epoch, &logs);
        }
        history
    }

    fn bits(history: &History) -> Vec<(String, Vec<u64>)> {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect();
        let columns = history.columns.iter();
        let mut all: Vec<_> = columns.map(|(n, v)| (n.clone(), bits(v))).collect();
        for (name, many) in &history.many {
            all.extend(many.iter().map(|v| (name.clone(), bits(v))));
        }
        all
    }

    #[test]
    fn what_is_written_is_read() {
        let history = history();
        let json = History::from_json(&history.to_json()).unwrap();
        assert_eq!(
            (&json.epochs, bits(&json)),
            (&history.epochs, bits(&history))
        );
        let mut csv = History::from_csv(&history.to_csv()).unwrap();
        // The last epoch's missing value is written as nothing, which is NaN.
        let last = csv.columns.last_mut().unwrap().1.pop();
        assert!(last.unwrap().is_nan());
        assert_eq!((&csv.epochs, bits(&csv)), (&history.epochs, bits(&history)));
        let empty = History::default();
        assert_eq!(History::from_csv(&empty.to_csv()).unwrap(), empty);
        assert_eq!(History::from_json(&empty.to_json()).unwrap(), empty);
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for bad in [
            "[]",
            "{}",
            r#"{"epoch": [0]}"#,
            r#"{"epoch": [-1], "history": {}}"#,
            r#"{"epoch": [0], "history": {"loss": [1, 2]}}"#,
            r#"{"epoch": [0], "history": {"loss": ["x"]}}"#,
            r#"{"epoch": [0], "history": {"loss": [[[1]]]}}"#,
        ] {
            assert!(History::from_json(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "loss\n1\n",
            "epoch,loss\n0,x\n",
            "epoch,loss\n-1,2\n",
            "epoch,loss\n0\n",
        ] {
            assert!(History::from_csv(bad).is_err(), "{bad}");
        }
    }
}
