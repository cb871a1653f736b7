//! How Keras writes its initializers, regularizers and constraints:
//! `{"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.01}, "registered_name": null}`.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use crate::config::Config;

/// A function of the user's with a name, which is what files, `Debug` and `==` go by.
pub struct Custom<F: ?Sized> {
    name: String,
    pub(crate) function: Arc<F>,
}

impl<F: ?Sized> Custom<F> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn new(name: impl Into<String>, function: Arc<F>) -> Self {
        Self {
            name: name.into(),
            function,
        }
    }

    /// What Keras writes for a registered object of the user's.
    pub(crate) fn envelope(&self) -> Value {
        json!({"module": null, "class_name": self.name, "config": {},
               "registered_name": format!("Custom>{}", self.name)})
    }
}

impl<F: ?Sized> Clone for Custom<F> {
    fn clone(&self) -> Self {
        Self::new(&self.name, Arc::clone(&self.function))
    }
}

impl<F: ?Sized> fmt::Debug for Custom<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)
    }
}

impl<F: ?Sized> PartialEq for Custom<F> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.function, &other.function)
    }
}

/// The envelope of one of Keras's own classes.
pub(crate) fn envelope(module: &str, class: &str, config: Value) -> Value {
    json!({"module": module, "class_name": class, "config": config, "registered_name": null})
}

/// A class of the user's, as Keras writes one that was registered under the package `Custom` (or that of `package>Class`).
pub(crate) fn custom(class: &str, config: Value) -> Value {
    let registered = match class.contains('>') {
        true => class.to_string(),
        false => format!("Custom>{class}"),
    };
    let class = class.rsplit('>').next().unwrap_or(class);
    json!({"module": null, "class_name": class, "config": config, "registered_name": registered})
}

/// What an envelope (or a plain string) says: the class and its arguments.
#[derive(Debug)]
pub(crate) struct Object {
    pub class: String,
    pub args: Args,
}

impl Object {
    /// Reads Keras 3's form, Keras 2's (`class_name` and `config` only, `dtype` among the arguments) and a plain string.
    pub fn read(value: Value) -> Result<Self, String> {
        let mut map = match value {
            Value::String(class) => return Ok(Self::named(&class)),
            Value::Object(map) => map,
            other => return Err(format!("expected a name or an object, got {other}")),
        };
        let class = match map.remove("class_name") {
            Some(Value::String(class)) => class,
            other => return Err(format!("`class_name`: expected a string, got {other:?}")),
        };
        let mut config = match map.remove("config") {
            Some(Value::Object(config)) => config,
            None | Some(Value::Null) => Config::new(),
            Some(other) => {
                return Err(format!(
                    "{class}: `config`: expected an object, got {other}"
                ));
            }
        };
        if map.remove("module").is_none() {
            config.remove("dtype");
        }
        let registered = map.remove("registered_name");
        map.remove("shared_object_id");
        match map.keys().next() {
            Some(key) => Err(format!("{class}: unknown key `{key}`")),
            None => Ok(Self {
                // `package>Name` is somebody's own class, which may be called like one of Keras's.
                class: match registered {
                    Some(Value::String(name)) if name.contains('>') => name,
                    _ => class,
                },
                args: Args(config),
            }),
        }
    }

    /// The class with its default arguments.
    pub fn named(class: &str) -> Self {
        Self {
            class: class.to_string(),
            args: Args::default(),
        }
    }
}

/// Arguments that are taken out one by one; whatever is left at the end is an error.
#[derive(Debug, Default)]
pub(crate) struct Args(Config);

impl From<&Config> for Args {
    fn from(config: &Config) -> Self {
        Self(config.clone())
    }
}

impl Args {
    /// The value of that key, where null means something else than missing.
    pub fn given(&mut self, key: &str) -> Option<Value> {
        self.0.shift_remove(key)
    }

    /// The value of that key; missing and null are the same.
    pub fn value(&mut self, key: &str) -> Option<Value> {
        self.given(key).filter(|v| !v.is_null())
    }

    pub fn number(&mut self, key: &str, default: f64) -> Result<f64, String> {
        match self.value(key) {
            None => Ok(default),
            Some(v) => v.as_f64().ok_or_else(|| wrong(key, "a number", &v)),
        }
    }

    pub fn boolean(&mut self, key: &str, default: bool) -> Result<bool, String> {
        match self.value(key) {
            None => Ok(default),
            Some(v) => v.as_bool().ok_or_else(|| wrong(key, "true or false", &v)),
        }
    }

    pub fn string(&mut self, key: &str, default: &str) -> Result<String, String> {
        match self.value(key) {
            None => Ok(default.to_string()),
            Some(Value::String(s)) => Ok(s),
            Some(v) => Err(wrong(key, "a string", &v)),
        }
    }

