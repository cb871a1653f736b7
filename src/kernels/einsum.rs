//! Sums of products over labelled axes: `out[..] = sum a[..] b[..]`, as matrix products wherever there is one in it.
//!
//! Every label has a size and a stride in each of the three arrays, 0 where the array does not have it. A label of the output
//! that only `a` has is a row of a matrix product, one that only `b` has a column, one that the output lacks is summed. Labels
//! of one kind that lie behind each other in all arrays are one label. The product then is [`gemm`] over one label of each kind,
//! with strides and without copies, in a loop over the others; where the innermost label of the output is in both operands
//! there is no matrix product, and plain loops do it.

use super::gemm::{Accum, Mat, gemm};
use super::parallel::Par;
use crate::float::Float;
use crate::shape::MAX_RANK;

/// Most labels: all axes of both operands.
pub const MAX_LABELS: usize = 2 * (MAX_RANK + 1);

/// Multiplications below which threads are not worth it.
const WORTH: usize = 1 << 16;

/// One label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Its size.
    pub size: usize,
    /// Its stride in the first operand.
    pub a: usize,
    /// Its stride in the second operand.
    pub b: usize,
    /// Its stride in the output.
    pub out: usize,
}

/// All labels of a product. The output is dense: every element of it belongs to exactly one combination of its labels, except
/// where a label is on its diagonal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labels {
    labels: [Label; MAX_LABELS],
    len: usize,
}

impl Labels {
    /// Adds one; those of the output in the output's order, outermost first, then the summed ones.
    ///
    /// # Panics
    /// If there are too many.
    pub fn push(&mut self, label: Label) {
        self.labels[self.len] = label;
        self.len += 1;
    }

    /// All of them.
    pub fn all(&self) -> &[Label] {
        &self.labels[..self.len]
    }

    /// With the roles of the operands changed: `a` and `b` swapped.
    pub fn swapped(mut self) -> Self {
        for l in &mut self.labels {
            (l.a, l.b) = (l.b, l.a);
        }
        self
    }

    fn remove(&mut self, at: usize) -> Label {
        let label = self.labels[at];
        self.labels.copy_within(at + 1..self.len, at);
        self.len -= 1;
        label
    }

    /// Without labels of size 1, and with neighbours that are one label joined.
    fn simplified(&self) -> Labels {
        let mut simple = Labels::default();
        for &label in self.all().iter().filter(|l| l.size != 1) {
            let joined = simple
                .len
                .checked_sub(1)
                .map(|last| &mut simple.labels[last]);
            match joined {
                Some(outer) if outer.contains(label) => {
                    let size = outer.size * label.size;
                    *outer = Label { size, ..label };
                }
                _ => simple.push(label),
            }
        }
        simple
    }

    /// Takes out the largest label for which `is` holds.
    fn take(&mut self, is: impl Fn(&Label) -> bool) -> Label {
        let of_kind = (0..self.len).filter(|&i| is(&self.labels[i]));
        match of_kind.max_by_key(|&i| self.labels[i].size) {
            Some(at) => self.remove(at),
            None => Label {
                size: 1,
                ..Label::default()
            },
        }
    }
}

impl Label {
    /// Whether `inner` goes on where `self` goes on, in every array.
    fn contains(&self, inner: Label) -> bool {
        self.a == inner.a * inner.size
            && self.b == inner.b * inner.size
            && self.out == inner.out * inner.size
    }

    fn is_row(&self) -> bool {
        self.out > 0 && self.b == 0
    }

    fn is_column(&self) -> bool {
        self.out > 0 && self.a == 0
    }
}

