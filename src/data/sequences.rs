//! Sequences: padding to one length, and windows over a time series.

use ndarray::{ArrayD, IxDyn};

use super::batched::{Batched, Indexed};
use super::dataset::{Minibatch, Shapes, sample_dims};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::tensor::{IntoArrays, Tensor, ToTensor};

/// An end of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The beginning: Keras's `"pre"`.
    #[default]
    Pre,
    /// The end: Keras's `"post"`.
    Post,
}

/// How [`pad_sequences`] pads and cuts.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `maxlen` | the longest | length of all sequences |
/// | `padding` | `Pre` | where `value` fills up |
/// | `truncating` | `Pre` | where what is too long is cut |
/// | `value` | 0 | what fills up |
#[derive(Clone, Copy, Debug, Default)]
pub struct Pad {
    maxlen: Option<usize>,
    padding: Side,
    truncating: Side,
    value: Float,
}

impl Pad {
    /// To this length.
    pub fn maxlen(mut self, length: usize) -> Self {
        self.maxlen = Some(length);
        self
    }

    /// Where to fill up.
    pub fn padding(mut self, side: Side) -> Self {
        self.padding = side;
        self
    }

    /// Where to cut.
    pub fn truncating(mut self, side: Side) -> Self {
        self.truncating = side;
        self
    }

    /// What fills up.
    pub fn value(mut self, value: Float) -> Self {
        self.value = value;
        self
    }
}

/// Sequences of one length, in an array `(sequences, length, ..)`: Keras's `utils.pad_sequences`. Their elements are numbers, or
/// arrays of one shape.
///
/// ```
/// use ndarray::array;
/// use oxhorn::data::utils::{pad_sequences, Pad, Side};
///
/// let sequences = [vec![1], vec![2, 3], vec![4, 5, 6]];
/// let padded = pad_sequences(&sequences, Pad::default())?;
/// assert_eq!(padded, array![[0.0, 0.0, 1.0], [0.0, 2.0, 3.0], [4.0, 5.0, 6.0]].into_dyn());
/// let post = Pad::default().maxlen(2).padding(Side::Post).truncating(Side::Post).value(-1.0);
/// assert_eq!(pad_sequences(&sequences, post)?, array![[1.0, -1.0], [2.0, 3.0], [4.0, 5.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// If a number does not fit, the elements have different shapes, or the array would not fit memory.
pub fn pad_sequences<S: ToTensor>(sequences: &[S], pad: Pad) -> Result<ArrayD<Float>> {
    let tensors: Vec<Tensor<'_>> = sequences.iter().map(S::to_tensor).collect::<Result<_>>()?;
    let longest = tensors.iter().map(Tensor::batch).max().unwrap_or(0);
    let length = pad.maxlen.unwrap_or(longest);
    let full = tensors.iter().find(|t| t.batch() > 0).or(tensors.first());
    let sample = full.map(Tensor::sample).unwrap_or_default();
    let mut shape = vec![sequences.len(), length];
    shape.extend_from_slice(&sample);
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let count = count.filter(|&n| n <= isize::MAX as usize / 8 && shape.len() <= 8);
    let Some(count) = count else {
        let want = "an array that fits memory";
        return Err(Error::shape(want, format!("{shape:?}")).owned_by("pad_sequences"));
    };
    let mut out = vec![pad.value; count];
    let width = sample.numel();
    for (i, (t, row)) in tensors
        .iter()
        .zip(out.chunks_exact_mut((length * width).max(1)))
        .enumerate()
    {
        if t.batch() > 0 && t.sample() != sample {
            let want = format!("elements of shape {sample} in sequence {i}");
            return Err(Error::shape(want, t.sample()).owned_by("pad_sequences"));
        }
        let kept = t.batch().min(length);
        let from = match pad.truncating {
            Side::Pre => t.batch() - kept,
            Side::Post => 0,
        };
        let to = match pad.padding {
            Side::Pre => length - kept,
            Side::Post => 0,
        };
        row[to * width..][..kept * width]
            .copy_from_slice(&t.data()[from * width..][..kept * width]);
    }
    ArrayD::from_shape_vec(IxDyn(&shape), out)
        .map_err(|e| Error::data("pad_sequences", e.to_string()))
}

/// The windows of [`timeseries_dataset_from_array`].
///
/// | name | default | meaning |
/// |---|---|---|
/// | `sequence_length` | | time steps of a window |
/// | `sequence_stride` | 1 | steps between the beginnings of two windows |
/// | `sampling_rate` | 1 | steps between two time steps of a window |
/// | `start_index` | 0 | the first row that is used |
/// | `end_index` | all | the first row that is not used any more |
#[derive(Clone, Copy, Debug)]
pub struct Timeseries {
    sequence_length: usize,
    sequence_stride: usize,
    sampling_rate: usize,
    start_index: usize,
    end_index: Option<usize>,
}

