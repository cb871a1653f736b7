//! What calls of lookup layers added to the rows of their tables in the last backward pass, kept one by one for an optimizer that
//! does not only want the sums.

use std::ops::Range;

use crate::float::Float;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Lookups {
    /// Whether they are kept.
    pub keep: bool,
    /// The ids, call after call.
    pub ids: Vec<Float>,
    /// The gradients of what was looked up, end to end.
    pub grads: Vec<Float>,
    /// The calls.
    pub calls: Vec<Call>,
}

/// The lookups of one call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where the gradient of its table begins.
    pub table: usize,
    /// Numbers a row.
    pub width: usize,
    /// Its ids.
    pub ids: Range<usize>,
    /// Where its gradients begin.
    pub grads: usize,
}

impl Lookups {
    /// Forgets the last pass; the memory stays.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.grads.clear();
        self.calls.clear();
    }

    /// Keeps those of a call: one row of `dy` for each id.
    pub fn push(&mut self, table: usize, ids: &[Float], dy: &[Float]) {
        if ids.is_empty() {
            return;
        }
        self.calls.push(Call {
            table,
            width: dy.len() / ids.len(),
            ids: self.ids.len()..self.ids.len() + ids.len(),
            grads: self.grads.len(),
        });
        self.ids.extend_from_slice(ids);
        self.grads.extend_from_slice(dy);
    }
}
