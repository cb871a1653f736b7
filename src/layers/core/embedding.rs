//! Embedding: `y = E[id]`, a row of the table for every id; `dE[id] += dy`.
//!
//! With low-rank adaptation `E` rests and `y = E[id] + u B` with `u = s A[id]`: `dB += u^T dy`, `dA[id] += s dy B^T`.
//! Backward touches the rows that were used and no others; that all others are zero is the engine's doing, since the optimizer
//! reads them all. Ids count as integers (what is behind the point is cut off), negative ones from the end of the table.

use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::lora::Lora;
use crate::config::{Config, to_config};
use crate::constraint::Constraint;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise::{add, scale};
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{
    Backward, Buffers, Contract, Forward, Kind, Layer, Len, Mask, MaskRule, Par, View, Weight,
    Weights, table_row,
};
use crate::layers::args::{checked, one_input};
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Turns ids into rows of a trained table. [Keras](https://keras.io/api/layers/core_layers/embedding/)
///
/// Input `(batch, ..)` of integers, output `(batch, .., output_dim)`; weight `embeddings (input_dim, output_dim)`. An id outside
/// `-input_dim..input_dim` gives a row of NaN, which training reports, and has no gradient.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `input_dim` | | number of rows: the largest id plus 1 |
/// | `output_dim` | | length of a row |
/// | `embeddings_initializer` | `uniform` | how the table starts |
/// | `embeddings_regularizer` | none | penalty added to the loss |
/// | `embeddings_constraint` | none | projection after each update |
/// | `mask_zero` | false | whether id 0 is padding: the output then has a mask |
/// | `weights` | none | the table to start with |
/// | `lora_rank` | none | trains a low-rank addition to the table instead of the table |
/// | `lora_alpha` | `lora_rank` | the addition is scaled by `lora_alpha / lora_rank` |
///
/// ```
/// use oxhorn::{layers::Embedding, prelude::*};
/// use ndarray::array;
/// let table = array![[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]];
/// let mut model = Sequential::new().input([2]).add(Embedding::new(3, 2).weights(table));
/// model.build([2])?;
/// assert_eq!(model.predict(&array![[2, 1]])?, array![[[3.0, 4.0], [1.0, 2.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    input_dim: usize,
    output_dim: usize,
    #[serde(default = "uniform")]
    embeddings_initializer: Initializer,
    #[serde(default)]
    embeddings_regularizer: Option<Regularizer>,
    #[serde(default)]
    embeddings_constraint: Option<Constraint>,
    #[serde(default)]
    mask_zero: bool,
    #[serde(skip)]
    weights: Option<Arc<Array2<Float>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_alpha: Option<f64>,
}

pub(super) fn uniform() -> Initializer {
    Initializer::from("uniform")
}

impl Embedding {
    /// A table of `input_dim` rows of `output_dim` numbers.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Embedding {
            input_dim,
            output_dim,
            embeddings_initializer: uniform(),
            embeddings_regularizer: None,
            embeddings_constraint: None,
            mask_zero: false,
            weights: None,
            lora_rank: None,
            lora_alpha: None,
        }
    }

    /// How the table starts.
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

    /// The table to start with. (It is not part of the configuration, as in Keras.)
    pub fn weights(mut self, table: Array2<Float>) -> Self {
        self.weights = Some(Arc::new(table));
        self
    }

    /// Trains a product of matrices of this rank that is added to the table, instead of the table.
    pub fn lora_rank(mut self, rank: usize) -> Self {
        self.lora_rank = Some(rank);
        self
    }

    /// The addition is scaled by this over the rank.
    pub fn lora_alpha(mut self, alpha: f64) -> Self {
        self.lora_alpha = Some(alpha);
        self
    }

    fn lora(&self) -> Option<Lora> {
        Lora::new(self.lora_rank, self.lora_alpha)
    }
}

/// Shape of the output, if sizes and ids are in order.
pub(super) fn output_shape(input_dim: usize, output_dim: usize, x: &Shape) -> Result<Shape> {
    for (arg, size) in [("input_dim", input_dim), ("output_dim", output_dim)] {
        if size == 0 {
            return Err(Error::arg(arg, "a positive integer", 0));
        }
    }
    let dims = x.dims().iter().copied().chain([Some(output_dim)]);
    checked(dims.collect::<Vec<_>>().into())
}

/// `y[i] = table[ids[i]]`; the row `missing` where there is none.
pub(super) fn gather(
    ids: &[Float],
    table: &[Float],
    width: usize,
    missing: Float,
    y: &mut [Float],
    par: Par,
) {
    let rows = table.len() / width;
    par.for_each_rows(y, width, |first, y| {
        for (y, id) in y.chunks_exact_mut(width).zip(&ids[first..]) {
            match table_row(*id, rows) {
                Some(at) => y.copy_from_slice(&table[at * width..][..width]),
                None => y.fill(missing),
            }
        }
    });
}

