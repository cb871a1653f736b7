//! From Keras's `compile_config` to what [`Model::compile`](crate::models::Model::compile) would have been told.

use std::sync::Arc;

use serde_json::Value;

use super::registry::{Registry, unknown};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::losses::{self, Loss};
use crate::metrics::{self, Metric};
use crate::optimizers;
use crate::train::compile::{Compile, Compiled, PerOutput};

fn problem(path: &str, problem: impl Into<String>) -> Error {
    Error::Config {
        path: format!("compile_config/{path}"),
        problem: problem.into(),
    }
}

/// Reads a compile configuration; `None` if the model was not compiled.
pub(super) fn read(config: &Value, registry: &Registry) -> Result<Option<Compiled>> {
    let Some(optimizer) = config.get("optimizer").filter(|o| !o.is_null()) else {
        return Ok(None);
    };
    let Some(loss) = config.get("loss").filter(|l| !l.is_null()) else {
        return Ok(None);
    };
    let (class, arguments) = object(optimizer, "optimizer")?;
    let optimizer = match registry.find_optimizer(&class) {
        Some(make) => make(&arguments)?,
        None => optimizers::from_config(&class, &arguments)?,
    };
    let losses = per_output(loss, "loss", &|v| read_loss(v, registry))?;
    let mut compiled = Compile::new(optimizer, losses).into_compiled()?;
    let list = |v: &Value| read_metrics(v, registry);
    if let Some(metrics) = config.get("metrics").filter(|m| !m.is_null()) {
        compiled.metrics = metric_lists(metrics, "metrics", &list)?;
    }
    if let Some(metrics) = config.get("weighted_metrics").filter(|m| !m.is_null()) {
        compiled.weighted_metrics = metric_lists(metrics, "weighted_metrics", &list)?;
    }
    if let Some(weights) = config.get("loss_weights").filter(|w| !w.is_null()) {
        let number = |v: &Value| {
            v.as_f64()
                .ok_or_else(|| problem("loss_weights", format!("expected numbers, got {v}")))
        };
        compiled.loss_weights = Some(per_output(weights, "loss_weights", &number)?);
    }
    Ok(Some(compiled))
}

/// Class and arguments of an object; a function by its name.
fn object(value: &Value, path: &str) -> Result<(String, Config)> {
    if let Value::String(name) = value {
        return Ok((name.clone(), Config::new()));
    }
    let class = value.get("class_name").and_then(Value::as_str);
    let registered = value.get("registered_name").and_then(Value::as_str);
    match (class, value.get("config")) {
        (Some("function"), Some(Value::String(name))) => Ok((name.clone(), Config::new())),
        (Some(class), Some(Value::Object(config))) => {
            let class = registered.filter(|r| r.contains('>')).unwrap_or(class);
            Ok((class.into(), config.clone()))
        }
        (Some(class), None | Some(Value::Null)) => Ok((class.into(), Config::new())),
        _ => Err(problem(
            path,
            format!("expected a name or an object, got {value}"),
        )),
    }
}

/// One for all outputs, a list, or by name.
fn per_output<T>(
    value: &Value,
    path: &str,
    read: &dyn Fn(&Value) -> Result<T>,
) -> Result<PerOutput<T>> {
    let some = |v: &Value| match v {
        Value::Null => Ok(None),
        v => read(v).map(Some),
    };
    match value {
        Value::Array(list) => Ok(PerOutput::Each(
            list.iter().map(some).collect::<Result<_>>()?,
        )),
        Value::Object(named) if !named.contains_key("class_name") => {
            let mut out = Vec::new();
            for (name, v) in named {
                if let Some(v) = some(v).map_err(|e| inside(e, path, name))? {
                    out.push((name.clone(), v));
                }
            }
            Ok(PerOutput::Named(out))
        }
        one => Ok(PerOutput::All(read(one)?)),
    }
}

fn inside(e: Error, path: &str, name: &str) -> Error {
    match e {
        Error::Config {
            path: inner,
            problem,
        } => Error::Config {
            path: format!("{path}/{name}: {inner}"),
            problem,
        },
        other => other,
    }
}

/// Metrics: a plain list is for every output, a list of lists has one list an output.
fn metric_lists(
    value: &Value,
    path: &str,
    read: &dyn Fn(&Value) -> Result<Vec<Box<dyn Metric>>>,
) -> Result<PerOutput<Vec<Box<dyn Metric>>>> {
    match value {
        Value::Array(list) if !list.iter().any(Value::is_array) => Ok(PerOutput::All(read(value)?)),
        other => per_output(other, path, read),
    }
}

fn read_loss(value: &Value, registry: &Registry) -> Result<Arc<dyn Loss>> {
    let (class, config) = object(value, "loss")?;
    if let Some(make) = registry.find_loss(&class) {
        return make(&config);
    }
    match losses::deserialize(value) {
        Err(Error::Unknown { .. }) => Err(unknown("loss", &class, "compile_config/loss")),
        other => other,
    }
}

fn read_metrics(value: &Value, registry: &Registry) -> Result<Vec<Box<dyn Metric>>> {
    match value {
        Value::Array(list) => {
            let all = list.iter().filter(|v| !v.is_null());
            all.map(|v| read_metric(v, registry)).collect()
        }
        one => Ok(vec![read_metric(one, registry)?]),
    }
}

fn read_metric(value: &Value, registry: &Registry) -> Result<Box<dyn Metric>> {
    let (class, config) = object(value, "metrics")?;
    if let Some(make) = registry.find_metric(&class) {
        return make(&config);
    }
    match metrics::deserialize(value) {
        Err(Error::Unknown { .. }) => Err(unknown("metric", &class, "compile_config/metrics")),
        other => other,
    }
}
