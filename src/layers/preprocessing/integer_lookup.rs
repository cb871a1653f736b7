//! Integers as their numbers in a vocabulary, and back. Ids have no gradient.

use std::path::Path;
use std::sync::OnceLock;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use super::encoding::{EXACT, OutputMode, Place, contract, integer};
use super::fingerprint::{Decimal, Salt, bucket};
use super::index_lookup::{IndexLookup, Key, OovMethod, lines};
use super::tokens::{ToTokens, array};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Contract, Forward, Layer, Par};
use crate::layers::args::one_input;
use crate::shape::Shape;

impl Key for i64 {
    fn oov() -> Self {
        -1
    }

    fn hashed(&self, key: Option<[u64; 2]>, buckets: usize) -> usize {
        bucket(Decimal::new(*self).bytes(), key, buckets)
    }

    fn remainder(&self, buckets: usize) -> Option<usize> {
        Some(self.rem_euclid(buckets as i64) as usize)
    }
}

/// Turns integers into their numbers in a vocabulary that is given or found by [`adapt`](Self::adapt).
/// [Keras](https://keras.io/api/layers/preprocessing_layers/categorical/integer_lookup/)
///
/// Input `(batch, ..)` of integers; the output has the same shape in mode `int`, and rows of as many columns as there are numbers
/// in the others (see [`CategoryEncoding`](super::CategoryEncoding)). In a model, integers are exact up to 2^24: a vocabulary
/// beyond is an error there, an input beyond gives NaN; [`lookup`](Self::lookup) takes integers of any size. With
/// `num_oov_indices(0)` a token out of the vocabulary gives NaN.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `max_tokens` | none | most numbers, those of the special tokens included |
/// | `num_oov_indices` | 1 | bins for tokens out of the vocabulary |
/// | `mask_token` | none | what counts as masked: number 0 in mode `int`, nowhere in the others |
/// | `oov_token` | -1 | what stands for tokens out of the vocabulary |
/// | `vocabulary` | none | the tokens in the order of their numbers |
/// | `idf_weights` | none | factor of each token in mode `tf_idf` |
/// | `invert` | false | whether numbers become tokens |
/// | `output_mode` | `int` | `int`, `one_hot`, `multi_hot`, `count` or `tf_idf` |
/// | `sparse` | false | must be false |
/// | `pad_to_max_tokens` | false | whether rows have `max_tokens` columns |
/// | `oov_method` | `floormod` | how bins are chosen: `floormod` or `farmhash` |
/// | `salt` | none | key of SipHash, which then takes the place of FarmHash |
///
/// ```
/// use oxhorn::{layers::IntegerLookup, prelude::*};
/// use ndarray::array;
/// let mut lookup = IntegerLookup::new();
/// lookup.adapt(&array![[12, 1138, 42], [42, 36, 42]])?;
/// assert_eq!(lookup.get_vocabulary(true), [-1, 42, 1138, 36, 12]);
/// let mut model = Sequential::new().input([3]).add(lookup);
/// model.build([3])?;
/// assert_eq!(model.predict(&array![[42, 36, 7]])?, array![[1.0, 3.0, 0.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntegerLookup(pub(super) IndexLookup<i64>);

impl Default for IntegerLookup {
    fn default() -> Self {
        IntegerLookup::new()
    }
}

