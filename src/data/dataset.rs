//! Data that need not fit memory: a [`Dataset`] hands out batches, one after the other, in memory that is used again.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::random::Rng;
use crate::shape::{Dims, MAX_RANK};

/// Batches of inputs, targets and weights, in passes over the data.
///
/// What `fit_dataset`, `evaluate_dataset` and `predict_dataset` of a model read. The functions of [`data`](crate::data) make
/// datasets of arrays, files and folders; [`DatasetExt`](super::DatasetExt) changes them. This is one of your own:
///
/// ```
/// use oxhorn::data::{Dataset, Minibatch, Pass, Shapes};
/// use oxhorn::{prelude::*, random::Rng};
///
/// /// Points on a parabola, made as they are asked for.
/// struct Parabola { shapes: Shapes, left: usize, rng: Rng }
///
/// impl Dataset for Parabola {
///     fn begin(&mut self, pass: Pass) -> Result<()> {
///         (self.left, self.rng) = (10, pass.rng());
///         Ok(())
///     }
///     fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
///         batch.reset(&self.shapes);
///         if self.left == 0 {
///             return Ok(false);
///         }
///         self.left -= 1;
///         for _ in 0..16 {
///             let x = self.rng.uniform();
///             batch.x[0].push(&[x])?;
///             batch.y[0].push(&[x * x])?;
///         }
///         Ok(true)
///     }
/// }
///
/// let mut data = Parabola { shapes: Shapes::new(&[&[1]], &[&[1]])?, left: 0, rng: Rng::new(0) };
/// let mut model = Sequential::new().seed(0).add(Dense::new(8).activation("tanh")).add(Dense::new(1));
/// model.compile(Adam::new(0.01), "mse", ())?;
/// let history = model.fit_dataset(&mut data, Fit::epochs(20).verbose(0))?;
/// assert!(history.last("loss").unwrap() < 0.01);
/// # Ok::<(), oxhorn::Error>(())
/// ```
pub trait Dataset: Send {
    /// Begins a pass. What it hands out, and in which order, is a function of `pass` alone.
    fn begin(&mut self, pass: Pass) -> Result<()>;

    /// Puts the next samples in the place of those in `batch`; `false` (and no samples) when the pass is over.
    fn next(&mut self, batch: &mut Minibatch) -> Result<bool>;

    /// Number of batches of a pass, where it is known beforehand.
    fn steps(&self) -> Option<usize> {
        None
    }
}

impl<D: Dataset + ?Sized> Dataset for &mut D {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        (**self).begin(pass)
    }
    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        (**self).next(batch)
    }
    fn steps(&self) -> Option<usize> {
        (**self).steps()
    }
}

impl<D: Dataset + ?Sized> Dataset for Box<D> {
    fn begin(&mut self, pass: Pass) -> Result<()> {
        (**self).begin(pass)
    }
    fn next(&mut self, batch: &mut Minibatch) -> Result<bool> {
        (**self).next(batch)
    }
    fn steps(&self) -> Option<usize> {
        (**self).steps()
    }
}

/// Which pass over the data begins: in training usually the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Its number, from 0.
    pub number: usize,
    /// Seed of the order: that of the model.
    pub seed: u64,
    /// Whether the order may be another in every pass. It never is in `evaluate` and `predict`.
    pub shuffle: bool,
}

impl Pass {
    /// The first pass, in the order of the data.
    pub const IN_ORDER: Pass = Pass {
        number: 0,
        seed: 0,
        shuffle: false,
    };

    /// The random numbers that belong to this pass.
    pub fn rng(&self) -> Rng {
        let seed = self.seed.wrapping_add(self.number as u64);
        Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The numbers `0..n` in the order of this pass.
    pub(crate) fn order(&self, n: usize, order: &mut Vec<u32>) {
        order.clear();
        order.extend(0..n as u32);
        if self.shuffle {
            self.rng().shuffle(order);
        }
    }
}

/// Shapes of one sample of every input, target and weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Of the inputs.
    pub x: Vec<Dims>,
    /// Of the targets; none where there are only inputs.
    pub y: Vec<Dims>,
    /// Of the sample weights: none, or one for each target.
    pub weights: Vec<Dims>,
}

impl Shapes {
    /// Shapes of inputs and targets, without the batch axis: `Shapes::new(&[&[28, 28, 1]], &[&[10]])`.
    ///
    /// # Errors
    /// If there is no input, or a shape has more than seven axes or more elements than can be counted.
    pub fn new(x: &[&[usize]], y: &[&[usize]]) -> Result<Shapes> {
        if x.is_empty() {
            return Err(
                Error::arg("x", "the shape of at least one input", "none").owned_by("Shapes")
            );
        }
        let dims = |shapes: &[&[usize]]| -> Result<Vec<Dims>> {
            shapes.iter().map(|s| sample_dims(s)).collect()
        };
        Ok(Shapes {
            x: dims(x)?,
            y: dims(y)?,
            weights: Vec::new(),
        })
    }

    /// With a weight for every sample of every target.
    ///
    /// ```
    /// use oxhorn::data::Shapes;
    /// let shapes = Shapes::new(&[&[4]], &[&[1], &[3]])?.weighted();
    /// assert_eq!((shapes.y.len(), shapes.weights.len(), shapes.weights[0].numel()), (2, 2, 1));
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    pub fn weighted(mut self) -> Self {
        self.weights = vec![Dims::default(); self.y.len()];
        self
    }
}

