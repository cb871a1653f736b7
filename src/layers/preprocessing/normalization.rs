//! Normalization with moments that are known beforehand: `y = (x - m) / s` with `s = max(sqrt(v), 1e-7)`; inverted, `y = m + x s`.
//!
//! `dx = dy / s`, or `dx = dy s`. The moments are given, or found by `adapt` and then non-trainable weights.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::rescaling::Constant;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::spread::Spread;
use crate::layer::{
    Backward, Buffers, Contract, Forward, Layer, Len, MaskRule, Par, Slices, Weight, Weights,
};
use crate::layers::args::{one_input, sample_axis, zeros};
use crate::shape::{Dims, MAX_RANK, Shape};
use crate::tensor::{IntoArrays, Tensor};

/// Smallest standard deviation.
const EPSILON: Float = 1e-7;

/// Shifts and scales its input to mean 0 and variance 1, by moments that are given or found by [`adapt`](Self::adapt).
/// [Keras](https://keras.io/api/layers/preprocessing_layers/numerical/normalization/)
///
/// Input and output have the same shape; masks are passed on. Weights, unless `mean` and `variance` are given: `mean`, `variance`
/// (of the shape of the kept axes) and `count` (which Keras keeps for older files), none of them trainable.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | axes with moments of their own for each index, counted with the batch; `[]`: one mean for everything |
/// | `mean`, `variance` | none | the moments: a number, or an array that broadcasts to the kept axes; both or none |
/// | `invert` | false | whether the opposite is done |
///
/// ```
/// use oxhorn::{layers::Normalization, prelude::*};
/// use ndarray::array;
/// let mut layer = Normalization::new();
/// layer.adapt(&array![[0.0f32, 7.0], [2.0, 9.0]])?;
/// let mut model = Sequential::new().input([2]).add(layer);
/// model.build([2])?;
/// assert_eq!(model.predict(&array![[0.0f32, 9.0]])?, array![[-1.0, 1.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    #[serde(default = "last", deserialize_with = "axes")]
    axis: Vec<i64>,
    #[serde(default)]
    invert: bool,
    #[serde(default)]
    mean: Option<Constant>,
    #[serde(default)]
    variance: Option<Constant>,
    /// What `adapt` found.
    #[serde(skip)]
    adapted: Option<Arc<Moments>>,
}

/// Means and variances of the kept axes.
#[derive(Clone, Debug)]
struct Moments {
    shape: Dims,
    mean: Vec<f64>,
    variance: Vec<f64>,
    count: f64,
}

fn last() -> Vec<i64> {
    vec![-1]
}

/// An axis, a list of axes, or null for none.
fn axes<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Vec<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        None,
        One(i64),
        All(Vec<i64>),
    }
    Ok(match Form::deserialize(d)? {
        Form::None => Vec::new(),
        Form::One(axis) => vec![axis],
        Form::All(axes) => axes,
    })
}

impl Default for Normalization {
    fn default() -> Self {
        Normalization::new()
    }
}

impl Normalization {
    /// Of the last axis.
    pub fn new() -> Self {
        Normalization {
            axis: last(),
            invert: false,
            mean: None,
            variance: None,
            adapted: None,
        }
    }

    /// The axes that keep moments of their own: `[-1]`, `[1, 3]`, or `[]` for none.
    pub fn axis(mut self, axes: impl Into<Vec<i64>>) -> Self {
        self.axis = axes.into();
        self
    }

    /// The mean.
    pub fn mean(mut self, mean: impl Into<Constant>) -> Self {
        self.mean = Some(mean.into());
        self
    }

    /// The variance.
    pub fn variance(mut self, variance: impl Into<Constant>) -> Self {
        self.variance = Some(variance.into());
        self
    }

    /// Whether the opposite is done.
    pub fn invert(mut self, yes: bool) -> Self {
        self.invert = yes;
        self
    }

