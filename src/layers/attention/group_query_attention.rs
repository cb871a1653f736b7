//! Grouped-query attention: several heads of the queries share a head of keys and values. Formulas and backward: see `heads`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

/// Attention in which groups of query heads share a head of keys and values.
/// [Keras](https://keras.io/api/layers/attention_layers/group_query_attention/)
///
/// Query `(batch, T, features)`, value `(batch, S, features)`, output like the query. Weights: kernel and bias of query
/// `(features, num_query_heads, head_dim)`, key, gate, value `(features, num_key_value_heads, head_dim)` and output
/// `(num_query_heads, head_dim, features)`.
///
/// Its call: `query`, `value` and perhaps `key` (else it is the value), by position or name, and by name
///
/// | name | meaning |
/// |---|---|
/// | `attention_mask` | `(batch, T, S)` or `(batch, heads, T, S)`, axes of size 1 repeated: zero hides a key from a query |
/// | `query_mask`, `value_mask`, `key_mask`  | zero hides a key; in place of the masks that the tensors came with |
/// | `use_causal_mask` | query `i` sees keys up to `i` |
/// | `return_attention_scores` | a second output: the weights of the attention `(batch, heads, T, S)` |
/// | `training` | whether weights are dropped |
///
/// The masks of query, value and key are honoured, and the output has the query's.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `head_dim` | | size of a head |
/// | `num_query_heads` | | heads of the queries |
/// | `num_key_value_heads` | | heads of keys and values: a divisor of `num_query_heads` |
/// | `dropout` | 0 | fraction of the attention's weights set to zero in training |
/// | `use_bias` | true | whether the projections add a bias |
/// | `use_gate` | false | multiply what the heads give by a sigmoid of a projection of the query |
/// | `sliding_window` | none | a query sees only keys less than so many places away |
/// | `flash_attention` | none | a hint that changes no numbers; true excludes dropout and attention scores |
/// | `kernel_initializer`, `bias_initializer` | `glorot_uniform`, `zeros` | how the projections start |
/// | `kernel_regularizer`, `bias_regularizer` | none | penalties added to the loss |
/// | `kernel_constraint`, `bias_constraint` | none | projections after each update |
/// | `seed` | none | mixed with the model's seed into the dropout |
///
/// ```
/// use oxhorn::prelude::*;
/// let x = Input::new([6, 8]);
/// let y = GroupQueryAttention::new(4, 4, 2).call(Inputs::of(&x).and(&x).constant("use_causal_mask", true))?;
/// let model = Model::new(&x, &y)?;
/// assert_eq!(model.count_params(), 2 * (8 * 16 + 8 * 8) + 16 + 8 + 8 + 8);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupQueryAttention {
    head_dim: usize,
    num_query_heads: usize,
    num_key_value_heads: usize,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default)]
    use_gate: bool,
    #[serde(default)]
    sliding_window: Option<usize>,
    #[serde(default)]
    dropout: f64,
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

impl GroupQueryAttention {
    /// So many heads of this size.
    pub fn new(head_dim: usize, num_query_heads: usize, num_key_value_heads: usize) -> Self {
        GroupQueryAttention {
            head_dim,
            num_query_heads,
            num_key_value_heads,
            use_bias: true,
            use_gate: false,
            sliding_window: None,
            dropout: 0.0,
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
                "_query_dense",
                "_key_dense",
                "_gate_dense",
                "_value_dense",
                "_output_dense",
            ],
            heads: self.num_query_heads,
            kv_heads: self.num_key_value_heads,
            h: self.head_dim,
            hv: self.head_dim,
            use_gate: self.use_gate,
            dropout: self.dropout,
            seed: self.seed,
            window: self.sliding_window,
            flash: self.flash_attention == Some(true),
            axes: None,
            output: None,
            args: self.args,
        }
    }
}

impl Layer for GroupQueryAttention {
    fn class_name(&self) -> &'static str {
        "GroupQueryAttention"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let (args, bound) = Args::bind(call, true)?;
        let layer = GroupQueryAttention {
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
            ("head_dim", self.head_dim),
            ("num_query_heads", self.num_query_heads),
        ] {
            if size == 0 {
                return Err(Error::arg(arg, "a positive integer", 0));
            }
        }
        if self.num_key_value_heads == 0
            || !self
                .num_query_heads
                .is_multiple_of(self.num_key_value_heads)
        {
            let want = format!("a divisor of `num_query_heads`, {}", self.num_query_heads);
            return Err(Error::arg(
                "num_key_value_heads",
                want,
                self.num_key_value_heads,
            ));
        }
        if let Some(x) = inputs.first()
            && x.rank() != 2
        {
            return Err(Error::shape(
                "a query of 3 axes (batch, sequence, features)",
                x,
            ));
        }
        if let [q, v, ..] = inputs
            && q.last() != v.last()
        {
            return Err(Error::shape(
                format!("a value with the features of the query, {q}"),
                v,
            ));
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
        self.core().contract(false)
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

    fn called(layer: GroupQueryAttention, kwargs: &[(&str, Arg)]) -> Arc<dyn Layer> {
        let args = vec![Arg::Tensor(0), Arg::Tensor(1)];
        let kwargs = kwargs
            .iter()
            .map(|(name, arg)| (name.to_string(), arg.clone()))
            .collect();
        layer.bind(&Call { args, kwargs }).unwrap().layer.unwrap()
    }

    #[test]
    fn laws() {
        let two: &[Shape] = &[[3, 4].into(), [2, 4].into()];
        let gqa = || GroupQueryAttention::new(2, 4, 2);
        let check = |layer: Arc<dyn Layer>| check_dyn(layer.as_ref(), two, &[None, None]);
        check(called(gqa(), &[]));
        check(called(
            GroupQueryAttention::new(2, 4, 1).use_bias(false),
            &[],
        ));
        check(called(gqa().use_gate(true).sliding_window(2), &[]));
        let scores = ("return_attention_scores", Arg::Value(json!(true)));
        check(called(
            gqa().dropout(0.4),
            &[scores, ("use_causal_mask", Arg::Value(json!(true)))],
        ));
        check_dyn(
            called(gqa(), &[]).as_ref(),
            two,
            &[Some([3].into()), Some([2].into())],
        );
        let masks = [
            ("query_mask", Arg::Tensor(2)),
            ("value_mask", Arg::Tensor(3)),
        ];
        let inputs = [two[0].clone(), two[1].clone(), [3].into(), [2].into()];
        check_dyn(
            called(gqa(), &masks).as_ref(),
            &inputs,
            &[None, None, None, None],
        );
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: GroupQueryAttention, inputs: &[Shape], what: &str| {
            let e = called(layer, &[])
                .output_shape(inputs)
                .unwrap_err()
                .to_string();
            assert!(e.contains(what), "{e}");
        };
        let two: &[Shape] = &[[3, 4].into(), [2, 4].into()];
        refused(GroupQueryAttention::new(0, 4, 2), two, "`head_dim`");
        refused(GroupQueryAttention::new(2, 0, 2), two, "`num_query_heads`");
        refused(
            GroupQueryAttention::new(2, 4, 3),
            two,
            "`num_key_value_heads`",
        );
        refused(
            GroupQueryAttention::new(2, 4, 0),
            two,
            "`num_key_value_heads`",
        );
        refused(
            GroupQueryAttention::new(2, 4, 2),
            &[[3, 4].into(), [2, 5].into()],
            "features of the query",
        );
        refused(
            GroupQueryAttention::new(2, 4, 2),
            &[[3, 2, 4].into(), [3, 2, 4].into()],
            "3 axes",
        );
    }
}
