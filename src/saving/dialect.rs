//! What older versions of Keras wrote differently: retired arguments, and names whose meaning has changed.

use serde_json::Value;

use crate::config::Config;

/// Arguments that say nothing any more, with the only value they may have (`None`: any).
const RETIRED: &[(&str, Option<&str>)] = &[
    ("quantization_config", Some("null")),
    ("batch_input_shape", None),
    ("batch_shape", None),
    ("input_dtype", None),
    ("implementation", None),
    ("time_major", Some("false")),
    ("input_length", None),
    ("synchronized", None),
];

/// Takes out what a layer of today does not know and need not.
pub(super) fn retire(class: &str, legacy: bool, config: &mut Config) {
    for (key, only) in RETIRED {
        let known = class == "InputLayer"
            || (*key == "synchronized" && class == "BatchNormalization" && !legacy);
        if known {
            continue;
        }
        if let Some(value) = config.get(*key)
            && only.is_none_or(|only| value.to_string() == only)
        {
            config.remove(*key);
        }
    }
    // `ragged`-aware pooling of TensorFlow 2 and the like: null says nothing.
    for key in ["dtype_policy", "autocast"] {
        if config
            .get(key)
            .is_some_and(|v| v.is_null() || *v == Value::Bool(true))
        {
            config.remove(key);
        }
    }
}
