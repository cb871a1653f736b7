//! Embedding that also goes back: ids to rows as in `Embedding`, and in reverse rows to logits, `y = x E^T` (tied) or `y = x R`.
//!
//! In reverse `dx = dy E`, `dE += dy^T x` (tied), or `dx = dy R^T`, `dR += x^T dy`. With `logit_soft_cap` c, `y = c tanh(z / c)` and
//! `dz = dy (1 - (y / c)^2)`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::embedding::{self, gather, not_zero, scatter, uniform};
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise::{scale, tanh};
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Backward, Bound, Call, Contract, Forward, Layer, Mask, View, Weight};
use crate::layers::args::{checked, one_input, yes};
use crate::regularizer::Regularizer;
use crate::shape::Shape;

/// An embedding whose table also turns rows back into logits over the ids.
/// [Keras](https://keras.io/api/layers/core_layers/reversible_embedding/)
///
/// Called with ids it is an [`Embedding`](super::Embedding). Called with `reverse=True` (or as
/// [`reverse`](ReversibleEmbedding::reverse)) it maps `(batch, .., output_dim)` to `(batch, .., input_dim)`. Weights `embeddings
/// (input_dim, output_dim)` and, if not tied, `reverse_embeddings (output_dim, input_dim)`.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `input_dim` | | number of rows: the largest id plus 1 |
/// | `output_dim` | | length of a row |
/// | `tie_weights` | true | whether the way back uses the table, transposed |
/// | `embeddings_initializer` | `uniform` | how both weights start |
/// | `embeddings_regularizer` | none | penalty on the table |
/// | `embeddings_constraint` | none | projection of the table after each update |
/// | `mask_zero` | false | whether id 0 is padding: the output then has a mask |
/// | `reverse_dtype` | none | `float32`, the type of all numbers here |
/// | `logit_soft_cap` | none | bounds the logits: `cap tanh(logits / cap)` |
///
/// ```
/// use oxhorn::{layers::ReversibleEmbedding, prelude::*};
/// let layer = ReversibleEmbedding::new(100, 8);
/// assert_eq!(layer.output_shape(&[[5].into()])?, Shape::from([5, 8]));
/// assert_eq!(layer.reverse().output_shape(&[[5, 8].into()])?, Shape::from([5, 100]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReversibleEmbedding {
    input_dim: usize,
    output_dim: usize,
    #[serde(default = "yes")]
    tie_weights: bool,
    #[serde(default = "uniform")]
    embeddings_initializer: Initializer,
    #[serde(default)]
    embeddings_regularizer: Option<Regularizer>,
    #[serde(default)]
    embeddings_constraint: Option<Constraint>,
    #[serde(default)]
    mask_zero: bool,
    #[serde(default)]
    reverse_dtype: Option<String>,
    #[serde(default)]
    logit_soft_cap: Option<f64>,
    /// The direction of this call.
    #[serde(skip)]
    reverse: bool,
}

impl ReversibleEmbedding {
    /// A table of `input_dim` rows of `output_dim` numbers.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        ReversibleEmbedding {
            input_dim,
            output_dim,
            tie_weights: true,
            embeddings_initializer: uniform(),
            embeddings_regularizer: None,
            embeddings_constraint: None,
            mask_zero: false,
            reverse_dtype: None,
            logit_soft_cap: None,
            reverse: false,
        }
    }

    /// Whether the way back uses the table, transposed.
    pub fn tie_weights(mut self, yes: bool) -> Self {
        self.tie_weights = yes;
        self
    }

    /// How both weights start.
    pub fn embeddings_initializer(mut self, initializer: impl Into<Initializer>) -> Self {
        self.embeddings_initializer = initializer.into();
        self
    }

    /// Penalty on the table.
    pub fn embeddings_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.embeddings_regularizer = Some(regularizer.into());
        self
    }

    /// Projection of the table after each update.
    pub fn embeddings_constraint(mut self, constraint: impl Into<Constraint>) -> Self {
        self.embeddings_constraint = Some(constraint.into());
        self
    }

    /// Whether id 0 is padding.
    pub fn mask_zero(mut self, yes: bool) -> Self {
        self.mask_zero = yes;
        self
    }

    /// Type of the numbers on the way back; only `float32` is possible.
    pub fn reverse_dtype(mut self, dtype: impl Into<String>) -> Self {
        self.reverse_dtype = Some(dtype.into());
        self
    }

    /// Bounds the logits smoothly.
    pub fn logit_soft_cap(mut self, cap: f64) -> Self {
        self.logit_soft_cap = Some(cap);
        self
    }

    /// The way back: the same weights, from rows to logits.
    pub fn reverse(&self) -> Self {
        ReversibleEmbedding {
            reverse: true,
            ..self.clone()
        }
    }
}