    /// All that is left.
    pub fn into_config(self) -> Config {
        self.0
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One axis or a list of axes; `None` for null and where the key is missing.
    pub fn axes(&mut self, key: &str) -> Result<Option<Vec<isize>>, String> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let axis = |v: &Value| v.as_i64().map(|a| a as isize);
        let axes = match &value {
            Value::Array(list) => list.iter().map(axis).collect::<Option<Vec<_>>>(),
            one => axis(one).map(|a| vec![a]),
        };
        let wrong = || wrong(key, "an axis or a list of axes", &value);
        axes.map(Some).ok_or_else(wrong)
    }

    /// An integer, null, or Keras's `SeedGenerator` object, of which the seed is taken.
    pub fn seed(&mut self) -> Result<Option<u64>, String> {
        let Some(mut value) = self.value("seed") else {
            return Ok(None);
        };
        if value["class_name"] == "SeedGenerator" {
            value = value.pointer("/config/seed").cloned().unwrap_or_default();
        }
        match (value.as_u64(), value.as_i64()) {
            (Some(seed), _) => Ok(Some(seed)),
            // Keras uses the low 32 bits of a negative seed.
            (_, Some(seed)) => Ok(Some(seed as u64 & 0xffff_ffff)),
            _ if value.is_null() => Ok(None),
            _ => Err(wrong("seed", "an integer or null", &value)),
        }
    }

    /// An error if an argument is left that nobody took.
    pub fn finish(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(key) => Err(format!("unknown argument `{key}`")),
            None => Ok(()),
        }
    }
}

pub(crate) fn wrong(key: &str, want: &str, got: &Value) -> String {
    format!("argument `{key}`: expected {want}, got {got}")
}

/// `Serialize`, `Deserialize`, `From<&str>` and `From<String>` of an enum with
/// `fn to_value(&self) -> Value`, `fn from_object(Object) -> Result<Self, String>` and an arm `Invalid(String)`.
macro_rules! keras_object {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(
                &self,
                serializer: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                self.to_value().serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> std::result::Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                let object =
                    crate::envelope::Object::read(value).map_err(serde::de::Error::custom)?;
                let class = object.class.clone();
                Self::from_object(object)
                    .map_err(|problem| serde::de::Error::custom(format!("{class}: {problem}")))
            }
        }

        impl From<&str> for $type {
            /// By snake_case or class name, with Keras's default arguments; an unknown name is reported by `check`.
            fn from(name: &str) -> Self {
                Self::from_object(crate::envelope::Object::named(name))
                    .unwrap_or_else(|_| Self::Invalid(name.into()))
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                Self::from(name.as_str())
            }
        }
    };
}
pub(crate) use keras_object;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_are_read() {
        let three = json!({"module": "keras.x", "class_name": "L2", "config": {"l2": 1.0}, "registered_name": null,
                           "shared_object_id": 4});
        let two = json!({"class_name": "L2", "config": {"l2": 1.0, "dtype": "float32"}});
        for form in [three, two] {
            let mut object = Object::read(form).unwrap();
            assert_eq!(object.class, "L2");
            assert_eq!(object.args.number("l2", 0.0), Ok(1.0));
            assert_eq!(object.args.finish(), Ok(()));
        }
        assert_eq!(Object::read(json!("l2")).unwrap().class, "l2");
        let own = json!({"class_name": "L2", "registered_name": "mine>L2"});
        assert_eq!(Object::read(own).unwrap().class, "mine>L2");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let error = |value| Object::read(value).unwrap_err();
        assert_eq!(error(json!(3)), "expected a name or an object, got 3");
        assert_eq!(
            error(json!({"class_name": "L2", "confg": {}})),
            "L2: unknown key `confg`"
        );
        let mut args = Args::default();
        args.0.insert("rate".into(), json!("x"));
        args.0.insert("other".into(), json!(1));
        assert_eq!(
            args.number("rate", 0.0).unwrap_err(),
            "argument `rate`: expected a number, got \"x\""
        );
        assert_eq!(args.finish().unwrap_err(), "unknown argument `other`");
    }

    #[test]
    fn seeds() {
        let seed = |value| {
            let mut args = Args::default();
            args.0.insert("seed".into(), value);
            args.seed()
        };
        assert_eq!(seed(json!(null)), Ok(None));
        assert_eq!(seed(json!(5)), Ok(Some(5)));
        assert_eq!(seed(json!(-1)), Ok(Some(0xffff_ffff)));
        let generator = json!({"class_name": "SeedGenerator", "config": {"seed": 9, "name": "s", "dtype": "x"}});
        assert_eq!(seed(generator), Ok(Some(9)));
        assert!(seed(json!("x")).is_err());
    }
}
