//! Einstein's notation: `"abc,cd->abd"`, with `...` for axes that are not named.

use crate::error::{Error, Result};
use crate::kernels::einsum::{Label, Labels};
use crate::shape::{MAX_RANK, Shape};

/// Most axes of a term, with the batch.
const AXES: usize = MAX_RANK + 1;

/// The first of the labels that stand for the axes of an ellipsis, counted from the last axis.
const ELLIPSIS: u8 = 128;

/// Labels of one term, an axis each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Term {
    labels: [u8; AXES],
    len: usize,
}

impl Term {
    pub(crate) fn labels(&self) -> &[u8] {
        &self.labels[..self.len]
    }

    fn push(&mut self, label: u8) -> Result<()> {
        if self.len == AXES {
            return Err(wrong(format!("at most {AXES} axes in a term"), "more"));
        }
        self.labels[self.len] = label;
        self.len += 1;
        Ok(())
    }

    pub(crate) fn has(&self, label: u8) -> bool {
        self.labels().contains(&label)
    }

    /// Whether a label stands twice.
    pub(crate) fn repeats(&self) -> bool {
        (1..self.len).any(|i| self.labels[..i].contains(&self.labels[i]))
    }

    /// Reads one term of an array of this rank.
    fn read(text: &str, rank: usize) -> Result<Term> {
        let named = text.bytes().filter(|c| c.is_ascii_alphabetic()).count();
        let mut term = Term::default();
        let mut rest = text;
        while let Some(c) = rest.bytes().next() {
            if let Some(behind) = rest.strip_prefix("...") {
                let open = rank
                    .checked_sub(named)
                    .ok_or_else(|| mismatch(text, rank))?;
                for i in (0..open).rev() {
                    term.push(ELLIPSIS + i.min(AXES) as u8)?;
                }
                rest = behind;
            } else if c.is_ascii_alphabetic() {
                term.push(c)?;
                rest = &rest[1..];
            } else if c == b' ' {
                rest = &rest[1..];
            } else {
                return Err(wrong("letters, `...`, `,` and `->`", text));
            }
        }
        let ellipses = text.matches("...").count();
        if term.len != rank || ellipses > 1 {
            return Err(mismatch(text, rank));
        }
        Ok(term)
    }
}

fn wrong(want: impl ToString, got: impl ToString) -> Error {
    Error::arg("equation", want, got)
}

fn mismatch(term: &str, rank: usize) -> Error {
    wrong(
        format!("a term for an array of {rank} axes"),
        format!("`{term}`"),
    )
}

/// A product of one or two arrays, for arrays of given ranks. The output is term 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Equation {
    terms: [Term; 3],
}

impl Equation {
    /// For arrays of these ranks (one or two), with the batch.
    ///
    /// # Errors
    /// If it is no equation for them.
    pub(crate) fn new(text: &str, ranks: &[usize]) -> Result<Equation> {
        let (inputs, out) = match text.split_once("->") {
            Some((inputs, out)) => (inputs, Some(out)),
            None => (text, None),
        };
        let mut terms = [Term::default(); 3];
        let mut count = 0;
        for (i, term) in inputs.split(',').enumerate() {
            let Some(&rank) = ranks.get(i).filter(|_| i < 2) else {
                return Err(wrong(
                    format!("{} terms", ranks.len().min(2)),
                    format!("`{text}`"),
                ));
            };
            terms[i] = Term::read(term, rank)?;
            count += 1;
        }
        if count != ranks.len() {
            return Err(wrong(format!("{} terms", ranks.len()), format!("`{text}`")));
        }
        let open = terms
            .iter()
            .flat_map(Term::labels)
            .filter(|l| **l >= ELLIPSIS);
        let open = open.map(|l| (l - ELLIPSIS) as usize + 1).max().unwrap_or(0);
        terms[2] = match out {
            Some(out) => {
                let named = out.bytes().filter(|c| c.is_ascii_alphabetic()).count();
                let open = if out.contains("...") { open } else { 0 };
                Term::read(out, named + open)?
            }
            None => implicit(&terms, open)?,
        };
        let equation = Equation { terms };
        if terms[2].repeats() {
            return Err(wrong(
                "an output without repeated labels",
                format!("`{text}`"),
            ));
        }
        for label in terms[2].labels() {
            if !terms[0].has(*label) && !terms[1].has(*label) {
                return Err(wrong(
                    "an output of labels of the inputs",
                    format!("`{text}`"),
                ));
            }
        }
        Ok(equation)
    }

