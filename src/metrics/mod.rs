//! Metrics: [`Metric`] and Keras's metrics.

use std::fmt::Debug;

use crate::config::Config;
use crate::error::Result;
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
