//! Dot-product attention (Luong): scores `c q k^T`, or with `score_mode = "concat"` `w sum_d tanh(c (q_d + k_d))`. Formulas and
//! backward: see `scored`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::scored::{Args, Core};
use super::scores::Scores;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::layer::{
    Backward, Bound, Buffers, Call, Contract, Forward, Layer, Mask, View, Weight, Weights,
};
use crate::shape::{Dims, Shape};

/// Dot-product attention of one head, without projections. [Keras](https://keras.io/api/layers/attention_layers/attention/)
///
/// Called on a list: query `(batch, T, d)`, value `(batch, S, e)` and perhaps key `(batch, S, d)` (else it is the value); output
/// `(batch, T, e)`. By name its call takes `mask` (a list: of query and value, in place of the masks they came with),
/// `use_causal_mask`, `return_attention_scores` (a second output, `(batch, T, S)`) and `training`. What the query's mask hides is
/// 0 in the output, which has that mask.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `use_scale` | false | a trained number `scale` that multiplies the scores |
/// | `score_mode` | `"dot"` | `"dot"`, or `"concat"`: a trained number times `sum tanh(query + key)` |
/// | `dropout` | 0 | fraction of the weights set to zero in training |
/// | `seed` | none | mixed with the model's seed into the dropout |
///
/// ```
/// use oxhorn::{layers::Attention, prelude::*};
/// use ndarray::array;
/// let (query, value) = (Input::new([1, 1]), Input::new([2, 1]));
/// let model = Model::new([&query, &value], &Attention::new().call([&query, &value])?)?;
/// let y = model.predict([&array![[[0.0f32]]].into_dyn(), &array![[[1.0f32], [5.0]]].into_dyn()])?;
/// assert_eq!(y, array![[[3.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    #[serde(default)]
    use_scale: bool,
    #[serde(default = "by_dot")]
    score_mode: String,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(skip)]
    args: Args,
}

fn by_dot() -> String {
    "dot".into()
}

impl Default for Attention {
    fn default() -> Self {
        Attention {
            use_scale: false,
            score_mode: by_dot(),
            dropout: 0.0,
            seed: None,
            args: Args::default(),
        }
    }
}

impl Attention {
    /// By products of query and key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a trained number multiplies the scores.
    pub fn use_scale(mut self, yes: bool) -> Self {
        self.use_scale = yes;
        self
    }

    /// `"dot"` or `"concat"`.
    pub fn score_mode(mut self, mode: impl Into<String>) -> Self {
        self.score_mode = mode.into();
        self
    }

    /// Fraction of the weights set to zero in training.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = rate;
        self
    }

    /// Mixed with the model's seed into the dropout.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn core(&self) -> Core {
        Core {
            dropout: self.dropout,
            seed: self.seed,
            args: self.args,
        }
    }

    fn is_concat(&self) -> bool {
        self.score_mode == "concat"
    }

    fn scores<'a>(&self, w: &mut Weights<'a>) -> Scores<'a> {
        let c = if self.use_scale { w.next() } else { None };
        match self.is_concat() {
            true => Scores::Tanh { c, w: w.next() },
            false => Scores::Dot { c },
        }
    }
}

