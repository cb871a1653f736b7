//! The only memory that a step changes. One per thread; grows to the largest batch it has seen and then never allocates.

use super::lookups::Lookups;
use super::plan::Plan;
use crate::kernels::memory::Buffer;

/// Values, gradients and everything between them; see [`Plan`] for what lies where.
#[derive(Debug, Default)]
pub struct Workspace {
    capacity: usize,
    pub(super) values: Vec<Buffer>,
    pub(super) grads: Vec<Buffer>,
    pub(super) spares: Vec<Buffer>,
    pub(super) saved: Vec<Buffer>,
    pub(super) saved_index: Vec<Vec<u32>>,
    pub(super) scratch: Buffer,
    pub(super) masks: Vec<Vec<bool>>,
    /// Buffers on loan during one call of a layer: outputs behind the first, and gradients of inputs.
    pub(super) more: Vec<Buffer>,
    pub(super) hands: Vec<Buffer>,
    /// Statistics of the step, for [`Pass::update_state`](super::run::Pass::update_state).
    pub stats: Buffer,
    /// What lookup layers added to their tables in the last backward pass.
    pub lookups: Lookups,
    /// Sum of the penalties on outputs in the last forward pass, each divided by the batch size.
    pub penalty: f64,
}

impl Workspace {
    /// Makes room for a batch of this size.
    pub fn reserve(&mut self, plan: &Plan, batch: usize) {
        if batch <= self.capacity {
            return;
        }
        self.capacity = batch;
        fit(&mut self.values, plan.slots.iter().map(|n| n * batch));
        fit(&mut self.grads, plan.grad_slots.iter().map(|n| n * batch));
        fit(&mut self.spares, plan.spares.iter().map(|n| n * batch));
        fit(
            &mut self.saved,
            plan.steps
                .iter()
                .map(|s| s.buffers.saved.iter().map(|l| l.at(batch)).sum()),
        );
        self.saved_index.resize(plan.steps.len(), Vec::new());
        for (index, step) in self.saved_index.iter_mut().zip(&plan.steps) {
            index.resize(
                step.buffers.saved_index.iter().map(|l| l.at(batch)).sum(),
                0,
            );
        }
        self.masks.resize(plan.masks.len(), Vec::new());
        for (mask, dims) in self.masks.iter_mut().zip(&plan.masks) {
            mask.resize(dims.numel() * batch, true);
        }
        let scratch = plan
            .steps
            .iter()
            .map(|s| s.buffers.scratch.iter().map(|l| l.at(batch)).sum())
            .max();
        self.scratch.grow(scratch.unwrap_or(0));
        self.stats.grow(plan.stats_len);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let floats = |b: &[Buffer]| b.iter().map(|b| b.len()).sum::<usize>();
        let all = floats(&self.values)
            + floats(&self.grads)
            + floats(&self.spares)
            + floats(&self.saved)
            + self.scratch.len()
            + self.stats.len();
        all * size_of::<crate::Float>()
            + self.saved_index.iter().map(|v| v.len() * 4).sum::<usize>()
            + self.masks.iter().map(Vec::len).sum::<usize>()
    }
}

fn fit(buffers: &mut Vec<Buffer>, sizes: impl ExactSizeIterator<Item = usize>) {
    buffers.resize(sizes.len(), Buffer::default());
    buffers
        .iter_mut()
        .zip(sizes)
        .for_each(|(buffer, size)| buffer.grow(size));
}