    /// Takes the moments of this data, one array or several as batches, before the layer becomes part of a model.
    ///
    /// # Errors
    /// If the moments were given, the axes do not fit, or there is no data.
    pub fn adapt<'a>(&mut self, data: impl IntoArrays<'a>) -> Result<()> {
        let owned = |e: Error| e.owned_by("Normalization");
        if self.mean.is_some() {
            let want = "none: moments that were given are not changed by `adapt`";
            return Err(owned(Error::arg("mean", want, "some")));
        }
        let mut all: Option<Moments> = None;
        for batch in data.into_arrays()?.tensors() {
            let sample = Shape::from(batch.sample());
            let [small, _] = self.shapes_of(&sample).map_err(owned)?;
            if batch.data().is_empty() {
                continue;
            }
            let new = Moments::of(batch, small);
            all = Some(match all {
                None => new,
                Some(old) if old.shape == new.shape => old.with(new),
                Some(old) => return Err(owned(Error::shape(old.shape, new.shape))),
            });
        }
        let all = all.ok_or_else(|| Error::data("data", "there is nothing to adapt to"))?;
        self.adapted = Some(Arc::new(all));
        Ok(())
    }

    /// The moments' shape as it broadcasts to samples, 1 for the axes that are not kept; and the sizes of the kept axes alone.
    fn shapes(&self, rank: usize, size: impl Fn(usize) -> Option<usize>) -> Result<[Dims; 2]> {
        let mut keeps = [false; MAX_RANK + 1];
        for &axis in &self.axis {
            let at = sample_axis("axis", axis, rank)?;
            keeps[at] = true;
        }
        let [mut small, mut kept] = [Dims::default(); 2];
        for (at, kept_here) in keeps.into_iter().enumerate().take(rank) {
            if !kept_here {
                small.push(1);
                continue;
            }
            let Some(size) = size(at).filter(|n| *n > 0) else {
                let want = format!("axis {} to have a known size, since it is kept", at + 1);
                return Err(Error::shape(want, "another"));
            };
            small.push(size);
            kept.push(size);
        }
        Ok([small, kept])
    }

    fn shapes_of(&self, x: &Shape) -> Result<[Dims; 2]> {
        self.shapes(x.rank(), |at| x.dims()[at])
    }

    fn known(&self, x: &[usize]) -> [Dims; 2] {
        self.shapes(x.len(), |at| Some(x[at]))
            .expect("checked before")
    }

    /// Mean and standard deviation of every kept index, written to scratch memory.
    fn moments<'a>(
        &self,
        mut state: Weights<'_>,
        mut scratch: Slices<'a>,
        kept: &[usize],
    ) -> (&'a [Float], &'a [Float]) {
        let (mean, std) = (scratch.next().expect("mean"), scratch.next().expect("std"));
        match (&self.mean, &self.variance) {
            (Some(m), Some(v)) => {
                m.sweep(1, kept, mean, |m, y| *y = m);
                v.sweep(1, kept, std, |v, y| *y = v);
            }
            _ => {
                mean.copy_from_slice(state.next().expect("mean"));
                std.copy_from_slice(state.next().expect("variance"));
            }
        }
        std.iter_mut().for_each(|v| *v = v.sqrt().max(EPSILON));
        (mean, std)
    }

    /// `run(y, mean, std)` for every element.
    fn sweep(
        &self,
        (batch, shape): (usize, &[usize]),
        (mean, std): (&[Float], &[Float]),
        y: &mut [Float],
        par: Par,
        run: impl Fn(&mut Float, Float, Float) + Sync,
    ) {
        let [small, _] = self.known(shape);
        let spread = Spread::shared(batch, shape, &small);
        par.for_each_rows(y, spread.run, |first, y| {
            for (i, y) in y.chunks_exact_mut(spread.run).enumerate() {
                let at = spread.start(first + i);
                match spread.moves {
                    true => (y.iter_mut().zip(&mean[at..]).zip(&std[at..]))
                        .for_each(|((y, m), s)| run(y, *m, *s)),
                    false => y.iter_mut().for_each(|y| run(y, mean[at], std[at])),
                }
            }
        });
    }
}

