//! How the values of a loss become one number.

use serde::{Deserialize, Deserializer, Serialize};

use crate::float::Float;

/// How the values of a loss become one number.
///
/// ```
/// use oxhorn::losses::Reduction;
/// let mut coef = [2.0, 1.0];
/// Reduction::SumOverBatchSize.coefficients(&mut coef, None);
/// assert_eq!(coef, [1.0, 0.5]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Sum divided by the number of values (not by the sum of the weights): Keras's default.
    #[default]
    SumOverBatchSize,
    /// The same as `SumOverBatchSize`.
    Mean,
    /// Sum.
    Sum,
    /// Sum divided by the sum of the weights.
    MeanWithSampleWeight,
    /// As `Sum`: training needs one number.
    None,
}

impl<'de> Deserialize<'de> for Reduction {
    /// Null is `None`, as in Keras.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(
            match Option::<String>::deserialize(deserializer)?.as_deref() {
                Some("sum_over_batch_size") => Reduction::SumOverBatchSize,
                Some("mean") => Reduction::Mean,
                Some("sum") => Reduction::Sum,
                Some("mean_with_sample_weight") => Reduction::MeanWithSampleWeight,
                None | Some("none") => Reduction::None,
                Some(other) => {
                    return Err(serde::de::Error::custom(format!(
                        "argument `reduction`: expected sum_over_batch_size, mean, sum, mean_with_sample_weight or none, got {other}"
                    )));
                }
            },
        )
    }
}

impl Reduction {
    /// Turns weights into coefficients, in place: `coef` holds the sample weight of every value (all ones without), `mask` the
    /// mask of every value. After it, the loss is `sum coef * value`. Keras's divisors and mask rule, literally.
    pub fn coefficients(self, coef: &mut [Float], mask: Option<&[bool]>) {
        let total = coef.len() as Float;
        if let Some(mask) = mask {
            // A valid value weighs total / valid, so that the mean over all is the mean over the valid ones.
            let valid = mask.iter().filter(|&&m| m).count() as Float;
            let scale = match self {
                Reduction::SumOverBatchSize | Reduction::Mean => total / valid.max(1.0),
                _ => 1.0,
            };
            coef.iter_mut()
                .zip(mask)
                .for_each(|(c, &m)| *c *= if m { scale } else { 0.0 });
        }
        let divisor = match self {
            Reduction::SumOverBatchSize | Reduction::Mean => total,
            Reduction::MeanWithSampleWeight => coef.iter().sum(),
            Reduction::Sum | Reduction::None => return,
        };
        // Nothing divided by nothing is nothing.
        if divisor == 0.0 {
            coef.fill(0.0);
        } else {
            coef.iter_mut().for_each(|c| *c /= divisor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_have_keras_s_divisors() {
        let run = |reduction: Reduction, mask: Option<&[bool]>| {
            let mut coef = [2.0, 0.0, 1.0, 1.0];
            reduction.coefficients(&mut coef, mask);
            coef
        };
        assert_eq!(
            run(Reduction::SumOverBatchSize, None),
            [0.5, 0.0, 0.25, 0.25]
        );
        assert_eq!(run(Reduction::Sum, None), [2.0, 0.0, 1.0, 1.0]);
        assert_eq!(
            run(Reduction::MeanWithSampleWeight, None),
            [0.5, 0.0, 0.25, 0.25]
        );
        let masked = run(Reduction::Mean, Some(&[true, true, false, false]));
        assert_eq!(masked, [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(run(Reduction::Mean, Some(&[false; 4])), [0.0; 4]);
    }

    #[test]
    fn names_are_keras_s() {
        let read = |text: &str| serde_json::from_str::<Reduction>(text);
        for name in [
            "sum_over_batch_size",
            "mean",
            "sum",
            "mean_with_sample_weight",
            "none",
        ] {
            let text = format!("\"{name}\"");
            assert_eq!(serde_json::to_string(&read(&text).unwrap()).unwrap(), text);
        }
        assert_eq!(read("null").unwrap(), Reduction::None);
        assert!(read("\"avg\"").unwrap_err().to_string().contains("got avg"));
    }
}
