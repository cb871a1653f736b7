//! Strings as their numbers in a vocabulary, and back. Strings are no tensors: this stands before a model, not in it.

use std::path::Path;
use std::sync::OnceLock;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use super::encoding::{OutputMode, Place};
use super::fingerprint::Salt;
use super::index_lookup::{IndexLookup, OovMethod};
use super::tokens::{ToTokens, array};
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::Par;
use crate::shape::Shape;

/// Turns strings into their numbers in a vocabulary that is given or found by [`adapt`](Self::adapt).
/// [Keras](https://keras.io/api/layers/preprocessing_layers/categorical/string_lookup/)
///
/// Strings cannot travel through a model, so this is no [`Layer`](crate::layer::Layer): it makes the numbers that go in. Data is
/// `["a", "b"]` or an `ndarray` array of strings of any rank, batch first; the output has the same shape in mode `int`, and rows of
/// as many columns as there are numbers in the others (along the first axis behind the batch). `saving::load_text_model` reads
/// models that begin with it.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `max_tokens` | none | most numbers, those of the special tokens included |
/// | `num_oov_indices` | 1 | bins for tokens out of the vocabulary, chosen by a hash; 0: they are an error |
/// | `mask_token` | none | what counts as masked: number 0 in mode `int`, nowhere in the others |
/// | `oov_token` | `[UNK]` | what stands for tokens out of the vocabulary |
/// | `vocabulary` | none | the tokens in the order of their numbers |
/// | `idf_weights` | none | factor of each token in mode `tf_idf` |
/// | `invert` | false | whether numbers become strings: [`decode`](Self::decode) |
/// | `output_mode` | `int` | `int`, `one_hot`, `multi_hot`, `count` or `tf_idf` |
/// | `sparse` | false | must be false |
/// | `pad_to_max_tokens` | false | whether rows have `max_tokens` columns |
/// | `salt` | none | key of SipHash, which then takes the place of FarmHash |
/// | `encoding` | `utf-8` | must be that |
///
/// ```
/// use oxhorn::layers::StringLookup;
/// use ndarray::array;
/// let mut lookup = StringLookup::new();
/// lookup.adapt(&["a", "b", "a"])?;
/// assert_eq!(lookup.get_vocabulary(true), ["[UNK]", "a", "b"]);
/// assert_eq!(lookup.call(&array![["b", "z"]])?, array![[2.0, 0.0]].into_dyn());
/// let back = lookup.clone().invert(true);
/// assert_eq!(back.decode(&[2, 0])?, ["b", "[UNK]"]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StringLookup(pub(super) IndexLookup<String>);

impl Default for StringLookup {
    fn default() -> Self {
        StringLookup::new()
    }
}

impl StringLookup {
    /// Without a vocabulary yet.
    pub fn new() -> Self {
        StringLookup(IndexLookup {
            encoding: Some("utf-8".into()),
            ..IndexLookup::new()
        })
    }

    /// Most numbers.
    pub fn max_tokens(mut self, n: usize) -> Self {
        self.0.max_tokens = Some(n);
        self.0.factors = OnceLock::new();
        self
    }

    /// Bins for tokens out of the vocabulary.
    pub fn num_oov_indices(mut self, n: usize) -> Self {
        self.0.num_oov_indices = n;
        self.0.factors = OnceLock::new();
        self
    }

    /// What counts as masked.
    pub fn mask_token(mut self, token: &str) -> Self {
        self.0.mask_token = Some(token.into());
        self.0.factors = OnceLock::new();
        self
    }

