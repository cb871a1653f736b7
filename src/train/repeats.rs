//! Rows of a table that one batch looked up more than once.
//!
//! To Keras on TensorFlow the gradient of such a table is a list of rows, not their sums: clipping by value and squaring see every
//! row by itself, and only what comes out is added. An optimizer that squares gradients therefore does not get `(a + b)^2` for a row
//! that was looked up twice, but `a^2 + b^2`. A penalty on the table, accumulation, or clipping by the global norm make it an array
//! before the optimizer sees it, and then it is as any other gradient.

use std::ops::Range;

use crate::float::Float;
use crate::graph::lookups::Lookups;
use crate::kernels::elementwise;
use crate::layer::table_row;
use crate::optimizers::Powers;

/// The rows, found anew for every step.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// What was looked up several times.
    rows: Vec<Row>,
    /// `(row of its table, where its gradient begins)` of every lookup, those of a row beside each other.
    parts: Vec<(u32, usize)>,
    sums: Vec<Float>,
}

/// A row of a variable.
#[derive(Clone, Debug)]
pub struct Row {
    /// The variable.
    pub var: usize,
    /// Its place among the gradients.
    pub at: Range<usize>,
    parts: Range<usize>,
}

impl Repeats {
    /// Finds the repeated rows of these tables: variables and their ranges of the gradients.
    pub fn find(&mut self, lookups: &Lookups, tables: impl Iterator<Item = (usize, Range<usize>)>) {
        self.rows.clear();
        self.parts.clear();
        for (var, table) in tables {
            let (first, mut width) = (self.parts.len(), 0);
            for call in lookups.calls.iter().filter(|c| c.table == table.start) {
                width = call.width;
                let ids = lookups.ids[call.ids.clone()].iter().enumerate();
                self.parts.extend(ids.filter_map(|(i, &id)| {
                    let row = table_row(id, table.len() / width)?;
                    Some((row as u32, call.grads + i * width))
                }));
            }
            self.parts[first..].sort_unstable();
            let mut start = first;
            for group in self.parts[first..].chunk_by(|a, b| a.0 == b.0) {
                if group.len() > 1 {
                    let at = table.start + group[0].0 as usize * width;
                    self.rows.push(Row {
                        var,
                        at: at..at + width,
                        parts: start..start + group.len(),
                    });
                }
                start += group.len();
            }
        }
    }

    /// The contributions to a row.
    fn parts<'a>(&'a self, row: &Row, lookups: &'a Lookups) -> impl Iterator<Item = &'a [Float]> {
        let width = row.at.len();
        let parts = &self.parts[row.parts.clone()];
        parts.iter().map(move |p| &lookups.grads[p.1..][..width])
    }

    /// Clips the contributions to every row, which are then added again, and kept clipped.
    pub fn clip(&self, limit: Float, lookups: &mut Lookups, dw: &mut [Float]) {
        for row in &self.rows {
            let sum = &mut dw[row.at.clone()];
            sum.fill(0.0);
            for &(_, at) in &self.parts[row.parts.clone()] {
                let part = &mut lookups.grads[at..][..sum.len()];
                for (sum, g) in sum.iter_mut().zip(part) {
                    *g = g.clamp(-limit, limit);
                    *sum += *g;
                }
            }
        }
    }

    /// Multiplies the contributions to the rows of a variable.
    pub fn scale(&self, var: usize, factor: Float, lookups: &mut Lookups) {
        for row in self.rows.iter().filter(|row| row.var == var) {
            for &(_, at) in &self.parts[row.parts.clone()] {
                elementwise::scale(factor, &mut lookups.grads[at..][..row.at.len()]);
            }
        }
    }

    /// By how much the squares of all contributions exceed those of the sums, in one variable or all.
    pub fn excess(&self, lookups: &Lookups, dw: &[Float], var: Option<usize>) -> f64 {
        let square = |g: &Float| f64::from(*g).powi(2);
        let of_row = |row: &Row| {
            let parts = self.parts(row, lookups).flatten().map(square);
            parts.sum::<f64>() - dw[row.at.clone()].iter().map(square).sum::<f64>()
        };
        let here = |row: &&Row| var.is_none_or(|var| row.var == var);
        self.rows.iter().filter(here).map(of_row).sum()
    }

    /// Calls `f` with each of the rows that lie within a range of the gradients, and the sums of the powers of what was added to it,
    /// each times `scale` before.
    pub fn each(
        &mut self,
        within: &Range<usize>,
        lookups: &Lookups,
        powers: Powers,
        scale: Float,
        mut f: impl FnMut(&Row, &[Float]),
    ) {
        let Repeats { rows, parts, sums } = self;
        for row in rows.iter().filter(|row| within.contains(&row.at.start)) {
            sums.clear();
            sums.resize(row.at.len(), 0.0);
            for &(_, at) in &parts[row.parts.clone()] {
                for (sum, g) in sums.iter_mut().zip(&lookups.grads[at..]) {
                    let g = g * scale;
                    *sum += match powers {
                        Powers::Squares => g * g,
                        Powers::Magnitudes => g.abs(),
                    };
                }
            }
            f(row, sums);
        }
    }
}