impl Moments {
    /// Of one batch, in double precision.
    fn of(batch: &Tensor<'_>, small: Dims) -> Moments {
        let (n, sample) = (small.numel(), batch.sample());
        let spread = Spread::shared(batch.batch(), &sample, &small);
        let each = |f: &mut dyn FnMut(usize, f64)| {
            for (e, x) in batch.data().iter().enumerate() {
                let (i, k) = (e / spread.run, e % spread.run);
                f(
                    spread.start(i) + if spread.moves { k } else { 0 },
                    f64::from(*x),
                );
            }
        };
        let count = (batch.data().len() / n) as f64;
        let (mut mean, mut variance) = (vec![0.0; n], vec![0.0; n]);
        each(&mut |at, x| mean[at] += x / count);
        each(&mut |at, x| variance[at] += (x - mean[at]).powi(2) / count);
        Moments {
            shape: small,
            mean,
            variance,
            count,
        }
    }

    /// Of both batches together.
    fn with(mut self, new: Moments) -> Moments {
        let count = self.count + new.count;
        let (old_part, new_part) = (self.count / count, new.count / count);
        for i in 0..self.mean.len() {
            let mean = self.mean[i] * old_part + new.mean[i] * new_part;
            let around = |m: &Moments| m.variance[i] + (m.mean[i] - mean).powi(2);
            self.variance[i] = around(&self) * old_part + around(&new) * new_part;
            self.mean[i] = mean;
        }
        self.count = count;
        self
    }
}

