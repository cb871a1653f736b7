//! Batch renormalization: the corrections `r` and `d` that bring a batch's moments to the moving ones.
//!
//! With the batch's `mean` and `stddev = sqrt(variance + epsilon)`: `r = stddev / s`, `d = (mean - m) / s`, where `m` and `s` are
//! the moving `renorm_mean` and `renorm_stddev` (at least `sqrt(epsilon)`), clipped. Then `y = (x r + d) gamma + beta` for the
//! normalised `x`. No gradient flows through `r` and `d`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::{Custom, Initializer};

/// Bounds of the corrections of batch renormalization. What is not given is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenormClipping {
    /// Most that `r` may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rmax: Option<f64>,
    /// Least that `r` may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rmin: Option<f64>,
    /// Most that `|d|` may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmax: Option<f64>,
}

impl RenormClipping {
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |want: &str| Err(Error::arg("renorm_clipping", want, format!("{self:?}")));
        match self {
            RenormClipping {
                rmax: Some(max),
                rmin: Some(min),
                ..
            } if max < min => wrong("`rmax` not below `rmin`"),
            RenormClipping {
                dmax: Some(max), ..
            } if *max < 0.0 => wrong("a `dmax` that is not negative"),
            _ => Ok(()),
        }
    }

    /// `r` and `d` of one channel.
    pub(super) fn correct(
        &self,
        (mean, variance): (Float, Float),
        (renorm_mean, renorm_stddev): (Float, Float),
        epsilon: Float,
    ) -> (Float, Float) {
        let s = renorm_stddev.max(epsilon.sqrt());
        let mut r = (variance + epsilon).sqrt() / s;
        let mut d = (mean - renorm_mean) / s;
        if let Some(min) = self.rmin {
            r = r.max(min as Float);
        }
        if let Some(max) = self.rmax {
            r = r.min(max as Float);
        }
        if let Some(max) = self.dmax {
            d = d.clamp(-max as Float, max as Float);
        }
        (r, d)
    }
}

/// How the moving standard deviations start: as the roots of the variances.
pub(super) fn roots_of(variance: &Initializer) -> Initializer {
    let variance = variance.clone();
    Initializer::Custom(Custom::new(
        "sqrt",
        Arc::new(move |shape, rng, out| {
            // The variance's initializer has been checked by its own weight.
            let _ = variance.fill(shape, rng, out);
            out.iter_mut().for_each(|v| *v = v.sqrt());
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_are_clipped() {
        let none = RenormClipping::default();
        assert_eq!(none.correct((3.0, 4.0), (1.0, 0.5), 0.0), (4.0, 4.0));
        let some = RenormClipping {
            rmax: Some(2.0),
            rmin: Some(1.0),
            dmax: Some(0.5),
        };
        assert_eq!(some.correct((3.0, 4.0), (1.0, 0.5), 0.0), (2.0, 0.5));
        assert_eq!(some.correct((-3.0, 0.0), (1.0, 0.0), 0.25), (1.0, -0.5));
        assert!(some.check().is_ok() && none.check().is_ok());
        assert!(
            RenormClipping {
                rmax: Some(0.5),
                ..some
            }
            .check()
            .is_err()
        );
        assert!(
            RenormClipping {
                dmax: Some(-0.5),
                ..none
            }
            .check()
            .is_err()
        );
    }
}
