//! What is measured at an output besides its loss, and the small sums that training needs.

use crate::error::Result;
use crate::float::Float;
use crate::losses::{Loss, Reduction};
use crate::metrics::Metric;
use crate::shape::{Dims, Shape};
use crate::tensor::View;

/// A metric at an output, under its name in the logs.
#[derive(Debug)]
pub(super) struct Measure {
    pub metric: Box<dyn Metric>,
    pub weighted: bool,
    /// Whether it takes what comes before the last activation.
    pub on_logits: bool,
    pub name: String,
    /// The output's name in front, where there are several outputs.
    prefix: String,
}

/// A running mean of losses, weighted by the sizes of the batches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    pub fn add(&mut self, value: f64, count: usize) {
        self.sum += value * count as f64;
        self.count += count as f64;
    }

    pub fn state(&self) -> [f64; 2] {
        [self.sum, self.count]
    }

    pub fn set_state(&mut self, [sum, count]: [f64; 2]) {
        (self.sum, self.count) = (sum, count);
    }

    pub fn get(&self) -> f64 {
        if self.count == 0.0 {
            0.0
        } else {
            self.sum / self.count
        }
    }
}

/// Which values of a loss count: those of the output's mask that the loss itself does not rule out. True if there is any such rule.
pub(super) fn mask_values(
    loss: &dyn Loss,
    mask: Option<&[bool]>,
    y_true: View<'_>,
    values: &[Float],
    keep: &mut Vec<bool>,
) -> bool {
    keep.clear();
    keep.resize(values.len(), true);
    // The shape of a mask is a prefix of that of the output.
    let each = mask.map_or(0, |m| values.len() / m.len().max(1));
    let fits = mask.filter(|m| each > 0 && m.len() * each == values.len());
    if let Some(mask) = fits {
        keep.chunks_exact_mut(each)
            .zip(mask)
            .for_each(|(keep, m)| keep.fill(*m));
    }
    loss.mask(y_true, values, keep) || fits.is_some()
}

/// What every value of a loss is multiplied by, for values of this shape.
pub(super) fn coefficients(
    reduction: Reduction,
    shape: &Dims,
    weight: Option<&[Float]>,
    keep: Option<&[bool]>,
    coef: &mut Vec<Float>,
) {
    coef.clear();
    let n = shape.numel();
    match weight {
        None if shape.is_empty() => return coef.push(1.0),
        None => coef.resize(n, 1.0),
        // Keras multiplies one value for the whole batch by the weight of every sample, and reduces these.
        Some(w) if shape.is_empty() => {
            coef.extend_from_slice(w);
            reduction.coefficients(coef, None);
            let sum = coef.iter().sum();
            coef.clear();
            return coef.push(sum);
        }
        Some(w) if w.len() == n => coef.extend_from_slice(w),
        Some(w) => {
            let each = n / w.len().max(1);
            w.iter()
                .for_each(|&w| coef.extend(std::iter::repeat_n(w, each)));
        }
    }
    reduction.coefficients(coef, keep);
}

/// The weights that a metric sees: none, those of the samples, and for one that leaves out padding these times the mask, one a row.
pub(super) fn metric_weights<'a>(
    weight: Option<&'a [Float]>,
    mask: Option<&[bool]>,
    rows: usize,
    room: &'a mut Vec<Float>,
) -> Option<&'a [Float]> {
    let Some(mask) = mask else {
        return weight;
    };
    let (each, each_weight) = (
        rows / mask.len().max(1),
        weight.map_or(1, |w| rows / w.len().max(1)),
    );
    room.clear();
    room.extend((0..rows).map(|r| {
        let weight = weight.map_or(1.0, |w| w[r / each_weight.max(1)]);
        if mask[r / each.max(1)] { weight } else { 0.0 }
    }));
    Some(room)
}

