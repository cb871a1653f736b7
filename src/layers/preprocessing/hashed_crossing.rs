//! Several ids as one bin: a hash of their combination, TensorFlow's `sparse.cross_hashed`.

use serde::{Deserialize, Serialize};

use super::encoding::{OutputMode, Place, check_dense, check_depth, contract, integer};
use super::fingerprint::concatenated;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::shape::Shape;

/// TensorFlow's default.
const KEY: u64 = 0xDE_CAFC_AFFE;

/// Turns each combination of two or more ids into one of `num_bins` bins.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/categorical/hashed_crossing/)
///
/// Inputs `(batch, 1)` (or one number a sample) of integers, all of the same shape; the output has that shape too, or
/// `(batch, num_bins)` with `one_hot`. An id beyond 2^24, which `f32` does not hold exactly, gives NaN.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_bins` | | number of bins |
/// | `output_mode` | `int` | `int` or `one_hot` |
/// | `sparse` | false | must be false |
///
/// ```
/// use oxhorn::{layers::HashedCrossing, prelude::*};
/// use ndarray::array;
/// let (hour, day) = (Input::new([1]), Input::new([1]));
/// let both = HashedCrossing::new(1_000_000).call([&hour, &day])?;
/// let model = Model::new([hour, day], [both])?;
/// let bins = model.predict([&array![[1], [2]], &array![[5], [6]]])?;
/// assert_eq!(bins, array![[340733.0], [493836.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedCrossing {
    num_bins: usize,
    #[serde(default)]
    output_mode: OutputMode,
    #[serde(default)]
    sparse: bool,
}

impl HashedCrossing {
    /// Into so many bins.
    pub fn new(num_bins: usize) -> Self {
        HashedCrossing {
            num_bins,
            output_mode: OutputMode::Int,
            sparse: false,
        }
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
}

impl Layer for HashedCrossing {
    fn class_name(&self) -> &'static str {
        "HashedCrossing"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_depth("num_bins", self.num_bins)?;
        self.output_mode
            .check(&[OutputMode::Int, OutputMode::OneHot])?;
        check_dense(self.sparse)?;
        let [first, rest @ ..] = inputs else {
            return Err(Error::shape("at least two inputs", "none"));
        };
        if rest.is_empty() {
            return Err(Error::shape("at least two inputs", "one"));
        }
        if let Some(other) = rest.iter().find(|x| !x.agrees(first)) {
            return Err(Error::shape(format!("inputs of one shape, {first}"), other));
        }
        match inputs.iter().find(|x| !matches!(x.dims(), [] | [Some(1)])) {
            Some(x) => Err(Error::shape("inputs (batch, 1)", x)),
            None => self.output_mode.shape(first, self.num_bins),
        }
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let inputs = cx.x;
        let place = |i: usize| {
            let cross = |hash, id: Option<i64>| Some(concatenated(hash, id? as u64));
            let hash = inputs
                .iter()
                .map(|x| integer(x.data[i]))
                .try_fold(KEY, cross);
            hash.map_or(Place::Missing, |h| {
                Place::At((h % self.num_bins as u64) as usize)
            })
        };
        let (mode, depth, y) = (self.output_mode, self.num_bins, cx.y);
        let elements = inputs[0].data.len();
        mode.encode(y.batch, depth, y.data, cx.par, elements, place, |_| 1.0);
    }

    fn backward(&self, _cx: Backward<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(HashedCrossing::new(5), &[[1].into(), [1].into()]);
        let hot = HashedCrossing::new(5).output_mode("one_hot");
        check_layer(hot.clone(), &[[1].into(), [1].into(), [1].into()]);
        check_layer(hot, &[Shape::default(), Shape::default()]);
    }

    /// Keras 3.15.
    #[test]
    fn bins_are_kerass() {
        let layer = HashedCrossing::new(1_000_000);
        let inputs: [(&[_], &[_]); 2] = [
            (&[1.0, 2.0, -3.0, 100_000.0], &[1]),
            (&[5.0, 6.0, 7.0, -9.0], &[1]),
        ];
        let (y, _) = apply(&layer, &inputs, &[None; 2], &[]);
        assert_eq!(y, [340_733.0, 493_836.0, 551_959.0, 356_362.0]);
        let three: [(&[_], &[_]); 3] = [
            (&[1.0, 2.0], &[1]),
            (&[5.0, 6.0], &[1]),
            (&[0.0, 1.0], &[1]),
        ];
        let (y, _) = apply(&layer, &three, &[None; 3], &[]);
        assert_eq!(y, [947_765.0, 990_511.0]);
        let large: [(&[_], &[_]); 2] = [(&[1.0], &[1]), (&[1e9], &[1])];
        assert!(apply(&layer, &large, &[None; 2], &[]).0[0].is_nan());
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: HashedCrossing, inputs: &[Shape]| {
            layer.output_shape(inputs).unwrap_err().to_string()
        };
        let two = || [Shape::from([1]), Shape::from([1])];
        assert!(refused(HashedCrossing::new(0), &two()).contains("num_bins"));
        let layer = HashedCrossing::new(2);
        assert!(refused(layer.clone(), &two()[..1]).contains("two inputs"));
        assert!(refused(layer.clone().output_mode("count"), &two()).contains("output_mode"));
        assert!(refused(layer.clone().sparse(true), &two()).contains("sparse"));
        let wide = [Shape::from([2]), Shape::from([2])];
        assert!(refused(layer.clone(), &wide).contains("(batch, 1)"));
        assert!(refused(layer, &[Shape::from([1]), Shape::from([2])]).contains("one shape"));
    }
}
