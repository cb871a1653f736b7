//! Additive attention (Bahdanau): scores `sum_d scale_d tanh(q_d + k_d)`. Formulas and backward: see `scored`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::scored::{Args, Core};
use super::scores::Scores;
use crate::config::{Config, to_config};
use crate::error::Result;
use crate::layer::{
    Backward, Bound, Buffers, Call, Contract, Forward, Layer, Mask, View, Weight, Weights,
};
use crate::layers::args::{glorot_uniform, yes};
use crate::shape::{Dims, Shape};

/// Additive attention of one head, without projections.
/// [Keras](https://keras.io/api/layers/attention_layers/additive_attention/)
///
/// Called as [`Attention`](super::Attention) is: on a list of query `(batch, T, d)`, value `(batch, S, e)` and perhaps key
/// `(batch, S, d)`; output `(batch, T, e)`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `use_scale` | true | a trained vector `scale (d)` in the scores `sum scale tanh(query + key)` |
/// | `dropout` | 0 | fraction of the weights set to zero in training |
/// | `seed` | none | mixed with the model's seed into the dropout |
///
/// ```
/// use oxhorn::{layers::AdditiveAttention, prelude::*};
/// let (query, value) = (Input::new([3, 8]), Input::new([5, 8]));
/// let y = AdditiveAttention::new().call([&query, &value])?;
/// assert_eq!(y.shape(), &Shape::from([3, 8]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdditiveAttention {
    #[serde(default = "yes")]
    use_scale: bool,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(skip)]
    args: Args,
}

impl Default for AdditiveAttention {
    fn default() -> Self {
        AdditiveAttention {
            use_scale: true,
            dropout: 0.0,
            seed: None,
            args: Args::default(),
        }
    }
}

impl AdditiveAttention {
    /// With a trained scale.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a trained vector weighs the features.
    pub fn use_scale(mut self, yes: bool) -> Self {
        self.use_scale = yes;
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

    fn scores<'a>(&self, w: &mut Weights<'a>) -> Scores<'a> {
        Scores::Tanh {
            c: None,
            w: if self.use_scale { w.next() } else { None },
        }
    }
}

impl Layer for AdditiveAttention {
    fn class_name(&self) -> &'static str {
        "AdditiveAttention"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let (args, bound) = Args::bind(call)?;
        let layer = AdditiveAttention {
            args,
            ..self.clone()
        };
        Ok(Bound {
            layer: Some(Arc::new(layer)),
            ..bound
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.core().output_shape(inputs)
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(self.core().more_outputs(inputs))
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let d = inputs[0].last().unwrap_or(0);
        let scale = self
            .use_scale
            .then(|| Weight::new("scale", [d], &glorot_uniform()));
        Ok(scale.into_iter().collect())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.core()
            .buffers(inputs, if self.use_scale { inputs[0].last() } else { 0 })
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
    use serde_json::json;

    fn called(layer: AdditiveAttention, tensors: usize, kwargs: &[(&str, Arg)]) -> Arc<dyn Layer> {
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
        let causal = ("use_causal_mask", Arg::Value(json!(true)));
        for use_scale in [false, true] {
            let layer = AdditiveAttention::new().use_scale(use_scale);
            check_dyn(called(layer.clone(), 2, &[]).as_ref(), two, &[None, None]);
            check_dyn(
                called(layer.clone(), 2, std::slice::from_ref(&causal)).as_ref(),
                two,
                &[Some([3].into()), None],
            );
            let three: &[Shape] = &[[3, 1].into(), [4, 3].into(), [4, 1].into()];
            check_dyn(called(layer, 3, &[]).as_ref(), three, &[None, None, None]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let layer = called(AdditiveAttention::new(), 2, &[]);
        assert!(layer.output_shape(&[[3, 2].into(), [4, 3].into()]).is_err());
        let layer = called(AdditiveAttention::new().dropout(2.0), 2, &[]);
        let e = layer
            .output_shape(&[[3, 2].into(), [4, 2].into()])
            .unwrap_err();
        assert!(e.to_string().contains("`dropout`"));
    }
}