impl Layer for Attention {
    fn class_name(&self) -> &'static str {
        "Attention"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let (args, bound) = Args::bind(call)?;
        let layer = Attention {
            args,
            ..self.clone()
        };
        Ok(Bound {
            layer: Some(Arc::new(layer)),
            ..bound
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !matches!(self.score_mode.as_str(), "dot" | "concat") {
            return Err(Error::arg(
                "score_mode",
                "`dot` or `concat`",
                format!("`{}`", self.score_mode),
            ));
        }
        self.core().output_shape(inputs)
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(self.core().more_outputs(inputs))
    }

    fn weights(&self, _inputs: &[Shape]) -> Result<Vec<Weight>> {
        let one = |name| Weight::new(name, Dims::default(), &Initializer::Ones);
        let scale = self.use_scale.then(|| one("scale"));
        let weight = self.is_concat().then(|| one("concat_score_weight"));
        Ok(scale.into_iter().chain(weight).collect())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.core().buffers(
            inputs,
            usize::from(self.use_scale) + usize::from(self.is_concat()),
        )
    }

    fn contract(&self) -> Contract {
        self.core().contract()
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        self.core().mask_shape(inputs, masks)
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        self.core().compute_mask(x, masks, out);
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let scores = self.scores(&mut cx.w);
        self.core().forward(cx, scores);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let scores = self.scores(&mut cx.w);
        self.core().backward(cx, scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Arg;
    use crate::testing::check_dyn;
    use serde_json::{Value, json};

    fn called(layer: Attention, tensors: usize, kwargs: &[(&str, Arg)]) -> Arc<dyn Layer> {
        let mut call = Call::plain(tensors);
        call.kwargs = kwargs
            .iter()
            .map(|(name, arg)| (name.to_string(), arg.clone()))
            .collect();
        layer.bind(&call).unwrap().layer.unwrap()
    }

    #[test]
    fn laws() {
        let two: &[Shape] = &[[3, 2].into(), [4, 2].into()];
        let three: &[Shape] = &[[3, 2].into(), [4, 3].into(), [4, 2].into()];
        let check = |layer: Arc<dyn Layer>, inputs: &[Shape]| {
            check_dyn(layer.as_ref(), inputs, &vec![None; inputs.len()]);
        };
        let causal = ("use_causal_mask", Arg::Value(json!(true)));
        let scores = ("return_attention_scores", Arg::Value(json!(true)));
        for mode in ["dot", "concat"] {
            for use_scale in [false, true] {
                let layer = Attention::new().score_mode(mode).use_scale(use_scale);
                check(called(layer.clone(), 2, &[]), two);
                check(
                    called(layer.clone(), 3, &[causal.clone(), scores.clone()]),
                    three,
                );
                let masks = [Some(Shape::from([3])), Some([4].into())];
                check_dyn(called(layer, 2, &[]).as_ref(), two, &masks);
            }
        }
        check(
            called(Attention::new().use_scale(true), 2, &[]),
            &[[2, 3, 1].into(), [2, 2, 1].into()],
        );
        check(
            called(Attention::new().score_mode("concat"), 2, &[]),
            &[[3, 1].into(), [2, 1].into()],
        );
        check(called(Attention::new().dropout(0.3), 2, &[scores]), two);
        let masks = Arg::List(vec![Arg::Value(Value::Null), Arg::Tensor(2)]);
        let given = called(Attention::new(), 2, &[("mask", masks)]);
        check(given, &[[3, 2].into(), [4, 2].into(), [4].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: Attention, inputs: &[Shape], what: &str| {
            let e = called(layer, inputs.len(), &[])
                .output_shape(inputs)
                .unwrap_err()
                .to_string();
            assert!(e.contains(what), "{e}");
        };
        let two: &[Shape] = &[[3, 2].into(), [4, 2].into()];
        refused(Attention::new().score_mode("sum"), two, "`score_mode`");
        refused(Attention::new().dropout(-0.1), two, "`dropout`");
        refused(
            Attention::new(),
            &[[3, 2].into(), [4, 3].into()],
            "features of the query",
        );
        refused(Attention::new(), &[[3].into(), [4].into()], "3 (batch");
        refused(
            Attention::new(),
            &[[3, 2].into(), [4, 2].into(), [5, 2].into()],
            "equal lengths",
        );
        refused(
            Attention::new(),
            &[[2, 3, 2].into(), [3, 4, 2].into()],
            "equal axes",
        );
        refused(
            Attention::new(),
            &[[3, 2].into(), [0, 2].into()],
            "none empty",
        );
        assert!(Attention::new().bind(&Call::plain(1)).is_err());
        assert!(Attention::new().bind(&Call::plain(4)).is_err());
        let layer = called(Attention::new(), 2, &[]);
        assert!(layer.mask_shape(two, &[Some([2].into()), None]).is_err());
    }
}
