//! Numbers as bins: the bin of `x` is how many boundaries are at most `x`. A step function: no gradient.
//!
//! `adapt` finds boundaries that cut the data into bins of equal size. Data may come in several batches: each is summed up by
//! some `1 / epsilon` of its sorted values with the weight that each stands for, and summaries are merged by interpolation along
//! the cumulative weights. The arithmetic (f32 for weights, f64 between) is Keras's.

use serde::{Deserialize, Serialize};

use super::encoding::{OutputMode, Place, check_dense, check_depth, contract};
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::one_input;
use crate::shape::Shape;
use crate::tensor::IntoArrays;

/// Turns numbers into the bins they fall into.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/numerical/discretization/)
///
/// Input `(batch, ..)`; the output has the same shape in mode `int`, and rows of as many columns as there are bins in the others
/// (see [`CategoryEncoding`](super::CategoryEncoding)). Either the boundaries are given, or `num_bins` is and
/// [`adapt`](Self::adapt) finds them.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `bin_boundaries` | none | where a bin ends and the next begins, ascending; `n` of them make `n + 1` bins |
/// | `num_bins` | none | how many bins `adapt` makes |
/// | `epsilon` | 0.01 | error that `adapt` may make, as a part of the data |
/// | `output_mode` | `int` | `int`, `one_hot`, `multi_hot` or `count` |
/// | `sparse` | false | must be false |
///
/// ```
/// use oxhorn::{layers::Discretization, prelude::*};
/// use ndarray::array;
/// let mut bins = Discretization::new().num_bins(4);
/// bins.adapt(&array![3.0f32, 1.0, 2.0, 8.0, 9.0, 4.0, 4.5, 7.0])?;
/// assert_eq!(bins.boundaries(), Some(&[2.0, 4.0, 7.0][..]));
/// let mut model = Sequential::new().input([3]).add(bins);
/// model.build([3])?;
/// assert_eq!(model.predict(&array![[0.0f32, 4.0, 99.0]])?, array![[0.0, 2.0, 3.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discretization {
    #[serde(default)]
    bin_boundaries: Option<Vec<f64>>,
    #[serde(default)]
    num_bins: Option<usize>,
    #[serde(default = "epsilon")]
    epsilon: f64,
    #[serde(default)]
    output_mode: OutputMode,
    #[serde(default)]
    sparse: bool,
}

fn epsilon() -> f64 {
    0.01
}

impl Default for Discretization {
    fn default() -> Self {
        Discretization::new()
    }
}

impl Discretization {
    /// Without boundaries yet.
    pub fn new() -> Self {
        Discretization {
            bin_boundaries: None,
            num_bins: None,
            epsilon: epsilon(),
            output_mode: OutputMode::Int,
            sparse: false,
        }
    }

    /// Where a bin ends and the next begins.
    pub fn bin_boundaries(mut self, boundaries: impl Into<Vec<f64>>) -> Self {
        self.bin_boundaries = Some(boundaries.into());
        self
    }

    /// How many bins [`adapt`](Self::adapt) makes.
    pub fn num_bins(mut self, bins: usize) -> Self {
        self.num_bins = Some(bins);
        self
    }

    /// Error that [`adapt`](Self::adapt) may make, as a part of the data.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
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

    /// The boundaries, given or found.
    pub fn boundaries(&self) -> Option<&[f64]> {
        self.bin_boundaries.as_deref()
    }

    /// Finds boundaries that cut this data into bins of equal size: one array, or several as batches. The shape does not matter.
    ///
    /// # Errors
    /// If `num_bins` was not given, or there is no data.
    pub fn adapt<'a>(&mut self, data: impl IntoArrays<'a>) -> Result<()> {
        let owned = |e: Error| e.owned_by("Discretization");
        let Some(bins) = self.num_bins else {
            let want = "a number of bins: boundaries that were given are not changed by `adapt`";
            return Err(owned(Error::arg("num_bins", want, "none")));
        };
        check_depth("num_bins", bins).map_err(owned)?;
        self.check_epsilon().map_err(owned)?;
        let mut summary = Summary::default();
        for batch in data.into_arrays()?.tensors() {
            let new = Summary::of(batch.data(), self.epsilon)?;
            summary = new.merged(summary, self.epsilon);
        }
        if summary.values.is_empty() {
            return Err(Error::data("data", "there is nothing to adapt to"));
        }
        let mut bounds = summary.compressed(1.0 / bins as f64).values;
        bounds.pop();
        self.bin_boundaries = Some(bounds.into_iter().map(f64::from).collect());
        Ok(())
    }

    fn check_epsilon(&self) -> Result<()> {
        // A summary has 1 / epsilon values.
        match self.epsilon >= 1e-6 && self.epsilon <= 1.0 {
            true => Ok(()),
            false => Err(Error::arg(
                "epsilon",
                "a number from 1e-6 to 1",
                self.epsilon,
            )),
        }
    }
}

