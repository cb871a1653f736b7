//! Names of activations and their JSON: a plain string, or for other arguments Keras's layer object.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

use super::Activation;
use crate::float::Float;

/// Keras's function names, aliases behind the slash.
const NAMES: [&str; 32] = [
    "linear",
    "relu",
    "leaky_relu",
    "relu6",
    "softmax",
    "log_softmax",
    "elu",
    "selu",
    "celu",
    "softplus",
    "softsign",
    "sigmoid",
    "hard_sigmoid",
    "log_sigmoid",
    "sparse_sigmoid",
    "silu",
    "swish",
    "hard_silu",
    "hard_swish",
    "gelu",
    "mish",
    "tanh",
    "hard_tanh",
    "tanh_shrink",
    "hard_shrink",
    "soft_shrink",
    "threshold",
    "exponential",
    "sparse_plus",
    "squareplus",
    "sparsemax",
    "glu",
];

/// What `hard_sigmoid` was in Keras 1 and 2. Keras 3 has no function for it: Python reads a file that holds this name only where
/// a function of this name is registered.
pub(crate) const HARD_SIGMOID_KERAS2: &str = "hard_sigmoid_keras2";

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter()
}

fn by_name(name: &str) -> Option<Activation> {
    Some(match name {
        "linear" => Activation::Linear,
        "relu" => Activation::RELU,
        "leaky_relu" => Activation::LeakyRelu {
            negative_slope: 0.2,
        },
        "relu6" => Activation::Relu6,
        "softmax" => Activation::Softmax,
        "log_softmax" => Activation::LogSoftmax,
        "elu" => Activation::Elu { alpha: 1.0 },
        "selu" => Activation::Selu,
        "celu" => Activation::Celu { alpha: 1.0 },
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "sigmoid" => Activation::Sigmoid,
        "hard_sigmoid" => Activation::HardSigmoid,
        HARD_SIGMOID_KERAS2 => Activation::HardSigmoidKeras2,
        "log_sigmoid" => Activation::LogSigmoid,
        "sparse_sigmoid" => Activation::SparseSigmoid,
        "silu" | "swish" => Activation::Silu,
        "hard_silu" | "hard_swish" => Activation::HardSilu,
        "gelu" => Activation::Gelu { approximate: false },
        "mish" => Activation::Mish,
        "tanh" => Activation::Tanh,
        "hard_tanh" => Activation::HardTanh,
        "tanh_shrink" => Activation::TanhShrink,
        "hard_shrink" => Activation::HardShrink { threshold: 0.5 },
        "soft_shrink" => Activation::SoftShrink { threshold: 0.5 },
        "threshold" => Activation::Threshold {
            threshold: 0.0,
            default_value: 0.0,
        },
        "exponential" => Activation::Exponential,
        "sparse_plus" => Activation::SparsePlus,
        "squareplus" => Activation::Squareplus { b: 4.0 },
        "sparsemax" => Activation::Sparsemax,
        "glu" => Activation::Glu,
        _ => return None,
    })
}

impl Activation {
    /// Every activation that keeps the shape, with Keras's default arguments, once.
    pub fn all() -> Vec<Activation> {
        names()
            .filter(|n| !["swish", "hard_swish", "glu"].contains(n))
            .filter_map(by_name)
            .collect()
    }

    /// Keras's name of the function.
    pub fn name(&self) -> &str {
        match self {
            Activation::Linear => "linear",
            Activation::Relu { .. } => "relu",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Relu6 => "relu6",
            Activation::Softmax => "softmax",
            Activation::LogSoftmax => "log_softmax",
            Activation::Elu { .. } => "elu",
            Activation::Selu => "selu",
            Activation::Celu { .. } => "celu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSigmoidKeras2 => HARD_SIGMOID_KERAS2,
            Activation::LogSigmoid => "log_sigmoid",
            Activation::SparseSigmoid => "sparse_sigmoid",
            Activation::Silu => "silu",
            Activation::HardSilu => "hard_silu",
            Activation::Gelu { .. } => "gelu",
            Activation::Mish => "mish",
            Activation::Tanh => "tanh",
            Activation::HardTanh => "hard_tanh",
            Activation::TanhShrink => "tanh_shrink",
            Activation::HardShrink { .. } => "hard_shrink",
            Activation::SoftShrink { .. } => "soft_shrink",
            Activation::Threshold { .. } => "threshold",
            Activation::Exponential => "exponential",
            Activation::SparsePlus => "sparse_plus",
            Activation::Squareplus { .. } => "squareplus",
            Activation::Sparsemax => "sparsemax",
            Activation::Glu => "glu",
            Activation::Custom(custom) => custom.name(),
            Activation::Invalid(name) => name,
        }
    }
}

