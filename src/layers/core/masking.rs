//! Masking: steps whose features all equal `mask_value` are padding. `y = x` on the others and 0 there; `dx = dy` and 0 likewise.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Backward, Buffers, Contract, Forward, Layer, Len, Mask, MaskRule, View};
use crate::layers::args::one_input;
use crate::shape::{Dims, Shape};

/// Marks steps of one value as padding. [Keras](https://keras.io/api/layers/core_layers/masking/)
///
/// Input and output `(batch, .., features)`; the mask covers all axes but the last. Steps of which every feature equals
/// `mask_value` are hidden, and become 0.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `mask_value` | 0 | what padding consists of |
///
/// ```
/// use oxhorn::{layers::Masking, prelude::*};
/// let mut model = Sequential::new().input([2, 2]).add(Masking::new().mask_value(-1.0));
/// model.build([2, 2])?;
/// let y = model.predict(&ndarray::array![[[1.0f32, -1.0], [-1.0, -1.0]]])?;
/// assert_eq!(y, ndarray::array![[[1.0, -1.0], [0.0, 0.0]]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masking {
    #[serde(default)]
    mask_value: f64,
}

impl Masking {
    /// Padding consists of zeros.
    pub fn new() -> Self {
        Masking::default()
    }

    /// What padding consists of.
    pub fn mask_value(mut self, value: f64) -> Self {
        self.mask_value = value;
        self
    }

    fn shows(&self, step: &[Float]) -> bool {
        step.iter().any(|x| *x != self.mask_value as Float)
    }
}

impl Layer for Masking {
    fn class_name(&self) -> &'static str {
        "Masking"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        if x.rank() == 0 {
            return Err(Error::shape("at least 2 axes (batch and features)", x));
        }
        Ok(x.clone())
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        // 1 for every step that is shown.
        Buffers {
            saved: vec![Len::PerSample(inputs[0].without_last().numel())],
            ..Buffers::default()
        }
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            in_place: true,
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    fn mask_shape(&self, inputs: &[Shape], _masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        let dims = inputs[0].dims();
        Ok(Some(dims[..dims.len() - 1].to_vec().into()))
    }

    fn compute_mask(&self, x: &[View<'_>], _masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        let steps = x[0].data.chunks_exact(x[0].cols().max(1));
        for (out, step) in out.iter_mut().zip(steps) {
            *out = self.shows(step);
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let ([shown], cols) = (cx.saved.all(), cx.y.cols().max(1));
        for (shown, step) in shown.iter_mut().zip(cx.y.data.chunks_exact_mut(cols)) {
            *shown = if self.shows(step) { 1.0 } else { 0.0 };
            if *shown == 0.0 {
                step.fill(0.0);
            }
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let (Some(dx), [shown]) = (&mut cx.dx[0], cx.saved.all()) else {
            return;
        };
        let cols = dx.cols().max(1);
        for (shown, step) in shown.iter().zip(dx.data.chunks_exact_mut(cols)) {
            if *shown == 0.0 {
                step.fill(0.0);
            }
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
        check_layer(Masking::new(), &[[3, 4].into()]);
        check_layer(Masking::new().mask_value(2.5), &[[2, 3, 2].into()]);
        assert!(Masking::new().output_shape(&[Shape::default()]).is_err());
    }

    #[test]
    fn padding_is_hidden_and_zero() {
        let x = [1.0, 5.0, 5.0, 5.0, 0.0, 0.0, 5.0, 5.0];
        let layer = Masking::new().mask_value(5.0);
        let (y, mask) = apply(&layer, &[(&x, &[2, 2])], &[None], &[]);
        assert_eq!(y, [1.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(mask.unwrap(), [true, false, true, false]);
    }
}