/// The shape of a sample, whose elements can be counted.
pub(crate) fn sample_dims(shape: &[usize]) -> Result<Dims> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    match count {
        Some(n) if n <= isize::MAX as usize / size_of::<Float>() && shape.len() <= MAX_RANK => {
            Dims::new(shape)
        }
        _ => {
            let want = format!("a sample of at most {MAX_RANK} axes that fits memory");
            Err(Error::shape(want, format!("{shape:?}")))
        }
    }
}

/// The samples of one batch. A dataset fills it, and it keeps its memory from batch to batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minibatch {
    /// Inputs.
    pub x: Vec<Part>,
    /// Targets.
    pub y: Vec<Part>,
    /// Sample weights: none, or one part for each target.
    pub weights: Vec<Part>,
}

impl Minibatch {
    /// No samples, of these shapes.
    pub fn reset(&mut self, shapes: &Shapes) {
        for (parts, shapes) in [
            (&mut self.x, &shapes.x),
            (&mut self.y, &shapes.y),
            (&mut self.weights, &shapes.weights),
        ] {
            parts.resize_with(shapes.len(), Part::default);
            for (part, shape) in parts.iter_mut().zip(shapes) {
                part.reset(*shape);
            }
        }
    }

    /// Number of samples (of the first input).
    pub fn len(&self) -> usize {
        self.x.first().map_or(0, Part::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inputs, then targets, then weights.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.x.iter().chain(&self.y).chain(&self.weights)
    }

    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.x
            .iter_mut()
            .chain(&mut self.y)
            .chain(&mut self.weights)
    }

    /// No samples, of the shapes of another batch.
    pub(crate) fn reset_like(&mut self, other: &Minibatch) {
        for (parts, like) in [
            (&mut self.x, &other.x),
            (&mut self.y, &other.y),
            (&mut self.weights, &other.weights),
        ] {
            parts.resize_with(like.len(), Part::default);
            for (part, like) in parts.iter_mut().zip(like) {
                part.reset(like.shape);
            }
        }
    }

    /// Whether every part has the shape of that of another batch.
    pub(crate) fn is_like(&self, other: &Minibatch) -> bool {
        let (x, y) = (self.x.len() == other.x.len(), self.y.len() == other.y.len());
        x && y
            && self.weights.len() == other.weights.len()
            && self
                .parts()
                .zip(other.parts())
                .all(|(a, b)| a.shape == b.shape)
    }

    /// Adds one sample of a batch with the same shapes.
    pub(crate) fn push_from(&mut self, other: &Minibatch, row: usize) {
        for (part, from) in self.parts_mut().zip(other.parts()) {
            part.add().copy_from_slice(from.row(row));
        }
    }
}

/// One input, target or weight of the samples of a batch, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    data: Vec<Float>,
    shape: Dims,
    len: usize,
}

impl Part {
    /// No samples, of this shape.
    pub fn reset(&mut self, shape: Dims) {
        self.data.clear();
        (self.shape, self.len) = (shape, 0);
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// If it has not as many elements as the shape says.
    pub fn push(&mut self, sample: &[Float]) -> Result<()> {
        let want = self.shape.numel();
        if sample.len() != want {
            let want = format!("{want} numbers, for a sample of shape {}", self.shape);
            return Err(Error::shape(want, sample.len()).owned_by("Part::push"));
        }
        self.data.extend_from_slice(sample);
        self.len += 1;
        Ok(())
    }

    /// Adds a sample of zeros, to be written over.
    pub fn add(&mut self) -> &mut [Float] {
        let start = self.data.len();
        self.data.resize(start + self.shape.numel(), 0.0);
        self.len += 1;
        &mut self.data[start..]
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Shape of one sample.
    pub fn shape(&self) -> Dims {
        self.shape
    }

    /// All samples.
    pub fn data(&self) -> &[Float] {
        &self.data
    }

    /// All samples, to be changed.
    pub fn data_mut(&mut self) -> &mut [Float] {
        &mut self.data
    }

    /// One sample.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn row(&self, row: usize) -> &[Float] {
        let width = self.shape.numel();
        &self.data[row * width..][..width]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [Float] {
        let width = self.shape.numel();
        &mut self.data[row * width..][..width]
    }

    /// Puts the last sample in the place of this one, and has one less.
    pub(crate) fn swap_remove(&mut self, row: usize) {
        let width = self.shape.numel();
        self.len -= 1;
        self.data.copy_within(self.len * width.., row * width);
        self.data.truncate(self.len * width);
    }
}

impl AsRef<[Float]> for Part {
    fn as_ref(&self) -> &[Float] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_memory() {
        let shapes = Shapes::new(&[&[2]], &[&[]]).unwrap().weighted();
        let mut batch = Minibatch::default();
        batch.reset(&shapes);
        batch.x[0].push(&[1.0, 2.0]).unwrap();
        batch.x[0].add().fill(3.0);
        assert!(batch.x[0].push(&[1.0]).is_err());
        assert_eq!((batch.len(), batch.x[0].row(1)), (2, &[3.0, 3.0][..]));
        batch.x[0].swap_remove(0);
        assert_eq!(batch.x[0].data(), [3.0, 3.0]);
        let memory = batch.x[0].data().as_ptr();
        batch.reset(&shapes);
        assert!(batch.is_empty());
        batch.x[0].push(&[4.0, 5.0]).unwrap();
        assert_eq!(batch.x[0].data().as_ptr(), memory);
    }

    #[test]
    fn shapes_that_cannot_be() {
        assert!(Shapes::new(&[], &[&[1]]).is_err());
        assert!(Shapes::new(&[&[1; 8]], &[]).is_err());
        assert!(Shapes::new(&[&[usize::MAX, 2]], &[]).is_err());
        assert!(Shapes::new(&[&[usize::MAX / 2]], &[]).is_err());
    }
}
