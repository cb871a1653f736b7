//! Metrics that are the mean of a function of target and prediction.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Metric, described, same_shape, weight_at};
use crate::activation::Activation;
use crate::config::Config;
use crate::error::Result;
use crate::float::Float;
use crate::losses::Loss;
use crate::shape::{Dims, Shape};
use crate::tensor::View;

/// A function of target and prediction whose values can be averaged. Every loss is one.
pub trait Function: Debug + Send + Sync {
    /// As [`Loss::check`].
    ///
    /// # Errors
    /// Names what does not fit.
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        same_shape(y_true, y_pred)
    }

    /// As [`Loss::values_shape`]: one value a row by default.
    fn values_shape(&self, batch: usize, _y_true: &[usize], y_pred: &[usize]) -> Dims {
        let mut shape = Dims::from([batch]);
        let rows = y_pred.split_last().map_or(&[][..], |(_, rows)| rows);
        rows.iter().for_each(|&n| shape.push(n));
        shape
    }

    /// The values, `out.len()` of them.
    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]);

    /// As [`Loss::mask`].
    fn mask(&self, _y_true: View<'_>, _values: &[Float], _keep: &mut [bool]) -> bool {
        false
    }

    /// As [`Loss::on_logits`].
    fn on_logits(&self, _last: &Activation) -> Option<Arc<dyn Function>> {
        None
    }
}

/// A loss as a function.
#[derive(Clone, Debug)]
pub(super) struct OfLoss(pub Arc<dyn Loss>);

impl Function for OfLoss {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.0.check(y_true, y_pred)
    }

    fn values_shape(&self, batch: usize, y_true: &[usize], y_pred: &[usize]) -> Dims {
        self.0.values_shape(batch, y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        self.0.values(y_true, y_pred, out);
    }

    fn mask(&self, y_true: View<'_>, values: &[Float], keep: &mut [bool]) -> bool {
        self.0.mask(y_true, values, keep)
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Function>> {
        let loss = self.0.on_logits(last)?;
        Some(Arc::new(OfLoss(loss)))
    }
}

impl<L: Loss> Function for L {
    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        Loss::check(self, y_true, y_pred)
    }

    fn values_shape(&self, batch: usize, y_true: &[usize], y_pred: &[usize]) -> Dims {
        Loss::values_shape(self, batch, y_true, y_pred)
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        Loss::values(self, y_true, y_pred, out);
    }

    fn mask(&self, y_true: View<'_>, values: &[Float], keep: &mut [bool]) -> bool {
        Loss::mask(self, y_true, values, keep)
    }

    fn on_logits(&self, last: &Activation) -> Option<Arc<dyn Function>> {
        let loss = Loss::on_logits(self, last)?;
        Some(Arc::new(OfLoss(loss)))
    }
}

/// A [`Function`] that is a class among Keras's metrics, with its names and arguments.
pub trait MeanClass: Function + Clone + Default + 'static {
    /// Keras's class name.
    const CLASS: &'static str;
    /// Name in logs.
    const NAME: &'static str;
    /// Whether padding counts nothing.
    const MASKED: bool = true;

    /// The arguments besides `name` and `dtype`.
    fn arguments(&self) -> Config {
        Config::new()
    }

    /// The function with these arguments.
    ///
    /// # Errors
    /// If one is unknown.
    fn from_arguments(arguments: &Config) -> Result<Self>;

    /// What is reported of the mean.
    fn finish(mean: f64) -> f64 {
        mean
    }
}

/// The weighted mean of a function; Keras's `MeanMetricWrapper` for the functions that have a class of their own.
#[derive(Clone, Debug)]
pub struct MeanMetric<F> {
    name: String,
    pub(super) function: F,
    /// The function that takes its place before the last activation.
    on_logits: Option<Arc<dyn Function>>,
    mean: Average,
}

impl<F: MeanClass> Default for MeanMetric<F> {
    fn default() -> Self {
        MeanMetric::new(F::default())
    }
}

impl<F: MeanClass> MeanMetric<F> {
    fn new(function: F) -> Self {
        MeanMetric {
            name: F::NAME.into(),
            function,
            on_logits: None,
            mean: Average::default(),
        }
    }

    /// Name in logs and history.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// With another function.
    pub(super) fn with(self, change: impl FnOnce(F) -> F) -> Self {
        MeanMetric {
            function: change(self.function),
            ..self
        }
    }

    pub(super) fn read(name: Option<&str>, arguments: &Config) -> Result<Self> {
        let metric = MeanMetric::new(F::from_arguments(arguments)?);
        Ok(match name {
            Some(name) => metric.name(name),
            None => metric,
        })
    }
}

impl<F: MeanClass> Metric for MeanMetric<F> {
    fn class_name(&self) -> &'static str {
        F::CLASS
    }

    fn config(&self) -> Config {
        described(&self.name, "float32", self.function.arguments())
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.function.check(y_true, y_pred)
    }

    fn masked(&self) -> bool {
        F::MASKED
    }

    fn on_logits(&self, last: &Activation) -> Option<Box<dyn Metric>> {
        let on_logits = Some(self.function.on_logits(last)?);
        Some(Box::new(MeanMetric {
            on_logits,
            mean: Average::default(),
            ..self.clone()
        }))
    }

    fn reset(&mut self) {
        self.mean.reset();
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        let function = match &self.on_logits {
            Some(function) => function.as_ref(),
            None => &self.function,
        };
        self.mean.add(function, y_true, y_pred, weight);
    }

    fn result(&self) -> f64 {
        F::finish(self.mean.get())
    }

    fn state(&self) -> Option<Vec<f64>> {
        Some(self.mean.state())
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        self.mean.set_state(state)
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(MeanMetric {
            on_logits: None,
            mean: Average::default(),
            ..self.clone()
        })
    }
}

/// A weighted mean of the values of a function, and room for those of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Average {
    sum: f64,
    weight: f64,
    values: Vec<Float>,
    keep: Vec<bool>,
}

impl Average {
    pub fn add(
        &mut self,
        function: &dyn Function,
        y_true: View<'_>,
        y_pred: View<'_>,
        weight: Option<&[Float]>,
    ) {
        let shape = function.values_shape(y_pred.batch, y_true.shape, y_pred.shape);
        let n = shape.numel();
        self.values.resize(n, 0.0);
        function.values(y_true, y_pred, &mut self.values);
        // One value for the whole batch has no sample whose weight it could have.
        let weight = weight.filter(|_| !shape.is_empty());
        self.keep.clear();
        self.keep.resize(n, true);
        // Keras's rule: a class that the function ignores is left out where there are weights, and counts as 0 elsewhere.
        if weight.is_some() {
            function.mask(y_true, &self.values, &mut self.keep);
        }
        for (r, (value, keep)) in self.values.iter().zip(&self.keep).enumerate() {
            if *keep {
                let weight = weight_at(weight, r, y_pred.batch, n);
                self.sum += f64::from(*value) * weight;
                self.weight += weight;
            }
        }
    }

    /// 0 before anything was added.
    pub fn get(&self) -> f64 {
        super::ratio(self.sum, self.weight)
    }

    pub fn reset(&mut self) {
        (self.sum, self.weight) = (0.0, 0.0);
    }

    pub fn state(&self) -> Vec<f64> {
        vec![self.sum, self.weight]
    }

    pub fn set_state(&mut self, state: &[f64]) -> bool {
        let &[sum, weight] = state else {
            return false;
        };
        (self.sum, self.weight) = (sum, weight);
        true
    }
}
