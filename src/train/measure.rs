//! What is measured at an output besides its loss, and the small sums that training needs.

use crate::error::Result;
use crate::float::Float;
use crate::metrics::Metric;
use crate::shape::Shape;

/// A metric at an output, under its name in the logs.
#[derive(Debug)]
pub(super) struct Measure {
    pub metric: Box<dyn Metric>,
    pub weighted: bool,
    pub name: String,
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

    pub fn get(&self) -> f64 {
        if self.count == 0.0 {
            0.0
        } else {
            self.sum / self.count
        }
    }
}

/// Sample weights for every value of a loss: one a sample, one a position, or none.
pub(super) fn spread(weight: Option<&[Float]>, batch: usize, coef: &mut [Float]) {
    match weight {
        None => coef.fill(1.0),
        Some(w) if w.len() == coef.len() => coef.copy_from_slice(w),
        Some(w) => {
            let each = coef.len() / batch.max(1);
            coef.chunks_mut(each.max(1))
                .zip(w)
                .for_each(|(c, w)| c.fill(*w));
        }
    }
}

pub(super) fn measures(
    metrics: Option<&Vec<Box<dyn Metric>>>,
    weighted: Option<&Vec<Box<dyn Metric>>>,
    target: &Shape,
    shape: &Shape,
    prefix: &str,
) -> Result<Vec<Measure>> {
    let plain = metrics.into_iter().flatten().map(|m| (m, false));
    let all = plain.chain(weighted.into_iter().flatten().map(|m| (m, true)));
    let mut measures: Vec<Measure> = Vec::new();
    for (metric, weighted) in all {
        let metric = metric
            .resolve(target, shape)
            .unwrap_or_else(|| metric.fresh());
        metric
            .check(target, shape)
            .map_err(|e| e.owned_by(&metric.name()))?;
        let mut name = format!("{prefix}{}", metric.name());
        if weighted && measures.iter().any(|m| m.name == name) {
            name = format!("{prefix}weighted_{}", metric.name());
        }
        measures.push(Measure {
            metric,
            weighted,
            name,
        });
    }
    Ok(measures)
}
