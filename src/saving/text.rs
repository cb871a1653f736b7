//! Models that begin with texts. Texts are no tensors: such a file becomes the layers that take them, and a model of numbers.
//!
//! Reading takes the layers for texts out of the configuration and lets the model's inputs have the shapes of their outputs; writing
//! puts them back.

use std::io::Cursor;
use std::path::Path;

use ndarray::ArrayD;
use serde_json::{Value, json};

use super::archive::Archive;
use super::load::{Loader, file_len};
use super::paths::Names;
use super::read_config::{input, problem, text};
use crate::config::Config;
use crate::envelope::envelope;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layers::{StringLookup, TextVectorization};
use crate::models::Model;
use crate::shape::Shape;

/// A layer that takes texts.
#[derive(Clone, Debug)]
pub enum TextLayer {
    /// Cuts texts into words and looks these up.
    TextVectorization(TextVectorization),
    /// Looks whole strings up.
    StringLookup(StringLookup),
}

/// What stands before one input of a model.
#[derive(Clone, Debug)]
pub struct TextInput {
    /// Name of the input.
    pub input: String,
    /// Name of the layer.
    pub name: String,
    /// The layer.
    pub layer: TextLayer,
    /// Strings of one sample; `(1)` for a text.
    shape: Shape,
}

impl From<TextVectorization> for TextLayer {
    fn from(layer: TextVectorization) -> Self {
        TextLayer::TextVectorization(layer)
    }
}

impl From<StringLookup> for TextLayer {
    fn from(layer: StringLookup) -> Self {
        TextLayer::StringLookup(layer)
    }
}

impl TextLayer {
    fn read(class: &str, config: &Config) -> Result<Self> {
        Ok(match class {
            "StringLookup" => StringLookup::from_config(config)?.into(),
            _ => TextVectorization::from_config(config)?.into(),
        })
    }

    /// The numbers of these texts, one a sample.
    ///
    /// # Errors
    /// If an argument of the layer makes no sense.
    pub fn call<S: AsRef<str>>(&self, texts: &[S]) -> Result<ArrayD<Float>> {
        match self {
            TextLayer::TextVectorization(layer) => Ok(layer.call(texts)?.into_dyn()),
            TextLayer::StringLookup(layer) => {
                let column = texts.iter().map(|t| t.as_ref().to_string()).collect();
                let column = ndarray::Array2::from_shape_vec((texts.len(), 1), column);
                layer.call(&column.expect("one a sample"))
            }
        }
    }

    fn class_name(&self) -> &'static str {
        match self {
            TextLayer::TextVectorization(_) => "TextVectorization",
            TextLayer::StringLookup(_) => "StringLookup",
        }
    }

    fn config(&self) -> Config {
        match self {
            TextLayer::TextVectorization(layer) => layer.config(),
            TextLayer::StringLookup(layer) => layer.config(),
        }
    }

    fn output_shape(&self, x: &Shape) -> Result<Shape> {
        match self {
            TextLayer::TextVectorization(layer) => layer.output_shape(),
            TextLayer::StringLookup(layer) => layer.output_shape(x),
        }
    }

    /// What a weights file holds of the layer at this path.
    fn arrays(&self, path: &str) -> Vec<(String, Vec<Float>)> {
        let (constants, parts) = match self {
            TextLayer::TextVectorization(layer) => (layer.constants(), &["", "/_lookup_layer"][..]),
            TextLayer::StringLookup(layer) => (layer.constants(), &[""][..]),
        };
        let at = |(name, values): (&str, Vec<Float>)| {
            let place = move |part| (format!("{path}{part}/vars/{name}"), values.clone());
            parts.iter().map(place).collect::<Vec<_>>()
        };
        constants.into_iter().flat_map(at).collect()
    }
}

