//! What [`IntegerLookup`](super::IntegerLookup) and [`StringLookup`](super::StringLookup) have in common: a vocabulary, and from a
//! token to its number.
//!
//! Numbers are given out in this order: the mask (only in mode `int`), the bins for tokens out of the vocabulary, the vocabulary.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::encoding::{OutputMode, Place, check_dense, check_depth};
use super::fingerprint::{Salt, bucket};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::Par;
use crate::shape::Shape;

/// What a token may be.
pub trait Key:
    Clone + Debug + Eq + Hash + Ord + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Keras's default of `oov_token`.
    fn oov() -> Self;
    /// Its text is hashed.
    fn hashed(&self, key: Option<[u64; 2]>, buckets: usize) -> usize;
    /// Its remainder, where that may take the place of a hash.
    fn remainder(&self, buckets: usize) -> Option<usize>;
}

impl Key for String {
    fn oov() -> Self {
        "[UNK]".into()
    }

    fn hashed(&self, key: Option<[u64; 2]>, buckets: usize) -> usize {
        bucket(self.as_bytes(), key, buckets)
    }

    fn remainder(&self, _buckets: usize) -> Option<usize> {
        None
    }
}

/// A vocabulary; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary<T>(Arc<Listed<T>>);

/// The tokens in order, and where each is.
#[derive(Debug)]
struct Listed<T> {
    tokens: Vec<T>,
    index: HashMap<T, usize>,
}

impl<T: Key> From<Vec<T>> for Vocabulary<T> {
    fn from(tokens: Vec<T>) -> Self {
        let index = tokens.iter().cloned().enumerate().map(|(i, t)| (t, i));
        let index = index.collect();
        Vocabulary(Arc::new(Listed { tokens, index }))
    }
}

impl<T: Key> Serialize for Vocabulary<T> {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.tokens.serialize(s)
    }
}

impl<'de, T: Key> Deserialize<'de> for Vocabulary<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Ok(Vec::<T>::deserialize(d)?.into())
    }
}

/// The lines of a text file; empty ones at the end are none.
pub(super) fn lines(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    Ok(text.trim_end().lines().map(String::from).collect())
}

/// How integers out of the vocabulary are shared out among several bins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OovMethod {
    /// By their remainder.
    #[default]
    Floormod,
    /// By a hash of their decimal text.
    Farmhash,
    /// A name that is not known.
    #[doc(hidden)]
    #[serde(skip)]
    Unknown,
}

impl From<&str> for OovMethod {
    fn from(name: &str) -> Self {
        match name {
            "floormod" => OovMethod::Floormod,
            "farmhash" => OovMethod::Farmhash,
            _ => OovMethod::Unknown,
        }
    }
}

/// The arguments of a lookup.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "T: Key")]
pub(crate) struct IndexLookup<T> {
    #[serde(default)]
    pub invert: bool,
    #[serde(default)]
    pub max_tokens: Option<usize>,
    #[serde(default = "one")]
    pub num_oov_indices: usize,
    #[serde(default = "oov")]
    pub oov_token: Option<T>,
    #[serde(default)]
    pub mask_token: Option<T>,
    #[serde(default)]
    pub output_mode: OutputMode,
    #[serde(default)]
    pub sparse: bool,
    #[serde(default)]
    pub pad_to_max_tokens: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary_dtype: Option<String>,
    #[serde(default)]
    pub idf_weights: Option<Vec<f64>>,
    #[serde(default)]
    pub vocabulary: Option<Vocabulary<T>>,
    /// What the file says; the vocabulary itself is what counts.
    #[serde(default)]
    pub vocabulary_size: Option<usize>,
    #[serde(default)]
    pub oov_method: OovMethod,
    #[serde(default)]
    pub salt: Option<Salt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The factors of all columns.
    #[serde(skip)]
    pub factors: OnceLock<Arc<[Float]>>,
}

fn one() -> usize {
    1
}

fn oov<T: Key>() -> Option<T> {
    Some(T::oov())
}

impl<T: Key> IndexLookup<T> {
    pub fn new() -> Self {
        IndexLookup {
            invert: false,
            max_tokens: None,
            num_oov_indices: 1,
            oov_token: oov(),
            mask_token: None,
            output_mode: OutputMode::Int,
            sparse: false,
            pad_to_max_tokens: false,
            vocabulary_dtype: None,
            idf_weights: None,
            vocabulary: None,
            vocabulary_size: None,
            oov_method: OovMethod::Floormod,
            salt: None,
            encoding: None,
            factors: OnceLock::new(),
        }
    }

    /// Number of the first bin for tokens out of the vocabulary.
    fn oov_start(&self) -> usize {
        usize::from(self.mask_token.is_some() && self.output_mode == OutputMode::Int)
    }

    /// Number of the first token.
    fn token_start(&self) -> usize {
        self.oov_start().saturating_add(self.num_oov_indices)
    }

