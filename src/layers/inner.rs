//! A layer as the argument of another one (a wrapper's `layer`), in Keras's form.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::layer::{LayerRef, default_name};

/// The layer inside a wrapper.
#[derive(Clone, Debug)]
pub(crate) struct Inner(pub LayerRef);

impl Inner {
    /// Given name, or Keras's for the class.
    pub(crate) fn name(&self) -> String {
        let class = self.0.layer.class_name();
        self.0.name.clone().unwrap_or_else(|| default_name(class))
    }
}

/// Keras's form of the only type there is.
pub(crate) fn dtype() -> Value {
    policy("float32")
}

fn policy(name: &str) -> Value {
    json!({"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": null})
}

/// The arguments that Keras's layers have in common, as far as this class takes them.
pub(crate) fn common(class: &str, own: &Map<String, Value>, name: &str, trainable: bool) -> Config {
    let mut config = Map::new();
    config.insert("name".into(), json!(name));
    if class != "Discretization" && !class.starts_with("SpatialDropout") {
        config.insert("trainable".into(), json!(trainable));
    }
    let integers = matches!(class, "Hashing" | "HashedCrossing");
    let dtype = match own.get("output_mode").and_then(Value::as_str) {
        Some("int") if integers => policy("int64"),
        _ => dtype(),
    };
    config.insert("dtype".into(), dtype);
    config
}

impl Serialize for Inner {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let LayerRef {
            layer,
            trainable,
            activity_regularizer,
            ..
        } = &self.0;
        let own = layer.config();
        let mut config = common(layer.class_name(), &own, &self.name(), *trainable);
        config.extend(own);
        if let Some(penalty) = activity_regularizer {
            let penalty = serde_json::to_value(penalty).map_err(serde::ser::Error::custom)?;
            config.insert("activity_regularizer".into(), penalty);
        }
        json!({"module": layer.module(), "class_name": layer.class_name(), "config": config,
            "registered_name": null})
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(d)?;
        let (Some(class), Some(config)) =
            (object["class_name"].as_str(), object["config"].as_object())
        else {
            return Err(D::Error::custom(
                "expected a layer: `class_name` and `config`",
            ));
        };
        let mut config = config.clone();
        config.remove("dtype");
        if config
            .get("quantization_config")
            .is_some_and(Value::is_null)
        {
            config.remove("quantization_config");
        }
        let name = match config.remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                return Err(D::Error::custom(format!(
                    "`name`: expected a string, got {other}"
                )));
            }
        };
        let trainable = match config.remove("trainable") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(b)) => b,
            Some(other) => {
                return Err(D::Error::custom(format!(
                    "`trainable`: expected true or false, got {other}"
                )));
            }
        };
        let penalty = match config.get("activity_regularizer") {
            None => None,
            Some(_) => config
                .remove("activity_regularizer")
                .filter(|v| !v.is_null()),
        };
        let layer = super::from_config(class, &config)
            .ok_or_else(|| D::Error::custom(format!("unknown layer class `{class}`")))?
            .map_err(D::Error::custom)?;
        let mut layer = LayerRef::from_arc(layer);
        layer.name = name;
        layer.trainable = trainable;
        layer.activity_regularizer = match penalty {
            None => None,
            Some(penalty) => Some(serde_json::from_value(penalty).map_err(D::Error::custom)?),
        };
        Ok(Inner(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::LayerExt;
    use crate::layers::Dense;

    #[test]
    fn round_trip() {
        let inner = Inner(
            Dense::new(3)
                .trainable(false)
                .activity_regularizer("l2")
                .name("d"),
        );
        let json = serde_json::to_value(&inner).unwrap();
        assert_eq!(
            (&json["class_name"], &json["config"]["units"]),
            (&json!("Dense"), &json!(3))
        );
        let again: Inner = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), json);
        assert_eq!((again.name(), again.0.trainable), ("d".into(), false));
    }

    #[test]
    fn what_is_no_layer_is_refused() {
        for (key, value) in [
            ("class_name", json!("NoSuchLayer")),
            ("class_name", json!(1)),
            ("config", json!({"units": 3, "name": 4})),
            ("config", json!({"units": 3, "trainable": "yes"})),
            ("config", json!({"units": -3})),
            ("config", json!({"units": 3, "activity_regularizer": 7})),
        ] {
            let mut json = serde_json::to_value(Inner(Dense::new(3).into())).unwrap();
            json[key] = value;
            assert!(serde_json::from_value::<Inner>(json).is_err());
        }
    }
}
