//! A value that is watched, and which direction of it is better.

use super::{Logs, TrainContext};
use crate::error::{Error, Result};

/// Which direction of a monitored value is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MonitorMode {
    /// As the metric itself says: losses and errors down, accuracies, AUC, precision, recall, F-scores, IoU, R2 and correlations
    /// up. For a value of which nothing is known, an error asks for the mode.
    #[default]
    Auto,
    /// Less is better.
    Min,
    /// More is better.
    Max,
}

/// Classes of metrics of which more is better.
const UP: &[&str] = &[
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "Precision",
    "Recall",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "PrecisionAtRecall",
    "RecallAtPrecision",
    "AUC",
    "PearsonCorrelation",
    "ConcordanceCorrelation",
    "FBetaScore",
    "F1Score",
    "IoU",
    "BinaryIoU",
    "MeanIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
    "CosineSimilarity",
    "R2Score",
];

/// Classes of which less is better.
const DOWN: &[&str] = &[
    "Hinge",
    "SquaredHinge",
    "CategoricalHinge",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "SparseCategoricalCrossentropy",
    "KLDivergence",
    "Poisson",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "RootMeanSquaredError",
    "LogCoshError",
];

/// Whether more is better of a metric of this class, where that is known.
pub(crate) fn direction(class: &str) -> Option<bool> {
    match (UP.contains(&class), DOWN.contains(&class)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// A value by name, with the rule by which it gets better.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// The callback that watches it.
    owner: &'static str,
    pub name: String,
    pub mode: MonitorMode,
    pub min_delta: f64,
    /// Whether more is better, once that is known.
    up: bool,
}

impl Monitor {
    pub fn new(owner: &'static str, name: impl Into<String>, min_delta: f64) -> Self {
        Monitor {
            owner,
            name: name.into(),
            mode: MonitorMode::Auto,
            min_delta,
            up: false,
        }
    }

    /// The value in these logs of an epoch. `None` after an epoch without validation, for a value of the validation.
    pub fn value(&mut self, logs: &Logs, cx: &TrainContext<'_>) -> Result<Option<f64>> {
        let Some(value) = logs.get(&self.name) else {
            let validated = logs.iter().any(|(name, _)| name.starts_with("val_"));
            if cx.validates && !validated && self.name.starts_with("val_") {
                return Ok(None);
            }
            let what = format!("value for {} to monitor", self.owner);
            return Err(Error::unknown(&what, &self.name, logs.names()));
        };
        self.up = self.more_is_better(cx)?;
        Ok(Some(value))
    }

    fn more_is_better(&self, cx: &TrainContext<'_>) -> Result<bool> {
        match self.mode {
            MonitorMode::Min => return Ok(false),
            MonitorMode::Max => return Ok(true),
            MonitorMode::Auto => {}
        }
        let name = self.name.strip_prefix("val_").unwrap_or(&self.name);
        let known = cx.directions.iter().find(|(n, _)| n == name);
        match known.and_then(|(_, up)| *up) {
            Some(up) => Ok(up),
            None if name == "loss" || name.ends_with("_loss") => Ok(false),
            None => {
                let want = format!("`Min` or `Max`, as nothing says which is better of `{name}`");
                Err(Error::arg("mode", want, "Auto").owned_by(self.owner))
            }
        }
    }

    /// Whether `value` is better than `than` by more than `min_delta`; anything but NaN is better than nothing. Keras compares in
    /// single precision.
    pub fn better(&self, value: f64, than: Option<f64>) -> bool {
        match than {
            None => !value.is_nan(),
            Some(than) if self.up => (value - self.min_delta) as f32 > than as f32,
            Some(than) => ((value + self.min_delta) as f32) < than as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Sequential;

    fn up(name: &str, directions: &[(&str, &str)]) -> Result<bool> {
        let mut model = Sequential::new();
        let mut cx = TrainContext::new(&mut model, 1, false);
        let known = directions.iter();
        cx.directions = known
            .map(|(name, class)| (name.to_string(), direction(class)))
            .collect();
        Monitor::new("EarlyStopping", name, 0.0).more_is_better(&cx)
    }

    #[test]
    fn the_metric_says_which_direction_is_better() {
        let metrics = [
            ("p", "Precision"),
            ("mse", "MeanSquaredError"),
            ("tp", "TruePositives"),
        ];
        assert!(up("val_p", &metrics).unwrap() && !up("mse", &metrics).unwrap());
        assert!(!up("val_loss", &[]).unwrap() && !up("left_loss", &[]).unwrap());
        for name in ["tp", "val_other"] {
            let e = up(name, &metrics).unwrap_err().to_string();
            assert!(e.starts_with("EarlyStopping: argument `mode`"), "{e}");
        }
    }
}
