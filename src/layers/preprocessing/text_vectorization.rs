//! Texts as the numbers of their words: standardise, split, n-grams, look up. Texts are no tensors: this stands before a model.

use std::borrow::Cow;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::encoding::{OutputMode, Place, check_dense};
use super::index_lookup::{IndexLookup, Vocabulary};
use super::tokens::ToTokens;
use crate::config::{Config, from_config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::Par;
use crate::shape::Shape;

/// Turns texts into the numbers of their words, in a vocabulary that is given or found by [`adapt`](Self::adapt).
/// [Keras](https://keras.io/api/layers/preprocessing_layers/text/text_vectorization/)
///
/// Texts cannot travel through a model, so this is no [`Layer`](crate::layer::Layer): it makes the numbers that go in. The output has a
/// row for each text: in mode `int` as many numbers as the longest text has words (or `output_sequence_length`), 0 behind the last;
/// in the others a column for each number. `saving::load_text_model` reads models that begin with it.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `max_tokens` | none | most numbers, those of the special tokens included |
/// | `standardize` | `lower_and_strip_punctuation` | that, `lower`, `strip_punctuation`, or none; of ASCII letters, as in Keras |
/// | `split` | `whitespace` | that, `character`, or none |
/// | `ngrams` | none | `2` for words and pairs, `[2, 3]` for pairs and triples |
/// | `output_mode` | `int` | `int`, `multi_hot`, `count` or `tf_idf` |
/// | `output_sequence_length` | none | numbers of a row in mode `int` |
/// | `pad_to_max_tokens` | false | whether rows have `max_tokens` columns in the other modes |
/// | `vocabulary` | none | the tokens in the order of their numbers |
/// | `idf_weights` | none | factor of each token in mode `tf_idf` |
/// | `sparse`, `ragged` | false | must be false |
/// | `encoding` | `utf-8` | must be that |
///
/// ```
/// use oxhorn::layers::TextVectorization;
/// use ndarray::array;
/// let mut text = TextVectorization::new().output_sequence_length(4);
/// text.adapt(&["foo bar", "bar baz", "baz bada boom"])?;
/// assert_eq!(text.call(&["foo qux bar", "qux baz"])?, array![[4.0, 1.0, 3.0, 0.0], [1.0, 2.0, 0.0, 0.0]]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextVectorization {
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default = "standardize")]
    standardize: Option<Standardize>,
    #[serde(default = "split")]
    split: Option<Split>,
    #[serde(default)]
    ngrams: Option<Ngrams>,
    #[serde(default)]
    output_mode: OutputMode,
    #[serde(default)]
    output_sequence_length: Option<usize>,
    #[serde(default)]
    pad_to_max_tokens: bool,
    #[serde(default)]
    sparse: bool,
    #[serde(default)]
    ragged: bool,
    #[serde(default)]
    vocabulary: Option<Vocabulary<String>>,
    #[serde(default)]
    idf_weights: Option<Vec<f64>>,
    #[serde(default = "encoding")]
    encoding: String,
    #[serde(default)]
    vocabulary_size: Option<usize>,
}

fn standardize() -> Option<Standardize> {
    Some(Standardize::LowerAndStripPunctuation)
}

fn split() -> Option<Split> {
    Some(Split::Whitespace)
}

fn encoding() -> String {
    "utf-8".into()
}

/// What is done to a text first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standardize {
    /// Small letters (of ASCII), no punctuation.
    LowerAndStripPunctuation,
    /// Small letters (of ASCII).
    Lower,
    /// No punctuation.
    StripPunctuation,
    /// A name that is not known.
    #[doc(hidden)]
    #[serde(skip)]
    Unknown,
}

impl From<&str> for Standardize {
    fn from(name: &str) -> Self {
        match name {
            "lower_and_strip_punctuation" => Standardize::LowerAndStripPunctuation,
            "lower" => Standardize::Lower,
            "strip_punctuation" => Standardize::StripPunctuation,
            _ => Standardize::Unknown,
        }
    }
}

