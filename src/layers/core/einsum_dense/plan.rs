//! What follows from an equation: the shapes of kernel, bias and output.

use super::EinsumDense;
use crate::error::{Error, Result};
use crate::layers::args::checked;
use crate::layers::equation::Equation;
use crate::shape::{Dims, Shape};

impl EinsumDense {
    fn wrong(&self, want: &str) -> Error {
        Error::arg("equation", want, format!("`{}`", self.equation))
    }

    /// The terms of input, kernel and output without the ellipsis, which stands before or behind the named labels or nowhere.
    fn terms(&self) -> Result<([&str; 3], Ellipsis)> {
        let forms = || self.wrong("the form `X,Y->Z`, `...X,Y->...Z` or `X...,Y->Z...`");
        let (inputs, out) = self.equation.split_once("->").ok_or_else(forms)?;
        let (x, kernel) = inputs.split_once(',').ok_or_else(forms)?;
        let (x, kernel, out) = (x.trim(), kernel.trim(), out.trim());
        let at = |term: &str| match (term.starts_with("..."), term.ends_with("...")) {
            (false, false) => Ellipsis::None,
            (true, _) => Ellipsis::Before,
            (_, true) => Ellipsis::Behind,
        };
        let named =
            [x, kernel, out].map(|term| term.trim_start_matches("...").trim_end_matches("..."));
        let letters = named
            .iter()
            .all(|term| !term.is_empty() && term.bytes().all(|c| c.is_ascii_alphabetic()));
        match letters && at(x) == at(out) && at(kernel) == Ellipsis::None {
            true => Ok((named, at(x))),
            false => Err(forms()),
        }
    }

    /// The equation, and the shapes of kernel, bias and output, for inputs of this shape.
    pub(super) fn plan(&self, x: &Shape) -> Result<Plan> {
        let ([input, kernel, out], ellipsis) = self.terms()?;
        let equation = Equation::new(&self.equation, &[x.rank() + 1, kernel.len()])?;
        equation.check_batch([true, false])?;
        if equation.term(0).repeats() || equation.term(1).repeats() {
            return Err(self.wrong("different labels within a term"));
        }
        // The batch is a label of its own, or the first axis of the ellipsis.
        let behind = if ellipsis == Ellipsis::Before {
            out
        } else {
            &out[1..]
        };
        if behind.len() != self.output_shape.len() {
            let want = format!("{} sizes, of the axes `{behind}`", behind.len());
            return Err(Error::arg(
                "output_shape",
                want,
                format!("{:?}", self.output_shape),
            ));
        }
        let elided = (x.rank() + 1).saturating_sub(input.len());
        let first = if ellipsis == Ellipsis::Before {
            elided
        } else {
            0
        };
        // With the batch, whose size is open.
        let sizes: Vec<Option<usize>> = std::iter::once(None)
            .chain(x.dims().iter().copied())
            .collect();
        let of_input = |label: u8| {
            input
                .bytes()
                .position(|l| l == label)
                .map(|at| sizes[first + at])
        };
        let of_output = |label: u8| {
            let at = behind.bytes().position(|l| l == label)?;
            Some(self.output_shape[at].or_else(|| of_input(label).flatten()))
        };
        for (label, given) in behind.bytes().zip(&self.output_shape) {
            if let (Some(Some(size)), Some(given)) = (of_input(label), given)
                && size != *given
            {
                let want = format!("{size} for the axis `{}`, as the input has", label as char);
                return Err(Error::arg("output_shape", want, given));
            }
        }
        let mut dims = Vec::new();
        for label in kernel.bytes() {
            let size = of_output(label).or_else(|| of_input(label));
            match size.ok_or_else(|| self.wrong("a kernel of labels of input and output"))? {
                Some(size) if size > 0 => dims.push(Some(size)),
                _ => {
                    let want = format!("a known size for the kernel's axis `{}`", label as char);
                    return Err(Error::arg("output_shape", want, "none"));
                }
            }
        }
        let output = equation.output(&[&sizes, &dims])?;
        let bias = match &self.bias_axes {
            None => None,
            Some(axes) => Some(bias_shape(
                axes,
                behind,
                of_output,
                if first == 0 { elided } else { 0 },
            )?),
        };
        let kernel = checked(dims.into())?.known().expect("known");
        let output = checked(output.dims()[1..].to_vec().into())?;
        Ok(Plan {
            equation,
            kernel,
            bias,
            output,
        })
    }

