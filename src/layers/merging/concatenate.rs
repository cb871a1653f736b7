//! Concatenation: the inputs one behind the other along an axis; `dx_i` is the part of `dy` that came from `x_i`.
//!
//! With `o` the product of the axes before the axis and `n_i` the elements of an input from the axis on, `y` is (o, n_0 + n_1 + ..)
//! and `x_i` is (o, n_i): rows are joined.

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::layer::{Backward, Contract, Forward, Layer, Mask, MaskRule, View};
use crate::layers::args::sample_axis;
use crate::shape::Shape;

/// Joins its inputs along an axis. [Keras](https://keras.io/api/layers/merging_layers/concatenate/)
///
/// The shapes of the inputs are equal but for that axis, whose sizes add up. The masks are joined likewise; an input without
/// one counts as shown, and where the last axis is joined, the output is shown where one input is.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `axis` | -1 | axis, counted with the batch axis (which cannot be joined) |
///
/// ```
/// use oxhorn::{layers::Concatenate, prelude::*};
/// let shape = Concatenate::new().axis(1).output_shape(&[[3, 4].into(), [2, 4].into()])?;
/// assert_eq!(shape, Shape::from([5, 4]));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concatenate {
    #[serde(default = "last")]
    axis: i64,
}

fn last() -> i64 {
    -1
}

impl Default for Concatenate {
    fn default() -> Self {
        Concatenate { axis: last() }
    }
}

impl Concatenate {
    /// Along the last axis.
    pub fn new() -> Self {
        Concatenate::default()
    }

    /// Axis along which to join, counted with the batch axis.
    pub fn axis(mut self, axis: i64) -> Self {
        self.axis = axis;
        self
    }

    /// The axis of samples of this rank, which `output_shape` has accepted.
    fn at(&self, rank: usize) -> usize {
        sample_axis("axis", self.axis, rank).unwrap_or(0)
    }
}

impl Layer for Concatenate {
    fn class_name(&self) -> &'static str {
        "Concatenate"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (first, rest) = inputs
            .split_first()
            .ok_or_else(|| Error::shape("at least one input", "none"))?;
        let at = sample_axis("axis", self.axis, first.rank())?;
        let mut dims = first.dims().to_vec();
        for x in rest {
            let fits = x.rank() == dims.len()
                && (0..dims.len())
                    .all(|i| i == at || x.dims()[i].zip(dims[i]).is_none_or(|(a, b)| a == b));
            if !fits {
                let want = format!("inputs equal to {first} but for axis {}", at + 1);
                return Err(Error::shape(want, x));
            }
            for (i, (dim, &other)) in dims.iter_mut().zip(x.dims()).enumerate() {
                *dim = match (*dim, other) {
                    (Some(a), Some(b)) if i == at => Some(
                        a.checked_add(b)
                            .ok_or_else(|| Error::shape("sizes that can be added", x))?,
                    ),
                    (a, _) if i == at => a.and(other),
                    (a, b) => a.or(b),
                };
            }
        }
        Ok(dims.into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            mask: MaskRule::Compute,
            ..Contract::default()
        }
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        if masks.iter().all(Option::is_none) {
            return Ok(None);
        }
        for (x, mask) in inputs.iter().zip(masks) {
            let Some(mask) = mask else { continue };
            let front = x.dims().split_last().map(|(_, front)| front);
            if mask != x && Some(mask.dims()) != front {
                let want = format!("a mask over {x}, or over all its axes but the last");
                return Err(Error::shape(want, format!("a mask of shape {mask}")));
            }
        }
        let y = self.output_shape(inputs)?;
        Ok(Some(y.dims()[..y.rank() - 1].to_vec().into()))
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        let at = self.at(x[0].shape.len());
        let joins_last = at + 1 == x[0].shape.len();
        // Rows of the mask: what an input has from the axis on, without the last axis.
        let part = |x: &View| match joins_last {
            true => 1,
            false => x.shape[at..x.shape.len() - 1].iter().product::<usize>(),
        };
        let whole: usize = if joins_last {
            1
        } else {
            x.iter().map(part).sum()
        };
        out.fill(false);
        let mut from = 0;
        for (x, mask) in x.iter().zip(masks) {
            let n = part(x);
            for (r, out) in out.chunks_exact_mut(whole.max(1)).enumerate() {
                for (k, flag) in out[from..from + n].iter_mut().enumerate() {
                    let i = r * n + k;
                    *flag |= mask.is_none_or(|m| match m.shape.len() == x.shape.len() {
                        true => m.data[i * x.cols()..][..x.cols()].contains(&true),
                        false => m.data[i],
                    });
                }
            }
            from += if joins_last { 0 } else { n };
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let at = self.at(cx.y.shape.len());
        let row: usize = cx.y.shape[at..].iter().product();
        let mut from = 0;
        for x in cx.x {
            let n: usize = x.shape[at..].iter().product();
            cx.par.for_each_rows(cx.y.data, row, |first, y| {
                let x = x.data[first * n..].chunks_exact(n.max(1));
                for (y, x) in y.chunks_exact_mut(row.max(1)).zip(x) {
                    y[from..from + n].copy_from_slice(x);
                }
            });
            from += n;
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let at = self.at(cx.dy.shape.len());
        let row: usize = cx.dy.shape[at..].iter().product();
        let mut from = 0;
        for (x, dx) in cx.x.iter().zip(cx.dx) {
            let n: usize = x.shape[at..].iter().product();
            if let Some(dx) = dx {
                cx.par.for_each_rows(dx.data, n, |first, dx| {
                    let dy = cx.dy.data[first * row..].chunks_exact(row.max(1));
                    for (dx, dy) in dx.chunks_exact_mut(n.max(1)).zip(dy) {
                        dx.copy_from_slice(&dy[from..from + n]);
                    }
                });
            }
            from += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(
            Concatenate::new(),
            &[[3, 4].into(), [3, 2].into(), [3, 1].into()],
        );
        check_layer(Concatenate::new().axis(1), &[[3, 4].into(), [2, 4].into()]);
        check_layer(
            Concatenate::new().axis(-2),
            &[[2, 3, 2].into(), [2, 1, 2].into()],
        );
        check_layer(Concatenate::new(), &[[3].into()]);
    }

    #[test]
    fn mistakes_are_named() {
        let shape = |axis: i64, inputs: &[Shape]| {
            let shape = Concatenate::new().axis(axis).output_shape(inputs);
            shape.map_err(|e| e.owned_by("concatenate").to_string())
        };
        assert_eq!(
            shape(-1, &[[3, 4].into(), [2, 4].into()]).unwrap_err(),
            "concatenate: expected inputs equal to (None, 3, 4) but for axis 2, got (None, 2, 4)"
        );
        assert_eq!(
            shape(0, &[[3].into()]).unwrap_err(),
            "concatenate: argument `axis`: expected an axis of 2 other than the batch, got 0"
        );
        assert!(shape(1, &[[usize::MAX].into(), [1].into()]).is_err());
        assert!(shape(1, &[]).is_err());
        assert_eq!(
            shape(1, &[[None, Some(4)].into(), [Some(2), None].into()]).unwrap(),
            Shape::from([None, Some(4)])
        );
    }
}