/// Keras finds its boundaries in single precision, whatever the precision here.
#[allow(clippy::unnecessary_cast)]
fn single(x: Float) -> f32 {
    x as f32
}

/// Values in ascending order with the weight that each stands for.
#[derive(Default)]
struct Summary {
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl Summary {
    /// Of data in any order.
    fn of(data: &[Float], epsilon: f64) -> Result<Summary> {
        let mut sorted: Vec<f32> = data.iter().copied().map(single).collect();
        if sorted.iter().any(|x| x.is_nan()) {
            return Err(Error::data("data", "NaN falls into no bin"));
        }
        sorted.sort_unstable_by(f32::total_cmp);
        let step = (sorted.len() as f64 / (1.0 / epsilon)).max(1.0);
        let values: Vec<f32> = sorted
            .into_iter()
            .skip((step - 1.0) as usize)
            .step_by(step as usize)
            .collect();
        let weights = vec![step as f32; values.len()];
        Ok(Summary { values, weights })
    }

    fn merged(self, other: Summary, epsilon: f64) -> Summary {
        let values = [self.values, other.values].concat();
        let weights = [self.weights, other.weights].concat();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let merged = Summary {
            values: order.iter().map(|i| values[*i]).collect(),
            weights: order.iter().map(|i| weights[*i]).collect(),
        };
        merged.compressed(epsilon)
    }

    /// Values at every `epsilon` of the whole weight.
    fn compressed(self, epsilon: f64) -> Summary {
        if (self.values.len() as f64) * epsilon < 1.0 {
            return self;
        }
        let mut total = 0.0f32;
        let sums: Vec<f32> = self
            .weights
            .iter()
            .map(|w| {
                total += w;
                total
            })
            .collect();
        let parts: Vec<f64> = sums.iter().map(|s| f64::from(s / total)).collect();
        let numbers = |list: &[f32]| -> Vec<f64> { list.iter().map(|v| f64::from(*v)).collect() };
        let (values, sums) = (numbers(&self.values), numbers(&sums));
        let steps = (1.0 / epsilon).ceil() as usize;
        let mut new = Summary::default();
        let mut before = 0.0;
        for i in 0..steps {
            let at = epsilon + i as f64 * epsilon;
            let sum = interpolate(at, &parts, &sums);
            new.values.push(interpolate(at, &parts, &values) as f32);
            new.weights.push((sum - before) as f32);
            before = sum;
        }
        new
    }
}

/// NumPy's `interp(x, xp, fp)`.
fn interpolate(x: f64, xp: &[f64], fp: &[f64]) -> f64 {
    let after = xp.partition_point(|p| *p <= x);
    match after {
        0 => fp[0],
        n if n == xp.len() => fp[n - 1],
        n if xp[n - 1] == x => fp[n - 1],
        n => (fp[n] - fp[n - 1]) / (xp[n] - xp[n - 1]) * (x - xp[n - 1]) + fp[n - 1],
    }
}

impl Layer for Discretization {
    fn class_name(&self) -> &'static str {
        "Discretization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        use OutputMode::{Count, Int, MultiHot, OneHot};
        self.output_mode.check(&[Int, OneHot, MultiHot, Count])?;
        check_dense(self.sparse)?;
        self.check_epsilon()?;
        if let Some(bins) = self.num_bins {
            check_depth("num_bins", bins)?;
        }
        let Some(bounds) = &self.bin_boundaries else {
            let want = "boundaries: give them, or `num_bins` and call `adapt`";
            return Err(Error::arg("bin_boundaries", want, "none"));
        };
        let ordered = bounds.windows(2).all(|b| b[0] <= b[1]);
        if !ordered || bounds.iter().any(|b| b.is_nan()) {
            let got = format!("{:?}", &bounds[..bounds.len().min(8)]);
            return Err(Error::arg("bin_boundaries", "ascending numbers", got));
        }
        check_depth("bin_boundaries", bounds.len() + 1)?;
        self.output_mode.shape(one_input(inputs)?, bounds.len() + 1)
    }

