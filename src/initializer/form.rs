//! Names and JSON form of the initializers.

use serde_json::{Value, json};

use super::Initializer;
use crate::{
    config::Config,
    envelope::{Args, Object, envelope, keras_object, wrong},
};

/// Class and snake_case name.
const NAMES: [(&str, &str); 16] = [
    ("Zeros", "zeros"),
    ("Ones", "ones"),
    ("Constant", "constant"),
    ("Identity", "identity"),
    ("RandomNormal", "random_normal"),
    ("RandomUniform", "random_uniform"),
    ("TruncatedNormal", "truncated_normal"),
    ("VarianceScaling", "variance_scaling"),
    ("GlorotUniform", "glorot_uniform"),
    ("GlorotNormal", "glorot_normal"),
    ("HeUniform", "he_uniform"),
    ("HeNormal", "he_normal"),
    ("LecunUniform", "lecun_uniform"),
    ("LecunNormal", "lecun_normal"),
    ("Orthogonal", "orthogonal"),
    ("STFT", "stft"),
];

/// Names of older versions of Keras.
const ALIASES: [(&str, &str); 7] = [
    ("Zeros", "zero"),
    ("Ones", "one"),
    ("RandomNormal", "normal"),
    ("RandomUniform", "uniform"),
    ("Identity", "IdentityInitializer"),
    ("Orthogonal", "OrthogonalInitializer"),
    ("STFT", "STFTInitializer"),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(_, snake)| *snake)
}

/// The class that goes by this name.
fn class_of(name: &str) -> Option<&'static str> {
    let mut known = NAMES.iter().chain(&ALIASES);
    let found = known.find(|(class, other)| name == *class || name == *other);
    found.map(|(class, _)| *class)
}

keras_object!(Initializer);

impl Initializer {
    fn from_object(object: Object) -> Result<Self, String> {
        let Some(class) = class_of(&object.class) else {
            return Ok(Self::Invalid(object.class));
        };
        let mut args = object.args;
        let this = Self::read(class, &mut args)?;
        args.finish().map(|()| this)
    }

    fn read(class: &str, args: &mut Args) -> Result<Self, String> {
        Ok(match class {
            "Zeros" => Self::Zeros,
            "Ones" => Self::Ones,
            "Constant" => Self::Constant {
                value: args.number("value", 0.0)?,
            },
            "Identity" => Self::Identity {
                gain: args.number("gain", 1.0)?,
            },
            "RandomNormal" => Self::RandomNormal {
                mean: args.number("mean", 0.0)?,
                stddev: args.number("stddev", 0.05)?,
                seed: args.seed()?,
            },
            "TruncatedNormal" => Self::TruncatedNormal {
                mean: args.number("mean", 0.0)?,
                stddev: args.number("stddev", 0.05)?,
                seed: args.seed()?,
            },
            "RandomUniform" => Self::RandomUniform {
                minval: args.number("minval", -0.05)?,
                maxval: args.number("maxval", 0.05)?,
                seed: args.seed()?,
            },
            "Orthogonal" => Self::Orthogonal {
                gain: args.number("gain", 1.0)?,
                seed: args.seed()?,
            },
            "STFT" => Self::STFT {
                side: args.string("side", "real")?,
                window: serde_json::from_value(args.given("window").unwrap_or(json!("hann")))
                    .map_err(|_| "argument `window`: expected a name, a list of numbers or null")?,
                scaling: match args.given("scaling").unwrap_or(json!("density")) {
                    Value::Null => None,
                    Value::String(scaling) => Some(scaling),
                    other => return Err(wrong("scaling", "a string or null", &other)),
                },
                periodic: args.boolean("periodic", false)?,
            },
            "VarianceScaling" => Self::VarianceScaling {
                scale: args.number("scale", 1.0)?,
                mode: args.string("mode", "fan_in")?,
                distribution: args
                    .string("distribution", "truncated_normal")?
                    .to_lowercase(),
                seed: args.seed()?,
                input_axes: args.axes("input_axes")?,
                output_axes: args.axes("output_axes")?,
            },
            _ => Self::read_fan_law(class, args)?,
        })
    }

    /// Glorot, He and Lecun. With axes of its own such a law is the variance scaling that it stands for.
    fn read_fan_law(class: &str, args: &mut Args) -> Result<Self, String> {
        let seed = args.seed()?;
        let this = match class {
            "GlorotUniform" => Self::GlorotUniform { seed },
            "GlorotNormal" => Self::GlorotNormal { seed },
            "HeUniform" => Self::HeUniform { seed },
            "HeNormal" => Self::HeNormal { seed },
            "LecunUniform" => Self::LecunUniform { seed },
            "LecunNormal" => Self::LecunNormal { seed },
            other => unreachable!("{other} is in the table of names"),
        };
        let (input_axes, output_axes) = (args.axes("input_axes")?, args.axes("output_axes")?);
        match (this.scaling(), &input_axes, &output_axes) {
            (Some((scale, mode, distribution)), Some(_), Some(_)) => Ok(Self::VarianceScaling {
                scale,
                mode: mode.into(),
                distribution: distribution.into(),
                seed,
                input_axes,
                output_axes,
            }),
            _ => Ok(this),
        }
    }

