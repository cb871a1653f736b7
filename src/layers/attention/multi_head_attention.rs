//! Multi-head attention. Formulas and backward: see `heads`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::head_shapes::Args;
use super::heads::Core;
use super::projection::Style;
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::initializer::Initializer;
use crate::layer::{Backward, Bound, Buffers, Call, Contract, Forward, Layer, Mask, View, Weight};
use crate::layers::args::{glorot_uniform, yes, zeros};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Attention of queries to keys and values, in several heads. [Keras](https://keras.io/api/layers/attention_layers/multi_head_attention/)
///
/// Query `(batch, T, ..)` and value `(batch, S, ..)`, output `(batch, T, features of the query)`. With more axes attention goes
/// over all of them, or over `attention_axes`. Weights: kernel and bias of query `(features, heads, key_dim)`, key, gate, value
/// `(features, heads, value_dim)` and output `(heads, value_dim, features)`.
///
/// Its call: `query`, `value` and perhaps `key` (else it is the value), by position or name, and by name
///
/// | name | meaning |
/// |---|---|
/// | `attention_mask` | `(batch, T, S)` or `(batch, heads, T, S)`, axes of size 1 repeated: zero hides a key from a query |
/// | `value_mask`, `key_mask`  | zero hides a key; in place of the masks that the tensors came with |
/// | `use_causal_mask` | query `i` sees keys up to `i` |
/// | `return_attention_scores` | a second output: the weights of the attention `(batch, heads, T, S)` |
/// | `training` | whether weights are dropped |
///
/// The masks of query, value and key are honoured: the output has the query's, and as in Keras later layers see the three tensors
/// without them. Keras replaces a `query_mask` given in the call by the query's own; so does this layer.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `num_heads` | | number of heads |
/// | `key_dim` | | size of queries and keys in a head |
/// | `value_dim` | `key_dim` | size of values in a head |
/// | `dropout` | 0 | fraction of the attention's weights set to zero in training |
/// | `use_bias` | true | whether the projections add a bias |
/// | `use_gate` | false | multiply what the heads give by a sigmoid of a projection of the query |
/// | `output_shape` | features of the query | axes of the output in their place |
/// | `attention_axes` | all but batch and features | axes attended over, with the batch |
/// | `sliding_window` | none | a query sees only keys less than so many places away |
/// | `flash_attention` | none | a hint that changes no numbers; true excludes dropout and attention scores |
/// | `kernel_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the projections start |
/// | `kernel_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `bias_constraint` | none | projections after each update |
/// | `seed` | none | mixed with the model's seed into the dropout |
///
/// ```
/// use oxhorn::prelude::*;
/// let (query, value) = (Input::new([3, 8]), Input::new([5, 8]));
/// let y = MultiHeadAttention::new(2, 4).call(Inputs::of(&query).and(&value))?;
/// let model = Model::new([&query, &value], &y)?;
/// assert_eq!(y.shape(), &Shape::from([3, 8]));
/// assert_eq!(model.count_params(), 4 * (8 * 8 + 8));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiHeadAttention {
    num_heads: usize,
    key_dim: usize,
    #[serde(default)]
    value_dim: Option<usize>,
    #[serde(default)]
    dropout: f64,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default)]
    use_gate: bool,
    #[serde(default, deserialize_with = "one_or_many")]
    output_shape: Option<Vec<usize>>,
    #[serde(default, deserialize_with = "one_or_many")]
    attention_axes: Option<Vec<i64>>,
    #[serde(default)]
    sliding_window: Option<usize>,
    #[serde(default = "glorot_uniform")]
    kernel_initializer: Initializer,
    #[serde(default = "zeros")]
    bias_initializer: Initializer,
    #[serde(default)]
    kernel_regularizer: Option<Regularizer>,
    #[serde(default)]
    bias_regularizer: Option<Regularizer>,
    #[serde(default)]
    kernel_constraint: Option<Constraint>,
    #[serde(default)]
    bias_constraint: Option<Constraint>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(skip)]
    flash_attention: Option<bool>,
    #[serde(skip)]
    args: Args,
}

