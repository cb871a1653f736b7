//! Reshape: other axes for the same numbers in the same order.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Contract, Forward, Layer};
use crate::layers::args::{checked, one_input};
use crate::shape::Shape;

/// Gives each sample another shape. [Keras](https://keras.io/api/layers/reshaping_layers/reshape/)
///
/// Masks are not passed on.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `target_shape` | | shape of one sample; one axis may be -1 and follows from the others |
///
/// ```
/// use oxhorn::prelude::*;
/// let mut model = Sequential::new().input([12]).add(Reshape::new([3, -1]));
/// model.build([12])?;
/// let y = model.predict(&ndarray::Array2::<f32>::ones((5, 12)))?;
/// assert_eq!(y.shape(), [5, 3, 4]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    target_shape: Vec<i64>,
}

impl Reshape {
    /// To this shape of one sample.
    pub fn new(target_shape: impl Into<Vec<i64>>) -> Self {
        Reshape {
            target_shape: target_shape.into(),
        }
    }
}

impl Layer for Reshape {
    fn class_name(&self) -> &'static str {
        "Reshape"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        let wrong =
            |want: String| Error::arg("target_shape", want, format!("{:?}", self.target_shape));
        if self.target_shape.iter().any(|&d| d < -1)
            || self.target_shape.iter().filter(|&&d| d == -1).count() > 1
        {
            return Err(wrong(
                "sizes that are not negative, and at most one -1".into(),
            ));
        }
        let given = self.target_shape.iter().filter(|&&d| d >= 0);
        let product = given
            .copied()
            .try_fold(1i64, i64::checked_mul)
            .ok_or_else(|| wrong("a size that fits".into()))? as usize;
        let dims = self.target_shape.iter().map(|&d| usize::try_from(d).ok());
        let Some(total) = x.numel() else {
            return checked(dims.collect::<Vec<_>>().into());
        };
        let inferred = self.target_shape.contains(&-1);
        let fits = if inferred {
            product > 0 && total % product == 0
        } else {
            product == total
        };
        if !fits {
            return Err(wrong(format!("a shape with the {total} elements of {x}")));
        }
        let dims = dims.map(|d| d.or(Some(total / product.max(1))));
        checked(dims.collect::<Vec<_>>().into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            ..Contract::default()
        }
    }

    fn forward(&self, _cx: Forward<'_>) {}

    fn backward(&self, _cx: Backward<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(Reshape::new([4, 3]), &[[2, 6].into()]);
        check_layer(Reshape::new([-1, 2]), &[[12].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        for bad in [
            vec![5],
            vec![-1, 5],
            vec![-1, -1],
            vec![-2, 6],
            vec![i64::MAX, 4],
            vec![12, 1, 1, 1, 1, 1, 1, 1],
        ] {
            assert!(Reshape::new(bad).output_shape(&[[12].into()]).is_err());
        }
    }
}