    fn to_value(&self) -> Value {
        let (class, config) = match self {
            Self::Zeros => ("Zeros", json!({})),
            Self::Ones => ("Ones", json!({})),
            Self::Constant { value } => ("Constant", json!({ "value": value })),
            // Keras writes no gain at all, and then reads 1.
            Self::Identity { gain: 1.0 } => ("Identity", json!({})),
            Self::Identity { gain } => ("Identity", json!({ "gain": gain })),
            Self::RandomNormal { mean, stddev, seed } => (
                "RandomNormal",
                json!({"seed": seed, "mean": mean, "stddev": stddev}),
            ),
            Self::TruncatedNormal { mean, stddev, seed } => (
                "TruncatedNormal",
                json!({"seed": seed, "mean": mean, "stddev": stddev}),
            ),
            Self::RandomUniform {
                minval,
                maxval,
                seed,
            } => (
                "RandomUniform",
                json!({"seed": seed, "minval": minval, "maxval": maxval}),
            ),
            Self::VarianceScaling {
                scale,
                mode,
                distribution,
                seed,
                input_axes,
                output_axes,
            } => {
                let mut config = Config::new();
                config.insert("seed".into(), json!(seed));
                config.insert("scale".into(), json!(scale));
                config.insert("mode".into(), json!(mode));
                config.insert("distribution".into(), json!(distribution));
                // Older versions of Keras do not know these two.
                if let (Some(input), Some(output)) = (input_axes, output_axes) {
                    config.insert("input_axes".into(), json!(input));
                    config.insert("output_axes".into(), json!(output));
                }
                ("VarianceScaling", config.into())
            }
            Self::GlorotUniform { seed } => ("GlorotUniform", json!({ "seed": seed })),
            Self::GlorotNormal { seed } => ("GlorotNormal", json!({ "seed": seed })),
            Self::HeUniform { seed } => ("HeUniform", json!({ "seed": seed })),
            Self::HeNormal { seed } => ("HeNormal", json!({ "seed": seed })),
            Self::LecunUniform { seed } => ("LecunUniform", json!({ "seed": seed })),
            Self::LecunNormal { seed } => ("LecunNormal", json!({ "seed": seed })),
            Self::Orthogonal { gain, seed } => ("Orthogonal", json!({"seed": seed, "gain": gain})),
            Self::STFT {
                side,
                window,
                scaling,
                periodic,
            } => (
                "STFT",
                json!({"side": side, "window": window, "periodic": periodic, "scaling": scaling}),
            ),
            Self::Custom(custom) => return custom.envelope(),
            Self::Invalid(name) => return json!(name),
        };
        envelope("keras.initializers", class, config)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Window, *};

    fn read(value: Value) -> Result<Initializer, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    #[test]
    fn every_law_survives_its_json() {
        for (class, snake) in NAMES {
            let law = Initializer::from(snake);
            assert_eq!(law, Initializer::from(class));
            law.check("kernel_initializer").unwrap();
            let value = serde_json::to_value(law.clone().seed(5)).unwrap();
            assert_eq!(value["class_name"], class);
            assert_eq!(value["module"], "keras.initializers");
            assert_eq!(read(value).unwrap(), law.seed(5));
        }
    }

    #[test]
    fn the_form_is_keras_3s() {
        let text = serde_json::to_string(&Initializer::from("glorot_uniform")).unwrap();
        assert_eq!(
            text,
            r#"{"module":"keras.initializers","class_name":"GlorotUniform","config":{"seed":null},"registered_name":null}"#
        );
    }

    #[test]
    fn files_of_other_versions_are_read() {
        let glorot = Initializer::GlorotUniform { seed: Some(3) };
        for form in [
            json!({"class_name": "GlorotUniform", "config": {"seed": 3, "dtype": "float32"}}),
            json!({"class_name": "glorot_uniform", "config": {"seed": 3}}),
            json!({"module": "keras.initializers", "class_name": "GlorotUniform", "registered_name": null,
                   "config": {"seed": 3, "input_axes": null, "output_axes": null}}),
        ] {
            assert_eq!(read(form), Ok(glorot.clone()));
        }
        assert_eq!(read(json!("zeros")), Ok(Initializer::Zeros));
        let axes = json!({"module": "keras.initializers", "class_name": "HeNormal", "registered_name": null,
            "config": {"seed": null, "input_axes": [0], "output_axes": [-1]}});
        let law = read(axes).unwrap();
        assert!(matches!(
            &law,
            Initializer::VarianceScaling { scale: 2.0, .. }
        ));
        assert_eq!(read(serde_json::to_value(&law).unwrap()), Ok(law));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let error = |class: &str, config: Value| {
            read(json!({"module": "keras.initializers", "class_name": class, "config": config}))
                .unwrap_err()
        };
        assert_eq!(
            error("Constant", json!({"value": [1, 2]})),
            "Constant: argument `value`: expected a number, got [1,2]"
        );
        assert_eq!(
            error("Zeros", json!({"dtype": "float32"})),
            "Zeros: unknown argument `dtype`"
        );
        let own = json!({"module": "mine", "class_name": "Zeros", "config": {}, "registered_name": "mine>Zeros"});
        assert_eq!(read(own), Ok(Initializer::Invalid("mine>Zeros".into())));
    }

    #[test]
    fn the_transform_keeps_its_window() {
        let stft = |window: Value| {
            read(
                json!({"class_name": "STFT", "config": {"side": "imag", "window": window, "scaling": null}}),
            )
        };
        for (value, want) in [
            (json!(null), Window::None),
            (json!("hamming"), Window::Name("hamming".into())),
            (json!([0.5, 1.0]), Window::Values(vec![0.5, 1.0])),
        ] {
            let law = stft(value.clone()).unwrap();
            assert!(
                matches!(&law, Initializer::STFT { window, scaling: None, .. } if *window == want)
            );
            assert_eq!(
                serde_json::to_value(&law).unwrap()["config"]["window"],
                value
            );
        }
        assert!(stft(json!(3)).is_err());
    }
}