impl Standardize {
    fn apply(self, text: &str) -> String {
        let text = match self {
            Standardize::StripPunctuation => text.to_string(),
            _ => text.to_ascii_lowercase(),
        };
        match self {
            Standardize::Lower => text,
            _ => text.chars().filter(|c| !c.is_ascii_punctuation()).collect(),
        }
    }
}

/// How a text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Where there is space.
    Whitespace,
    /// Every character is one.
    Character,
    /// A name that is not known.
    #[doc(hidden)]
    #[serde(skip)]
    Unknown,
}

impl From<&str> for Split {
    fn from(name: &str) -> Self {
        match name {
            "whitespace" => Split::Whitespace,
            "character" => Split::Character,
            _ => Split::Unknown,
        }
    }
}

/// Which runs of words are tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ngrams {
    /// All of up to so many.
    UpTo(usize),
    /// All of these lengths.
    Of(Vec<usize>),
}

impl From<usize> for Ngrams {
    fn from(n: usize) -> Self {
        Ngrams::UpTo(n)
    }
}

impl<const N: usize> From<[usize; N]> for Ngrams {
    fn from(lengths: [usize; N]) -> Self {
        Ngrams::Of(lengths.to_vec())
    }
}

impl Ngrams {
    fn lengths(&self) -> Cow<'_, [usize]> {
        match self {
            Ngrams::UpTo(n) => (1..=*n).collect(),
            Ngrams::Of(lengths) => lengths.into(),
        }
    }
}

impl Default for TextVectorization {
    fn default() -> Self {
        TextVectorization::new()
    }
}

impl TextVectorization {
    /// Without a vocabulary yet.
    pub fn new() -> Self {
        TextVectorization {
            max_tokens: None,
            standardize: standardize(),
            split: split(),
            ngrams: None,
            output_mode: OutputMode::Int,
            output_sequence_length: None,
            pad_to_max_tokens: false,
            sparse: false,
            ragged: false,
            vocabulary: None,
            idf_weights: None,
            encoding: encoding(),
            vocabulary_size: None,
        }
    }

    /// Most numbers.
    pub fn max_tokens(mut self, n: usize) -> Self {
        self.max_tokens = Some(n);
        self
    }

