//! Categories as rows: `y[id] = 1`, a count, or a sum of weights. Ids have no gradient, and (as in Keras) neither have weights.

use serde::{Deserialize, Serialize};

use super::encoding::{OutputMode, Place, check_dense, check_depth, contract, integer};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Bound, Call, Contract, Forward, Layer};
use crate::shape::Shape;

/// Turns ids of categories into rows.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/categorical/category_encoding/)
///
/// Input `(batch, n)` of ids below `num_tokens`, output `(batch, num_tokens)`; with `one_hot` and `n > 1` it is
/// `(batch, n, num_tokens)`. In mode `count` a second input of the same shape, `count_weights`, says how much each id counts.
/// Ids of `num_tokens` and more count nowhere; a row with a negative id is NaN.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_tokens` | | number of categories |
/// | `output_mode` | `multi_hot` | `one_hot`, `multi_hot` or `count` |
/// | `sparse` | false | must be false |
///
/// ```
/// use oxhorn::{layers::CategoryEncoding, prelude::*};
/// use ndarray::array;
/// let mut model = Sequential::new().input([2]).add(CategoryEncoding::new(3).output_mode("count"));
/// model.build([2])?;
/// assert_eq!(model.predict(&array![[2, 2], [0, 1]])?, array![[0.0, 0.0, 2.0], [1.0, 1.0, 0.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryEncoding {
    num_tokens: usize,
    #[serde(default = "multi_hot")]
    output_mode: OutputMode,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sparse: bool,
}

fn multi_hot() -> OutputMode {
    OutputMode::MultiHot
}

impl CategoryEncoding {
    /// Of so many categories.
    pub fn new(num_tokens: usize) -> Self {
        CategoryEncoding {
            num_tokens,
            output_mode: OutputMode::MultiHot,
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

impl Layer for CategoryEncoding {
    fn class_name(&self) -> &'static str {
        "CategoryEncoding"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut args = call.by_name(&["inputs", "count_weights"])?;
        let mut bound = Bound {
            inputs: args.tensors("inputs")?,
            ..Bound::default()
        };
        bound.inputs.extend(args.tensor("count_weights")?);
        args.context(&mut bound)?;
        args.finish()?;
        Ok(bound)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        use OutputMode::{Count, MultiHot, OneHot};
        check_depth("num_tokens", self.num_tokens)?;
        self.output_mode.check(&[OneHot, MultiHot, Count])?;
        check_dense(self.sparse)?;
        let x = match inputs {
            [x] => x,
            [x, weights] => {
                if self.output_mode != Count {
                    let want = "none unless `output_mode` is `count`";
                    return Err(Error::arg("count_weights", want, "some"));
                }
                if !weights.agrees(x) {
                    let want = format!("the shape of the ids, {x}");
                    return Err(Error::arg("count_weights", want, weights));
                }
                x
            }
            _ => {
                let got = format!("{} inputs", inputs.len());
                return Err(Error::shape("one input, and perhaps `count_weights`", got));
            }
        };
        self.output_mode.shape(x, self.num_tokens)
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0].data;
        let one_hot = self.output_mode == OutputMode::OneHot;
        let place = |i: usize| match integer(x[i]) {
            Some(id) if id >= 0 => Place::At(id as usize),
            Some(_) if one_hot => Place::Nowhere,
            _ => Place::Missing,
        };
        let weights = cx.x.get(1).map(|w| w.data);
        let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
        let (mode, depth) = (self.output_mode, self.num_tokens);
        let y = cx.y;
        mode.encode(y.batch, depth, y.data, cx.par, x.len(), place, weight);
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
        let layer = || CategoryEncoding::new(4).output_mode("one_hot");
        check_layer(layer(), &[[3].into()]);
        check_layer(layer(), &[[1].into()]);
        check_layer(layer(), &[[3, 2].into()]);
        check_layer(layer(), &[Shape::default()]);
    }

    /// Keras 3.15.
    #[test]
    fn ids_outside_and_weights() {
        let layer = CategoryEncoding::new(3).output_mode("count");
        let (y, _) = apply(&layer, &[(&[0.0, 5.0, 1.0, 1.0], &[2])], &[None], &[]);
        assert_eq!(y, [1.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        let inputs: [(&[_], &[_]); 2] = [
            (&[0.0, 1.0, 0.0, 0.0], &[2]),
            (&[0.25, 0.5, 0.125, 0.125], &[2]),
        ];
        let (y, _) = apply(&layer, &inputs, &[None, None], &[]);
        assert_eq!(y, [0.25, 0.5, 0.0, 0.25, 0.0, 0.0]);
        let (y, _) = apply(&layer, &[(&[0.0, -1.0], &[2])], &[None], &[]);
        assert!(y.iter().all(|v| v.is_nan()));
        let hot = CategoryEncoding::new(3);
        let (y, _) = apply(&hot, &[(&[2.0, 2.0, 7.0, 0.0], &[2])], &[None], &[]);
        assert_eq!(y, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: CategoryEncoding, inputs: &[Shape]| {
            layer.output_shape(inputs).unwrap_err().to_string()
        };
        let x = || [Shape::from([2])];
        assert!(refused(CategoryEncoding::new(0), &x()).contains("num_tokens"));
        assert!(refused(CategoryEncoding::new(usize::MAX), &x()).contains("num_tokens"));
        let layer = CategoryEncoding::new(2);
        assert!(refused(layer.clone().output_mode("int"), &x()).contains("output_mode"));
        assert!(refused(layer.clone().sparse(true), &x()).contains("dense"));
        let two = [Shape::from([2]), Shape::from([2])];
        assert!(refused(layer.clone(), &two).contains("count_weights"));
        let other = [Shape::from([2]), Shape::from([3])];
        assert!(refused(layer.clone().output_mode("count"), &other).contains("count_weights"));
        assert!(refused(layer, &[Shape::default()]).contains("axes"));
    }
}