impl Timeseries {
    /// Windows of so many time steps.
    pub fn of(sequence_length: usize) -> Self {
        Timeseries {
            sequence_length,
            sequence_stride: 1,
            sampling_rate: 1,
            start_index: 0,
            end_index: None,
        }
    }

    /// Steps between the beginnings of two windows.
    pub fn sequence_stride(mut self, steps: usize) -> Self {
        self.sequence_stride = steps;
        self
    }

    /// Steps between two time steps of a window.
    pub fn sampling_rate(mut self, steps: usize) -> Self {
        self.sampling_rate = steps;
        self
    }

    /// The first row that is used.
    pub fn start_index(mut self, row: usize) -> Self {
        self.start_index = row;
        self
    }

    /// The first row that is not used any more.
    pub fn end_index(mut self, row: usize) -> Self {
        self.end_index = Some(row);
        self
    }
}

/// Windows over a time series as samples; see [`timeseries_dataset_from_array`].
#[derive(Clone, Debug)]
pub struct Windows<'a> {
    data: Tensor<'a>,
    targets: Option<Tensor<'a>>,
    form: Timeseries,
    count: usize,
    shapes: Shapes,
}

/// Windows over a time series whose first axis is time: Keras's `utils.timeseries_dataset_from_array`, with its batches of 128 and
/// `shuffle(false)`. The target of the window that begins at row `i` is `targets[i]`: to predict the step behind a window of `n`
/// rows, give `targets` as the series from row `n` on.
///
/// ```
/// use oxhorn::data::{timeseries_dataset_from_array, Dataset, Minibatch, Pass, Timeseries};
///
/// let series: Vec<f32> = (0..20).map(|i| i as f32).collect();
/// let form = Timeseries::of(4).sequence_stride(3).sampling_rate(2).start_index(2).end_index(17);
/// let mut data = timeseries_dataset_from_array(&series, Some(&series), form)?;
/// let mut batch = Minibatch::default();
/// data.begin(Pass::IN_ORDER)?;
/// data.next(&mut batch)?;
/// assert_eq!((batch.len(), batch.x[0].row(0), batch.x[0].row(2)), (3, &[2.0, 4.0, 6.0, 8.0][..], &[8.0, 10.0, 12.0, 14.0][..]));
/// assert_eq!(batch.y[0].data(), [2.0, 5.0, 8.0]);
/// # Ok::<(), oxhorn::Error>(())
/// ```
///
/// # Errors
/// Where Keras has some (indices out of range, steps that are 0 or beyond the data), and if there is no window, or not a target for
/// every window.
pub fn timeseries_dataset_from_array<'a, T: IntoArrays<'a>>(
    data: impl IntoArrays<'a>,
    targets: Option<T>,
    form: Timeseries,
) -> Result<Batched<Windows<'a>>> {
    let fail = |arg: &str, want: String, got: usize| {
        let error = Error::arg(arg, want, got);
        Err(error.owned_by("timeseries_dataset_from_array"))
    };
    let data = one(data)?;
    let targets = targets.map(one).transpose()?;
    let n = data.batch();
    let below = |limit: usize| format!("a row below {limit}, the length of the data");
    if form.start_index >= n {
        return fail("start_index", below(n), form.start_index);
    }
    let end = form.end_index.unwrap_or(n);
    if form.end_index.is_some() && (end >= n || end <= form.start_index) {
        let want = format!(
            "{} and above `start_index` ({})",
            below(n),
            form.start_index
        );
        return fail("end_index", want, end);
    }
    for (arg, steps) in [
        ("sequence_stride", form.sequence_stride),
        ("sampling_rate", form.sampling_rate),
    ] {
        if steps == 0 || steps >= n {
            return fail(arg, format!("1 to {} steps", n - 1), steps);
        }
    }
    let rows = end - form.start_index;
    let behind = form.sequence_length.checked_sub(1);
    let behind = behind.and_then(|steps| steps.checked_mul(form.sampling_rate));
    let Some(mut positions) = behind.and_then(|b| rows.checked_sub(b)).filter(|p| *p > 0) else {
        let want = format!(
            "a window that fits {rows} rows with a `sampling_rate` of {}",
            form.sampling_rate
        );
        return fail("sequence_length", want, form.sequence_length);
    };
    if let Some(targets) = &targets {
        positions = positions.min(targets.batch());
        if positions == 0 || form.start_index + positions > targets.batch() {
            let want = format!("{} targets", form.start_index + positions.max(1));
            let error = Error::shape(want, targets.batch());
            return Err(error.owned_by("timeseries_dataset_from_array"));
        }
    }
    let mut shape = vec![form.sequence_length];
    shape.extend_from_slice(&data.sample());
    let windows = Windows {
        shapes: Shapes {
            x: vec![sample_dims(&shape)?],
            y: targets.iter().map(Tensor::sample).collect(),
            weights: vec![],
        },
        count: positions.div_ceil(form.sequence_stride),
        data,
        targets,
        form,
    };
    Ok(Batched::new(windows)?.batch_size(128).shuffle(false))
}