/// A model that begins with texts: the layers that take them, and the model of numbers behind.
///
/// ```
/// use oxhorn::{prelude::*, saving::TextModel};
/// let mut text = TextVectorization::new().output_sequence_length(3);
/// text.adapt(&["good film", "bad film"])?;
/// let mut model = Sequential::new().input([3]).add(Embedding::new(text.vocabulary_size(), 2)).add(Flatten::new());
/// model.build([3])?;
/// let model = TextModel::new(text, model.into_model())?;
/// assert_eq!(model.predict(&["a good film", "bad"])?.shape(), [2, 6]);
/// let again = saving::Loader::new().load_text_bytes(model.to_keras_bytes()?)?;
/// assert_eq!(again.predict(&["bad good"])?, model.predict(&["bad good"])?);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Debug)]
pub struct TextModel {
    /// The layers that take texts, in the order of the model's inputs.
    pub text: Vec<TextInput>,
    /// The model of numbers: to be trained, evaluated and asked with what the layers make of texts.
    pub model: Model,
}

impl TextModel {
    /// A layer for texts before a model with one input.
    ///
    /// # Errors
    /// If the model has several inputs, is not built, or does not take what the layer gives.
    pub fn new(layer: impl Into<TextLayer>, model: Model) -> Result<Self> {
        model.require_built("TextModel::new")?;
        let (layer, shape) = (layer.into(), Shape::from([1]));
        let gives = layer.output_shape(&shape)?;
        match &model.input_shapes()[..] {
            [takes] if takes.agrees(&gives) => {}
            [takes] => return Err(Error::shape(takes, gives).owned_by(layer.class_name())),
            more => {
                let got = format!("{} inputs", more.len());
                return Err(Error::shape("a model with one input", got).owned_by("TextModel"));
            }
        }
        let text = TextInput {
            input: model.input_names().swap_remove(0),
            name: crate::layer::default_name(layer.class_name()),
            layer,
            shape,
        };
        Ok(TextModel {
            text: vec![text],
            model,
        })
    }

    /// The layer before the input of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn layer(&self, input: &str) -> Result<&TextLayer> {
        let found = self.text.iter().find(|t| t.input == input);
        let names = || self.text.iter().map(|t| t.input.clone());
        found
            .map(|t| &t.layer)
            .ok_or_else(|| Error::unknown("input of texts", input, names()))
    }

    /// Predictions for texts, where they are the only input. (For several, give `model.predict` what the
    /// [layers](Self::layer) make of each.)
    ///
    /// # Errors
    /// If there are other inputs, or the model refuses the numbers.
    pub fn predict<S: AsRef<str>>(&self, texts: &[S]) -> Result<ArrayD<Float>> {
        match &self.text[..] {
            [one] if self.model.input_shapes().len() == 1 => {
                self.model.predict(&one.layer.call(texts)?)
            }
            _ => {
                let got = format!("{} inputs", self.model.input_shapes().len());
                Err(Error::shape("one input, of texts", got).owned_by("predict"))
            }
        }
    }

    /// Saves all of it as a `.keras` archive, which Python's `keras.models.load_model` reads.
    ///
    /// # Errors
    /// If a layer cannot be written, or the file system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_keras_bytes()?).map_err(|e| Error::io(path, e))
    }

    /// The bytes of that archive.
    ///
    /// # Errors
    /// If a layer cannot be written.
    pub fn to_keras_bytes(&self) -> Result<Vec<u8>> {
        let mut config = self.model.config()?;
        let (mut names, mut arrays) = (Names::default(), Vec::new());
        for text in &self.text {
            let path = format!("layers/{}", names.next(text.layer.class_name()));
            arrays.extend(text.layer.arrays(&path));
        }
        // Each goes in front: the last first.
        for text in self.text.iter().rev() {
            insert(&mut config, text)?;
        }
        let mut bytes = Cursor::new(Vec::new());
        self.model.write_parts(&mut bytes, &config, arrays)?;
        Ok(bytes.into_inner())
    }
}

