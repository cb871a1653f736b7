//! `fit_dataset`, `evaluate_dataset`, `predict_dataset`: data that come in batches.

use ndarray::{ArrayD, IxDyn};

use super::class_weight::by_output;
use super::evaluate::Evaluate;
use super::feed::{Rules, StreamFeed};
use super::fit::Fit;
use super::samples::check_weights;
use super::step::Trainer;
use crate::callbacks::{History, Logs};
use crate::data::{Dataset, Minibatch, Part, Pass};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::models::Model;
use crate::tensor::{Arrays, Tensor};

impl Model {
    /// [`fit`](Self::fit) with data from a [`Dataset`], which need not fit memory. An epoch is a pass over it, or
    /// [`steps_per_epoch`](Fit::steps_per_epoch) batches. The order of a pass follows from the model's seed and the number of the
    /// epoch.
    ///
    /// The batches and the sample weights are the dataset's: `batch_size`, `sample_weight` and `validation_split` are errors here.
    ///
    /// ```
    /// use oxhorn::{data, prelude::*};
    ///
    /// let x: Vec<[f32; 1]> = (0..64).map(|i| [i as f32 / 64.0]).collect();
    /// let y: Vec<[f32; 1]> = x.iter().map(|[x]| [3.0 * x - 1.0]).collect();
    /// let (train, test) = data::split_dataset(&data::from_arrays(&x, &y)?.batch_size(16), 48, 16, Some(Seed(1)))?;
    ///
    /// let mut model = Sequential::new().seed(0).add(Dense::new(1));
    /// model.compile(Sgd::new(0.5), "mse", ["mae"])?;
    /// let history = model.fit_dataset(&mut train.clone(), Fit::epochs(40).validation_dataset(test).verbose(0))?;
    /// assert!(history.last("val_mae").unwrap() < 0.05);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `fit`, and if the dataset fails, has no batches, or a batch does not have one array for each input and output.
    pub fn fit_dataset<'a>(
        &mut self,
        data: &mut (dyn Dataset + 'a),
        mut fit: Fit<'a>,
    ) -> Result<History> {
        self.compiled("fit_dataset")?;
        let refuse = |arg, want| {
            let error = Error::arg(arg, want, "one for `fit_dataset`");
            Err(error.owned_by("fit_dataset"))
        };
        if fit.batch_size.is_some() {
            return refuse("batch_size", "none: the batches are those of the dataset");
        }
        if fit.sample_weight.is_some() {
            return refuse("sample_weight", "none: the dataset hands out its own");
        }
        if fit.validation_split != 0.0 {
            return refuse("validation_split", "none: see `data::split_dataset`");
        }
        fit.check_counts().map_err(|e| e.owned_by("fit_dataset"))?;
        let pass = Pass {
            number: fit.initial_epoch,
            seed: self.seed,
            shuffle: fit.shuffle,
        };
        let first = Rules {
            steps_per_epoch: fit.steps_per_epoch,
            ..Rules::default()
        };
        let mut feed = StreamFeed::new(data, first);
        let (x, y, size) = feed.open(pass)?;
        if !self.built && x.len() == 1 {
            self.build(x[0])?;
        }
        self.require_built("fit_dataset")?;
        let class_weight = match &fit.class_weight {
            None => None,
            Some(weights) => {
                let each = by_output(weights, &self.output_names())?;
                Some(each.into_iter().map(|c| c.cloned()).collect())
            }
        };
        feed.rules(Rules {
            steps_per_epoch: fit.steps_per_epoch,
            check_finite: fit.check_finite,
            class_weight,
            ..self.rules()
        });
        let validation =
            self.validation_arrays(fit.validation.take(), fit.validation_sample_weight.take())?;
        let mut trainer = self.take_trainer(&y)?;
        let result = (|| {
            if let Some(data) = &validation {
                trainer.check_targets(data.y.tensors())?;
                check_weights(&trainer, data, self.graph.outputs.len())?;
                self.check_validation(&fit, size, data.len())?;
            }
            self.check_shapes(&x)?;
            let work = trainer.work(&x, size)?;
            self.run_fit(
                &mut trainer,
                &mut feed,
                validation.as_ref(),
                size,
                fit,
                work,
            )
        })();
        self.trainer = Some(trainer);
        result
    }

    /// [`evaluate`](Self::evaluate) with data from a [`Dataset`], in its order.
    ///
    /// # Errors
    /// As [`fit_dataset`](Self::fit_dataset), and if the model is not built.
    pub fn evaluate_dataset(&self, data: &mut dyn Dataset) -> Result<Logs> {
        self.evaluate_dataset_with(data, Evaluate::default())
    }

