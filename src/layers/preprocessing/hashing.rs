//! Ids and strings as bins, by a hash of their text: TensorFlow's, so that the bins are Keras's.

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use super::encoding::{OutputMode, Place, check_dense, check_depth, contract, integer};
use super::fingerprint::{Decimal, Salt, bucket};
use super::tokens::{ToTokens, array};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Contract, Forward, Layer, Par};
use crate::layers::args::one_input;
use crate::shape::Shape;

/// Turns ids into one of `num_bins` bins, by a hash of their decimal text.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/categorical/hashing/)
///
/// Input `(batch, ..)` of integers; the output has the same shape in mode `int`, and rows of `num_bins` columns in the others (see
/// [`CategoryEncoding`](super::CategoryEncoding)). An id beyond 2^24, which `f32` does not hold exactly, gives NaN. Strings (and
/// ids of any size) are hashed by [`hash`](Self::hash) before they go into a model.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_bins` | | number of bins, that of the mask included |
/// | `mask_value` | none | what goes into bin 0, where nothing else does then |
/// | `salt` | none | key (one number or two) of SipHash, which then takes the place of FarmHash |
/// | `output_mode` | `int` | `int`, `one_hot`, `multi_hot` or `count` |
/// | `sparse` | false | must be false |
///
/// ```
/// use oxhorn::layers::Hashing;
/// use ndarray::array;
/// let layer = Hashing::new(3);
/// assert_eq!(layer.hash(&["A", "B", "C", "D", "E"])?, array![1.0, 0.0, 1.0, 1.0, 2.0].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashing {
    num_bins: usize,
    #[serde(default)]
    salt: Option<Salt>,
    #[serde(default)]
    mask_value: Option<MaskValue>,
    #[serde(default)]
    output_mode: OutputMode,
    #[serde(default)]
    sparse: bool,
}

/// What counts as masked: an id, or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MaskValue {
    /// An id.
    Id(i64),
    /// A text.
    Text(String),
}

impl From<i64> for MaskValue {
    fn from(id: i64) -> Self {
        MaskValue::Id(id)
    }
}

impl From<&str> for MaskValue {
    fn from(text: &str) -> Self {
        MaskValue::Text(text.into())
    }
}

impl MaskValue {
    fn text(&self) -> String {
        match self {
            MaskValue::Id(id) => id.to_string(),
            MaskValue::Text(text) => text.clone(),
        }
    }
}

impl Hashing {
    /// Into so many bins.
    pub fn new(num_bins: usize) -> Self {
        Hashing {
            num_bins,
            salt: None,
            mask_value: None,
            output_mode: OutputMode::Int,
            sparse: false,
        }
    }

    /// What goes into bin 0, where nothing else does then.
    pub fn mask_value(mut self, value: impl Into<MaskValue>) -> Self {
        self.mask_value = Some(value.into());
        self
    }

    /// Key of SipHash, which then takes the place of FarmHash.
    pub fn salt(mut self, salt: impl Into<Salt>) -> Self {
        self.salt = Some(salt.into());
        self
    }

    /// Form of the output.
    pub fn output_mode(mut self, mode: impl Into<OutputMode>) -> Self {
        self.output_mode = mode.into();
        self
    }

    /// Keras's option of a sparse output, which does not exist here.
    pub fn sparse(mut self, yes: bool) -> Self {
        self.sparse = yes;
        self
    }

    /// The output for texts, or for ids as texts: `["A", "B"]`, or an `ndarray` array of any rank, batch first.
    ///
    /// # Errors
    /// If an argument makes no sense.
    pub fn hash(&self, texts: &(impl ToTokens<String> + ?Sized)) -> Result<ArrayD<Float>> {
        let (texts, dims) = texts.to_tokens();
        let mask = self.mask_value.as_ref().map(MaskValue::text);
        let place = |i: usize| match mask.as_deref() == Some(texts[i].as_str()) && self.masks() {
            true => Place::At(0),
            false => self.bin(texts[i].as_bytes()),
        };
        let shape = |x: &Shape| self.shape(x);
        let mode = self.output_mode;
        array(&dims, shape, |batch, y| {
            mode.encode(
                batch,
                self.num_bins,
                y,
                Par::Serial,
                texts.len(),
                place,
                |_| 1.0,
            );
        })
        .map_err(|e| e.owned_by("Hashing"))
    }