/// Reads a `.keras` archive whose model begins with texts: a `TextVectorization` or `StringLookup` at each input of strings.
///
/// ```no_run
/// let model = oxhorn::saving::load_text_model("reviews.keras")?;
/// let scores = model.predict(&["a good film", "a bad one"])?;
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// As [`load_model`](super::load_model), and if a layer for texts is anywhere else.
pub fn load_text_model(path: impl AsRef<Path>) -> Result<TextModel> {
    Loader::new().load_text(path)
}

impl Loader {
    /// [`load_text_model`] with these options.
    ///
    /// # Errors
    /// As there.
    pub fn load_text(&self, path: impl AsRef<Path>) -> Result<TextModel> {
        let path = path.as_ref();
        let read = || self.text(Archive::open(path)?, file_len(path)?);
        read().map_err(|e| e.in_file(&path.display().to_string()))
    }

    /// [`load_text_model`] from the bytes of the archive.
    ///
    /// # Errors
    /// As there.
    pub fn load_text_bytes(&self, bytes: Vec<u8>) -> Result<TextModel> {
        let len = bytes.len() as u64;
        self.text(Archive::from_bytes(bytes)?, len)
    }

    fn text(&self, archive: Archive, file_len: u64) -> Result<TextModel> {
        let mut text = Vec::new();
        let model = self.archive_with(archive, file_len, |config| {
            text = split(config)?;
            Ok(())
        })?;
        let names = model.input_names();
        text.sort_by_key(|t: &TextInput| names.iter().position(|n| *n == t.input));
        Ok(TextModel { text, model })
    }
}

fn is_text(layer: &Value) -> bool {
    let class = layer["class_name"].as_str();
    matches!(class, Some("TextVectorization" | "StringLookup"))
}

fn layers<'a>(model: &'a mut Value, what: &str) -> Result<&'a mut Vec<Value>> {
    let list = model
        .pointer_mut("/config/layers")
        .and_then(Value::as_array_mut);
    list.ok_or_else(|| problem(what, "`layers`: expected a list"))
}

/// Takes the layers for texts out of a model's configuration.
fn split(model: &mut Value) -> Result<Vec<TextInput>> {
    let sequential = model["class_name"] == "Sequential";
    let list = layers(model, "model")?;
    let mut found = Vec::new();
    for at in (0..list.len()).rev() {
        if !is_text(&list[at]) {
            continue;
        }
        let layer = list.remove(at);
        let class = text(&layer, "class_name", "model")?;
        let name = text(&layer["config"], "name", class)?.to_string();
        let source = match sequential {
            true => (at == 1).then_some(0),
            false => called_on(&layer).and_then(|input| {
                let is =
                    |l: &Value| l["config"]["name"] == input && l["class_name"] == "InputLayer";
                let readers = list.iter().filter(|l| mentions(&l["inbound_nodes"], input));
                list.iter().position(is).filter(|_| readers.count() == 0)
            }),
        };
        let Some(source) = source.filter(|i| list[*i]["class_name"] == "InputLayer") else {
            let want = format!(
                "`{name}` is a {class} that is not called once, on an input that nothing else reads: \
                 texts do not travel through models"
            );
            return Err(problem("model", want));
        };
        let mut config = layer["config"].as_object().cloned().unwrap_or_default();
        for key in ["name", "trainable", "dtype"] {
            config.remove(key);
        }
        let layer = TextLayer::read(class, &config)?;
        let given = input(&list[source]["config"], &name)?;
        let gives = layer
            .output_shape(&given.shape)
            .map_err(|e| e.owned_by(&name))?;
        let own = &mut list[source]["config"];
        own["batch_shape"] = batch_shape(given.batch_size, &gives);
        own["dtype"] = json!("float32");
        let input = text(own, "name", &name)?.to_string();
        found.push(TextInput {
            input,
            name,
            layer,
            shape: given.shape,
        });
    }
    for text in &found {
        rename(model, &text.name, &text.input, 0);
    }
    found.reverse();
    Ok(found)
}

