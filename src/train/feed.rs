//! Where the batches of `fit` and `evaluate` come from: arrays, which are checked beforehand, or a dataset, whose batches are
//! checked as they come.

use std::ops::Range;

use super::class_weight::{self, Classes};
use super::samples::{Gather, Samples, check_weight_shape, with_slices};
use super::step::{Batch, Trainer};
use crate::data::{Dataset, Minibatch, Part, Pass};
use crate::error::{Error, Result};
use crate::layer::View;
use crate::shape::Dims;

/// Batches, in passes over the data.
pub(crate) trait Feed: Send {
    /// Batches of a pass, where that is known.
    fn steps(&self) -> Option<usize>;

    /// Begins a pass.
    fn begin(&mut self, pass: Pass) -> Result<()>;

    /// Begins a pass (an epoch, with a number of batches each) anew after so many of its batches.
    fn resume(&mut self, pass: Pass, batches: usize) -> Result<()>;

    /// Calls `f` with the next batch; false if there is none.
    fn next(
        &mut self,
        trainer: &mut Trainer,
        f: &mut dyn FnMut(&mut Trainer, Batch<'_>) -> Result<()>,
    ) -> Result<bool>;
}

/// Batches of arrays.
pub(crate) struct ArrayFeed<'a> {
    data: &'a Samples<'a>,
    gather: Gather,
    order: Vec<u32>,
    batch_size: usize,
    share: Share,
    /// The samples of this epoch that are left, by their place in `order`.
    at: usize,
    end: usize,
}

/// Which batches of arrays an epoch has. With `steps_per_epoch`, an epoch begins where the one before ended; when the data end, so does
/// the epoch, and the next one begins a new pass over them, as in Keras.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// Batches of the data.
    batches: usize,
    /// Batches of an epoch.
    steps: usize,
}

impl Share {
    /// The pass over the data that an epoch belongs to, and its batches of it.
    fn of(self, epoch: usize) -> (usize, Range<usize>) {
        let epochs = self.batches.div_ceil(self.steps);
        let first = epoch % epochs * self.steps;
        let end = (first + self.steps).min(self.batches);
        (epoch / epochs, first..end)
    }
}

impl<'a> ArrayFeed<'a> {
    /// `batch_size` is positive.
    pub fn new(data: &'a Samples<'a>, batch_size: usize) -> Self {
        let batch_size = batch_size.min(data.len());
        let batches = data.len().div_ceil(batch_size);
        ArrayFeed {
            gather: Gather::new(data, batch_size),
            order: Vec::with_capacity(data.len()),
            batch_size,
            share: Share {
                batches,
                steps: batches,
            },
            at: 0,
            end: 0,
            data,
        }
    }

    /// With at most so many batches an epoch; the number is positive.
    pub fn steps_per_epoch(mut self, steps: Option<usize>) -> Self {
        let batches = self.share.batches;
        self.share.steps = steps.unwrap_or(batches).min(batches);
        self
    }
}

impl Feed for ArrayFeed<'_> {
    fn steps(&self) -> Option<usize> {
        Some(self.share.steps)
    }

    fn begin(&mut self, epoch: Pass) -> Result<()> {
        let (number, batches) = self.share.of(epoch.number);
        let samples = self.data.len();
        Pass { number, ..epoch }.order(samples, &mut self.order);
        self.at = batches.start * self.batch_size;
        self.end = samples.min(batches.end * self.batch_size);
        Ok(())
    }

    fn resume(&mut self, epoch: Pass, batches: usize) -> Result<()> {
        self.begin(epoch)?;
        let done = batches.saturating_mul(self.batch_size);
        self.at = self.at.saturating_add(done).min(self.end);
        Ok(())
    }

    fn next(
        &mut self,
        trainer: &mut Trainer,
        f: &mut dyn FnMut(&mut Trainer, Batch<'_>) -> Result<()>,
    ) -> Result<bool> {
        let end = (self.at + self.batch_size).min(self.end);
        if end == self.at {
            return Ok(false);
        }
        let indices = &self.order[self.at..end];
        self.at = end;
        self.gather
            .with(self.data, indices, |batch| f(trainer, batch))?;
        Ok(true)
    }
}

/// What the batches of a dataset must be like.
#[derive(Default)]
pub(crate) struct Rules {
    /// Number of inputs and of outputs.
    pub inputs: usize,
    pub outputs: usize,
    /// Size of every batch, for a model with states.
    pub stateful: Option<usize>,
    /// Batches of an epoch, if not those of a pass.
    pub steps_per_epoch: Option<usize>,
    /// Weights of classes, one entry an output.
    pub class_weight: Option<Vec<Option<Classes>>>,
    /// Refuse NaN and infinity.
    pub check_finite: bool,
}