impl From<&str> for Activation {
    /// An unknown name is reported when the layer is built.
    fn from(name: &str) -> Self {
        by_name(name).unwrap_or_else(|| Activation::Invalid(name.to_string()))
    }
}

impl From<String> for Activation {
    fn from(name: String) -> Self {
        Activation::from(name.as_str())
    }
}

impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let layer = |class: &str, config: Value| json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null});
        if by_name(self.name()).as_ref() == Some(self) {
            return serializer.serialize_str(self.name());
        }
        let value = match *self {
            Activation::Relu {
                negative_slope,
                max_value,
                threshold,
            } => layer(
                "ReLU",
                json!({"max_value": max_value, "negative_slope": negative_slope, "threshold": threshold}),
            ),
            Activation::LeakyRelu { negative_slope } => {
                layer("LeakyReLU", json!({"negative_slope": negative_slope}))
            }
            Activation::Elu { alpha } => layer("ELU", json!({"alpha": alpha})),
            // No Keras layer takes their arguments, so none of Keras's files can hold them: the name says most.
            _ => Value::from(self.name()),
        };
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn read(value: &Value) -> Result<Activation, String> {
    match value {
        Value::Null => Ok(Activation::Linear),
        Value::String(name) => by_name(name)
            .ok_or_else(|| crate::Error::unknown("activation", name, names()).to_string()),
        Value::Object(object) => {
            let class = object
                .get("class_name")
                .and_then(Value::as_str)
                .ok_or("activation: an object without `class_name`")?;
            match (class, object.get("config").unwrap_or(&Value::Null)) {
                ("function", name @ Value::String(_)) => read(name),
                (class, Value::Object(config)) => read_layer(class, config),
                (class, _) => Err(format!("activation: `{class}` without a `config` object")),
            }
        }
        other => Err(format!(
            "activation: expected a name or an object, got {other}"
        )),
    }
}

/// Keras's activation layers as activations.
fn read_layer(class: &str, config: &crate::config::Config) -> Result<Activation, String> {
    let number = |key: &str, default: Float| match config.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(v) => v
            .as_f64()
            .map(|v| v as Float)
            .ok_or_else(|| format!("activation: `{key}`: expected a number, got {v}")),
    };
    Ok(match class {
        "ReLU" => Activation::Relu {
            negative_slope: number("negative_slope", 0.0)?,
            max_value: match config.get("max_value") {
                None | Some(Value::Null) => None,
                Some(_) => Some(number("max_value", 0.0)?),
            },
            threshold: number("threshold", 0.0)?,
        },
        // Keras 2 called the slope `alpha`.
        "LeakyReLU" => Activation::LeakyRelu {
            negative_slope: number(
                if config.contains_key("alpha") {
                    "alpha"
                } else {
                    "negative_slope"
                },
                0.3,
            )?,
        },
        "ELU" => Activation::Elu {
            alpha: number("alpha", 1.0)?,
        },
        "Softmax" => match config.get("axis") {
            None | Some(Value::Null) => Activation::Softmax,
            Some(axis) if axis.as_i64() == Some(-1) => Activation::Softmax,
            Some(axis) => {
                return Err(format!(
                    "activation: Softmax over axis {axis}; within a layer only -1 is possible"
                ));
            }
        },
        "Activation" => return read(config.get("activation").unwrap_or(&Value::Null)),
        other => return Err(crate::Error::unknown("activation", other, names()).to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trip() {
        let mut all = Activation::all();
        all.push(Activation::LeakyRelu {
            negative_slope: 0.25,
        });
        all.push(Activation::Relu {
            negative_slope: 0.5,
            max_value: Some(2.0),
            threshold: 0.25,
        });
        all.push(Activation::Elu { alpha: 0.5 });
        for activation in all {
            let json = serde_json::to_value(&activation).unwrap();
            assert_eq!(
                serde_json::from_value::<Activation>(json.clone()).unwrap(),
                activation,
                "{json}"
            );
        }
    }

    #[test]
    fn every_form_of_keras_is_read() {
        for (json, want) in [
            (json!(null), Activation::Linear),
            (json!("swish"), Activation::Silu),
            (
                json!({"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}),
                Activation::RELU,
            ),
            (
                json!({"class_name": "LeakyReLU", "config": {"alpha": 0.5}}),
                Activation::LeakyRelu {
                    negative_slope: 0.5,
                },
            ),
        ] {
            assert_eq!(serde_json::from_value::<Activation>(json).unwrap(), want);
        }
        let e = serde_json::from_value::<Activation>(json!("rleu"))
            .unwrap_err()
            .to_string();
        assert!(e.contains("did you mean `relu`"), "{e}");
        assert!(serde_json::from_value::<Activation>(json!(3)).is_err());
        assert!(
            serde_json::from_value::<Activation>(json!({"class_name": "Lambda", "config": {}}))
                .is_err()
        );
    }
}