    /// What is done to a text first: a name, or `None`.
    pub fn standardize<'a>(mut self, how: impl Into<Option<&'a str>>) -> Self {
        self.standardize = how.into().map(Standardize::from);
        self
    }

    /// How a text is cut into words: a name, or `None`.
    pub fn split<'a>(mut self, how: impl Into<Option<&'a str>>) -> Self {
        self.split = how.into().map(Split::from);
        self
    }

    /// Which runs of words are tokens.
    pub fn ngrams(mut self, ngrams: impl Into<Ngrams>) -> Self {
        self.ngrams = Some(ngrams.into());
        self
    }

    /// Form of the output.
    pub fn output_mode(mut self, mode: impl Into<OutputMode>) -> Self {
        self.output_mode = mode.into();
        self
    }

    /// Numbers of a row in mode `int`.
    pub fn output_sequence_length(mut self, n: usize) -> Self {
        self.output_sequence_length = Some(n);
        self
    }

    /// Whether rows have `max_tokens` columns.
    pub fn pad_to_max_tokens(mut self, yes: bool) -> Self {
        self.pad_to_max_tokens = yes;
        self
    }

    /// The tokens in the order of their numbers.
    pub fn vocabulary(mut self, tokens: &(impl ToTokens<String> + ?Sized)) -> Self {
        self.vocabulary = Some(tokens.to_tokens().0.into());
        self
    }

    /// The tokens from a text file, one a line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn vocabulary_file(self, path: impl AsRef<std::path::Path>) -> Result<Self> {
        let lines = super::index_lookup::lines(path.as_ref())?;
        Ok(self.vocabulary(&lines))
    }

    /// Factor of each token in mode `tf_idf`.
    pub fn idf_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.idf_weights = Some(weights.into());
        self
    }

    /// Keras's option of a sparse output, which does not exist here.
    pub fn sparse(mut self, yes: bool) -> Self {
        self.sparse = yes;
        self
    }

    /// Keras's option of rows of different lengths, which does not exist here.
    pub fn ragged(mut self, yes: bool) -> Self {
        self.ragged = yes;
        self
    }

    /// The encoding of texts.
    pub fn encoding(mut self, encoding: &str) -> Self {
        self.encoding = encoding.into();
        self
    }

    /// The tokens by their numbers, with the special ones or without.
    pub fn get_vocabulary(&self, include_special_tokens: bool) -> Vec<String> {
        self.lookup().vocabulary(include_special_tokens)
    }

    /// How many numbers there are, those of special tokens included.
    pub fn vocabulary_size(&self) -> usize {
        self.lookup().size()
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
        let mut lookup = self.lookup();
        let idf = idf_weights.map(<[f64]>::to_vec);
        lookup
            .set_vocabulary(vocabulary.to_tokens().0, idf)
            .map_err(owned)?;
        self.take(lookup);
        Ok(())
    }

    /// Takes the most frequent tokens of these texts as the vocabulary; ties go to the larger.
    ///
    /// # Errors
    /// If an argument makes no sense, or there is no token.
    pub fn adapt<S: AsRef<str>>(&mut self, texts: &[S]) -> Result<()> {
        self.check().map_err(owned)?;
        let documents: Vec<Vec<String>> = texts.iter().map(|t| self.tokens(t.as_ref())).collect();
        let mut lookup = self.lookup();
        lookup
            .adapt(documents.iter().map(Vec::as_slice))
            .map_err(owned)?;
        self.take(lookup);
        Ok(())
    }

    /// The numbers of these texts.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn call<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<Float>> {
        self.check().map_err(owned)?;
        let lookup = self.lookup();
        let specials = lookup.specials();
        let documents: Vec<Vec<String>> = texts.iter().map(|t| self.tokens(t.as_ref())).collect();
        let longest = documents.iter().map(Vec::len).max().unwrap_or(0);
        let shape = lookup.shape(&[1].into()).map_err(owned)?;
        let width = match self.output_mode {
            OutputMode::Int => self.output_sequence_length.unwrap_or(longest),
            _ => shape.last().unwrap_or(0),
        };
        let mut y = Array2::zeros((texts.len(), width));
        for (mut row, document) in y.rows_mut().into_iter().zip(&documents) {
            let place = |i: usize| lookup.place(&document[i], specials);
            let row = row.as_slice_mut().expect("it is new");
            match self.output_mode {
                OutputMode::Int => (0..document.len()).zip(row).for_each(|(i, y)| {
                    *y = match place(i) {
                        Place::At(at) => at as Float,
                        _ => 0.0,
                    };
                }),
                _ => lookup.encode(1, document.len(), row, Par::Serial, place),
            }
        }
        Ok(y)
    }

    /// Keras's `get_config`, the vocabulary in it.
    pub fn config(&self) -> Config {
        let mut config = to_config(self);
        if self.vocabulary.is_some() {
            config["vocabulary_size"] = self.vocabulary_size().into();
        }
        config
    }

    /// The layer of that configuration.
    ///
    /// # Errors
    /// If an argument is unknown or has another type; functions of Python's are not run.
    pub fn from_config(config: &Config) -> Result<Self> {
        for arg in ["standardize", "split"] {
            if config.get(arg).is_some_and(|v| v.is_object()) {
                let want = "a name: do yourself what a function of Python's did";
                return Err(owned(Error::arg(arg, want, "a function")));
            }
        }
        from_config("TextVectorization", config)
    }

    /// Shape of the output for one text.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn output_shape(&self) -> Result<Shape> {
        self.check().map_err(owned)?;
        let shape = self.lookup().shape(&[1].into()).map_err(owned)?;
        Ok(match self.output_mode {
            OutputMode::Int => [self.output_sequence_length].into(),
            _ => shape,
        })
    }

    /// What a weights file holds of it.
    pub(crate) fn constants(&self) -> Vec<(&'static str, Vec<Float>)> {
        self.lookup().constants()
    }

    fn take(&mut self, lookup: IndexLookup<String>) {
        (self.vocabulary, self.idf_weights) = (lookup.vocabulary, lookup.idf_weights);
    }

    fn lookup(&self) -> IndexLookup<String> {
        IndexLookup {
            max_tokens: self.max_tokens,
            mask_token: Some(String::new()),
            output_mode: self.output_mode,
            pad_to_max_tokens: self.pad_to_max_tokens,
            idf_weights: self.idf_weights.clone(),
            vocabulary: self.vocabulary.clone(),
            encoding: Some(self.encoding.clone()),
            ..IndexLookup::new()
        }
    }

    fn check(&self) -> Result<()> {
        use OutputMode::{Count, Int, MultiHot, TfIdf};
        self.output_mode.check(&[Int, MultiHot, Count, TfIdf])?;
        check_dense(self.sparse)?;
        if self.ragged {
            let want = "false: rows have one length here, 0 behind the last token";
            return Err(Error::arg("ragged", want, true));
        }
        if self.standardize == Some(Standardize::Unknown) {
            let want = "lower_and_strip_punctuation, lower, strip_punctuation or none";
            return Err(Error::arg("standardize", want, "something else"));
        }
        if self.split == Some(Split::Unknown) {
            let want = "whitespace, character or none";
            return Err(Error::arg("split", want, "something else"));
        }
        let lengths = match &self.ngrams {
            Some(Ngrams::UpTo(n)) if *n > 1000 => vec![0],
            Some(ngrams) => ngrams.lengths().into_owned(),
            None => vec![1],
        };
        if lengths.is_empty() || lengths.iter().any(|n| !(1..=1000).contains(n)) {
            let got = format!("{:?}", self.ngrams);
            return Err(Error::arg("ngrams", "lengths from 1 to 1000", got));
        }
        match self.output_sequence_length {
            Some(n) if self.output_mode != Int => {
                let want = "none unless `output_mode` is `int`";
                Err(Error::arg("output_sequence_length", want, n))
            }
            Some(n) if !(1..=1 << 24).contains(&n) => {
                let want = "an integer from 1 to 2^24";
                Err(Error::arg("output_sequence_length", want, n))
            }
            _ => Ok(()),
        }
    }

    /// The tokens of a text.
    fn tokens(&self, text: &str) -> Vec<String> {
        let text = match self.standardize {
            Some(how) => Cow::Owned(how.apply(text)),
            None => Cow::Borrowed(text),
        };
        // The white space of C, as TensorFlow has it.
        let space = |c: char| matches!(c, ' ' | '\t'..='\r');
        let words: Vec<String> = match self.split {
            Some(Split::Character) => text.chars().map(String::from).collect(),
            Some(_) => text
                .split(space)
                .filter(|w| !w.is_empty())
                .map(String::from)
                .collect(),
            None => vec![text.into_owned()],
        };
        let Some(ngrams) = &self.ngrams else {
            return words;
        };
        let runs = |n: &usize| {
            words
                .windows(*n)
                .map(|run| run.join(" "))
                .collect::<Vec<_>>()
        };
        ngrams.lengths().iter().flat_map(runs).collect()
    }
}