    /// Term 0 or 1 of the inputs, or 2, the output.
    pub(crate) fn term(&self, i: usize) -> &Term {
        &self.terms[i]
    }

    /// An error unless the samples stay apart: the batch is the first axis of the output and of every input that has one (`batched`),
    /// and its label stands nowhere else.
    pub(crate) fn check_batch(&self, batched: [bool; 2]) -> Result<()> {
        let batch = self.terms[2].labels().first().copied();
        let mixed = || {
            let want = "an equation that keeps the batch first and apart (our tensors are batches of samples)";
            Err(wrong(want, self.text()))
        };
        let Some(batch) = batch else { return mixed() };
        for (term, batched) in self.terms.iter().zip([batched[0], batched[1], true]) {
            let places = term.labels().iter().filter(|l| **l == batch).count();
            let right = match batched {
                true => places == 1 && term.labels().first() == Some(&batch),
                false => places == 0,
            };
            if !right {
                return mixed();
            }
        }
        Ok(())
    }

    /// Shape of the output for these arrays, with the batch; an unknown size stays unknown.
    ///
    /// # Errors
    /// If a label has two sizes; axes of an ellipsis may be 1 instead.
    pub(crate) fn output(&self, inputs: &[&[Option<usize>]]) -> Result<Shape> {
        let size = |label: u8| -> Result<Option<usize>> {
            let mut found: Option<Option<usize>> = None;
            let open = label >= ELLIPSIS;
            for (term, dims) in self.terms.iter().zip(inputs) {
                for (_, &n) in term
                    .labels()
                    .iter()
                    .zip(*dims)
                    .filter(|(l, _)| **l == label)
                {
                    found = Some(match (found, n) {
                        (None, n) => n,
                        (Some(Some(1)), n) | (Some(n), Some(1)) if open => n,
                        (Some(None), n) | (Some(n), None) => n,
                        (Some(Some(a)), Some(b)) if a == b => n,
                        (Some(Some(a)), Some(b)) => {
                            let want = format!("one size for each label of `{}`", self.text());
                            return Err(Error::shape(want, format!("{a} and {b}")));
                        }
                    });
                }
            }
            Ok(found.flatten())
        };
        for label in self.terms[..2].iter().flat_map(Term::labels) {
            size(*label)?;
        }
        let dims = self.terms[2].labels().iter().map(|l| size(*l));
        Ok(dims.collect::<Result<Vec<_>>>()?.into())
    }

    /// The labels for [`einsum`](crate::kernels::einsum::einsum) where the arrays of the terms (the second may be a lone number, of
    /// no axes) have these sizes and `roles` says which terms are the first operand, the second and the result.
    pub(crate) fn labels(&self, dims: [&[usize]; 3], roles: [usize; 3]) -> Labels {
        let size = |label: u8| {
            let places = (0..3).flat_map(|t| self.terms[t].labels().iter().zip(dims[t]));
            places
                .filter(|(l, _)| **l == label)
                .map(|(_, n)| *n)
                .max()
                .unwrap_or(1)
        };
        let stride = |t: usize, label: u8| {
            let (mut stride, mut sum) = (1, 0);
            for (l, n) in self.terms[t].labels().iter().zip(dims[t]).rev() {
                // An axis of size 1 under a longer one is repeated.
                sum += if *l == label && *n == size(label) {
                    stride
                } else {
                    0
                };
                stride *= n;
            }
            sum
        };
        let mut labels = Labels::default();
        let mut seen = [false; 256];
        for t in [roles[2], roles[0], roles[1]] {
            for &label in self.terms[t].labels() {
                if !std::mem::replace(&mut seen[label as usize], true) {
                    let [a, b, out] = roles.map(|t| stride(t, label));
                    let size = size(label);
                    labels.push(Label { size, a, b, out });
                }
            }
        }
        labels
    }

    fn text(&self) -> String {
        let term = |t: &Term| -> String {
            let name = |l: &u8| match *l {
                l if l >= ELLIPSIS => format!("[{}]", l - ELLIPSIS),
                l => (l as char).to_string(),
            };
            t.labels().iter().map(name).collect()
        };
        let [a, b, out] = self.terms.each_ref().map(term);
        format!("{a},{b}->{out}")
    }
}

