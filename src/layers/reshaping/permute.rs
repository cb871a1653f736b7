//! Permute: the axes of each sample in another order. `dx` is `dy` with the axes put back.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::kernels::permute::permute;
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::input_of_rank;
use crate::shape::{Dims, MAX_RANK, Shape};

/// Puts the axes of each sample into another order. [Keras](https://keras.io/api/layers/reshaping_layers/permute/)
///
/// Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `dims` | | for each axis of the output, which axis of the input it is: a permutation of 1, 2, .. (0 is the batch) |
///
/// ```
/// use oxhorn::{layers::Permute, prelude::*};
/// let mut model = Sequential::new().input([2, 3]).add(Permute::new([2, 1]));
/// model.build([2, 3])?;
/// let y = model.predict(&ndarray::array![[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]])?;
/// assert_eq!(y, ndarray::array![[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permute {
    dims: Vec<usize>,
}

impl Permute {
    /// Axis `i` of the output is axis `dims[i]` of the input.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Permute { dims: dims.into() }
    }

    /// For each axis of an output sample, the axis of the input sample.
    fn axes(&self) -> Dims {
        let mut axes = Dims::default();
        self.dims.iter().for_each(|&d| axes.push(d - 1));
        axes
    }

    /// For each axis of an input sample, the axis of the output sample.
    fn axes_back(&self) -> Dims {
        let mut axes = Dims::default();
        let place = |d| self.dims.iter().position(|&p| p == d);
        (1..=self.dims.len()).for_each(|d| axes.push(place(d).unwrap_or(0)));
        axes
    }
}

impl Layer for Permute {
    fn class_name(&self) -> &'static str {
        "Permute"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let n = self.dims.len();
        if n > MAX_RANK || !(1..=n).all(|d| self.dims.contains(&d)) {
            let want = format!("a permutation of at most {MAX_RANK} axes, the first of which is 1");
            return Err(Error::arg("dims", want, format!("{:?}", self.dims)));
        }
        let x = input_of_rank(inputs, n, "one for each of `dims`, and the batch")?;
        let dims: Vec<_> = self.dims.iter().map(|&d| x.dims()[d - 1]).collect();
        Ok(dims.into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0];
        permute(x.data, x.shape, &self.axes(), cx.y.data, cx.par);
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            permute(cx.dy.data, cx.dy.shape, &self.axes_back(), dx.data, cx.par);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Permute::new([2, 1]), &[[3, 4].into()]);
        check_layer(Permute::new([2, 3, 1]), &[[2, 3, 4].into()]);
        check_layer(Permute::new([4, 1, 3, 2]), &[[2, 1, 4, 3].into()]);
        check_layer(Permute::new([1]), &[[3].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        for bad in [
            vec![0, 1],
            vec![1, 1],
            vec![1, 3],
            vec![2],
            (1..=8).collect(),
        ] {
            assert!(Permute::new(bad).output_shape(&[[3, 4].into()]).is_err());
        }
        assert!(Permute::new([1, 2]).output_shape(&[[3].into()]).is_err());
    }
}
