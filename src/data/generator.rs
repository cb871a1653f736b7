//! Datasets of closures and iterators.

use super::dataset::{Dataset, Minibatch, Pass, Shapes, sample_dims};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, ToTensor};

/// A dataset whose batches a closure makes, given the pass and the number of the batch in it; it returns whether there was one.
///
/// ```
/// use oxhorn::data::{from_fn, Dataset, Minibatch, Pass, Shapes};
///
/// let shapes = Shapes::new(&[&[1]], &[&[1]])?;
/// let mut data = from_fn(Some(3), move |_pass, step, batch| {
///     batch.reset(&shapes);
///     for i in 0..4 {
///         batch.x[0].push(&[i as f32])?;
///         batch.y[0].push(&[(step * i) as f32])?;
///     }
///     Ok(step < 3)
/// });
/// let mut batch = Minibatch::default();
/// data.begin(Pass::IN_ORDER)?;
/// data.next(&mut batch)?;
/// data.next(&mut batch)?;
/// assert_eq!(batch.y[0].data(), [0.0, 1.0, 2.0, 3.0]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn from_fn<F>(steps: Option<usize>, f: F) -> FromFn<F>
where
    F: FnMut(Pass, usize, &mut Minibatch) -> Result<bool> + Send,
{
    FromFn {
        steps,
        f,
        pass: Pass::IN_ORDER,
        step: 0,
    }
}

/// See [`from_fn`].
#[derive(Clone, Debug)]
pub struct FromFn<F> {
    steps: Option<usize>,
    f: F,
    pass: Pass,
    step: usize,
}

impl<F: FnMut(Pass, usize, &mut Minibatch) -> Result<bool> + Send> Dataset for FromFn<F> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        (self.pass, self.step) = (pass, 0);
        Ok(())
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        let more = (self.f)(self.pass, self.step, batch)?;
        self.step += 1;
        if !more {
            batch.parts_mut().for_each(|p| p.reset(p.shape()));
        }
        Ok(more)
    }

    fn steps(&self) -> Option<usize> {
        self.steps
    }
}

/// A dataset of samples that an iterator makes: for every pass, the closure is asked for a new one. The shapes are those of the
/// first sample, without a batch axis: `([0.5, 1.0], [1.0])` is one sample of two features and one target.
///
/// ```
/// use oxhorn::{data::from_generator, prelude::*};
///
/// let mut data = from_generator(16, |_pass| {
///     (0..100).map(|i| ([i as f32 / 100.0], [i as f32 / 50.0 + 1.0]))
/// });
/// let mut model = Sequential::new().seed(0).add(Dense::new(1));
/// model.compile(Sgd::new(0.3), "mse", ())?;
/// model.fit_dataset(&mut data, Fit::epochs(30).verbose(0))?;
/// assert!(model.evaluate_dataset(&mut data)?.get("loss").unwrap() < 1e-3);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub fn from_generator<F, I, X, Y>(batch_size: usize, f: F) -> Generator<F, I::IntoIter>
where
    F: FnMut(Pass) -> I + Send,
    I: IntoIterator<Item = (X, Y)>,
    I::IntoIter: Send,
    X: ToTensor,
    Y: ToTensor,
{
    Generator {
        f,
        samples: None,
        batch_size,
        shapes: None,
    }
}

/// See [`from_generator`].
#[derive(Clone, Debug)]
pub struct Generator<F, I> {
    f: F,
    samples: Option<I>,
    batch_size: usize,
    shapes: Option<Shapes>,
}

impl<F, I, J, X, Y> Dataset for Generator<F, I>
where
    F: FnMut(Pass) -> J + Send,
    J: IntoIterator<IntoIter = I, Item = (X, Y)>,
    I: Iterator<Item = (X, Y)> + Send,
    X: ToTensor,
    Y: ToTensor,
{
    fn begin(&mut self, pass: Pass) -> Result<()> {
        if self.batch_size == 0 {
            let error = Error::arg("batch_size", "a positive number", 0);
            return Err(error.owned_by("from_generator"));
        }
        self.samples = Some((self.f)(pass).into_iter());
        Ok(())
    }

    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        if let Some(shapes) = &self.shapes {
            batch.reset(shapes);
        }
        let samples = self.samples.iter_mut().flatten();
        for (x, y) in samples.take(self.batch_size) {
            let (x, y) = (x.to_tensor()?, y.to_tensor()?);
            if self.shapes.is_none() {
                let shapes = Shapes {
                    x: vec![sample_dims(x.dims())?],
                    y: vec![sample_dims(y.dims())?],
                    weights: vec![],
                };
                batch.reset(self.shapes.insert(shapes));
            }
            let push = |part: &mut super::Part, tensor: &Tensor<'_>| {
                if part.shape()[..] != *tensor.dims() {
                    let got = format!("{:?}", tensor.dims());
                    let want = format!("samples of shape {} as the first", part.shape());
                    return Err(Error::shape(want, got).owned_by("from_generator"));
                }
                part.push(tensor.data())
            };
            push(&mut batch.x[0], &x)?;
            push(&mut batch.y[0], &y)?;
        }
        Ok(!batch.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_are_batched_and_checked() {
        let mut data = from_generator(2, |pass: Pass| {
            let n = 3 + pass.number;
            (0..n).map(move |i| (vec![i as f32; 2], [i as f32]))
        });
        let mut batch = Minibatch::default();
        let mut sizes = |data: &mut dyn Dataset, number| {
            data.begin(Pass {
                number,
                ..Pass::IN_ORDER
            })
            .unwrap();
            let mut sizes = vec![];
            while data.next(&mut batch).unwrap() {
                sizes.push(batch.len());
            }
            sizes
        };
        assert_eq!(sizes(&mut data, 0), [2, 1]);
        assert_eq!(sizes(&mut data, 2), [2, 2, 1]);
        let mut ragged = from_generator(4, |_| [(vec![1.0f32], [1.0f32]), (vec![1.0; 2], [1.0])]);
        ragged.begin(Pass::IN_ORDER).unwrap();
        let error = ragged.next(&mut batch).unwrap_err().to_string();
        assert!(error.contains("(1,) as the first"), "{error}");
    }
}