impl IntegerLookup {
    /// Without a vocabulary yet.
    pub fn new() -> Self {
        IntegerLookup(IndexLookup {
            vocabulary_dtype: Some("int64".into()),
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
    pub fn mask_token(mut self, token: i64) -> Self {
        self.0.mask_token = Some(token);
        self.0.factors = OnceLock::new();
        self
    }

    /// What stands for tokens out of the vocabulary.
    pub fn oov_token(mut self, token: impl Into<Option<i64>>) -> Self {
        self.0.oov_token = token.into();
        self.0.factors = OnceLock::new();
        self
    }

    /// The tokens in the order of their numbers.
    pub fn vocabulary(mut self, tokens: &(impl ToTokens<i64> + ?Sized)) -> Self {
        self.0.vocabulary = Some(tokens.to_tokens().0.into());
        self.0.factors = OnceLock::new();
        self
    }

    /// The tokens from a text file, one a line.
    ///
    /// # Errors
    /// If it cannot be read, or a line is no integer.
    pub fn vocabulary_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(self.vocabulary(&integers(path)?))
    }

    /// Factor of each token in mode `tf_idf`.
    pub fn idf_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.0.idf_weights = Some(weights.into());
        self.0.factors = OnceLock::new();
        self
    }

    /// Whether numbers become tokens.
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

    /// How bins for tokens out of the vocabulary are chosen.
    pub fn oov_method(mut self, method: impl Into<OovMethod>) -> Self {
        self.0.oov_method = method.into();
        self
    }

    /// Key of SipHash, which then takes the place of FarmHash.
    pub fn salt(mut self, salt: impl Into<Salt>) -> Self {
        self.0.salt = Some(salt.into());
        self
    }

    /// The tokens by their numbers, with the special ones or without.
    pub fn get_vocabulary(&self, include_special_tokens: bool) -> Vec<i64> {
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
        vocabulary: &(impl ToTokens<i64> + ?Sized),
        idf_weights: Option<&[f64]>,
    ) -> Result<()> {
        let idf = idf_weights.map(<[f64]>::to_vec);
        let set = self.0.set_vocabulary(vocabulary.to_tokens().0, idf);
        set.map_err(|e| e.owned_by("IntegerLookup"))
    }

    /// Takes the most frequent integers of this data as the vocabulary; ties go to the larger. For `tf_idf` every sample is a
    /// document.
    ///
    /// # Errors
    /// If there is no data.
    pub fn adapt(&mut self, data: &(impl ToTokens<i64> + ?Sized)) -> Result<()> {
        let (tokens, dims) = data.to_tokens();
        let document = dims.iter().skip(1).product::<usize>().max(1);
        let adapted = self.0.adapt(tokens.chunks(document));
        adapted.map_err(|e| e.owned_by("IntegerLookup"))
    }

    /// The output for integers of any size.
    ///
    /// # Errors
    /// If an argument makes no sense, or a token is out of the vocabulary where `num_oov_indices` is 0.
    pub fn lookup(&self, data: &(impl ToTokens<i64> + ?Sized)) -> Result<ArrayD<Float>> {
        let (tokens, dims) = data.to_tokens();
        let owned = |e: Error| e.owned_by("IntegerLookup");
        let specials = self.0.specials();
        if self.0.invert {
            self.check_invert().map_err(owned)?;
            let write = |_, y: &mut [Float]| {
                let token = |n: i64| {
                    self.0
                        .token(n, specials)
                        .map_or(Float::NAN, |t| *t as Float)
                };
                y.iter_mut().zip(&tokens).for_each(|(y, n)| *y = token(*n));
            };
            return array(&dims, |x| self.0.shape(x), write).map_err(owned);
        }
        let place = |i: usize| self.0.place(&tokens[i], specials);
        if let Some(i) = (0..tokens.len()).find(|i| place(*i) == Place::Missing) {
            let want = "tokens of the vocabulary, since `num_oov_indices` is 0";
            return Err(owned(Error::shape(want, tokens[i])));
        }
        let write = |batch, y: &mut [Float]| {
            self.0.encode(batch, tokens.len(), y, Par::Serial, place);
        };
        array(&dims, |x| self.0.shape(x), write).map_err(owned)
    }

    /// What comes out must be exact.
    fn check_invert(&self) -> Result<()> {
        let Some(oov) = self.0.oov_token else {
            return Err(Error::arg("oov_token", "a token, since `invert`", "none"));
        };
        let all = self.0.vocabulary(false).into_iter().chain([oov]);
        check_exact(all.chain(self.0.mask_token))
    }
}

fn integers(path: &Path) -> Result<Vec<i64>> {
    let number = |line: String| {
        let problem = format!("expected an integer, got {line:?}");
        let parsed = line.trim().parse();
        parsed.map_err(|_| Error::data(path.display().to_string(), problem))
    };
    lines(path)?.into_iter().map(number).collect()
}

fn check_exact(mut tokens: impl Iterator<Item = i64>) -> Result<()> {
    match tokens.find(|t| t.unsigned_abs() > EXACT as u64) {
        None => Ok(()),
        Some(token) => {
            let want = "integers up to 2^24, since a model's numbers are f32 (`lookup` takes any)";
            Err(Error::arg("vocabulary", want, token))
        }
    }
}

impl Layer for IntegerLookup {
    fn class_name(&self) -> &'static str {
        "IntegerLookup"
    }

    fn config(&self) -> Config {
        let mut config = to_config(self);
        if self.0.vocabulary.is_some() {
            config["vocabulary_size"] = self.0.size().into();
        }
        config
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self
            .0
            .vocabulary_dtype
            .as_deref()
            .is_some_and(|t| t != "int64")
            || self.0.encoding.is_some()
        {
            let got = format!("{:?}", self.0.vocabulary_dtype);
            return Err(Error::arg("vocabulary_dtype", "int64", got));
        }
        let shape = self.0.shape(one_input(inputs)?)?;
        match self.0.invert {
            true => self.check_invert()?,
            false => check_exact(self.0.vocabulary(false).into_iter())?,
        }
        Ok(shape)
    }

    fn constants(&self) -> Vec<(&'static str, Vec<Float>)> {
        self.0.constants()
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let (x, specials) = (cx.x[0].data, self.0.specials());
        if self.0.invert {
            let token = |x: Float| integer(x).and_then(|n| self.0.token(n, specials));
            let pairs = cx.y.data.iter_mut().zip(x);
            return pairs.for_each(|(y, x)| *y = token(*x).map_or(Float::NAN, |t| *t as Float));
        }
        let place = |i: usize| match integer(x[i]) {
            Some(token) => self.0.place(&token, specials),
            None => Place::Missing,
        };
        self.0.encode(cx.y.batch, x.len(), cx.y.data, cx.par, place);
    }