/// Null, a number or a list.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> std::result::Result<Option<Vec<T>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(Option::<Form<T>>::deserialize(d)?.map(|form| match form {
        Form::One(one) => vec![one],
        Form::Many(many) => many,
    }))
}

impl MultiHeadAttention {
    /// So many heads of this size.
    pub fn new(num_heads: usize, key_dim: usize) -> Self {
        MultiHeadAttention {
            num_heads,
            key_dim,
            value_dim: None,
            dropout: 0.0,
            use_bias: true,
            use_gate: false,
            output_shape: None,
            attention_axes: None,
            sliding_window: None,
            kernel_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            kernel_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
            seed: None,
            flash_attention: None,
            args: Args::default(),
        }
    }

    /// Size of values in a head.
    pub fn value_dim(mut self, size: usize) -> Self {
        self.value_dim = Some(size);
        self
    }

    /// Axes of the output in place of the features of the query.
    pub fn output_shape<const N: usize>(mut self, shape: [usize; N]) -> Self {
        self.output_shape = Some(shape.into());
        self
    }

    /// Axes attended over, counted with the batch.
    pub fn attention_axes<const N: usize>(mut self, axes: [i64; N]) -> Self {
        self.attention_axes = Some(axes.into());
        self
    }

    /// Fraction of the attention's weights set to zero in training.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = rate;
        self
    }

    /// Whether the projections add a bias.
    pub fn use_bias(mut self, yes: bool) -> Self {
        self.use_bias = yes;
        self
    }

    /// Whether a sigmoid of a projection of the query multiplies what the heads give.
    pub fn use_gate(mut self, yes: bool) -> Self {
        self.use_gate = yes;
        self
    }

    /// A query sees only keys less than so many places away.
    pub fn sliding_window(mut self, window: usize) -> Self {
        self.sliding_window = Some(window);
        self
    }

    /// A hint about the algorithm of other backends; the numbers are the same. True excludes dropout and attention scores.
    pub fn flash_attention(mut self, yes: impl Into<Option<bool>>) -> Self {
        self.flash_attention = yes.into();
        self
    }

    /// How the kernels of all projections start.
    pub fn kernel_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.kernel_initializer = initializer.into();
        self
    }

    /// How the biases of all projections start.
    pub fn bias_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.bias_initializer = initializer.into();
        self
    }

    /// Penalty on the kernels.
    pub fn kernel_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.kernel_regularizer = Some(regularizer.into());
        self
    }

    /// Penalty on the biases.
    pub fn bias_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.bias_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the kernels after each update.
    pub fn kernel_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.kernel_constraint = Some(constraint.into());
        self
    }

    /// Projection of the biases after each update.
    pub fn bias_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.bias_constraint = Some(constraint.into());
        self
    }

    /// Mixed with the model's seed into the dropout.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn core(&self) -> Core<'_> {
        Core {
            style: Style {
                use_bias: self.use_bias,
                kernel_initializer: &self.kernel_initializer,
                bias_initializer: &self.bias_initializer,
                kernel_regularizer: &self.kernel_regularizer,
                bias_regularizer: &self.bias_regularizer,
                kernel_constraint: &self.kernel_constraint,
                bias_constraint: &self.bias_constraint,
            },
            groups: [
                "query_dense",
                "key_dense",
                "_gate_dense",
                "value_dense",
                "output_dense",
            ],
            heads: self.num_heads,
            kv_heads: self.num_heads,
            h: self.key_dim,
            hv: self.value_dim.unwrap_or(self.key_dim),
            use_gate: self.use_gate,
            dropout: self.dropout,
            seed: self.seed,
            window: self.sliding_window,
            flash: self.flash_attention == Some(true),
            axes: self.attention_axes.as_deref(),
            output: self.output_shape.as_deref(),
            args: self.args,
        }
    }
}

