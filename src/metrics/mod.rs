//! Metrics: [`Metric`] and Keras's metrics.

mod accuracy;
mod confusion;
mod f_score;
mod regression;

pub use accuracy::{
    Accuracy, AccuracyMetric, BinaryAccuracy, CategoricalAccuracy, ExactAccuracy,
    SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy,
};
pub use confusion::{
    AUC, Auc, ConfusionCount, Curve, FalseNegatives, FalsePositives, Precision, Recall,
    TrueNegatives, TruePositives,
};
pub use f_score::{Average, F1Score, FBetaScore};
pub use regression::{
    MeanAbsoluteErrorMetric, MeanSquaredErrorMetric, RegressionMetric, RootMeanSquaredError,
};

use std::fmt::Debug;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Shape;
use crate::tensor::View;

/// A metric: state that batches are added to. Implement it for your own.
pub trait Metric: Debug + Send + Sync {
    /// Keras's class name: the key in files.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// Name in logs and history.
    fn name(&self) -> String;

    /// Whether it makes sense for these shapes (of one sample).
    ///
    /// # Errors
    /// Names both shapes and what was expected.
    fn check(&self, _y_true: &Shape, _y_pred: &Shape) -> Result<()> {
        Ok(())
    }

    /// The metric that this one stands for, given the shapes: how `"accuracy"` becomes the binary, categorical or sparse one.
    fn resolve(&self, _y_true: &Shape, _y_pred: &Shape) -> Option<Box<dyn Metric>> {
        None
    }

    /// Forgets everything.
    fn reset(&mut self);

    /// Adds a batch. `weight` has one number a sample, or one a position of `y_pred` (all axes but the last).
    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>);

    /// The value so far. A metric with one value a class gives their mean here.
    fn result(&self) -> f64;

    /// The values so far of a metric that has several (`F1Score` without averaging); empty for all others.
    fn results(&self) -> Vec<f64> {
        Vec::new()
    }

    /// A copy with empty state.
    fn fresh(&self) -> Box<dyn Metric>;
}

/// A weighted mean of what was added.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    /// 0 before anything was added.
    pub(crate) fn get(&self) -> f64 {
        if self.weight == 0.0 {
            0.0
        } else {
            self.sum / self.weight
        }
    }
}

/// Rows of predictions: all axes but the last.
pub(crate) fn positions(y_pred: View<'_>) -> usize {
    y_pred.rows()
}

/// The weight of row `r` of `rows`: by position, by sample, or 1.
pub(crate) fn weight_at(weight: Option<&[Float]>, r: usize, batch: usize, rows: usize) -> f64 {
    match weight {
        None => 1.0,
        Some(w) if w.len() == rows => w[r].into(),
        Some(w) => w[r / (rows / batch.max(1)).max(1)].into(),
    }
}

/// Targets must have the shape of the output.
pub(crate) fn same_shape(y_true: &Shape, y_pred: &Shape) -> Result<()> {
    let same = y_true.rank() == y_pred.rank()
        && y_true
            .dims()
            .iter()
            .zip(y_pred.dims())
            .all(|(a, b)| a.is_none() || b.is_none() || a == b);
    if same {
        Ok(())
    } else {
        Err(Error::shape(
            format!("targets of the shape of the output, {y_pred}"),
            y_true,
        ))
    }
}

/// Makes a metric with default arguments.
type Maker = fn() -> Box<dyn Metric>;

/// The table of metrics: Keras's class name, its default name, other names.
const TABLE: &[(&str, &str, &[&str], Maker)] = &[
    ("accuracy", "accuracy", &["acc"], || Box::new(Accuracy)),
    ("BinaryAccuracy", "binary_accuracy", &[], || {
        Box::new(BinaryAccuracy::new(0.5))
    }),
    ("CategoricalAccuracy", "categorical_accuracy", &[], || {
        Box::new(CategoricalAccuracy::new())
    }),
    (
        "SparseCategoricalAccuracy",
        "sparse_categorical_accuracy",
        &[],
        || Box::new(SparseCategoricalAccuracy::new()),
    ),
    (
        "TopKCategoricalAccuracy",
        "top_k_categorical_accuracy",
        &[],
        || Box::new(TopKCategoricalAccuracy::new(5)),
    ),
    (
        "SparseTopKCategoricalAccuracy",
        "sparse_top_k_categorical_accuracy",
        &[],
        || Box::new(SparseTopKCategoricalAccuracy::new(5)),
    ),
    ("Precision", "precision", &[], || {
        Box::new(Precision::default())
    }),
    ("Recall", "recall", &[], || Box::new(Recall::default())),
    ("AUC", "auc", &[], || Box::new(Auc::default())),
    ("TruePositives", "true_positives", &[], || {
        Box::new(TruePositives::new(0.5))
    }),
    ("TrueNegatives", "true_negatives", &[], || {
        Box::new(TrueNegatives::new(0.5))
    }),
    ("FalsePositives", "false_positives", &[], || {
        Box::new(FalsePositives::new(0.5))
    }),
    ("FalseNegatives", "false_negatives", &[], || {
        Box::new(FalseNegatives::new(0.5))
    }),
    ("F1Score", "f1_score", &[], || Box::new(F1Score::default())),
    (
        "MeanSquaredError",
        "mean_squared_error",
        &["mse", "MSE"],
        || Box::new(MeanSquaredErrorMetric::new()),
    ),
    (
        "MeanAbsoluteError",
        "mean_absolute_error",
        &["mae", "MAE"],
        || Box::new(MeanAbsoluteErrorMetric::new()),
    ),
    (
        "RootMeanSquaredError",
        "root_mean_squared_error",
        &["rmse", "RMSE"],
        || Box::new(RootMeanSquaredError::new()),
    ),
];

/// The metric of this name (`"accuracy"`, `"auc"`, `"mse"`, a class name) with default arguments; it reports under the name
/// given, as in Keras.
///
/// # Errors
/// If there is none: the error lists the names.
pub fn get(name: &str) -> Result<Box<dyn Metric>> {
    match TABLE
        .iter()
        .find(|row| row.0 == name || row.1 == name || row.2.contains(&name))
    {
        Some((_, default, others, make)) if !others.contains(&name) || *default == "accuracy" => {
            Ok(make())
        }
        Some((_, _, _, make)) => Ok(Box::new(regression::short_name(make(), name))),
        None => Err(Error::unknown(
            "metric",
            name,
            TABLE.iter().map(|row| row.1),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (_, default, _, _) in TABLE {
            assert_eq!(get(default).unwrap().name(), *default);
        }
        assert_eq!(get("mse").unwrap().name(), "mse");
        assert_eq!(get("acc").unwrap().name(), "accuracy");
        assert!(
            get("acuracy")
                .unwrap_err()
                .to_string()
                .contains("did you mean `accuracy`?")
        );
    }
}
