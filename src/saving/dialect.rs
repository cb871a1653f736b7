//! What older versions of Keras wrote differently: retired arguments, renamed ones, and names whose meaning has changed. A
//! configuration is brought to the form of today before anything reads it.

use serde_json::{Value, json};

use crate::activation::form::HARD_SIGMOID_KERAS2;
use crate::config::Config;
use crate::layers;

/// Arguments that say nothing any more, with the only value they may have (`None`: any); of every layer.
const RETIRED: &[(&str, Option<Value>)] = &[
    ("quantization_config", Some(Value::Null)),
    ("batch_input_shape", None),
    ("batch_shape", None),
    ("input_shape", None),
    ("input_dtype", None),
    ("input_spec", None),
    ("implementation", None),
    ("time_major", Some(Value::Bool(false))),
    ("input_length", None),
    ("dtype_policy", None),
    ("autocast", None),
];

/// The same, of single classes.
const RETIRED_OF: &[(&str, &[&str])] = &[
    (
        "BatchNormalization",
        &["fused", "virtual_batch_size", "adjustment", "_cpu_mode"],
    ),
    ("SeparableConv1D", CONVOLUTION),
    ("SeparableConv2D", CONVOLUTION),
    ("DepthwiseConv1D", CONVOLUTION),
    ("DepthwiseConv2D", CONVOLUTION),
    ("Conv1DTranspose", &["groups"]),
    ("Conv2DTranspose", &["groups"]),
    ("Conv3DTranspose", &["groups"]),
    (
        "MultiHeadAttention",
        &["query_shape", "key_shape", "value_shape"],
    ),
];

/// What these inherited from a plain convolution and never used.
const CONVOLUTION: &[&str] = &[
    "filters",
    "groups",
    "kernel_initializer",
    "kernel_regularizer",
    "kernel_constraint",
];

/// Arguments that have another name now.
const RENAMED: &[(&str, &str, &str)] = &[
    ("LeakyReLU", "alpha", "negative_slope"),
    ("Dropout", "p", "rate"),
];

/// Brings a configuration up to date, nested layers included. `generation` is the major version of the Keras that wrote it.
pub(super) fn modernize(value: &mut Value, generation: u32) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| modernize(v, generation)),
        Value::Object(object) => {
            let class = object
                .get("class_name")
                .and_then(Value::as_str)
                .map(String::from);
            object.values_mut().for_each(|v| modernize(v, generation));
            let Some(class) = class else { return };
            let class = cudnn(&class, object).unwrap_or(class);
            let known = layers::is_known(&class);
            if known && let Some(Value::Object(config)) = object.get_mut("config") {
                retire(&class, config);
                if generation < 3 {
                    hard_sigmoid(config);
                    legacy(&class, config);
                }
            }
        }
        _ => {}
    }
}

fn retire(class: &str, config: &mut Config) {
    let own = RETIRED_OF
        .iter()
        .find(|(c, _)| *c == class)
        .map_or(&[][..], |(_, keys)| keys);
    let separable = !matches!(class, "SeparableConv1D" | "SeparableConv2D");
    for key in own.iter().filter(|k| separable || **k != "filters") {
        config.shift_remove(*key);
    }
    for (key, only) in RETIRED
        .iter()
        .filter(|(key, _)| class != "InputLayer" || !key.starts_with("batch"))
    {
        if let Some(value) = config.get(*key)
            && only.as_ref().is_none_or(|only| value == only)
        {
            config.shift_remove(*key);
        }
    }
}

/// In Keras 1 and 2 `hard_sigmoid` was `clip(0.2 x + 0.5, 0, 1)`; Keras 3's is `relu6(x + 3) / 6`.
fn hard_sigmoid(config: &mut Config) {
    for key in ["activation", "recurrent_activation"] {
        if config.get(key).and_then(Value::as_str) == Some("hard_sigmoid") {
            config[key] = HARD_SIGMOID_KERAS2.into();
        }
    }
}

fn legacy(class: &str, config: &mut Config) {
    for (of, old, new) in RENAMED.iter().filter(|(of, ..)| *of == class) {
        debug_assert_eq!(*of, class);
        if let Some(value) = config.shift_remove(*old) {
            config.insert((*new).into(), value);
        }
    }
    // TensorFlow wrote an axis as a list of one.
    if class == "BatchNormalization"
        && let Some([axis]) = config
            .get("axis")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
    {
        let axis = axis.clone();
        config.insert("axis".into(), axis);
    }
    // Before TensorFlow 2 a GRU applied its reset gate before the product, unless told otherwise.
    if class == "GRU" && !config.contains_key("reset_after") {
        config.insert("reset_after".into(), json!(false));
    }
}

/// The layers for NVIDIA's library became the plain ones; their weights are converted when they are read. The new class.
fn cudnn(class: &str, object: &mut Config) -> Option<String> {
    let plain = match class {
        "CuDNNLSTM" => "LSTM",
        "CuDNNGRU" => "GRU",
        _ => return None,
    };
    object.insert("class_name".into(), plain.into());
    if let Some(Value::Object(config)) = object.get_mut("config") {
        config.insert("recurrent_activation".into(), json!("sigmoid"));
        if plain == "GRU" {
            config.insert("reset_after".into(), json!(true));
        }
    }
    Some(plain.into())
}

/// The major version in `keras_version`, `2` for `2.4.0-tf`; 1 where it is missing, as in the oldest files.
pub(super) fn generation(version: Option<&str>) -> u32 {
    let major = version.and_then(|v| v.split('.').next()?.parse().ok());
    major.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meaning_of_the_writer_is_kept() {
        let layer = |version| {
            let mut value = json!({"class_name": "Sequential", "config": {"layers": [
                {"class_name": "Dense", "config": {"units": 2, "activation": "hard_sigmoid", "batch_input_shape": [null, 3],
                    "quantization_config": null}}]}});
            modernize(&mut value, version);
            value["config"]["layers"][0]["config"].clone()
        };
        assert_eq!(
            layer(2),
            json!({"units": 2, "activation": HARD_SIGMOID_KERAS2})
        );
        assert_eq!(layer(3), json!({"units": 2, "activation": "hard_sigmoid"}));
        assert_eq!(
            [
                generation(Some("2.4.0-tf")),
                generation(Some("3.15.1")),
                generation(None)
            ],
            [2, 3, 1]
        );
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let own = json!({"class_name": "Mine", "config": {"implementation": 2}});
        let mut value = own.clone();
        modernize(&mut value, 2);
        assert_eq!(value, own);
    }
}