fn owned(e: Error) -> Error {
    e.owned_by("TextVectorization")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Keras 3.15.
    #[test]
    fn vocabularies_are_kerass() {
        let mut text = TextVectorization::new();
        text.adapt(&["The cat sat.", "the dog, sat down!", "don't stop"])
            .unwrap();
        let want = [
            "", "[UNK]", "the", "sat", "stop", "down", "dont", "dog", "cat",
        ];
        assert_eq!(text.get_vocabulary(true), want);
        let y = text.call(&["the cat\x0bsat \t", "Don't!"]).unwrap();
        assert_eq!(y, array![[2.0, 8.0, 3.0], [6.0, 0.0, 0.0]]);
        let mut text = TextVectorization::new().output_mode("tf_idf").ngrams(2);
        text = text.max_tokens(12).pad_to_max_tokens(true);
        text.adapt(&["a b c a", "b b d"]).unwrap();
        let want = [
            "[UNK]", "b", "a", "d", "c a", "c", "b d", "b c", "b b", "a b",
        ];
        assert_eq!(text.get_vocabulary(true), want);
        let y = text.call(&["a b q", "c d d"]).unwrap();
        let (q, b): (Float, Float) = (1.345_778_5, 0.510_825_63);
        let a = (2.0 as Float).ln();
        let want = array![
            [q, b, a, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, a, 0.0, 0.0],
            [q, 0.0, 0.0, 2.0 * a, 0.0, a, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        ];
        assert!((&y - &want).iter().all(|d| d.abs() < 1e-6), "{y}");
    }

    #[test]
    fn texts_are_cut_as_told() {
        let tokens = |t: TextVectorization, text: &str| t.tokens(text);
        let t = TextVectorization::new;
        assert_eq!(tokens(t().standardize("lower"), "A, É b"), ["a,", "É", "b"]);
        assert_eq!(tokens(t().standardize(None), "A, b"), ["A,", "b"]);
        assert_eq!(
            tokens(t().standardize("strip_punctuation"), "A-b, c"),
            ["Ab", "c"]
        );
        assert_eq!(tokens(t().split("character"), "Aé"), ["a", "é"]);
        assert_eq!(tokens(t().split(None), "A b"), ["a b"]);
        assert_eq!(tokens(t().ngrams([2, 3]), "a b c"), ["a b", "b c", "a b c"]);
        assert_eq!(tokens(t().ngrams([3]), "a b"), [""; 0]);
    }

    #[test]
    fn configurations_come_back() {
        let mut text = TextVectorization::new().ngrams([1, 2]).output_mode("count");
        text.adapt(&["a b", "b c"]).unwrap();
        let config = text.config();
        let again = TextVectorization::from_config(&config).unwrap();
        assert_eq!(again.config(), config);
        assert_eq!(again.call(&["a b"]).unwrap(), text.call(&["a b"]).unwrap());
        let mut unknown = config.clone();
        unknown.insert("no_such_argument".into(), true.into());
        assert!(TextVectorization::from_config(&unknown).is_err());
        let mut function = config;
        function["split"] = serde_json::json!({"class_name": "function"});
        let e = TextVectorization::from_config(&function).unwrap_err();
        assert!(e.to_string().contains("function"), "{e}");
    }

    #[test]
    fn mistakes_are_named() {
        let text = || TextVectorization::new().vocabulary(&["a"]);
        let refused = |t: TextVectorization| t.call(&["a"]).unwrap_err().to_string();
        assert!(refused(TextVectorization::new()).contains("adapt"));
        assert!(refused(text().ragged(true)).contains("ragged"));
        assert!(refused(text().sparse(true)).contains("sparse"));
        assert!(refused(text().standardize("lowwer")).contains("standardize"));
        assert!(refused(text().split("word")).contains("split"));
        assert!(refused(text().ngrams(0)).contains("ngrams"));
        assert!(refused(text().ngrams(usize::MAX)).contains("ngrams"));
        assert!(refused(text().output_mode("one_hot")).contains("output_mode"));
        assert!(refused(text().output_sequence_length(0)).contains("output_sequence_length"));
        let count = text().output_mode("count").output_sequence_length(3);
        assert!(refused(count).contains("output_sequence_length"));
        assert!(refused(text().encoding("latin-1")).contains("encoding"));
        assert!(TextVectorization::new().adapt(&["", "!"]).is_err());
    }
}