/// The metrics of an output, ready for its shapes.
pub(super) fn measures(
    metrics: Option<&Vec<Box<dyn Metric>>>,
    weighted: Option<&Vec<Box<dyn Metric>>>,
    target: &Shape,
    shape: &Shape,
    prefix: &str,
) -> Result<Vec<Measure>> {
    let plain = metrics.into_iter().flatten().map(|m| (m, false));
    let all = plain.chain(weighted.into_iter().flatten().map(|m| (m, true)));
    all.map(|(metric, weighted)| {
        let metric = metric
            .resolve(target, shape)
            .unwrap_or_else(|| metric.fresh());
        metric
            .check(target, shape)
            .map_err(|e| e.owned_by(&metric.name()))?;
        Ok(Measure {
            name: format!("{prefix}{}", metric.name()),
            prefix: prefix.into(),
            metric,
            weighted,
            on_logits: false,
        })
    })
    .collect()
}

/// Gives every metric a name of its own, by Keras's rule: of equal ones the second is `name_1`; a weighted one first tries
/// `weighted_name`.
pub(super) fn name_measures(outputs: &mut [Vec<Measure>]) {
    let mut seen: Vec<(String, usize)> = Vec::new();
    let mut times = |name: &str| match seen.iter_mut().find(|(n, _)| n == name) {
        Some((_, count)) => {
            *count += 1;
            *count - 1
        }
        None => {
            seen.push((name.into(), 1));
            0
        }
    };
    for weighted in [false, true] {
        let all = outputs.iter_mut().flatten();
        for measure in all.filter(|m| m.weighted == weighted) {
            let mut name = measure.name.clone();
            let mut before = times(&name);
            if weighted && before > 0 {
                name = format!("{}weighted_{}", measure.prefix, measure.metric.name());
                before = times(&name);
            }
            measure.name = match before {
                0 => name,
                n => format!("{name}_{n}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn names_are_keras_s() {
        let list = |names: &[&str]| -> Vec<Box<dyn Metric>> {
            names.iter().map(|n| metrics::get(n).unwrap()).collect()
        };
        let (plain, weighted) = (
            list(&["mse", "mae", "mse", "accuracy", "mse"]),
            list(&["mae", "auc", "mae", "mae"]),
        );
        let shape = Shape::from([1]);
        let one = measures(Some(&plain), Some(&weighted), &shape, &shape, "out_").unwrap();
        let mut outputs = [one];
        name_measures(&mut outputs);
        let names: Vec<&str> = outputs[0].iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "out_mse",
                "out_mae",
                "out_mse_1",
                "out_accuracy",
                "out_mse_2",
                "out_weighted_mae",
                "out_auc",
                "out_weighted_mae_1",
                "out_weighted_mae_2"
            ]
        );
    }

    #[test]
    fn weights_of_a_value_for_the_whole_batch() {
        let run = |reduction: Reduction, weight: Option<&[Float]>| {
            let mut coef = Vec::new();
            coefficients(reduction, &Dims::default(), weight, None, &mut coef);
            coef
        };
        assert_eq!(run(Reduction::SumOverBatchSize, None), [1.0]);
        assert_eq!(run(Reduction::Sum, None), [1.0]);
        let weights = Some(&[1.0, 3.0, 2.0, 0.0][..]);
        assert_eq!(run(Reduction::SumOverBatchSize, weights), [1.5]);
        assert_eq!(run(Reduction::Sum, weights), [6.0]);
        assert_eq!(run(Reduction::MeanWithSampleWeight, weights), [1.0]);
    }

    #[test]
    fn weights_and_masks_of_rows() {
        let mut room = Vec::new();
        let weight = Some(&[2.0, 3.0][..]);
        assert_eq!(metric_weights(weight, None, 4, &mut room), weight);
        let mask = Some(&[true, false, true, true][..]);
        let rows = metric_weights(weight, mask, 4, &mut room).unwrap();
        assert_eq!(rows, [2.0, 0.0, 3.0, 3.0]);
        let rows = metric_weights(None, Some(&[false, true]), 4, &mut room).unwrap();
        assert_eq!(rows, [0.0, 0.0, 1.0, 1.0]);
    }
}