/// Puts a layer for texts back in front of its input.
fn insert(model: &mut Value, text: &TextInput) -> Result<()> {
    let sequential = model["class_name"] == "Sequential";
    let shape = batch_shape(None, &text.shape);
    let mut config = json!({"name": text.name, "trainable": true, "dtype": "string"});
    if let Some(config) = config.as_object_mut() {
        config.extend(text.layer.config());
    }
    let mut layer = envelope("keras.layers", text.layer.class_name(), config);
    if !sequential {
        let inputs = model["config"]["input_layers"].take();
        rename(model, &text.input, &text.name, 0);
        model["config"]["input_layers"] = inputs;
        let history = json!([text.input, 0, 0]);
        layer["name"] = json!(text.name);
        layer["inbound_nodes"] = json!([{"kwargs": {}, "args": [{
            "class_name": "__keras_tensor__",
            "config": {"shape": shape, "dtype": "string", "keras_history": history}}]}]);
    } else {
        model["config"]["build_input_shape"] = shape.clone();
        model["build_config"] = json!({"input_shape": shape});
    }
    let list = layers(model, "model")?;
    let is = |l: &Value| l["class_name"] == "InputLayer" && l["config"]["name"] == text.input;
    let at = match sequential {
        true => Some(0),
        false => list.iter().position(is),
    };
    let at = at.ok_or_else(|| problem("model", format!("no input `{}`", text.input)))?;
    list[at]["config"]["batch_shape"] = shape;
    list[at]["config"]["dtype"] = json!("string");
    list.insert(at + 1, layer);
    Ok(())
}

/// The layer on whose output this one is called, if that is all there is.
fn called_on(layer: &Value) -> Option<&str> {
    let [call] = layer["inbound_nodes"].as_array()?.as_slice() else {
        return None;
    };
    let [tensor] = call["args"].as_array()?.as_slice() else {
        return None;
    };
    tensor.pointer("/config/keras_history/0")?.as_str()
}

fn is_history(value: &Value, layer: &str) -> bool {
    matches!(value.as_array().map(Vec::as_slice), Some([Value::String(name), call, output])
        if name == layer && call.is_u64() && output.is_u64())
}

/// Whether a tensor of this layer is among these calls.
fn mentions(value: &Value, layer: &str) -> bool {
    match value {
        _ if is_history(value, layer) => true,
        Value::Array(list) => list.iter().any(|v| mentions(v, layer)),
        Value::Object(object) => object.values().any(|v| mentions(v, layer)),
        _ => false,
    }
}

/// Lets tensors of one layer of this model be those of another; models inside have names of their own.
fn rename(value: &mut Value, from: &str, to: &str, depth: usize) {
    match value {
        _ if is_history(value, from) => value[0] = json!(to),
        Value::Array(list) => list.iter_mut().for_each(|v| rename(v, from, to, depth)),
        Value::Object(object) => {
            let inner = object
                .get("config")
                .is_some_and(|c| c.get("layers").is_some());
            for (key, v) in object {
                if !(inner && depth > 0 && key == "config") {
                    rename(v, from, to, depth + 1);
                }
            }
        }
        _ => {}
    }
}