/// Batches of a dataset.
pub(crate) struct StreamFeed<'d> {
    data: &'d mut dyn Dataset,
    rules: Rules,
    batch: Minibatch,
    /// The pass that was begun, and whether its first batch lies in `batch`, not yet used.
    pass: Option<Pass>,
    waiting: bool,
    /// Batches of this epoch that are left, where their number is given.
    left: usize,
    /// Shapes of the last batch that was checked.
    x: Vec<Dims>,
    y: Vec<Dims>,
    weights: Vec<Dims>,
    /// Sample weights that follow from the classes of the targets.
    by_class: Vec<Part>,
}

impl<'d> StreamFeed<'d> {
    pub fn new(data: &'d mut dyn Dataset, rules: Rules) -> Self {
        StreamFeed {
            data,
            rules,
            batch: Minibatch::default(),
            pass: None,
            waiting: false,
            left: 0,
            x: Vec::new(),
            y: Vec::new(),
            weights: Vec::new(),
            by_class: Vec::new(),
        }
    }

    /// Sets the rules, once the first batch has told what the model is like.
    pub fn rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Begins, and looks at the first batch, which is not used up: the shapes of inputs and targets, and its size.
    pub fn open(&mut self, pass: Pass) -> Result<(Vec<Dims>, Vec<Dims>, usize)> {
        self.start(pass)?;
        if !self.read()? {
            return Err(Error::data("dataset", "there are no batches"));
        }
        self.waiting = true;
        let shapes = |parts: &[Part]| parts.iter().map(Part::shape).collect();
        let (x, y) = (shapes(&self.batch.x), shapes(&self.batch.y));
        Ok((x, y, self.batch.len()))
    }

    /// Begins where an epoch of this number begins: at the beginning of a pass, or with a number of batches an epoch where the
    /// epochs before it end.
    fn start(&mut self, epoch: Pass) -> Result<()> {
        let mut pass = epoch;
        let mut skip = 0;
        if let Some(steps) = self.rules.steps_per_epoch {
            pass.number = 0;
            skip = steps.saturating_mul(epoch.number);
            if let Some(whole) = self.data.steps().filter(|n| *n > 0) {
                (pass.number, skip) = (skip / whole, skip % whole);
            }
        }
        self.data.begin(pass)?;
        self.pass = Some(pass);
        for _ in 0..skip {
            if !self.read()? {
                break;
            }
        }
        Ok(())
    }

    /// The next batch; with a number of batches an epoch, another pass follows the one that is over.
    fn read(&mut self) -> Result<bool> {
        if self.data.next(&mut self.batch)? {
            return Ok(true);
        }
        let (Some(_), Some(pass)) = (self.rules.steps_per_epoch, &mut self.pass) else {
            return Ok(false);
        };
        pass.number += 1;
        self.data.begin(*pass)?;
        match self.data.next(&mut self.batch)? {
            true => Ok(true),
            false => Err(Error::data("dataset", "there are no batches")),
        }
    }

    fn check(&mut self, trainer: &mut Trainer) -> Result<()> {
        let rules = &self.rules;
        let (batch, size) = (&self.batch, self.batch.len());
        for (what, got, want) in [
            ("x", batch.x.len(), rules.inputs),
            ("y", batch.y.len(), rules.outputs),
        ] {
            if got != want {
                let want = format!("{want} arrays a batch");
                return Err(Error::shape(want, got).owned_by(what));
            }
        }
        if let Some(classes) = &rules.class_weight {
            weigh(classes, batch, &mut self.by_class)?;
        }
        if !batch.weights.is_empty() && batch.weights.len() != rules.outputs {
            let want = format!("{} arrays, one an output", rules.outputs);
            return Err(Error::shape(want, batch.weights.len()).owned_by("sample_weight"));
        }
        let numel = |p: &Part| p.len() * p.shape().numel();
        if size == 0
            || batch
                .parts()
                .any(|p| p.len() != size || p.data().len() != numel(p))
        {
            let problem =
                "a batch must have samples, and as many of every input, target and weight";
            return Err(Error::data("dataset", problem));
        }
        if let Some(want) = rules.stateful.filter(|want| *want != size) {
            let want = format!("batches of exactly {want} samples: the model is stateful");
            return Err(Error::arg("batch_size", want, size).owned_by("dataset"));
        }
        let same = |dims: &[Dims], parts: &[Part]| {
            dims.len() == parts.len() && dims.iter().zip(parts).all(|(d, p)| *d == p.shape())
        };
        let known = same(&self.x, &batch.x) && same(&self.weights, &batch.weights);
        if !known || !same(&self.y, &batch.y) {
            for (dims, parts) in [
                (&mut self.x, &batch.x),
                (&mut self.y, &batch.y),
                (&mut self.weights, &batch.weights),
            ] {
                dims.clear();
                dims.extend(parts.iter().map(Part::shape));
            }
            trainer.retarget(&self.y)?;
            for (i, weight) in self.weights.iter().enumerate() {
                check_weight_shape(trainer, i, weight, &self.x)?;
            }
        }
        // Training and validation may take turns with different shapes.
        trainer.retarget(&self.y)?;
        for (i, part) in batch.y.iter().enumerate() {
            let shape = &part.shape();
            let (data, batch) = (part.data(), size);
            trainer.check_target(i, View { data, shape, batch })?;
        }
        let finite = |parts: &[Part], what: &str| {
            let all = parts.iter().flat_map(|p| p.data());
            match all.copied().find(|v| !v.is_finite()) {
                Some(v) => Err(Error::data(what, format!("holds {v}"))),
                None => Ok(()),
            }
        };
        if rules.check_finite {
            finite(&batch.x, "x")?;
            finite(&batch.y, "y")?;
        }
        finite(&batch.weights, "sample_weight")
    }
}