    /// Whether bin 0 is that of the mask.
    fn masks(&self) -> bool {
        self.mask_value.is_some() && self.num_bins > 1
    }

    fn bin(&self, text: &[u8]) -> Place {
        let first = usize::from(self.masks());
        let key = self.salt.map(Salt::key);
        Place::At(first + bucket(text, key, self.num_bins - first))
    }

    fn shape(&self, x: &Shape) -> Result<Shape> {
        use OutputMode::{Count, Int, MultiHot, OneHot};
        check_depth("num_bins", self.num_bins)?;
        self.output_mode.check(&[Int, OneHot, MultiHot, Count])?;
        check_dense(self.sparse)?;
        self.output_mode.shape(x, self.num_bins)
    }
}

impl Layer for Hashing {
    fn class_name(&self) -> &'static str {
        "Hashing"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if let Some(MaskValue::Text(text)) = &self.mask_value {
            let want = "an integer, since a model's inputs are numbers";
            return Err(Error::arg("mask_value", want, format!("{text:?}")));
        }
        self.shape(one_input(inputs)?)
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0].data;
        let mask = match self.mask_value {
            Some(MaskValue::Id(id)) if self.masks() => Some(id),
            _ => None,
        };
        let place = |i: usize| match integer(x[i]) {
            None => Place::Missing,
            // A number with something behind the point is not the mask.
            Some(id) if mask == Some(id) && x[i].fract() == 0.0 => Place::At(0),
            Some(id) => self.bin(Decimal::new(id).bytes()),
        };
        let (mode, depth, y) = (self.output_mode, self.num_bins, cx.y);
        mode.encode(y.batch, depth, y.data, cx.par, x.len(), place, |_| 1.0);
    }

    fn backward(&self, _cx: Backward<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;
    use ndarray::array;

    #[test]
    fn laws() {
        for mode in ["int", "one_hot", "multi_hot", "count"] {
            check_layer(Hashing::new(4).output_mode(mode), &[[3].into()]);
            let masked = Hashing::new(4).output_mode(mode).mask_value(0).salt(7);
            check_layer(masked, &[[2, 1].into()]);
        }
    }

    /// Keras 3.15.
    #[test]
    fn bins_are_kerass() {
        let bins = |layer: &Hashing| {
            let x: (&[_], &[_]) = (&[1.0, 3.0, -5.0, 12345.0], &[4]);
            apply(layer, &[x], &[None], &[]).0
        };
        let masked = Hashing::new(10).mask_value(3);
        assert_eq!(bins(&masked), [1.0, 0.0, 1.0, 8.0]);
        let texts = masked.hash(&array![[1, 3, -5, 12345]].map(|n| n.to_string()));
        assert_eq!(texts.unwrap(), array![[1.0, 0.0, 1.0, 8.0]].into_dyn());
        let hot = bins(&Hashing::new(3).output_mode("one_hot"));
        assert_eq!(hot[..6], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(hot[9..], [0.0, 1.0, 0.0]);
        let text = Hashing::new(10).mask_value("").hash(&["a", "", "hello"]);
        assert_eq!(text.unwrap(), array![4.0, 0.0, 8.0].into_dyn());
        let salted = Hashing::new(3)
            .salt([133, 137])
            .hash(&["A", "B", "C", "D", "E"]);
        assert_eq!(salted.unwrap(), array![1.0, 2.0, 1.0, 0.0, 2.0].into_dyn());
        let large = apply(&Hashing::new(3), &[(&[1e9], &[1])], &[None], &[]);
        assert!(large.0[0].is_nan());
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: Hashing| layer.output_shape(&[[2].into()]).unwrap_err().to_string();
        assert!(refused(Hashing::new(0)).contains("num_bins"));
        assert!(refused(Hashing::new(usize::MAX)).contains("num_bins"));
        assert!(refused(Hashing::new(2).mask_value("a")).contains("mask_value"));
        assert!(refused(Hashing::new(2).output_mode("tf_idf")).contains("output_mode"));
        assert!(refused(Hashing::new(2).output_mode("count").sparse(true)).contains("sparse"));
        assert!(Hashing::new(0).hash(&["a"]).is_err());
    }
}
