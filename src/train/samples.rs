//! Checked data, and batches gathered from it.

use super::step::{Batch, Trainer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::Dims;
use crate::tensor::{Arrays, Tensor};

/// Checked data: inputs, targets and weights with the same number of samples.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    pub x: Arrays<'a>,
    pub y: Arrays<'a>,
    pub weights: Option<Arrays<'a>>,
}

impl<'a> Samples<'a> {
    pub fn new(x: Arrays<'a>, y: Arrays<'a>, weights: Option<Arrays<'a>>) -> Result<Self> {
        let n = x.tensors()[0].batch();
        if n == 0 {
            return Err(Error::data("x", "there are no samples"));
        }
        let parts = [
            ("x", Some(&x)),
            ("y", Some(&y)),
            ("sample_weight", weights.as_ref()),
        ];
        for (what, arrays) in parts
            .into_iter()
            .filter_map(|(what, a)| a.map(|a| (what, a)))
        {
            if let Some(t) = arrays.tensors().iter().find(|t| t.batch() != n) {
                return Err(Error::shape(format!("{n} samples as in x"), t.batch()).owned_by(what));
            }
        }
        Ok(Samples { x, y, weights })
    }

    pub fn len(&self) -> usize {
        self.x.tensors()[0].batch()
    }

    pub fn check_finite(&self) -> Result<()> {
        for (what, arrays) in [("x", &self.x), ("y", &self.y)] {
            for tensor in arrays.tensors() {
                let width = tensor.sample().numel().max(1);
                if let Some(i) = tensor.data().iter().position(|v| !v.is_finite()) {
                    return Err(Error::data(
                        what,
                        format!("sample {} holds {}", i / width, tensor.data()[i]),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The first samples and the last `fraction` of them.
    pub fn split(&'a self, fraction: f64) -> Result<(Samples<'a>, Samples<'a>)> {
        let n = self.len();
        let middle = (n as f64 * (1.0 - fraction)).floor() as usize;
        if middle == 0 || middle == n {
            let got = format!("{fraction} of {n} samples");
            return Err(
                Error::arg("validation_split", "samples on both sides", got).owned_by("fit")
            );
        }
        let part = |a: &'a Arrays<'_>, start, end| {
            Arrays::many(a.tensors().iter().map(|t| t.slice(start, end)).collect())
        };
        let half = |start, end| Samples {
            x: part(&self.x, start, end),
            y: part(&self.y, start, end),
            weights: self.weights.as_ref().map(|w| part(w, start, end)),
        };
        Ok((half(0, middle), half(middle, n)))
    }

    pub fn dims(arrays: &Arrays<'_>) -> Vec<Dims> {
        arrays.tensors().iter().map(Tensor::sample).collect()
    }
}

/// Copies the samples of one batch together.
#[derive(Debug)]
pub(crate) struct Gather {
    buffers: [Vec<Vec<Float>>; 3],
    dims: Vec<Dims>,
}

impl Gather {
    pub fn new(data: &Samples<'_>, batch_size: usize) -> Self {
        let room = |a: &Arrays<'_>| {
            a.tensors()
                .iter()
                .map(|t| Vec::with_capacity(t.sample().numel() * batch_size))
                .collect()
        };
        Gather {
            buffers: [
                room(&data.x),
                room(&data.y),
                data.weights.as_ref().map(room).unwrap_or_default(),
            ],
            dims: Samples::dims(&data.x),
        }
    }

    /// Calls `f` with the samples of these indices.
    pub fn with<R>(
        &mut self,
        data: &Samples<'_>,
        indices: &[u32],
        f: impl FnOnce(Batch<'_>) -> R,
    ) -> R {
        let parts = [Some(&data.x), Some(&data.y), data.weights.as_ref()];
        for (buffers, arrays) in self.buffers.iter_mut().zip(parts) {
            for (buffer, tensor) in buffers
                .iter_mut()
                .zip(arrays.iter().flat_map(|a| a.tensors()))
            {
                let width = tensor.data().len() / tensor.batch().max(1);
                buffer.clear();
                indices.iter().for_each(|&i| {
                    buffer.extend_from_slice(&tensor.data()[i as usize * width..][..width])
                });
            }
        }
        let [x, y, w] = &self.buffers;
        with_slices(x, |x| {
            with_slices(y, |y| {
                with_slices(w, |weights| {
                    f(Batch {
                        x,
                        x_dims: &self.dims,
                        y,
                        weights,
                        size: indices.len(),
                    })
                })
            })
        })
    }
}

/// A list of slices without allocating for up to four.
pub(super) fn with_slices<V: AsRef<[Float]>, R>(list: &[V], f: impl FnOnce(&[&[Float]]) -> R) -> R {
    const INLINE: usize = 4;
    if list.len() <= INLINE {
        let slices: [&[Float]; INLINE] =
            std::array::from_fn(|i| list.get(i).map_or(&[][..], |v| v.as_ref()));
        f(&slices[..list.len()])
    } else {
        f(&list.iter().map(|v| v.as_ref()).collect::<Vec<_>>())
    }
}

/// Weights must be one a sample or one a position of their output.
pub(crate) fn check_weights(trainer: &Trainer, data: &Samples<'_>, outputs: usize) -> Result<()> {
    let Some(weights) = &data.weights else {
        return Ok(());
    };
    if weights.tensors().len() != outputs {
        return Err(Error::shape(
            format!("{outputs} arrays, one an output"),
            weights.tensors().len(),
        )
        .owned_by("sample_weight"));
    }
    for (i, tensor) in weights.tensors().iter().enumerate() {
        check_weight_shape(trainer, i, &tensor.sample(), &Samples::dims(&data.x))?;
        if let Some(w) = tensor.data().iter().find(|w| !w.is_finite()) {
            return Err(Error::data("sample_weight", format!("holds {w}")));
        }
    }
    Ok(())
}

/// The same of the shape of the weights of one output.
pub(super) fn check_weight_shape(
    trainer: &Trainer,
    output: usize,
    weight: &Dims,
    x: &[Dims],
) -> Result<()> {
    let Some(positions) = trainer.positions(output, x)? else {
        let want = "none, because the loss judges the samples together";
        let got = format!("weights of shape {weight}");
        return Err(Error::shape(want, got).owned_by("sample_weight"));
    };
    if weight.numel() != 1 && weight.numel() != positions {
        return Err(Error::shape(
            format!("one number a sample, or {positions} a sample (one a position)"),
            format!("shape {weight} a sample"),
        )
        .owned_by("sample_weight"));
    }
    Ok(())
}