/// `out = sum a b`, or `out += sum a b`.
pub fn einsum(
    labels: &Labels,
    a: &[Float],
    b: &[Float],
    accum: Accum,
    out: &mut [Float],
    par: Par,
) {
    if labels.all().iter().any(|l| l.size == 0) {
        if accum == Accum::Replace {
            out.fill(0.0);
        }
        return;
    }
    let work: usize = labels.all().iter().map(|l| l.size).product();
    let par = if work < WORTH { Par::Serial } else { par };
    let simple = labels.simplified();
    let innermost = simple
        .all()
        .iter()
        .filter(|l| l.out > 0)
        .min_by_key(|l| l.out);
    match innermost {
        Some(label) if label.out == 1 && label.is_column() => {
            product(simple, a, b, accum, out, par)
        }
        Some(label) if label.out == 1 && label.is_row() => {
            product(simple.swapped(), b, a, accum, out, par);
        }
        None => product(simple, a, b, accum, out, par), // a number
        Some(_) => plain(&simple, a, b, accum, out, par),
    }
}

/// A matrix product in a loop.
fn product(
    mut labels: Labels,
    a: &[Float],
    b: &[Float],
    accum: Accum,
    out: &mut [Float],
    par: Par,
) {
    // The columns are those that lie side by side in the output.
    let columns = labels.take(|l| l.out == 1);
    let rows = labels.take(Label::is_row);
    let sums = labels.take(|l| l.out == 0);
    let one = |at: [usize; 3], first: bool, out: &mut [Float], par: Par| {
        let ldc = if rows.size == 1 {
            columns.size
        } else {
            rows.out
        };
        gemm(
            rows.size,
            sums.size,
            columns.size,
            Mat::strided(&a[at[0]..], rows.a, sums.a),
            Mat::strided(&b[at[1]..], sums.b, columns.b),
            if first { accum } else { Accum::Add },
            &mut out[at[2]..],
            ldc,
            par,
        );
    };
    each(&labels, accum, out, par, &one);
}

/// Plain loops, the innermost over the label that lies side by side in the output.
fn plain(labels: &Labels, a: &[Float], b: &[Float], accum: Accum, out: &mut [Float], par: Par) {
    let mut labels = *labels;
    if accum == Accum::Replace {
        out.fill(0.0);
    }
    let line = labels.take(|l| l.out == 1);
    let one = |at: [usize; 3], _first: bool, out: &mut [Float], _par: Par| {
        let (a, b, out) = (&a[at[0]..], &b[at[1]..], &mut out[at[2]..]);
        if line.a == 1 && line.b == 1 {
            return super::elementwise::mul_add(
                &a[..line.size],
                &b[..line.size],
                &mut out[..line.size],
            );
        }
        for (i, out) in out[..line.size].iter_mut().enumerate() {
            *out += a[i * line.a] * b[i * line.b];
        }
    };
    each(&labels, Accum::Add, out, par, &one);
}

/// Calls `one` with the offsets of every combination of these labels, and whether it is the first for its place in the output.
/// Threads share out the label whose parts of the output lie apart.
fn each(
    labels: &Labels,
    accum: Accum,
    out: &mut [Float],
    par: Par,
    one: &(impl Fn([usize; 3], bool, &mut [Float], Par) + Sync),
) {
    let mut labels = *labels;
    let outermost = labels.all().iter().map(|l| l.out).max().unwrap_or(0);
    // One label holds whole parts of the output: the others (and the columns and rows) lie inside.
    let parts = labels.take(|l| l.out > 0 && l.out == outermost);
    if parts.size > 1 && parts.out * parts.size == out.len() {
        par.for_each_piece(out, parts.out, |start, out| {
            let i = start / parts.out;
            walk(
                &labels,
                accum,
                [i * parts.a, i * parts.b, 0],
                out,
                Par::Serial,
                one,
            );
        });
        return;
    }
    for i in 0..parts.size {
        let start = [i * parts.a, i * parts.b, i * parts.out];
        walk(&labels, accum, start, out, par, one);
    }
}