fn batch_shape(batch: Option<usize>, shape: &Shape) -> Value {
    let sizes = std::iter::once(&batch).chain(shape.dims());
    sizes.map(|n| json!(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Concatenate, Dense, Embedding, Flatten, Hashing, IntegerLookup};
    use crate::models::{Input, LayerCall, Sequential};
    use ndarray::array;

    fn again(model: &TextModel) -> TextModel {
        let bytes = model.to_keras_bytes().unwrap();
        let e = Loader::new().load_bytes(bytes.clone()).unwrap_err();
        assert!(e.to_string().contains("load_text_model"), "{e}");
        Loader::new().load_text_bytes(bytes).unwrap()
    }

    /// Files hold single precision.
    fn same(got: &ArrayD<Float>, want: &ArrayD<Float>) {
        assert_eq!(got.shape(), want.shape());
        let near = got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{got} instead of {want}");
    }

    #[test]
    fn one_text_before_a_chain() {
        for mode in ["tf_idf", "count"] {
            let mut text = TextVectorization::new().output_mode(mode);
            text.adapt(&["a b", "b c"]).unwrap();
            let mut model = Sequential::new().input([4]).add(Dense::new(2));
            model.build([4]).unwrap();
            let model = TextModel::new(text, model.into_model()).unwrap();
            let texts = ["a c c", "q", ""];
            let want = model.predict(&texts).unwrap();
            same(&again(&model).predict(&texts).unwrap(), &want);
        }
    }

    #[test]
    fn several_inputs() {
        let (color, size) = (Input::new([3]).name("color"), Input::new([1]).name("size"));
        let joined = Concatenate::new().call([&color, &size]).unwrap();
        let y = Dense::new(1).call(&joined).unwrap();
        let model = Model::new([color, size], [y]).unwrap();
        let lookup = StringLookup::new().vocabulary(&["red", "blue"]);
        let text = TextInput {
            input: "color".into(),
            name: "string_lookup".into(),
            layer: lookup.output_mode("one_hot").into(),
            shape: [1].into(),
        };
        let text = vec![text];
        let model = TextModel { text, model };
        let again = again(&model);
        let colors = again.layer("color").unwrap().call(&["blue", "?"]).unwrap();
        assert_eq!(colors, array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]].into_dyn());
        let sizes = array![[1.0], [2.0]].into_dyn();
        let y = |m: &TextModel| m.model.predict([&colors, &sizes]).unwrap();
        same(&y(&again), &y(&model));
        assert!(again.predict(&["blue"]).is_err());
        assert!(again.layer("size").is_err());
    }

    #[test]
    fn texts_anywhere_else_are_refused() {
        let text =
            json!({"class_name": "StringLookup", "config": {"name": "s", "vocabulary": ["a"]}});
        let input =
            json!({"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, 1]}});
        let dense = json!({"class_name": "Dense", "config": {"name": "d", "units": 1}});
        let chain =
            |layers: Value| json!({"class_name": "Sequential", "config": {"layers": layers}});
        assert_eq!(
            split(&mut chain(json!([input, text, dense])))
                .unwrap()
                .len(),
            1
        );
        for bad in [
            json!([input, dense, text]),
            json!([text, dense]),
            json!([input, text, text]),
        ] {
            let e = split(&mut chain(bad)).unwrap_err().to_string();
            assert!(e.contains("texts do not travel"), "{e}");
        }
        assert!(split(&mut json!({"class_name": "Sequential"})).is_err());
    }

    #[test]
    fn lookups_of_a_model_come_back() {
        let mut lookup = IntegerLookup::new().output_mode("tf_idf").max_tokens(9);
        lookup.adapt(&array![[5, 6, 5], [7, 7, 8]]).unwrap();
        let mut model = Sequential::new().input([3]).add(lookup).add(Dense::new(1));
        model.build([3]).unwrap();
        let x = array![[5, 8, 1], [7, 7, 6]];
        let again = Loader::new()
            .load_bytes(model.to_keras_bytes().unwrap())
            .unwrap();
        same(&again.predict(&x).unwrap(), &model.predict(&x).unwrap());
        let mut model = Sequential::new().input([3]).add(Hashing::new(4));
        model = model.add(Embedding::new(4, 2)).add(Flatten::new());
        model.build([3]).unwrap();
        let json = model.to_json().unwrap();
        assert!(json.contains("int64"), "{json}");
        assert!(Loader::new().from_json(&json).is_ok());
    }
}