/// The weights that follow from the classes of the targets of a batch.
fn weigh(classes: &[Option<Classes>], batch: &Minibatch, weights: &mut Vec<Part>) -> Result<()> {
    if !batch.weights.is_empty() {
        let want = "one of `class_weight` and the weights of the dataset";
        return Err(Error::arg("class_weight", want, "both").owned_by("fit"));
    }
    weights.resize_with(batch.y.len(), Part::default);
    for ((y, weights), classes) in batch.y.iter().zip(weights).zip(classes) {
        weights.reset(Dims::default());
        if let Some(classes) = classes {
            class_weight::check(classes, &y.shape()).map_err(|e| e.owned_by("fit"))?;
        }
        for row in 0..y.len() {
            let weight = |c: &Classes| class_weight::weight(c, y.row(row));
            weights.push(&[classes.as_ref().map_or(1.0, weight)])?;
        }
    }
    Ok(())
}

impl Feed for StreamFeed<'_> {
    fn steps(&self) -> Option<usize> {
        self.rules.steps_per_epoch.or(self.data.steps())
    }

    fn begin(&mut self, epoch: Pass) -> Result<()> {
        self.left = self.rules.steps_per_epoch.unwrap_or(usize::MAX);
        match self.rules.steps_per_epoch {
            // It goes on from where the last epoch ended.
            Some(_) if self.pass.is_some() => Ok(()),
            _ if self.waiting && self.pass == Some(epoch) => Ok(()),
            _ => {
                self.waiting = false;
                self.start(epoch)
            }
        }
    }

    fn resume(&mut self, epoch: Pass, batches: usize) -> Result<()> {
        self.waiting = false;
        self.start(epoch)?;
        self.left = self.rules.steps_per_epoch.unwrap_or(usize::MAX);
        for _ in 0..batches {
            if self.left == 0 || !self.read()? {
                break;
            }
            self.left -= 1;
        }
        Ok(())
    }

    fn next(
        &mut self,
        trainer: &mut Trainer,
        f: &mut dyn FnMut(&mut Trainer, Batch<'_>) -> Result<()>,
    ) -> Result<bool> {
        if self.left == 0 || !(std::mem::take(&mut self.waiting) || self.read()?) {
            return Ok(false);
        }
        self.left -= 1;
        self.check(trainer)?;
        let batch = &self.batch;
        let weights = match self.rules.class_weight {
            Some(_) => &self.by_class,
            None => &batch.weights,
        };
        with_slices(&batch.x, |x| {
            with_slices(&batch.y, |y| {
                with_slices(weights, |weights| {
                    let batch = Batch {
                        x,
                        x_dims: &self.x,
                        y,
                        weights,
                        size: batch.len(),
                    };
                    f(trainer, batch)
                })
            })
        })?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_of_steps_go_on_where_the_one_before_ended() {
        let share = |batches, steps| {
            let share = Share { batches, steps };
            (0..5).map(|e| share.of(e)).collect::<Vec<_>>()
        };
        // Keras: 5 batches, steps_per_epoch=2.
        let want = [(0, 0..2), (0, 2..4), (0, 4..5), (1, 0..2), (1, 2..4)];
        assert_eq!(share(5, 2), want);
        let want = [(0, 0..2), (0, 2..4), (1, 0..2), (1, 2..4), (2, 0..2)];
        assert_eq!(share(4, 2), want);
        assert_eq!(share(3, 3)[4], (4, 0..3));
    }
}