fn walk(
    labels: &Labels,
    accum: Accum,
    start: [usize; 3],
    out: &mut [Float],
    par: Par,
    one: &impl Fn([usize; 3], bool, &mut [Float], Par),
) {
    let total: usize = labels.all().iter().map(|l| l.size).product();
    for n in 0..total {
        let (mut at, mut rest, mut first) = (start, n, true);
        for label in labels.all().iter().rev() {
            let i = rest % label.size;
            rest /= label.size;
            at[0] += i * label.a;
            at[1] += i * label.b;
            at[2] += i * label.out;
            first &= label.out > 0 || i == 0;
        }
        one(at, first || accum == Accum::Add, out, par);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::parallel::with_threads;

    /// Row-major strides of a product like `"bij,bjk->bik"` with these sizes.
    fn labels(equation: &str, sizes: &[(char, usize)]) -> (Labels, [usize; 3]) {
        let (inputs, out) = equation.split_once("->").unwrap();
        let (a, b) = inputs.split_once(',').unwrap();
        let size = |c: char| sizes.iter().find(|(l, _)| *l == c).unwrap().1;
        let stride = |term: &str, c: char| -> usize {
            let places = term.char_indices().filter(|(_, l)| *l == c);
            places
                .map(|(i, _)| term[i + 1..].chars().map(size).product::<usize>())
                .sum()
        };
        let mut labels = Labels::default();
        let mut seen = String::new();
        for c in out.chars().chain(a.chars()).chain(b.chars()) {
            if !seen.contains(c) {
                seen.push(c);
                labels.push(Label {
                    size: size(c),
                    a: stride(a, c),
                    b: stride(b, c),
                    out: stride(out, c),
                });
            }
        }
        (
            labels,
            [a, b, out].map(|term| term.chars().map(size).product()),
        )
    }

    fn naive(labels: &Labels, a: &[Float], b: &[Float], out: &mut [Float]) {
        let total: usize = labels.all().iter().map(|l| l.size).product();
        for n in 0..total {
            let (mut at, mut rest) = ([0; 3], n);
            for l in labels.all() {
                let i = rest % l.size;
                rest /= l.size;
                at = [at[0] + i * l.a, at[1] + i * l.b, at[2] + i * l.out];
            }
            out[at[2]] += a[at[0]] * b[at[1]];
        }
    }

    #[test]
    fn products_agree_with_the_definition_for_any_number_of_threads() {
        let sizes = [
            ('b', 3),
            ('c', 4),
            ('h', 5),
            ('i', 6),
            ('j', 2),
            ('k', 7),
            ('l', 1),
            ('t', 40),
        ];
        for equation in [
            "bi,ij->bj",
            "bti,ij->btj",
            "bi,ji->bj",
            "bij,bjk->bik",
            "bij,bkj->bik",
            "bthi,bkhi->bhtk",
            "bhtk,bkhi->bthi",
            "bti,ihj->bthj",
            "bthi,hij->btj",
            "bi,bi->bi",
            "bi,bj->bij",
            "bi,bi->b",
            "bi,i->bi",
            "bijk,bj->bik",
            "bij,b->bji",
            "bti,btj->ij",
            "bi,bj->ji",
            "bli,bij->blj",
            "bi,bi->",
            "bthi,chij->bctj",
            "bii,bij->bj",
            "bi,b->b",
            "ij,bkj->bik",
            "ij,bij->jb",
        ] {
            let (labels, lens) = labels(equation, &sizes);
            let [a, b] = [lens[0], lens[1]].map(|n| -> Vec<Float> {
                (0..n).map(|i| ((i * 37 + n) % 19) as Float - 9.0).collect()
            });
            for accum in [Accum::Replace, Accum::Add] {
                let start = if accum == Accum::Add { 0.5 } else { Float::NAN };
                let mut want = vec![if accum == Accum::Add { 0.5 } else { 0.0 }; lens[2]];
                naive(&labels, &a, &b, &mut want);
                for threads in [1, 2, 8] {
                    let mut out = vec![start; lens[2]];
                    with_threads(threads, |par| einsum(&labels, &a, &b, accum, &mut out, par));
                    assert_eq!(out, want, "{equation} {accum:?} {threads}");
                }
            }
        }
    }

    #[test]
    fn nothing_to_sum_is_zero() {
        let (labels, _) = labels("bi,ij->bj", &[('b', 2), ('i', 0), ('j', 3)]);
        let mut out = [Float::NAN; 6];
        einsum(&labels, &[], &[], Accum::Replace, &mut out, Par::Serial);
        assert_eq!(out, [0.0; 6]);
    }
}