    fn contract(&self) -> Contract {
        contract()
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0].data;
        let bounds = self.bin_boundaries.as_deref().unwrap_or_default();
        // As f32, in which Keras compares; NaN is behind the last.
        let place = |i: usize| {
            Place::At(bounds.partition_point(|b| {
                let below = *b as f32 as Float <= x[i];
                below || x[i].is_nan()
            }))
        };
        let (mode, depth) = (self.output_mode, bounds.len() + 1);
        let y = cx.y;
        mode.encode(y.batch, depth, y.data, cx.par, x.len(), place, |_| 1.0);
    }

    fn backward(&self, _cx: Backward<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::apply::apply;
    use crate::testing::check_layer;
    use ndarray::{Array1, array};

    fn layer() -> Discretization {
        Discretization::new().bin_boundaries([-0.5, 0.0, 0.5])
    }

    #[test]
    fn laws() {
        for mode in ["int", "one_hot", "multi_hot", "count"] {
            check_layer(layer().output_mode(mode), &[[3].into()]);
            check_layer(layer().output_mode(mode), &[[3, 2].into()]);
        }
        check_layer(Discretization::new().bin_boundaries([]), &[[1].into()]);
        let mut adapted = Discretization::new().num_bins(2);
        adapted.adapt(&array![1.0, 2.0]).unwrap();
        check_layer(adapted, &[[2].into()]);
    }

    #[test]
    fn a_boundary_belongs_to_the_bin_above() {
        let x: (&[_], &[_]) = (&[-1.0, -0.5, 0.2, 0.5, 9.0, Float::NAN], &[6]);
        let (y, _) = apply(&layer(), &[x], &[None], &[]);
        assert_eq!(y, [0.0, 1.0, 2.0, 3.0, 3.0, 3.0]);
    }

    /// `Discretization.adapt` of Keras 3.15 on `(i * 37 % 300) ** 2 / 1000`, whole and in two batches.
    #[test]
    fn boundaries_are_kerass() {
        let x: Array1<f32> = (0..300).map(|i| (i * 37 % 300) as f32).collect();
        let x = x.map(|v| v * v / 1000.0);
        let mut bins = Discretization::new().num_bins(5).epsilon(0.05);
        bins.adapt(&x).unwrap();
        assert_eq!(
            bins.boundaries().unwrap(),
            [
                3.4810009002685547,
                14.161004066467285,
                32.04100036621094,
                57.12100601196289
            ]
        );
        let mut bins = Discretization::new().num_bins(4);
        let (a, b) = (x.slice(ndarray::s![..100]), x.slice(ndarray::s![100..]));
        bins.adapt([&a, &b]).unwrap();
        assert_eq!(
            bins.boundaries().unwrap(),
            [5.4759955406188965, 22.20099639892578, 50.177001953125]
        );
        let mut few = Discretization::new().num_bins(4);
        few.adapt(&array![3.0, 1.0]).unwrap();
        assert_eq!(few.boundaries().unwrap(), [1.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |l: Discretization| l.output_shape(&[[2].into()]).unwrap_err().to_string();
        assert!(refused(Discretization::new().num_bins(3)).contains("adapt"));
        assert!(refused(layer().bin_boundaries([1.0, 0.0])).contains("ascending"));
        assert!(refused(layer().bin_boundaries([f64::NAN])).contains("ascending"));
        assert!(refused(layer().output_mode("tf_idf")).contains("output_mode"));
        assert!(refused(layer().sparse(true)).contains("sparse"));
        assert!(refused(layer().epsilon(0.0)).contains("epsilon"));
        assert!(layer().adapt(&array![1.0]).is_err());
        let mut bins = Discretization::new().num_bins(3);
        assert!(bins.adapt(&array![Float::NAN]).is_err());
        assert!(bins.adapt(&Array1::<f32>::zeros(0)).is_err());
        assert!(bins.num_bins(0).adapt(&array![1.0]).is_err());
    }
}