fn one<'a>(arrays: impl IntoArrays<'a>) -> Result<Tensor<'a>> {
    let arrays = arrays.into_arrays()?;
    match arrays.tensors() {
        [one] => Ok(one.clone()),
        many => {
            let error = Error::shape("one array", many.len());
            Err(error.owned_by("timeseries_dataset_from_array"))
        }
    }
}

impl Indexed for Windows<'_> {
    fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    fn len(&self) -> usize {
        self.count
    }

    fn read(&mut self, index: usize, batch: &mut Minibatch) -> Result<()> {
        let start = self.form.start_index + index * self.form.sequence_stride;
        let width = self.data.sample().numel();
        let window = batch.x[0].add();
        for (step, out) in window.chunks_exact_mut(width.max(1)).enumerate() {
            let row = start + step * self.form.sampling_rate;
            out.copy_from_slice(&self.data.data()[row * width..][..width]);
        }
        if let Some(targets) = &self.targets {
            let width = targets.sample().numel();
            batch.y[0].push(&targets.data()[start * width..][..width])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Pass};

    #[test]
    fn padding_of_elements_with_shapes_and_of_nothing() {
        let pairs = [vec![[1.0f32, 2.0]], vec![], vec![[3.0, 4.0], [5.0, 6.0]]];
        let padded = pad_sequences(&pairs, Pad::default().padding(Side::Post)).unwrap();
        assert_eq!(padded.shape(), [3, 2, 2]);
        assert_eq!(padded.as_slice().unwrap()[..4], [1.0, 2.0, 0.0, 0.0]);
        let none: [Vec<f32>; 0] = [];
        assert_eq!(
            pad_sequences(&none, Pad::default()).unwrap().shape(),
            [0, 0]
        );
        let cut = pad_sequences(&[vec![1, 2]], Pad::default().maxlen(0)).unwrap();
        assert_eq!(cut.shape(), [1, 0]);
        let huge = Pad::default().maxlen(usize::MAX / 2);
        assert!(pad_sequences(&[vec![1], vec![2]], huge).is_err());
    }

    /// Number, first and last of the windows, and the targets that Keras makes.
    #[test]
    fn windows_are_keras_s() {
        let series: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let read = |form, targets: Option<&Vec<f32>>| {
            let mut data = timeseries_dataset_from_array(&series, targets, form).unwrap();
            let mut batch = Minibatch::default();
            data.begin(Pass::IN_ORDER).unwrap();
            data.next(&mut batch).unwrap();
            batch
        };
        let plain = read(Timeseries::of(3), None);
        assert_eq!(
            (plain.len(), plain.x[0].row(17)),
            (18, &[17.0, 18.0, 19.0][..])
        );
        let apart = read(Timeseries::of(5).sampling_rate(3), Some(&series));
        assert_eq!(apart.x[0].row(7), [7.0, 10.0, 13.0, 16.0, 19.0]);
        assert_eq!(apart.y[0].data(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let few = read(Timeseries::of(3), Some(&vec![5.0; 4]));
        assert_eq!(few.len(), 4);
    }

    #[test]
    fn windows_that_cannot_be() {
        let series = vec![0.0f32; 10];
        let none: Option<&Vec<f32>> = None;
        for form in [
            Timeseries::of(0),
            Timeseries::of(11),
            Timeseries::of(usize::MAX).sampling_rate(9),
            Timeseries::of(2).sampling_rate(0),
            Timeseries::of(2).sampling_rate(10),
            Timeseries::of(2).sequence_stride(0),
            Timeseries::of(2).start_index(10),
            Timeseries::of(2).end_index(10),
            Timeseries::of(2).start_index(4).end_index(4),
        ] {
            assert!(
                timeseries_dataset_from_array(&series, none, form).is_err(),
                "{form:?}"
            );
        }
        let short = vec![0.0f32; 3];
        let form = Timeseries::of(2).start_index(2);
        assert!(timeseries_dataset_from_array(&series, Some(&short), form).is_err());
        assert!(
            timeseries_dataset_from_array([&series, &series], none, Timeseries::of(2)).is_err()
        );
    }
}