impl Layer for ReversibleEmbedding {
    fn class_name(&self) -> &'static str {
        "ReversibleEmbedding"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut args = call.by_name(&["inputs", "reverse"])?;
        let mut bound = Bound {
            inputs: args.tensors("inputs")?,
            ..Bound::default()
        };
        if args.flag("reverse", false)? {
            bound.layer = Some(Arc::new(self.reverse()));
        }
        args.context(&mut bound)?;
        args.finish()?;
        Ok(bound)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        if let Some(cap) = self
            .logit_soft_cap
            .filter(|cap| !(*cap > 0.0 && cap.is_finite()))
        {
            return Err(Error::arg("logit_soft_cap", "a positive number", cap));
        }
        if let Some(dtype) = self.reverse_dtype.as_deref().filter(|d| *d != "float32") {
            return Err(Error::arg("reverse_dtype", "`float32` or nothing", dtype));
        }
        let y = embedding::output_shape(self.input_dim, self.output_dim, &Shape::default())?;
        if !self.reverse {
            return embedding::output_shape(self.input_dim, self.output_dim, x);
        }
        if x.last() != y.last() {
            let want = format!("a last axis of {}", self.output_dim);
            return Err(Error::shape(want, x));
        }
        checked(x.with_last(self.input_dim)?)
    }

    fn weights(&self, _inputs: &[Shape]) -> Result<Vec<Weight>> {
        let (rows, cols) = (self.input_dim, self.output_dim);
        let table = Weight::new("embeddings", [rows, cols], &self.embeddings_initializer)
            .regularizer(&self.embeddings_regularizer)
            .constraint(&self.embeddings_constraint);
        let back = || {
            let init = &self.embeddings_initializer;
            Weight::new("reverse_embeddings", [cols, rows], init)
        };
        let mut weights = vec![table];
        weights.extend((!self.tie_weights).then(back));
        Ok(weights)
    }

    fn contract(&self) -> Contract {
        match self.reverse {
            false => embedding::contract(self.mask_zero),
            true => Contract {
                reads_y: self.logit_soft_cap.is_some(),
                overwrites_dw: true,
                ..Contract::default()
            },
        }
    }

    fn mask_shape(&self, inputs: &[Shape], _masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        Ok(Some(inputs[0].clone()))
    }

    fn compute_mask(&self, x: &[View<'_>], _masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        not_zero(x, out);
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let (x, table) = (cx.x[0], cx.w.next().expect("embeddings"));
        let (k, n) = (self.output_dim, self.input_dim);
        if !self.reverse {
            return gather(x.data, table, k, Float::NAN, cx.y.data, cx.par);
        }
        let kernel = match cx.w.next() {
            None => Mat::new(table, k).t(),
            Some(back) => Mat::new(back, n),
        };
        let (m, rows, y) = (x.rows(), Mat::new(x.data, k), cx.y.data);
        gemm(m, k, n, rows, kernel, Accum::Replace, y, n, cx.par);
        if let Some(cap) = self.logit_soft_cap {
            scale((1.0 / cap) as Float, y);
            tanh(y);
            scale(cap as Float, y);
        }
    }

    fn backward(&self, mut cx: Backward<'_>) {
        let (x, table) = (cx.x[0], cx.w.next().expect("embeddings"));
        let (k, n) = (self.output_dim, self.input_dim);
        let mut dw = cx.dw.unwrap_or_default();
        let (dtable, dback, back) = (dw.next(), dw.next(), cx.w.next());
        if !self.reverse {
            if let Some(dtable) = dtable {
                scatter(x.data, cx.dy.data, k, dtable, cx.par);
            }
            return;
        }
        if let Some(cap) = self.logit_soft_cap {
            let by = (1.0 / cap) as Float;
            for (dy, y) in cx.dy.data.iter_mut().zip(cx.y.data) {
                let t = y * by;
                *dy *= 1.0 - t * t;
            }
        }
        let (m, rows, dz) = (x.rows(), Mat::new(x.data, k), Mat::new(cx.dy.data, n));
        match (dtable, dback) {
            (Some(dtable), None) => gemm(n, m, k, dz.t(), rows, cx.accum, dtable, k, cx.par),
            (Some(dtable), Some(dback)) => {
                if cx.accum == Accum::Replace {
                    dtable.fill(0.0);
                }
                gemm(k, m, n, rows.t(), dz, cx.accum, dback, n, cx.par);
            }
            _ => {}
        }
        if let Some(dx) = &mut cx.dx[0] {
            let kernel = match back {
                None => Mat::new(table, k),
                Some(back) => Mat::new(back, n).t(),
            };
            gemm(m, n, k, dz, kernel, Accum::Replace, dx.data, k, cx.par);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        for tie in [true, false] {
            let layer = ReversibleEmbedding::new(5, 3).tie_weights(tie);
            check_layer(layer.clone().mask_zero(true), &[[4].into()]);
            check_layer(layer.reverse(), &[[4, 3].into()]);
            check_layer(layer.logit_soft_cap(1.5).reverse(), &[[3].into()]);
        }
    }

    #[test]
    fn there_and_back() {
        let layer = ReversibleEmbedding::new(2, 2).logit_soft_cap(2.0);
        let w = [1.0, 2.0, 3.0, 4.0];
        let (y, _) = apply(&layer, &[(&[1.0], &[1])], &[None], &w);
        assert_eq!(y, [3.0, 4.0]);
        let (y, _) = apply(&layer.reverse(), &[(&[1.0, 0.0], &[2])], &[None], &w);
        let want = [2.0 * (0.5 as Float).tanh(), 2.0 * (1.5 as Float).tanh()];
        y.iter()
            .zip(want)
            .for_each(|(y, w)| assert!((y - w).abs() < 1e-6));
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: ReversibleEmbedding, shape: Shape| {
            assert!(layer.output_shape(&[shape]).is_err());
        };
        refused(ReversibleEmbedding::new(0, 2), [3].into());
        refused(ReversibleEmbedding::new(5, 2).reverse(), [3].into());
        refused(ReversibleEmbedding::new(5, 2).reverse(), Shape::default());
        refused(
            ReversibleEmbedding::new(5, 2).logit_soft_cap(0.0),
            [3].into(),
        );
        refused(
            ReversibleEmbedding::new(5, 2).reverse_dtype("float16"),
            [3].into(),
        );
    }
}