    /// [`evaluate_dataset`](Self::evaluate_dataset) with options; those about batches and weights are the dataset's business.
    ///
    /// # Errors
    /// As `evaluate_dataset`.
    pub fn evaluate_dataset_with(
        &self,
        data: &mut dyn Dataset,
        options: Evaluate<'_>,
    ) -> Result<Logs> {
        let compiled = self.compiled("evaluate_dataset")?;
        self.require_built("evaluate_dataset")?;
        for (arg, given) in [
            ("batch_size", options.batch_size.is_some()),
            ("sample_weight", options.sample_weight.is_some()),
        ] {
            if given {
                let error = Error::arg(arg, "none: that is the dataset's", "one");
                return Err(error.owned_by("evaluate_dataset"));
            }
        }
        let mut feed = StreamFeed::new(data, self.rules());
        let (x, y, size) = feed.open(Pass::IN_ORDER)?;
        self.check_shapes(&x)?;
        let mut trainer = Trainer::new(self, compiled, &y)?;
        let work = trainer.work(&x, size)?;
        self.measure(&mut trainer, &mut feed, work, options)
    }

    /// [`predict`](Self::predict) for the inputs of a [`Dataset`], in its order; its targets are not looked at.
    ///
    /// ```
    /// use oxhorn::{data, prelude::*};
    /// let mut model = Sequential::new().input([1]).add(Dense::new(1).kernel_initializer("ones"));
    /// model.build([1])?;
    /// let x: Vec<[f32; 1]> = (0..100).map(|i| [i as f32]).collect();
    /// let y = model.predict_dataset(&mut data::from_inputs(&x)?)?;
    /// assert_eq!((y.shape(), y[[77, 0]]), (&[100, 1][..], 77.0));
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is not built or has several outputs (see [`predict_dataset_all`](Self::predict_dataset_all)), the dataset fails
    /// or is empty, or a shape does not fit.
    pub fn predict_dataset(&self, data: &mut dyn Dataset) -> Result<ArrayD<Float>> {
        let mut all = self.predict_dataset_all(data)?;
        match all.len() {
            1 => Ok(all.remove(0)),
            n => Err(Error::Model(format!(
                "the model has {n} outputs: call `predict_dataset_all`"
            ))),
        }
    }

    /// Every output for the inputs of a dataset.
    ///
    /// # Errors
    /// As [`predict_dataset`](Self::predict_dataset).
    pub fn predict_dataset_all(&self, data: &mut dyn Dataset) -> Result<Vec<ArrayD<Float>>> {
        self.require_built("predict_dataset")?;
        let mut batch = Minibatch::default();
        let mut outs: Vec<(Vec<Float>, Vec<usize>)> = Vec::new();
        let mut state = self.weights.state.clone();
        data.begin(Pass::IN_ORDER)?;
        while data.next(&mut batch)? {
            let tensor = |part: &Part| {
                let mut shape = vec![part.len()];
                shape.extend_from_slice(&part.shape());
                Tensor::new(part.data().to_vec(), &shape)
            };
            let x = batch.x.iter().map(tensor).collect::<Result<_>>()?;
            // Stateful layers go on from batch to batch, as in one call over all samples.
            let y = match self.graph.stateful() {
                Some(_) => self.predict_from(Arrays::many(x), Some(&mut state))?,
                None => self.predict_from(Arrays::many(x), None)?,
            };
            if outs.is_empty() {
                outs.extend(y.iter().map(|y| (Vec::new(), y.shape().to_vec())));
                outs.iter_mut().for_each(|(_, shape)| shape[0] = 0);
            }
            for ((all, shape), y) in outs.iter_mut().zip(y) {
                if shape[1..] != y.shape()[1..] {
                    let want = format!("outputs of shape {:?} as before", &shape[1..]);
                    let got = format!("{:?}", &y.shape()[1..]);
                    return Err(Error::shape(want, got).owned_by("predict_dataset"));
                }
                shape[0] += y.shape()[0];
                all.extend_from_slice(y.as_slice().unwrap_or_default());
            }
        }
        if outs.is_empty() {
            return Err(Error::data("dataset", "there are no batches"));
        }
        let array = |(data, shape): (Vec<Float>, Vec<usize>)| {
            ArrayD::from_shape_vec(IxDyn(&shape), data)
                .map_err(|e| Error::data("predict_dataset", e.to_string()))
        };
        outs.into_iter().map(array).collect()
    }

    /// What the batches of a dataset must be like to fit this model.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            inputs: self.graph.inputs.len(),
            outputs: self.graph.outputs.len(),
            stateful: self.graph.stateful(),
            ..Rules::default()
        }
    }

    /// An error unless there are as many inputs as the model has.
    fn check_shapes(&self, x: &[crate::shape::Dims]) -> Result<()> {
        let n = self.graph.inputs.len();
        match x.len() {
            got if got == n => Ok(()),
            got => Err(Error::shape(format!("{n} input arrays"), got).owned_by("x")),
        }
    }
}