    /// How many special tokens the vocabulary begins with: all of them, or none.
    pub fn specials(&self) -> usize {
        let (n, oov_start) = (self.token_start(), self.oov_start());
        let listed = self.listed();
        let special = |(i, t): (usize, &T)| match i < oov_start {
            true => Some(t) == self.mask_token.as_ref(),
            false => Some(t) == self.oov_token.as_ref(),
        };
        let found = listed.len() >= n && listed[..n].iter().enumerate().all(special);
        if found { n } else { 0 }
    }

    fn listed(&self) -> &[T] {
        self.vocabulary.as_ref().map_or(&[], |v| &v.0.tokens)
    }

    /// The tokens themselves.
    fn tokens(&self) -> &[T] {
        &self.listed()[self.specials()..]
    }

    /// How many numbers there are.
    pub fn size(&self) -> usize {
        self.token_start().saturating_add(self.tokens().len())
    }

    /// Columns of an encoded output.
    pub fn depth(&self) -> usize {
        match (self.pad_to_max_tokens, self.max_tokens) {
            (true, Some(n)) => n,
            _ => self.size(),
        }
    }

    /// All tokens by their numbers.
    pub fn vocabulary(&self, special: bool) -> Vec<T> {
        let mut all = Vec::new();
        if special {
            let masks = self.mask_token.iter().take(self.oov_start());
            all.extend(masks.cloned());
            let oov = || self.oov_token.clone().unwrap_or_else(T::oov);
            all.extend((0..self.num_oov_indices).map(|_| oov()));
        }
        all.extend_from_slice(self.tokens());
        all
    }

    pub fn set_vocabulary(&mut self, tokens: Vec<T>, idf: Option<Vec<f64>>) -> Result<()> {
        let mut new = self.clone();
        new.vocabulary = Some(tokens.into());
        new.idf_weights = idf;
        new.factors = OnceLock::new();
        new.check()?;
        *self = new;
        Ok(())
    }

    /// Everything that can be wrong.
    pub fn check(&self) -> Result<()> {
        use OutputMode::{Count, Int, MultiHot, OneHot, TfIdf};
        self.output_mode
            .check(&[Int, OneHot, MultiHot, Count, TfIdf])?;
        check_dense(self.sparse)?;
        if let Some(n) = self.max_tokens
            && n <= 1
        {
            return Err(Error::arg("max_tokens", "more than 1", n));
        }
        if self.pad_to_max_tokens && self.max_tokens.is_none() {
            return Err(Error::arg(
                "max_tokens",
                "a number, since `pad_to_max_tokens`",
                "none",
            ));
        }
        if self.invert && self.output_mode != Int {
            return Err(Error::arg("output_mode", "int, since `invert`", "another"));
        }
        if self.oov_method == OovMethod::Unknown {
            let want = "`floormod` or `farmhash`";
            return Err(Error::arg("oov_method", want, "something else"));
        }
        if self.salt.is_some()
            && self.oov_method != OovMethod::Farmhash
            && T::oov().remainder(1).is_some()
        {
            return Err(Error::arg(
                "salt",
                "none unless `oov_method` is `farmhash`",
                "some",
            ));
        }
        if let Some(encoding) = &self.encoding
            && !["utf-8", "utf8"].contains(&encoding.to_lowercase().as_str())
        {
            return Err(Error::arg("encoding", "utf-8", encoding));
        }
        let Some(vocabulary) = &self.vocabulary else {
            let want = "tokens: give them, or call `adapt`";
            return Err(Error::arg("vocabulary", want, "none"));
        };
        self.check_tokens(vocabulary)?;
        check_depth("vocabulary", self.size())?;
        check_depth("max_tokens", self.depth())?;
        match (&self.idf_weights, self.output_mode) {
            (None, TfIdf) => Err(Error::arg("idf_weights", "a weight for each token", "none")),
            (Some(weights), TfIdf) => {
                let want = vocabulary.0.tokens.len();
                if weights.len() != want {
                    let want = format!("{want} weights, one for each token");
                    return Err(Error::arg("idf_weights", want, weights.len()));
                }
                match weights.iter().find(|w| !w.is_finite()) {
                    Some(w) => Err(Error::arg("idf_weights", "finite numbers", w)),
                    None => Ok(()),
                }
            }
            (Some(_), _) => {
                let want = "none unless `output_mode` is `tf_idf`";
                Err(Error::arg("idf_weights", want, "some"))
            }
            _ => Ok(()),
        }
    }

    fn check_tokens(&self, vocabulary: &Vocabulary<T>) -> Result<()> {
        let (specials, tokens) = (self.specials(), self.tokens());
        if tokens.is_empty() {
            return Err(Error::arg("vocabulary", "at least one token", "none"));
        }
        for (i, token) in tokens.iter().enumerate() {
            let got = || format!("{token:?} at {}", i + specials);
            if vocabulary.0.index[token] != i + specials {
                return Err(Error::arg("vocabulary", "tokens that differ", got()));
            }
            if Some(token) == self.mask_token.as_ref() {
                let want = "the mask token only at the start, before those out of the vocabulary";
                return Err(Error::arg("vocabulary", want, got()));
            }
            if self.invert && Some(token) == self.oov_token.as_ref() {
                let want = "the token out of the vocabulary only at the start";
                return Err(Error::arg("vocabulary", want, got()));
            }
        }
        match self.max_tokens {
            Some(max) if self.size() > max => {
                let want = format!("at most `max_tokens`, {max}, with the special ones");
                Err(Error::arg("vocabulary", want, self.size()))
            }
            _ => Ok(()),
        }
    }