    /// The equation and the sizes of input, kernel and output, all with the batch where they have one.
    pub(super) fn at(&self, x: &[usize], y: &[usize], batch: usize) -> (Equation, [Dims; 3]) {
        let ([_, kernel, _], _) = self.terms().expect("checked");
        let ranks = [x.len() + 1, kernel.len()];
        let equation = Equation::new(&self.equation, &ranks).expect("checked");
        let (x, y) = (with_batch(batch, x), with_batch(batch, y));
        let mut dims = Dims::default();
        for label in equation.term(1).labels() {
            let find = |t: usize, sizes: &[usize]| {
                let at = equation.term(t).labels().iter().position(|l| l == label)?;
                Some(sizes[at])
            };
            dims.push(find(2, &y).or_else(|| find(0, &x)).expect("checked"));
        }
        (equation, [x, dims, y])
    }

    /// The shape of the bias beside samples of the output.
    pub(super) fn bias_dims(&self, y: &[usize]) -> Option<Dims> {
        let axes = self.bias_axes.as_ref()?;
        let ([_, _, out], ellipsis) = self.terms().expect("checked");
        let behind = if ellipsis == Ellipsis::Before {
            out
        } else {
            &out[1..]
        };
        // The named labels are the last axes of a sample, or the first ones.
        let start = if ellipsis == Ellipsis::Before {
            y.len() - behind.len()
        } else {
            0
        };
        let first = behind.bytes().position(|l| axes.as_bytes().contains(&l))?;
        let mut dims = Dims::default();
        for (at, label) in behind.bytes().enumerate().skip(first) {
            let differs = axes.as_bytes().contains(&label);
            dims.push(if differs { y[start + at] } else { 1 });
        }
        (start + behind.len()..y.len()).for_each(|_| dims.push(1));
        Some(dims)
    }
}

/// Where the ellipsis of an equation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ellipsis {
    None,
    Before,
    Behind,
}

/// What follows from the equation for inputs of a shape.
pub(super) struct Plan {
    pub equation: Equation,
    pub kernel: Dims,
    pub bias: Option<Dims>,
    pub output: Shape,
}

fn with_batch(batch: usize, shape: &[usize]) -> Dims {
    let mut dims = Dims::from([batch]);
    shape.iter().for_each(|&n| dims.push(n));
    dims
}

/// Shape of the bias: from the first of its labels in the output on, 1 where it does not differ and for `elided` axes behind.
fn bias_shape(
    axes: &str,
    behind: &str,
    size: impl Fn(u8) -> Option<Option<usize>>,
    elided: usize,
) -> Result<Dims> {
    let wrong = || {
        Error::arg(
            "bias_axes",
            format!("labels of the output, out of `{behind}`"),
            format!("`{axes}`"),
        )
    };
    if axes.is_empty() || !axes.bytes().all(|l| behind.as_bytes().contains(&l)) {
        return Err(wrong());
    }
    let first = behind
        .bytes()
        .position(|l| axes.as_bytes().contains(&l))
        .ok_or_else(wrong)?;
    let mut sizes = Vec::new();
    for label in behind.bytes().skip(first) {
        match (axes.as_bytes().contains(&label), size(label).flatten()) {
            (false, _) => sizes.push(1),
            (true, Some(size)) => sizes.push(size),
            (true, None) => {
                let want = format!("a known size for the bias's axis `{}`", label as char);
                return Err(Error::arg("output_shape", want, "none"));
            }
        }
    }
    sizes.resize(sizes.len() + elided, 1);
    Dims::new(&sizes)
}
