//! Optimizers by name and from configurations.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::envelope::{Object, custom, envelope};
use crate::layer::default_name;

/// Reads an optimizer of one class.
type Reader = fn(Arguments) -> Result<Shared>;

/// The table of optimizers by Keras's class name; the name in lower case and in snake case work too.
const TABLE: &[(&str, Reader)] = &[
    ("SGD", |a| Ok(Arc::new(Sgd::read(a)?))),
    ("RMSprop", |a| Ok(Arc::new(RmsProp::read(a)?))),
    ("Adam", |a| Ok(Arc::new(Adam::read(a)?))),
    ("AdamW", |a| Ok(Arc::new(AdamW::read(a)?))),
    ("Adadelta", |a| Ok(Arc::new(Adadelta::read(a)?))),
    ("Adafactor", |a| Ok(Arc::new(Adafactor::read(a)?))),
    ("Adagrad", |a| Ok(Arc::new(Adagrad::read(a)?))),
    ("Adamax", |a| Ok(Arc::new(Adamax::read(a)?))),
    ("Ftrl", |a| Ok(Arc::new(Ftrl::read(a)?))),
    ("Lamb", |a| Ok(Arc::new(Lamb::read(a)?))),
    ("Lion", |a| Ok(Arc::new(Lion::read(a)?))),
    ("Muon", |a| Ok(Arc::new(Muon::read(a)?))),
    ("Nadam", |a| Ok(Arc::new(Nadam::read(a)?))),
    ("ScheduleFreeAdamW", |a| {
        Ok(Arc::new(ScheduleFreeAdamW::read(a)?))
    }),
    ("LossScaleOptimizer", |a| {
        Ok(Arc::new(LossScaleOptimizer::read(a)?))
    }),
    ("MultiOptimizer", |a| Ok(Arc::new(MultiOptimizer::read(a)?))),
];

/// The optimizer of this name (`"adam"`, `"Adam"`, `"adam_w"`) with default arguments.
///
/// # Errors
/// If there is none: the error lists the names. If it has an argument without a default.
pub fn get(name: &str) -> Result<Arc<dyn Optimizer>> {
    from_config(name, &Config::new())
}

/// The optimizer of this class with these arguments.
///
/// # Errors
/// If the class or an argument is unknown.
pub fn from_config(class: &str, config: &Config) -> Result<Arc<dyn Optimizer>> {
    let row = TABLE
        .iter()
        .find(|row| row.0.eq_ignore_ascii_case(class) || default_name(row.0) == class);
    match row {
        Some((class, read)) => read(Arguments::new(class, config)),
        None => Err(Error::unknown(
            "optimizer",
            class,
            TABLE.iter().map(|row| row.0.to_lowercase()),
        )),
    }
}

/// The optimizer that Keras means by a string or an object `{"class_name": .., "config": ..}`.
///
/// # Errors
/// As [`get`] and [`from_config`].
pub fn deserialize(value: &Value) -> Result<Arc<dyn Optimizer>> {
    let object = Object::read(value.clone()).map_err(|problem| Error::Config {
        path: "optimizer".into(),
        problem,
    })?;
    from_config(&object.class, &object.args.into_config())
}

/// How Keras writes this optimizer; one that is not Keras's is written as a registered object of the user's.
pub fn serialize(optimizer: &dyn Optimizer) -> Value {
    let (class, config) = (optimizer.class_name(), Value::Object(optimizer.config()));
    if TABLE.iter().any(|row| row.0 == class) {
        return envelope("keras.optimizers", class, config);
    }
    custom(class, config)
}