    /// Where a token counts.
    pub fn place(&self, token: &T, specials: usize) -> Place {
        if Some(token) == self.mask_token.as_ref() {
            return match self.output_mode {
                OutputMode::Int => Place::At(0),
                _ => Place::Nowhere,
            };
        }
        let known = self.vocabulary.as_ref().and_then(|v| v.0.index.get(token));
        if let Some(at) = known.and_then(|at| at.checked_sub(specials)) {
            return Place::At(self.token_start() + at);
        }
        let buckets = self.num_oov_indices;
        let bin = match buckets {
            0 => return Place::Missing,
            1 => 0,
            _ => match token.remainder(buckets) {
                Some(bin) if self.oov_method == OovMethod::Floormod => bin,
                _ => token.hashed(self.salt.map(Salt::key), buckets),
            },
        };
        Place::At(self.oov_start() + bin)
    }

    /// The token of a number; `None` where there is none out of the vocabulary.
    pub fn token(&self, number: i64, specials: usize) -> Option<&T> {
        if number == 0 && self.mask_token.is_some() {
            return self.mask_token.as_ref();
        }
        let at = usize::try_from(number).ok();
        let at = at.and_then(|at| at.checked_sub(self.token_start()));
        let token = at.and_then(|at| self.listed().get(specials + at));
        token.or(self.oov_token.as_ref())
    }

    /// What a weights file holds of it.
    pub fn constants(&self) -> Vec<(&'static str, Vec<Float>)> {
        match self.output_mode {
            OutputMode::TfIdf => vec![("idf_weights", self.factors().to_vec())],
            _ => Vec::new(),
        }
    }

    pub fn shape(&self, x: &Shape) -> Result<Shape> {
        self.check()?;
        if self.output_mode == OutputMode::TfIdf {
            self.factors();
        }
        self.output_mode.shape(x, self.depth())
    }

    /// The factors of all columns: those of the special tokens are the mean of the others, those of padding 0.
    pub fn factors(&self) -> &[Float] {
        self.factors.get_or_init(|| {
            let weights = self.idf_weights.as_deref().unwrap_or_default();
            let mut all: Vec<Float> = Vec::new();
            if self.specials() == 0 {
                let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
                all.resize(self.token_start(), mean as Float);
            }
            all.extend(weights.iter().map(|w| *w as Float));
            all.resize(self.depth(), 0.0);
            all.into()
        })
    }

    /// Writes the output for elements whose token is `token(i)`; `None` is no token at all.
    pub fn encode(
        &self,
        batch: usize,
        elements: usize,
        y: &mut [Float],
        par: Par,
        place: impl Fn(usize) -> Place + Sync,
    ) {
        let depth = self.depth();
        self.output_mode
            .encode(batch, depth, y, par, elements, place, |_| 1.0);
        if self.output_mode == OutputMode::TfIdf {
            let factors = self.factors();
            for row in y.chunks_exact_mut(depth) {
                row.iter_mut().zip(factors).for_each(|(y, f)| *y *= f);
            }
        }
    }

    /// Takes the most frequent tokens of the documents as the vocabulary; ties go to the larger token.
    pub fn adapt<'a>(&mut self, documents: impl Iterator<Item = &'a [T]>) -> Result<()> {
        let mut counts: HashMap<&T, [usize; 2]> = HashMap::new();
        let (mut total, mut last): (usize, HashMap<&T, usize>) = (0, HashMap::new());
        for document in documents {
            for token in document {
                let [all, documents] = counts.entry(token).or_default();
                *all += 1;
                *documents += usize::from(last.insert(token, total) != Some(total));
            }
            total += 1;
        }
        for special in [&self.mask_token, &self.oov_token].into_iter().flatten() {
            counts.remove(special);
        }
        let mut ranked: Vec<(&T, [usize; 2])> = counts.into_iter().collect();
        ranked.sort_unstable_by(|(a, n), (b, m)| (m[0], b).cmp(&(n[0], a)));
        if let Some(max) = self.max_tokens {
            ranked.truncate(max.saturating_sub(self.token_start()));
        }
        if ranked.is_empty() {
            return Err(Error::data("data", "there is no token to adapt to"));
        }
        let idf = (self.output_mode == OutputMode::TfIdf).then(|| {
            let weight = |(_, n): &(&T, [usize; 2])| {
                let weight = (1.0 + total as f64 / (1 + n[1]) as f64).ln();
                f64::from(weight as f32)
            };
            ranked.iter().map(weight).collect()
        });
        let tokens = ranked.into_iter().map(|(token, _)| token.clone()).collect();
        self.set_vocabulary(tokens, idf)
    }
}
