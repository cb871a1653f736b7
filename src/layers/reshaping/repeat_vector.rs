//! RepeatVector: `y[t] = x` for `n` steps; `dx = sum_t dy[t]`.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::kernels::elementwise::column_sums;
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::{checked, input_of_rank};
use crate::shape::Shape;

/// Repeats each sample as so many steps. [Keras](https://keras.io/api/layers/reshaping_layers/repeat_vector/)
///
/// Input `(batch, features)`, output `(batch, n, features)`. Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `n` | | number of steps |
///
/// ```
/// use oxhorn::{layers::RepeatVector, prelude::*};
/// assert_eq!(RepeatVector::new(3).output_shape(&[[4].into()])?, Shape::from([3, 4]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatVector {
    n: usize,
}

impl RepeatVector {
    /// So many times.
    pub fn new(n: usize) -> Self {
        RepeatVector { n }
    }
}

impl Layer for RepeatVector {
    fn class_name(&self) -> &'static str {
        "RepeatVector"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.n == 0 {
            return Err(Error::arg("n", "a positive integer", 0));
        }
        let x = input_of_rank(inputs, 1, "batch, features")?;
        checked([Some(self.n), x.dims()[0]].into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let k = cx.y.cols().max(1);
        for (y, x) in
            cx.y.data
                .chunks_exact_mut(k * self.n)
                .zip(cx.x[0].data.chunks_exact(k))
        {
            y.chunks_exact_mut(k).for_each(|y| y.copy_from_slice(x));
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        if let Some(dx) = &mut cx.dx[0] {
            let k = dx.cols().max(1);
            dx.data.fill(0.0);
            for (dx, dy) in dx
                .data
                .chunks_exact_mut(k)
                .zip(cx.dy.data.chunks_exact(k * self.n))
            {
                column_sums(dy, dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(RepeatVector::new(3), &[[4].into()]);
        check_layer(RepeatVector::new(1), &[[2].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(RepeatVector::new(0).output_shape(&[[4].into()]).is_err());
        assert!(RepeatVector::new(2).output_shape(&[[4, 2].into()]).is_err());
        assert!(
            RepeatVector::new(usize::MAX)
                .output_shape(&[[4].into()])
                .is_err()
        );
    }
}
