//! `MeanMetricWrapper`: the mean of any function, by Keras's name, of a loss, or of one's own.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::mean_metric::{Average, OfLoss};
use super::{Function, MeanClass, Metric, accuracy, correlation, described};
use crate::activation::Activation;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::losses::{self, Loss};
use crate::shape::Shape;
use crate::tensor::View;

/// The mean of a function of target and prediction. [Keras](https://keras.io/api/metrics/reduction_metrics/)
///
/// ```
/// use oxhorn::{losses, metrics::{MeanMetricWrapper, Metric, MetricExt}};
/// let mut huber = MeanMetricWrapper::of("huber", losses::Huber::default().delta(2.0));
/// huber.update_state(&[[0.0, 0.0]], &[[1.0, 3.0]])?;
/// assert_eq!(huber.result(), 2.25);
///
/// let mut largest = MeanMetricWrapper::new("largest_error", |y_true, y_pred| {
///     y_true.iter().zip(y_pred).fold(0.0, |m, (t, p)| (p - t).abs().max(m))
/// });
/// largest.update_state(&[[0.0, 0.0], [1.0, 1.0]], &[[1.0, 3.0], [1.0, 2.0]])?;
/// assert_eq!(largest.result(), 2.0);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MeanMetricWrapper {
    name: String,
    /// Keras's object for the function.
    fn_: Value,
    /// Its arguments.
    arguments: Config,
    function: Arc<dyn Function>,
    mean: Average,
}

/// A function of one's own, row by row.
struct Rows<F> {
    name: String,
    f: F,
}

impl<F> fmt::Debug for Rows<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<F: Fn(&[Float], &[Float]) -> Float + Send + Sync> Function for Rows<F> {
    fn check(&self, _y_true: &Shape, _y_pred: &Shape) -> Result<()> {
        Ok(())
    }

    fn values(&self, y_true: View<'_>, y_pred: View<'_>, out: &mut [Float]) {
        let cols = y_true.data.len() / out.len().max(1);
        let rows = y_pred.data.chunks_exact(y_pred.cols());
        for (r, (p, out)) in rows.zip(out).enumerate() {
            *out = (self.f)(&y_true.data[r * cols..][..cols], p);
        }
    }
}

/// Reads a function with arguments.
type Reader = fn(&Config) -> Result<Arc<dyn Function>>;

fn read<F: MeanClass>(arguments: &Config) -> Result<Arc<dyn Function>> {
    Ok(Arc::new(F::from_arguments(arguments)?))
}

/// Keras's functions that are metrics but no losses.
const FUNCTIONS: &[(&str, Reader)] = &[
    ("accuracy", read::<accuracy::Exact>),
    ("binary_accuracy", read::<accuracy::Binary>),
    ("categorical_accuracy", read::<accuracy::Categorical>),
    ("sparse_categorical_accuracy", read::<accuracy::Sparse>),
    ("top_k_categorical_accuracy", read::<accuracy::TopK>),
    (
        "sparse_top_k_categorical_accuracy",
        read::<accuracy::SparseTopK>,
    ),
    ("pearson_correlation", read::<correlation::Pearson>),
    ("concordance_correlation", read::<correlation::Concordance>),
];

/// How Keras writes one of its functions.
fn envelope(name: &str) -> Value {
    json!({"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"})
}

impl MeanMetricWrapper {
    /// Of a function of a row of targets and a row of predictions (the last axis).
    pub fn new(
        name: impl Into<String>,
        f: impl Fn(&[Float], &[Float]) -> Float + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let fn_ = json!({"module": null, "class_name": "function", "config": name, "registered_name": name});
        let function = Arc::new(Rows {
            name: name.clone(),
            f,
        });
        Self::with(name, fn_, Config::new(), function)
    }

    /// Of a loss.
    pub fn of(name: impl Into<String>, loss: impl Loss + 'static) -> Self {
        Self::of_loss(name.into(), Arc::new(loss))
    }

    fn of_loss(name: String, loss: Arc<dyn Loss>) -> Self {
        let mut arguments = loss.config();
        arguments.shift_remove("name");
        arguments.shift_remove("reduction");
        let fn_ = match losses::function_name(loss.class_name()) {
            Some(name) => envelope(name),
            None => losses::serialize(loss.as_ref()),
        };
        Self::with(name, fn_, arguments, Arc::new(OfLoss(loss)))
    }