    fn backward(&self, _cx: Backward<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;
    use ndarray::array;

    fn layer() -> IntegerLookup {
        IntegerLookup::new().vocabulary(&[10, 20, 30, 7])
    }

    fn out(layer: &IntegerLookup, x: &[Float]) -> Vec<Float> {
        apply(layer, &[(x, &[x.len()])], &[None], &[]).0
    }

    #[test]
    fn laws() {
        let small = || IntegerLookup::new().vocabulary(&[0, 2, 3]);
        for mode in ["int", "one_hot", "multi_hot", "count"] {
            check_layer(small().output_mode(mode), &[[3].into()]);
            let masked = small().output_mode(mode).mask_token(-7).num_oov_indices(2);
            check_layer(
                masked.max_tokens(9).pad_to_max_tokens(true),
                &[[3, 2].into()],
            );
        }
        let idf = small().output_mode("tf_idf").idf_weights([0.5, 1.0, 2.0]);
        check_layer(idf, &[[3].into()]);
        check_layer(small().invert(true), &[[3].into()]);
    }

    #[test]
    fn tokens_have_numbers() {
        assert_eq!(out(&layer(), &[20.0, 5.0, 7.0]), [2.0, 0.0, 4.0]);
        let masked = layer().mask_token(0).num_oov_indices(2).oov_token(-5);
        assert_eq!(
            out(&masked, &[0.0, 10.0, 5.0, -3.0, 6.0]),
            [0.0, 3.0, 2.0, 2.0, 1.0]
        );
        let back = layer().invert(true);
        assert_eq!(out(&back, &[1.0, 4.0, 0.0, 9.0]), [10.0, 7.0, -1.0, -1.0]);
        let special = IntegerLookup::new().vocabulary(&[-1, 10, 20]);
        assert_eq!(out(&special, &[20.0, -1.0, 10.0]), [2.0, 0.0, 1.0]);
        assert!(out(&layer().num_oov_indices(0), &[5.0])[0].is_nan());
        assert!(out(&layer(), &[3e7])[0].is_nan());
    }

    /// Keras 3.15.
    #[test]
    fn adapting_is_kerass() {
        let mut lookup = IntegerLookup::new().output_mode("tf_idf");
        lookup
            .adapt(&array![[1, 2, 2], [3, 2, 1], [9, 9, 9]])
            .unwrap();
        assert_eq!(lookup.get_vocabulary(true), [-1, 9, 2, 1, 3]);
        let y = lookup.lookup(&array![[1, 2, 2], [7, 7, 3]]).unwrap();
        let two: Float = 2.0;
        let want = array![
            [0.0, 0.0, 2.0 * two.ln(), two.ln(), 0.0],
            [1.609_438, 0.0, 0.0, 0.0, 0.916_290_76]
        ];
        assert!(
            y.iter()
                .zip(&want)
                .all(|(a, b): (&Float, &Float)| (a - b).abs() < 1e-6),
            "{y}"
        );
        let mut lookup = IntegerLookup::new().max_tokens(4).mask_token(0);
        lookup
            .adapt(&array![[1, 2, 2], [3, 2, 1], [0, 9, 9]])
            .unwrap();
        assert_eq!(lookup.get_vocabulary(true), [0, -1, 2, 9]);
    }

    #[test]
    fn integers_of_any_size_are_looked_up_outside_of_models() {
        let lookup = IntegerLookup::new().vocabulary(&[33_554_432, 33_554_433]);
        let y = lookup.lookup(&[33_554_433i64, 33_554_434]).unwrap();
        assert_eq!(y, array![2.0, 0.0].into_dyn());
        let e = lookup.output_shape(&[[1].into()]).unwrap_err().to_string();
        assert!(e.contains("2^24") && e.contains("33554432"), "{e}");
        assert!(lookup.invert(true).lookup(&[1]).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |l: IntegerLookup| l.output_shape(&[[2].into()]).unwrap_err().to_string();
        assert!(refused(IntegerLookup::new()).contains("adapt"));
        assert!(refused(layer().vocabulary(&[1, 2, 1])).contains("differ"));
        assert!(refused(layer().vocabulary(&[0i64; 0])).contains("vocabulary"));
        assert!(refused(layer().max_tokens(4)).contains("max_tokens"));
        assert!(refused(layer().salt(3)).contains("salt"));
        assert!(refused(layer().oov_method("modulo")).contains("oov_method"));
        assert!(refused(layer().invert(true).output_mode("count")).contains("output_mode"));
        assert!(refused(layer().invert(true).oov_token(20)).contains("vocabulary"));
        assert!(refused(layer().invert(true).oov_token(None)).contains("oov_token"));
        assert!(refused(layer().idf_weights([1.0; 4])).contains("idf_weights"));
        let idf = layer().output_mode("tf_idf");
        assert!(refused(idf.clone()).contains("idf_weights"));
        assert!(refused(idf.idf_weights([1.0; 3])).contains("4 weights"));
        assert!(layer().num_oov_indices(0).lookup(&[5]).is_err());
    }
}