impl Layer for Normalization {
    fn class_name(&self) -> &'static str {
        "Normalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        let [small, kept] = self.shapes_of(x)?;
        match (&self.mean, &self.variance) {
            (None, None) => {}
            (Some(mean), Some(variance)) => {
                if mean.shape() != variance.shape() {
                    let want = format!("the shape of `mean`, {}", mean.shape());
                    return Err(Error::arg("variance", want, variance.shape()));
                }
                mean.check("mean", &kept.into())?;
                variance.check("variance", &kept.into())?;
                if let Some(v) = variance.values().iter().find(|v| **v < 0.0) {
                    return Err(Error::arg("variance", "at least 0", v));
                }
            }
            (mean, _) => {
                let (arg, other) = match mean {
                    Some(_) => ("variance", "mean"),
                    None => ("mean", "variance"),
                };
                let want = format!("a value, since `{other}` has one");
                return Err(Error::arg(arg, want, "none"));
            }
        }
        match &self.adapted {
            Some(m) if m.shape != small => Err(Error::shape(
                format!("moments of shape {}, for which it was adapted", m.shape),
                x,
            )),
            _ => Ok(x.clone()),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        if self.mean.is_some() {
            return Ok(Vec::new());
        }
        let [_, kept] = self.shapes_of(&inputs[0])?;
        let (mean, variance) = match self.adapted.clone() {
            None => (zeros(), Initializer::Ones),
            Some(m) => {
                let of = |values: fn(&Moments) -> &[f64]| {
                    let m = m.clone();
                    Initializer::custom("adapted", move |_, _, w| {
                        let pairs = w.iter_mut().zip(values(&m));
                        pairs.for_each(|(w, v)| *w = *v as Float);
                    })
                };
                (of(|m| &m.mean), of(|m| &m.variance))
            }
        };
        Ok(vec![
            Weight::state("mean", kept, &mean),
            Weight::state("variance", kept, &variance),
            Weight::state("count", [], &zeros()),
        ])
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        let kept = self.known(&inputs[0])[1].numel();
        Buffers {
            scratch: vec![Len::Fixed(kept); 2],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            mask: MaskRule::Pass,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let y = cx.y;
        let [_, kept] = self.known(y.shape);
        let moments = self.moments(cx.state, cx.scratch, &kept);
        let size = (y.batch, y.shape);
        match self.invert {
            true => self.sweep(size, moments, y.data, cx.par, |y, m, s| *y = m + *y * s),
            false => self.sweep(size, moments, y.data, cx.par, |y, m, s| *y = (*y - m) / s),
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let [_, kept] = self.known(dx.shape);
        let moments = self.moments(cx.state, cx.scratch, &kept);
        let size = (dx.batch, dx.shape);
        match self.invert {
            true => self.sweep(size, moments, dx.data, cx.par, |d, _, s| *d *= s),
            false => self.sweep(size, moments, dx.data, cx.par, |d, _, s| *d /= s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Sequential;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;
    use ndarray::{Array3, array};

    #[test]
    fn laws() {
        for invert in [false, true] {
            let layer = || Normalization::new().invert(invert);
            check_layer(layer(), &[[3].into()]);
            check_layer(layer().axis([1]), &[[3, 2].into()]);
            check_layer(layer().axis([1, -1]), &[[3, 2, 2].into()]);
            check_layer(layer().axis([]), &[[3, 2].into()]);
            check_layer(layer().axis([]), &[Shape::default()]);
            let given = layer().mean([0.5, -1.0]).variance([1.5, 0.2]);
            check_layer(given, &[[3, 2].into()]);
            let scalar = layer().axis([1, 2]).mean(0.3).variance(2.0);
            check_layer(scalar, &[[3, 2].into()]);
        }
    }

    /// `Normalization(axis=1).adapt` of Keras 3.15.
    #[test]
    fn moments_are_kerass() {
        let x = Array3::from_shape_fn((4, 3, 2), |(i, j, k)| {
            ((6 * i + 2 * j + k) as f64).powf(1.5)
        });
        let near = |layer: Normalization| {
            let mut model = Sequential::new().input([3, 2]).add(layer);
            model.build([3, 2]).unwrap();
            let w = model.get_weights();
            let want = [
                array![35.230648, 44.225845, 54.35901],
                array![905.80133, 1126.0747, 1338.0984],
            ];
            for (got, want) in w.iter().zip(&want) {
                let far = |(g, w): (&Float, &Float)| (g - w).abs() > 1e-5 * w;
                assert!(!got.iter().zip(want).any(far), "{got} {want}");
            }
            assert_eq!(w[2].ndim(), 0);
        };
        let mut whole = Normalization::new().axis([1]);
        whole.adapt(&x).unwrap();
        near(whole);
        let mut parts = Normalization::new().axis([1]);
        let (a, b) = (
            x.slice(ndarray::s![..1, .., ..]),
            x.slice(ndarray::s![1.., .., ..]),
        );
        parts.adapt([&a, &b]).unwrap();
        near(parts);
    }

    #[test]
    fn a_variance_of_zero_divides_by_epsilon() {
        let layer = Normalization::new().mean(1.0).variance(0.0);
        let (y, _) = apply(&layer, &[(&[1.0, 1.5], &[1])], &[None], &[]);
        assert_eq!(y, [0.0, 0.5 / EPSILON]);
    }

    #[test]
    fn configurations_are_kerass() {
        let layer = |axis: serde_json::Value| -> Normalization {
            let config = serde_json::json!({"axis": axis, "invert": false, "mean": null});
            serde_json::from_value(config).unwrap()
        };
        assert_eq!(layer(2.into()).axis, [2]);
        assert_eq!(layer(().into()).axis, [0; 0]);
        assert_eq!(layer(vec![1, -1].into()).axis, [1, -1]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |l: Normalization| l.output_shape(&[[3, 2].into()]).unwrap_err().to_string();
        let layer = Normalization::new;
        assert!(refused(layer().axis([0])).contains("axis"));
        assert!(refused(layer().axis([i64::MIN])).contains("axis"));
        assert!(refused(layer().mean(1.0)).contains("variance"));
        assert!(refused(layer().variance(1.0)).contains("mean"));
        assert!(refused(layer().mean([1.0, 2.0]).variance(1.0)).contains("variance"));
        let three = layer().mean([1.0; 3]).variance([1.0; 3]);
        assert!(refused(three).contains("broadcasts"));
        assert!(refused(layer().mean(1.0).variance(-1.0)).contains("variance"));
        assert!(layer().output_shape(&[[Some(3), None].into()]).is_err());
        let mut adapted = layer();
        assert!(
            adapted
                .clone()
                .mean(0.0)
                .variance(1.0)
                .adapt(&array![[1.0]])
                .is_err()
        );
        adapted.adapt(&array![[1.0, 2.0, 3.0]]).unwrap();
        assert!(refused(adapted).contains("adapted"));
    }
}