/// Pieces of the table in [`scatter`], each of which looks at all ids.
const PIECES: usize = 8;

/// `dtable[ids[i]] += dy[i]`: each row is a sum in the order of the ids, in whatever pieces it is done.
pub(super) fn scatter(ids: &[Float], dy: &[Float], width: usize, dtable: &mut [Float], par: Par) {
    let rows = dtable.len() / width;
    let add_rows = |first: usize, part: &mut [Float]| {
        let here = first..first + part.len() / width;
        for (dy, id) in dy.chunks_exact(width).zip(ids) {
            if let Some(at) = table_row(*id, rows).filter(|at| here.contains(at)) {
                add(dy, &mut part[(at - first) * width..][..width]);
            }
        }
    };
    // Worth it where the sums outweigh the looking.
    match par {
        Par::Threads if dy.len() >= 1 << 16 && width >= PIECES => {
            let piece = rows.div_ceil(PIECES) * width;
            par.for_each_piece(dtable, piece, |start, part| add_rows(start / width, part));
        }
        _ => add_rows(0, dtable),
    }
}

/// Which ids are not 0.
pub(super) fn not_zero(x: &[View<'_>], out: &mut [bool]) {
    for (out, id) in out.iter_mut().zip(x[0].data) {
        *out = *id != 0.0;
    }
}

/// Ids cannot be differentiated; the mask is that of the ids.
pub(super) fn contract(mask_zero: bool) -> Contract {
    Contract {
        differentiable: false,
        mask: if mask_zero {
            MaskRule::Compute
        } else {
            MaskRule::Stop
        },
        ..Contract::default()
    }
}

impl Layer for Embedding {
    fn class_name(&self) -> &'static str {
        "Embedding"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        let y = output_shape(self.input_dim, self.output_dim, x)?;
        Lora::check(self.lora_rank, self.lora_alpha, &self.embeddings_constraint)?;
        if let Some(lora) = self.lora() {
            checked(y.with_last(lora.rank)?)?;
        }
        if let Some(table) = &self.weights
            && table.dim() != (self.input_dim, self.output_dim)
        {
            let want = format!("a table of {} x {}", self.input_dim, self.output_dim);
            return Err(Error::arg("weights", want, format!("{:?}", table.dim())));
        }
        Ok(y)
    }

    fn weights(&self, _inputs: &[Shape]) -> Result<Vec<Weight>> {
        let shape = [self.input_dim, self.output_dim];
        let init = match self.weights.clone() {
            None => self.embeddings_initializer.clone(),
            Some(table) => Initializer::custom("weights", move |_, _, w| {
                w.iter_mut().zip(table.iter()).for_each(|(w, t)| *w = *t);
            }),
        };
        let mut embeddings = Weight::new("embeddings", shape, &init)
            .regularizer(&self.embeddings_regularizer)
            .constraint(&self.embeddings_constraint);
        let Some(lora) = self.lora() else {
            return Ok(vec![embeddings]);
        };
        embeddings.kind = Kind::State;
        let names = ["lora_embeddings_a", "lora_embeddings_b"];
        let [a, b] = lora.weights(names, shape, &self.embeddings_regularizer);
        Ok(vec![embeddings, a, b])
    }

    fn filed(&self, name: &str, mut w: Weights<'_>, mut state: Weights<'_>) -> Option<Vec<Float>> {
        let lora = self.lora().filter(|_| name == "embeddings")?;
        Some(lora.merged(state.next()?, w.next()?, w.next()?))
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let u = self
            .lora()
            .map(|lora| Len::PerSample(inputs[0].numel() * lora.rank));
        Buffers {
            saved: u.into_iter().collect(),
            scratch: u.into_iter().collect(),
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            looks_up: self.lora().is_none(),
            ..contract(self.mask_zero)
        }
    }

    fn mask_shape(&self, inputs: &[Shape], _masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        Ok(Some(inputs[0].clone()))
    }

    fn compute_mask(&self, x: &[View<'_>], _masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        not_zero(x, out);
    }

    fn forward(&self, mut cx: Forward<'_>) {
        let (ids, n) = (cx.x[0].data, self.output_dim);
        let lora = self.lora();
        let table = if lora.is_some() {
            &mut cx.state
        } else {
            &mut cx.w
        };
        let table = table.next().expect("embeddings");
        gather(ids, table, n, Float::NAN, cx.y.data, cx.par);
        if let Some(Lora { rank, scale: s }) = lora {
            let ([a, b], [u]) = (cx.w.all(), cx.saved.all());
            gather(ids, a, rank, 0.0, u, cx.par);
            scale(s, u);
            let (u, b, y) = (Mat::new(u, rank), Mat::new(b, n), cx.y.data);
            gemm(ids.len(), rank, n, u, b, Accum::Add, y, n, cx.par);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let (Some(mut dw), ids, n) = (cx.dw, cx.x[0].data, self.output_dim) else {
            return;
        };
        let Some(Lora { rank, scale: s }) = self.lora() else {
            let table = dw.next().expect("embeddings");
            return scatter(ids, cx.dy.data, n, table, cx.par);
        };
        let ([_, b], [da, db]) = (cx.w.all(), dw.all());
        let ([u], [du]) = (cx.saved.all(), cx.scratch.all());
        let (dy, m) = (Mat::new(cx.dy.data, n), ids.len());
        gemm(
            rank,
            m,
            n,
            Mat::new(u, rank).t(),
            dy,
            Accum::Add,
            db,
            n,
            cx.par,
        );
        gemm(
            m,
            n,
            rank,
            dy,
            Mat::new(b, n).t(),
            Accum::Replace,
            du,
            rank,
            cx.par,
        );
        scale(s, du);
        scatter(ids, du, rank, da, cx.par);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::parallel::with_threads;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Embedding::new(9, 4), &[[5].into()]);
        check_layer(Embedding::new(9, 2).mask_zero(true), &[[2, 3].into()]);
        check_layer(Embedding::new(9, 3), &[Shape::default()]);
        let lora = Embedding::new(9, 4).lora_rank(2).lora_alpha(3.0);
        check_layer(lora, &[[5].into()]);
    }

    #[test]
    fn ids_are_rows() {
        let table = [0.0, 1.0, 10.0, 11.0, 20.0, 21.0];
        let layer = Embedding::new(3, 2).mask_zero(true);
        let ids = [2.0, 0.0, -1.0, 1.9, -0.5];
        let (y, mask) = apply(&layer, &[(&ids, &[5])], &[None], &table);
        assert_eq!(y, [20.0, 21.0, 0.0, 1.0, 20.0, 21.0, 10.0, 11.0, 0.0, 1.0]);
        assert_eq!(mask.unwrap(), [true, false, true, true, true]);
        for bad in [3.0, -4.0, Float::NAN, Float::INFINITY, -1e30, 1e30] {
            let (y, _) = apply(&layer, &[(&[bad], &[1])], &[None], &table);
            assert!(y.iter().all(|y| y.is_nan()), "{bad}");
            let mut dtable = [0.0; 6];
            scatter(&[bad], &[1.0, 1.0], 2, &mut dtable, Par::Serial);
            assert_eq!(dtable, [0.0; 6]);
        }
    }

    #[test]
    fn sums_do_not_depend_on_threads() {
        let (rows, width, n) = (37, 16, 5000);
        let ids: Vec<Float> = (0..n).map(|i| (i * i % 41) as Float).collect();
        let dy: Vec<Float> = (0..n * width).map(|i| (i % 97) as Float * 0.013).collect();
        let run = |threads| {
            let mut dtable = vec![0.5; rows * width];
            with_threads(threads, |par| scatter(&ids, &dy, width, &mut dtable, par));
            dtable
        };
        let one = run(1);
        assert!(one.iter().any(|v| *v != 0.5));
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
    }

    #[test]
    fn files_hold_the_adapted_table() {
        let layer = Embedding::new(2, 2).lora_rank(1).lora_alpha(2.0);
        let (w, state) = ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]);
        let filed = layer.filed(
            "embeddings",
            Weights::new(&w, &[2, 2]),
            Weights::new(&state, &[4]),
        );
        assert_eq!(filed.unwrap(), [16.0, 28.0, 42.0, 56.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |layer: Embedding, shape: Shape| {
            assert!(layer.output_shape(&[shape]).is_err());
        };
        refused(Embedding::new(0, 2), [3].into());
        refused(Embedding::new(2, 0), [3].into());
        refused(Embedding::new(2, usize::MAX), [3].into());
        refused(Embedding::new(2, 2), [1, 1, 1, 1, 1, 1, 1].into());
        refused(
            Embedding::new(2, 2).weights(Array2::zeros((2, 3))),
            [3].into(),
        );
        refused(Embedding::new(2, 2).lora_rank(0), [3].into());
        let constrained = Embedding::new(2, 2).embeddings_constraint("non_neg");
        refused(constrained.lora_rank(1), [3].into());
    }
}