/// Without `->`: the ellipsis, then the labels that stand once, in the order of the alphabet.
fn implicit(terms: &[Term; 3], open: usize) -> Result<Term> {
    let mut out = Term::default();
    for i in (0..open).rev() {
        out.push(ELLIPSIS + i as u8)?;
    }
    for label in (b'A'..=b'Z').chain(b'a'..=b'z') {
        let all = terms[..2].iter().flat_map(Term::labels);
        if all.filter(|l| **l == label).count() == 1 {
            out.push(label)?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str, inputs: &[&[usize]]) -> Result<Vec<Option<usize>>> {
        let ranks: Vec<usize> = inputs.iter().map(|d| d.len()).collect();
        let inputs: Vec<Vec<Option<usize>>> = inputs
            .iter()
            .map(|d| d.iter().copied().map(Some).collect())
            .collect();
        let inputs: Vec<&[Option<usize>]> = inputs.iter().map(|d| &d[..]).collect();
        Ok(Equation::new(text, &ranks)?
            .output(&inputs)?
            .dims()
            .to_vec())
    }

    #[test]
    fn shapes_follow_the_labels() {
        let some = |dims: &[usize]| dims.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(
            shape("abc,cd->abd", &[&[2, 3, 4], &[4, 5]]).unwrap(),
            some(&[2, 3, 5])
        );
        assert_eq!(
            shape("...x,xy->...y", &[&[2, 3, 4], &[4, 5]]).unwrap(),
            some(&[2, 3, 5])
        );
        assert_eq!(
            shape("b...,b...->b...", &[&[2, 1, 4], &[2, 3, 4]]).unwrap(),
            some(&[2, 3, 4])
        );
        assert_eq!(
            shape("bij -> bji", &[&[2, 3, 4]]).unwrap(),
            some(&[2, 4, 3])
        );
        assert_eq!(shape("ab,bc", &[&[2, 3], &[3, 4]]).unwrap(), some(&[2, 4]));
        assert_eq!(shape("bii->bi", &[&[2, 3, 3]]).unwrap(), some(&[2, 3]));
        for (text, inputs) in [
            ("abc,cd->abd", [&[2, 3, 4][..], &[5, 6]]),
            ("abc,cd->abe", [&[2, 3, 4], &[4, 6]]),
            ("abc,cd->aab", [&[2, 3, 4], &[4, 6]]),
            ("abc,cd->ab1", [&[2, 3, 4], &[4, 6]]),
            ("ab,cd->ab", [&[2, 3, 4], &[4, 6]]),
            ("abc->ab", [&[2, 3, 4], &[4, 6]]),
            ("abc,cd,ef->ab", [&[2, 3, 4], &[4, 6]]),
            ("......,cd->ab", [&[2, 3, 4], &[4, 6]]),
            ("abcdefghijk...,cd->ab", [&[2, 3, 4], &[4, 6]]),
        ] {
            assert!(shape(text, &inputs).is_err(), "{text}");
        }
    }

    #[test]
    fn the_batch_stays_first_and_apart() {
        let check = |text: &str, ranks: &[usize], batched| {
            Equation::new(text, ranks)
                .unwrap()
                .check_batch(batched)
                .is_ok()
        };
        assert!(check("btd,bsd->bts", &[3, 3], [true, true]));
        assert!(check("...d,de->...e", &[3, 2], [true, false]));
        assert!(check("bi->b", &[2], [true, false]));
        assert!(!check("btd,bsd->tbs", &[3, 3], [true, true]));
        assert!(!check("bi,ij->bj", &[2, 2], [true, true]));
        assert!(!check("bi,bj->ij", &[2, 2], [true, true]));
        assert!(!check("bib->bi", &[3], [true, false]));
        assert!(!check("bi->", &[2], [true, false]));
    }

    #[test]
    fn roles_change_places() {
        let equation = Equation::new("bi,ij->bj", &[2, 2]).unwrap();
        let dims: [&[usize]; 3] = [&[2, 3], &[3, 4], &[2, 4]];
        let labels = equation.labels(dims, [2, 1, 0]);
        let list: Vec<_> = labels
            .all()
            .iter()
            .map(|l| (l.size, l.a, l.b, l.out))
            .collect();
        assert_eq!(list, [(2, 4, 0, 3), (3, 0, 4, 1), (4, 1, 1, 0)]);
    }
}