impl Layer for MultiHeadAttention {
    fn class_name(&self) -> &'static str {
        "MultiHeadAttention"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let (args, bound) = Args::bind(call, false)?;
        let layer = MultiHeadAttention {
            args,
            ..self.clone()
        };
        Ok(Bound {
            layer: Some(Arc::new(layer)),
            ..bound
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        for (arg, size) in [
            ("num_heads", self.num_heads),
            ("key_dim", self.key_dim),
            ("value_dim", self.core().hv),
        ] {
            if size == 0 {
                return Err(Error::arg(arg, "a positive integer", 0));
            }
        }
        self.core().output_shape(inputs)
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        self.core().more_outputs(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        self.core().weights(inputs)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.core().buffers(inputs)
    }

    fn contract(&self) -> Contract {
        self.core().contract(true)
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        self.core().mask_shape(inputs, masks)
    }

    fn compute_mask(&self, _x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        if let Some(mask) = &masks[0] {
            out.copy_from_slice(mask.data);
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        self.core().forward(cx);
    }

    fn backward(&self, cx: Backward<'_>) {
        self.core().backward(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Arg;
    use crate::testing::check_dyn;
    use serde_json::json;

    /// The layer called with so many tensors by position, and these arguments by name.
    fn called(layer: MultiHeadAttention, tensors: usize, kwargs: &[(&str, Arg)]) -> Arc<dyn Layer> {
        let args = (0..tensors).map(Arg::Tensor).collect();
        let kwargs = kwargs
            .iter()
            .map(|(name, arg)| (name.to_string(), arg.clone()))
            .collect();
        layer.bind(&Call { args, kwargs }).unwrap().layer.unwrap()
    }

    fn laws(layer: &Arc<dyn Layer>, inputs: &[Shape], masks: &[Option<Shape>]) {
        check_dyn(layer.as_ref(), inputs, masks);
    }

    #[test]
    fn laws_of_projections() {
        let two: &[Shape] = &[[3, 4].into(), [2, 5].into()];
        let none = &[None, None];
        let mha = || MultiHeadAttention::new(2, 3);
        laws(&called(mha(), 2, &[]), two, none);
        laws(
            &called(mha().use_bias(false).value_dim(2), 2, &[]),
            two,
            none,
        );
        laws(
            &called(mha().use_gate(true).output_shape([3, 2]), 2, &[]),
            two,
            none,
        );
        let three = called(mha().value_dim(2), 3, &[]);
        laws(
            &three,
            &[[3, 4].into(), [2, 5].into(), [2, 3].into()],
            &[None, None, None],
        );
    }

    #[test]
    fn laws_of_masks() {
        let two: &[Shape] = &[[3, 2].into(), [4, 2].into()];
        let mha = || MultiHeadAttention::new(2, 2);
        let causal = ("use_causal_mask", Arg::Value(json!(true)));
        laws(
            &called(mha(), 2, std::slice::from_ref(&causal)),
            two,
            &[None, None],
        );
        laws(
            &called(mha().sliding_window(2), 2, &[causal]),
            two,
            &[None, None],
        );
        laws(
            &called(mha(), 2, &[]),
            two,
            &[Some([3].into()), Some([4].into())],
        );
        let mask = ("attention_mask", Arg::Tensor(2));
        let scores = ("return_attention_scores", Arg::Value(json!(true)));
        for shape in [Shape::from([3, 4]), [1, 4].into(), [2, 3, 4].into()] {
            let inputs = [two[0].clone(), two[1].clone(), shape];
            let layer = called(mha(), 2, &[mask.clone(), scores.clone()]);
            laws(&layer, &inputs, &[Some([3].into()), None, None]);
        }
    }

    #[test]
    fn laws_of_dropout() {
        let two: &[Shape] = &[[3, 2].into(), [4, 2].into()];
        let layer = MultiHeadAttention::new(2, 2).dropout(0.3).seed(7);
        laws(&called(layer, 2, &[]), two, &[None, Some([4].into())]);
    }

    #[test]
    fn laws_of_axes() {
        let two: &[Shape] = &[[2, 3, 2].into(), [2, 3, 2].into()];
        let mha = || MultiHeadAttention::new(2, 2);
        laws(&called(mha(), 2, &[]), two, &[None, None]);
        laws(
            &called(mha().attention_axes([2]), 2, &[]),
            two,
            &[Some([2, 3].into()), Some([2, 3].into())],
        );
        let moved = mha().attention_axes([1]).output_shape([2, 2]);
        let scores = ("return_attention_scores", Arg::Value(json!(true)));
        laws(
            &called(moved.clone(), 2, std::slice::from_ref(&scores)),
            two,
            &[None, None],
        );
        let layer = called(moved, 2, &[scores]);
        assert_eq!(layer.output_shape(two).unwrap(), [2, 3, 2, 2].into());
        assert_eq!(
            layer.more_outputs(two).unwrap(),
            [Shape::from([3, 2, 2, 2])]
        );
    }

    #[test]
    fn mistakes_are_named() {
        let two: &[Shape] = &[[3, 4].into(), [2, 5].into()];
        let mha = || MultiHeadAttention::new(2, 3);
        let refused = |layer: MultiHeadAttention, inputs: &[Shape], what: &str| {
            let layer = called(layer, inputs.len(), &[]);
            let e = layer
                .output_shape(inputs)
                .unwrap_err()
                .owned_by("mha")
                .to_string();
            assert!(e.starts_with("mha: ") && e.contains(what), "{e}");
        };
        refused(MultiHeadAttention::new(0, 3), two, "`num_heads`");
        refused(MultiHeadAttention::new(2, 0), two, "`key_dim`");
        refused(mha().value_dim(0), two, "`value_dim`");
        refused(mha().dropout(1.5), two, "`dropout`");
        refused(mha().sliding_window(0), two, "`sliding_window`");
        refused(mha().attention_axes([2]), two, "`attention_axes`");
        refused(mha().attention_axes([0]), two, "`attention_axes`");
        refused(mha().output_shape([0]), two, "`output_shape`");
        refused(
            mha().dropout(0.1).flash_attention(true),
            two,
            "`flash_attention`",
        );
        refused(mha(), &[[3].into(), [3].into()], "3 axes");
        refused(mha(), &[[3, 4].into(), [2, 2, 5].into()], "value of 3 axes");
        refused(
            mha(),
            &[[3, 4].into(), [2, 5].into(), [3, 5].into()],
            "equal sizes",
        );
        refused(mha(), &[[3, 4].into(), [None, None].into()], "known size");
        refused(mha(), &[[3, 4].into(), [0, 5].into()], "nothing empty");
        let mask = called(mha(), 2, &[("attention_mask", Arg::Tensor(2))]);
        for shape in [
            Shape::from([3, 3]),
            [3].into(),
            [3, 3, 2].into(),
            [1, 2, 3, 2].into(),
        ] {
            let inputs = [two[0].clone(), two[1].clone(), shape];
            assert!(
                mask.output_shape(&inputs)
                    .unwrap_err()
                    .to_string()
                    .contains("`attention_mask`")
            );
        }
        let axes = called(mha().attention_axes([1, 2]), 2, &[]);
        let four: &[Shape] = &[[2, 3, 2].into(), [2, 3, 2].into()];
        assert!(axes.mask_shape(four, &[Some([2, 3].into()), None]).is_err());
        let call = |name: &str| Call {
            args: vec![Arg::Tensor(0), Arg::Tensor(1)],
            kwargs: vec![(name.into(), Arg::Tensor(2))],
        };
        assert!(mha().bind(&call("mask")).is_err() && mha().bind(&call("bias")).is_err());
        assert!(mha().bind(&Call::default()).is_err());
    }
}