    fn with(name: String, fn_: Value, arguments: Config, function: Arc<dyn Function>) -> Self {
        MeanMetricWrapper {
            name,
            fn_,
            arguments,
            function,
            mean: Average::default(),
        }
    }

    /// Of Keras's function of this name; `None` if there is none.
    pub(super) fn function(
        name: Option<&str>,
        function: &str,
        arguments: &Config,
    ) -> Option<Result<Self>> {
        let name = name.unwrap_or(function).to_string();
        // Losses first, as Keras looks them up.
        if let Some(class) = losses::function(&Value::from(function)) {
            let loss = losses::from_config(class, arguments);
            return Some(loss.map(|loss| Self::of_loss(name, loss)));
        }
        let (key, read) = FUNCTIONS.iter().find(|(key, _)| *key == function)?;
        let read = read(arguments);
        Some(read.map(|f| Self::with(name, envelope(key), arguments.clone(), f)))
    }

    pub(super) fn read(name: Option<&str>, config: &Config) -> Result<Self> {
        let mut arguments = config.clone();
        let wrong = |problem: String| Error::Config {
            path: "MeanMetricWrapper".into(),
            problem,
        };
        let Some(value) = arguments.shift_remove("fn") else {
            return Err(wrong("argument `fn` is missing".into()));
        };
        let function = match &value {
            Value::Object(map) if map.get("class_name").is_some_and(|c| c == "function") => {
                map.get("config").and_then(Value::as_str)
            }
            Value::String(name) => Some(name.as_str()),
            _ => None,
        };
        if let Some(function) = function
            && let Some(metric) = Self::function(name, function, &arguments)
        {
            return metric;
        }
        // A loss object can be called like a function.
        match losses::deserialize(&value) {
            Ok(loss) if arguments.is_empty() => Ok(Self::of_loss(
                name.unwrap_or("mean_metric_wrapper").into(),
                loss,
            )),
            _ => Err(wrong(format!("argument `fn`: unknown function {value}"))),
        }
    }
}

impl Metric for MeanMetricWrapper {
    fn class_name(&self) -> &'static str {
        "MeanMetricWrapper"
    }

    fn config(&self) -> Config {
        let mut own = Config::new();
        own.insert("fn".into(), self.fn_.clone());
        own.extend(self.arguments.clone());
        described(&self.name, "float32", own)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, y_true: &Shape, y_pred: &Shape) -> Result<()> {
        self.function.check(y_true, y_pred)
    }

    fn masked(&self) -> bool {
        true
    }

    fn on_logits(&self, last: &Activation) -> Option<Box<dyn Metric>> {
        let function = self.function.on_logits(last)?;
        Some(Box::new(MeanMetricWrapper {
            function,
            mean: Average::default(),
            ..self.clone()
        }))
    }

    fn reset(&mut self) {
        self.mean.reset();
    }

    fn update(&mut self, y_true: View<'_>, y_pred: View<'_>, weight: Option<&[Float]>) {
        self.mean
            .add(self.function.as_ref(), y_true, y_pred, weight);
    }

    fn result(&self) -> f64 {
        self.mean.get()
    }

    fn state(&self) -> Option<Vec<f64>> {
        Some(self.mean.state())
    }

    fn set_state(&mut self, state: &[f64]) -> bool {
        self.mean.set_state(state)
    }

    fn fresh(&self) -> Box<dyn Metric> {
        Box::new(MeanMetricWrapper {
            mean: Average::default(),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_by_name() {
        let mut delta = Config::new();
        delta.insert("delta".into(), 0.7.into());
        let huber = MeanMetricWrapper::function(None, "huber", &delta);
        let huber = huber.unwrap().unwrap();
        assert_eq!(
            (huber.name().as_str(), &huber.config()["delta"]),
            ("huber", &json!(0.7))
        );
        assert_eq!(huber.config()["fn"]["config"], "huber");
        let top =
            MeanMetricWrapper::function(Some("top"), "top_k_categorical_accuracy", &Config::new());
        assert_eq!(top.unwrap().unwrap().name(), "top");
        assert!(MeanMetricWrapper::function(None, "hubert", &Config::new()).is_none());
    }
}
