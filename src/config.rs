//! Configurations: the JSON objects that Keras calls `get_config`.

use serde::Serialize;
use serde::de::{DeserializeOwned, value::MapDeserializer};
use serde_json::Value;

use crate::error::{Error, Result};

/// A layer's, loss's, metric's or optimizer's constructor arguments under Keras's names.
pub type Config = serde_json::Map<String, Value>;

/// The configuration of a struct whose fields are Keras's arguments.
pub fn to_config(object: &impl Serialize) -> Config {
    match serde_json::to_value(object) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("a configuration serialises to a JSON object, not {other:?}"),
    }
}

/// The struct of that configuration; missing fields take the struct's defaults, unknown ones are an error that names them.
pub fn from_config<T: DeserializeOwned>(class: &str, config: &Config) -> Result<T> {
    // Not `Value`'s own deserializer, which would compile for each struct how it is read from a list, too.
    T::deserialize(MapDeserializer::new(fields(config))).map_err(|e| refused(class, e))
}

fn fields(config: &Config) -> impl Iterator<Item = (&str, &Value)> {
    config.iter().map(|(name, value)| (name.as_str(), value))
}

fn refused(class: &str, e: serde_json::Error) -> Error {
    Error::Config {
        path: class.into(),
        problem: e.to_string(),
    }
}