    /// What stands for tokens out of the vocabulary.
    pub fn oov_token<'a>(mut self, token: impl Into<Option<&'a str>>) -> Self {
        self.0.oov_token = token.into().map(String::from);
        self.0.factors = OnceLock::new();
        self
    }

    /// The tokens in the order of their numbers.
    pub fn vocabulary(mut self, tokens: &(impl ToTokens<String> + ?Sized)) -> Self {
        self.0.vocabulary = Some(tokens.to_tokens().0.into());
        self.0.factors = OnceLock::new();
        self
    }

    /// The tokens from a text file, one a line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn vocabulary_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(self.vocabulary(&super::index_lookup::lines(path)?))
    }

    /// Factor of each token in mode `tf_idf`.
    pub fn idf_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.0.idf_weights = Some(weights.into());
        self.0.factors = OnceLock::new();
        self
    }

    /// Whether numbers become strings.
    pub fn invert(mut self, yes: bool) -> Self {
        self.0.invert = yes;
        self
    }

    /// Form of the output.
    pub fn output_mode(mut self, mode: impl Into<OutputMode>) -> Self {
        self.0.output_mode = mode.into();
        self.0.factors = OnceLock::new();
        self
    }

    /// Keras's option of a sparse output, which does not exist here.
    pub fn sparse(mut self, yes: bool) -> Self {
        self.0.sparse = yes;
        self
    }

    /// Whether rows have `max_tokens` columns.
    pub fn pad_to_max_tokens(mut self, yes: bool) -> Self {
        self.0.pad_to_max_tokens = yes;
        self.0.factors = OnceLock::new();
        self
    }

    /// How bins for tokens out of the vocabulary are chosen; strings are always hashed.
    pub fn oov_method(mut self, method: impl Into<OovMethod>) -> Self {
        self.0.oov_method = method.into();
        self
    }

    /// Key of SipHash, which then takes the place of FarmHash.
    pub fn salt(mut self, salt: impl Into<Salt>) -> Self {
        self.0.salt = Some(salt.into());
        self
    }

    /// The text encoding of Keras's strings.
    pub fn encoding(mut self, encoding: &str) -> Self {
        self.0.encoding = Some(encoding.into());
        self
    }

    /// The tokens by their numbers, with the special ones or without.
    pub fn get_vocabulary(&self, include_special_tokens: bool) -> Vec<String> {
        self.0.vocabulary(include_special_tokens)
    }

    /// How many numbers there are, those of special tokens included.
    pub fn vocabulary_size(&self) -> usize {
        self.0.size()
    }

    /// Replaces the vocabulary; `idf_weights` belong to mode `tf_idf`.
    ///
    /// # Errors
    /// If tokens repeat, are too many, or the weights are not one for each.
    pub fn set_vocabulary(
        &mut self,
        vocabulary: &(impl ToTokens<String> + ?Sized),
        idf_weights: Option<&[f64]>,
    ) -> Result<()> {
        let idf = idf_weights.map(<[f64]>::to_vec);
        let set = self.0.set_vocabulary(vocabulary.to_tokens().0, idf);
        set.map_err(|e| e.owned_by("StringLookup"))
    }

    /// Takes the most frequent strings of this data as the vocabulary; ties go to the larger. For `tf_idf` every sample is a
    /// document.
    ///
    /// # Errors
    /// If there is no data.
    pub fn adapt(&mut self, data: &(impl ToTokens<String> + ?Sized)) -> Result<()> {
        let (tokens, dims) = data.to_tokens();
        let document = dims.iter().skip(1).product::<usize>().max(1);
        let adapted = self.0.adapt(tokens.chunks(document));
        adapted.map_err(|e| e.owned_by("StringLookup"))
    }

    /// The numbers of these strings.
    ///
    /// # Errors
    /// If an argument makes no sense, or a string is out of the vocabulary where `num_oov_indices` is 0.
    pub fn call(&self, data: &(impl ToTokens<String> + ?Sized)) -> Result<ArrayD<Float>> {
        let (tokens, dims) = data.to_tokens();
        self.numbers(&tokens, &dims)
            .map_err(|e| e.owned_by("StringLookup"))
    }

    fn numbers(&self, tokens: &[String], dims: &[usize]) -> Result<ArrayD<Float>> {
        if self.0.invert {
            return Err(Error::arg(
                "invert",
                "false: `decode` does the opposite",
                true,
            ));
        }
        let specials = self.0.specials();
        let place = |i: usize| self.0.place(&tokens[i], specials);
        if let Some(i) = (0..tokens.len()).find(|i| place(*i) == Place::Missing) {
            let want = "tokens of the vocabulary, since `num_oov_indices` is 0";
            return Err(Error::shape(want, format!("{:?}", tokens[i])));
        }
        let write = |batch, y: &mut [Float]| {
            self.0.encode(batch, tokens.len(), y, Par::Serial, place);
        };
        array(dims, |x| self.0.shape(x), write)
    }

    /// The strings of these numbers, where `invert` is set.
    ///
    /// # Errors
    /// If it is not, or an argument makes no sense.
    pub fn decode(&self, numbers: &(impl ToTokens<i64> + ?Sized)) -> Result<Vec<String>> {
        let owned = |e: Error| e.owned_by("StringLookup");
        self.0.check().map_err(owned)?;
        if !self.0.invert {
            let want = "true: `call` does the opposite";
            return Err(owned(Error::arg("invert", want, false)));
        }
        let specials = self.0.specials();
        let token = |n: &i64| self.0.token(*n, specials).cloned();
        let tokens: Option<Vec<String>> = numbers.to_tokens().0.iter().map(token).collect();
        tokens.ok_or_else(|| owned(Error::arg("oov_token", "a token, since `invert`", "none")))
    }

    /// Keras's `get_config`, the vocabulary in it.
    pub fn config(&self) -> Config {
        let mut config = to_config(self);
        if self.0.vocabulary.is_some() {
            config["vocabulary_size"] = self.0.size().into();
        }
        config
    }

    /// The lookup of that configuration.
    ///
    /// # Errors
    /// If an argument is unknown or has another type.
    pub fn from_config(config: &Config) -> Result<Self> {
        from_config("StringLookup", config)
    }

    /// Shape of the output for strings of this shape.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn output_shape(&self, x: &Shape) -> Result<Shape> {
        self.0.shape(x).map_err(|e| e.owned_by("StringLookup"))
    }

    /// What a weights file holds of it.
    pub(crate) fn constants(&self) -> Vec<(&'static str, Vec<Float>)> {
        self.0.constants()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn strings_have_numbers() {
        let lookup = StringLookup::new().vocabulary(&["a", "b", "c"]);
        let x = array![["a", "c"], ["zz", "b"]];
        assert_eq!(
            lookup.call(&x).unwrap(),
            array![[1.0, 3.0], [0.0, 2.0]].into_dyn()
        );
        let hot = lookup.clone().output_mode("multi_hot").call(&x).unwrap();
        assert_eq!(
            hot,
            array![[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]].into_dyn()
        );
        let masked = lookup.clone().mask_token("").call(&["", "a", "q"]).unwrap();
        assert_eq!(masked, array![0.0, 2.0, 1.0].into_dyn());
        let strict = lookup.num_oov_indices(0);
        assert_eq!(strict.call(&["b"]).unwrap(), array![1.0].into_dyn());
        let e = strict.call(&["b", "zz"]).unwrap_err().to_string();
        assert!(e.contains("\"zz\"") && e.contains("num_oov_indices"), "{e}");
    }

    /// `StringLookup(vocabulary=['a'], num_oov_indices=3)` of Keras 3.15, and with `salt=[133, 137]`.
    #[test]
    fn bins_are_kerass() {
        let lookup = StringLookup::new().vocabulary(&["a"]).num_oov_indices(3);
        let x = ["A", "B", "C", "D", "E", "a"];
        let y = lookup.call(&x).unwrap();
        assert_eq!(y, array![1.0, 0.0, 1.0, 1.0, 2.0, 3.0].into_dyn());
        let y = lookup.salt([133, 137]).call(&x).unwrap();
        assert_eq!(y, array![1.0, 2.0, 1.0, 0.0, 2.0, 3.0].into_dyn());
    }

    #[test]
    fn configurations_come_back() {
        let mut lookup = StringLookup::new().output_mode("tf_idf").max_tokens(9);
        lookup
            .adapt(&array![["a", "b", "a"], ["b", "b", "c"]])
            .unwrap();
        assert_eq!(lookup.get_vocabulary(false), ["b", "a", "c"]);
        let config = lookup.config();
        let again = StringLookup::from_config(&config).unwrap();
        assert_eq!(again.config(), config);
        let x = array![["a", "z", "b"]];
        assert_eq!(again.call(&x).unwrap(), lookup.call(&x).unwrap());
        let mut unknown = config;
        unknown.insert("no_such_argument".into(), true.into());
        assert!(StringLookup::from_config(&unknown).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let lookup = || StringLookup::new().vocabulary(&["a", "b"]);
        let refused = |l: StringLookup| l.call(&["a"]).unwrap_err().to_string();
        assert!(refused(StringLookup::new()).contains("adapt"));
        assert!(refused(lookup().vocabulary(&["a", "a"])).contains("differ"));
        assert!(refused(lookup().max_tokens(2)).contains("max_tokens"));
        assert!(refused(lookup().max_tokens(1)).contains("max_tokens"));
        assert!(refused(lookup().pad_to_max_tokens(true)).contains("max_tokens"));
        assert!(refused(lookup().mask_token("b")).contains("mask"));
        assert!(refused(lookup().encoding("latin-1")).contains("encoding"));
        assert!(refused(lookup().invert(true)).contains("decode"));
        assert!(refused(lookup().output_mode("tf_idf")).contains("idf_weights"));
        assert!(refused(lookup().num_oov_indices(usize::MAX)).contains("2^24"));
        assert!(lookup().decode(&[1]).is_err());
        assert!(StringLookup::new().vocabulary_file("no/such/file").is_err());
    }
}
