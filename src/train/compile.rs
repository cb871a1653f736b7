//! `compile`: what to minimise, how, and what to report.

use std::sync::Arc;

use super::optimizer_state::OptimizerState;
use super::update;
use crate::error::{Error, Result};
use crate::losses::{self, Loss};
use crate::metrics::{self, Metric};
use crate::models::Model;
use crate::optimizers::{self, Optimizer};

/// Optimizer, losses and metrics of a model, and the optimizer's memory.
#[derive(Debug)]
pub struct Compiled {
    pub(crate) optimizer: Arc<dyn Optimizer>,
    pub(crate) losses: PerOutput<Arc<dyn Loss>>,
    pub(crate) loss_weights: Option<PerOutput<f64>>,
    pub(crate) metrics: PerOutput<Vec<Box<dyn Metric>>>,
    pub(crate) weighted_metrics: PerOutput<Vec<Box<dyn Metric>>>,
    pub(crate) state: OptimizerState,
}

impl Clone for Compiled {
    fn clone(&self) -> Self {
        Compiled {
            optimizer: self.optimizer.clone(),
            losses: self.losses.clone(),
            loss_weights: self.loss_weights.clone(),
            metrics: self.metrics.map(fresh),
            weighted_metrics: self.weighted_metrics.map(fresh),
            state: self.state.clone(),
        }
    }
}

fn fresh(metrics: &Vec<Box<dyn Metric>>) -> Vec<Box<dyn Metric>> {
    metrics.iter().map(|m| m.fresh()).collect()
}

/// Something that outputs have: all the same, or each its own, or some by name.
#[derive(Clone, Debug)]
pub enum PerOutput<T> {
    /// The same for every output.
    All(T),
    /// One an output, in order; an output may have none.
    Each(Vec<Option<T>>),
    /// By the names of outputs; the others have none.
    Named(Vec<(String, T)>),
}

impl<T> PerOutput<T> {
    /// What each of these outputs has.
    ///
    /// # Errors
    /// If the number differs, or a name is not one of them.
    pub fn resolve(&self, what: &str, outputs: &[String]) -> Result<Vec<Option<&T>>> {
        let n = outputs.len();
        match self {
            PerOutput::All(one) => Ok(vec![Some(one); n]),
            PerOutput::Each(list) if list.len() == n => {
                Ok(list.iter().map(Option::as_ref).collect())
            }
            PerOutput::Each(list) => {
                let want = format!("{n} entries, one an output ({})", outputs.join(", "));
                Err(Error::arg(what, want, list.len()).owned_by("compile"))
            }
            PerOutput::Named(named) => {
                if let Some((name, _)) = named.iter().find(|(name, _)| !outputs.contains(name)) {
                    return Err(Error::unknown(
                        &format!("output in `{what}`"),
                        name,
                        outputs,
                    ));
                }
                let find = |o: &String| named.iter().find(|(name, _)| name == o).map(|(_, t)| t);
                Ok(outputs.iter().map(find).collect())
            }
        }
    }

    /// The same for other things.
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> PerOutput<U> {
        match self {
            PerOutput::All(one) => PerOutput::All(f(one)),
            PerOutput::Each(list) => {
                PerOutput::Each(list.iter().map(|t| t.as_ref().map(&f)).collect())
            }
            PerOutput::Named(named) => {
                PerOutput::Named(named.iter().map(|(name, t)| (name.clone(), f(t))).collect())
            }
        }
    }

    /// Everything there is, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, each, named) = match self {
            PerOutput::All(one) => (Some(one), &[][..], &[][..]),
            PerOutput::Each(list) => (None, &list[..], &[][..]),
            PerOutput::Named(named) => (None, &[][..], &named[..]),
        };
        one.into_iter()
            .chain(each.iter().flatten())
            .chain(named.iter().map(|(_, t)| t))
    }

    /// Adds one by name; what was there for all is kept for no output in particular.
    fn set(&mut self, name: &str, value: T) {
        match self {
            PerOutput::Named(named) => {
                named.retain(|(n, _)| n != name);
                named.push((name.into(), value));
            }
            _ => *self = PerOutput::Named(vec![(name.into(), value)]),
        }
    }
}

/// All that `compile` can be told.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `optimizer` | | how weights change |
/// | `loss` | | what is minimised |
/// | `metrics` | none | reported, not weighted by sample weights |
/// | `weighted_metrics` | none | reported, weighted by sample weights |
/// | `loss_weights` | all 1 | factor on the loss of each output, in order |
///
/// A model with several outputs takes a loss an output (`["mse", "mae"]`), or by name (`[("value", "mse"), ("kind", "mae")]`);
/// an output without a loss is not trained on. `metrics` are for every output, [`metrics_of`](Compile::metrics_of) for one.
#[derive(Debug)]
pub struct Compile(Result<Compiled>);

impl Compile {
    /// With this optimizer and loss, each typed or by name.
    pub fn new(optimizer: impl IntoOptimizer, loss: impl IntoLosses) -> Self {
        Compile((|| {
            let optimizer = optimizer.into_optimizer()?;
            update::check(&optimizer)?;
            Ok(Compiled {
                losses: loss.into_losses()?,
                loss_weights: None,
                metrics: PerOutput::All(Vec::new()),
                weighted_metrics: PerOutput::All(Vec::new()),
                state: OptimizerState::new(&optimizer),
                optimizer,
            })
        })())
    }

    /// Metrics to report, for every output.
    pub fn metrics(self, metrics: impl IntoMetrics) -> Self {
        self.and_then(|c| {
            c.metrics = PerOutput::All(metrics.into_metrics()?);
            Ok(())
        })
    }

    /// Metrics to report for the output of this name; takes the place of metrics for all.
    pub fn metrics_of(self, output: &str, metrics: impl IntoMetrics) -> Self {
        self.and_then(|c| {
            c.metrics.set(output, metrics.into_metrics()?);
            Ok(())
        })
    }

    /// Metrics to report, weighted by the sample weights.
    pub fn weighted_metrics(self, metrics: impl IntoMetrics) -> Self {
        self.and_then(|c| {
            c.weighted_metrics = PerOutput::All(metrics.into_metrics()?);
            Ok(())
        })
    }

    /// Factor on the loss of each output, in order.
    pub fn loss_weights(self, weights: impl Into<Vec<f64>>) -> Self {
        self.and_then(|c| {
            let weights: Vec<f64> = weights.into();
            if let Some(w) = weights.iter().find(|w| !w.is_finite()) {
                return Err(Error::arg("loss_weights", "finite numbers", w).owned_by("compile"));
            }
            c.loss_weights = Some(PerOutput::Each(weights.into_iter().map(Some).collect()));
            Ok(())
        })
    }

    /// All of it, or the first mistake.
    pub(crate) fn into_compiled(self) -> Result<Compiled> {
        self.0
    }

    fn and_then(mut self, f: impl FnOnce(&mut Compiled) -> Result<()>) -> Self {
        if let Ok(compiled) = &mut self.0
            && let Err(e) = f(compiled)
        {
            self.0 = Err(e);
        }
        self
    }
}

impl Model {
    /// Says how to train: an optimizer, a loss and metrics, each typed or by Keras's name.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([4]).add(Dense::new(1).activation("sigmoid"));
    /// model.compile(Adam::new(0.01), BinaryCrossentropy::default(), [Accuracy])?;
    /// model.compile("adam", "binary_crossentropy", ["accuracy", "auc"])?;
    /// let e = model.compile("adan", "mse", ()).unwrap_err();
    /// assert!(e.to_string().starts_with("unknown optimizer `adan` (did you mean `adam`?)"));
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// Unknown names, and arguments that make no sense. An input shape that was declared is built here, so that a layer that
    /// refuses it says so now.
    pub fn compile(
        &mut self,
        optimizer: impl IntoOptimizer,
        loss: impl IntoLosses,
        metrics: impl IntoMetrics,
    ) -> Result<()> {
        self.compile_with(Compile::new(optimizer, loss).metrics(metrics))
    }

    /// [`compile`](Self::compile) with everything it can be told.
    ///
    /// # Errors
    /// As `compile`.
    pub fn compile_with(&mut self, compile: Compile) -> Result<()> {
        let compiled = compile.0?;
        self.build_declared()?;
        self.compiled = Some(compiled);
        self.trainer = None;
        Ok(())
    }

    pub(crate) fn compiled(&self, call: &'static str) -> Result<&Compiled> {
        self.compiled.as_ref().ok_or(Error::NotCompiled { call })
    }

    /// The learning rate of the next step; of a schedule, what it says for that step.
    ///
    /// # Errors
    /// If the model is not compiled, or has several optimizers.
    pub fn learning_rate(&self) -> Result<f64> {
        let compiled = self.compiled("learning_rate")?;
        compiled.state.learning_rate(&compiled.optimizer)
    }

    /// Steps made since `compile`.
    pub(crate) fn iterations(&self) -> u64 {
        self.compiled.as_ref().map_or(0, |c| c.state.steps)
    }

    /// The rates of the next step by the names that Keras's callbacks give them: `learning_rate`, or of several optimizers
    /// `learning_rate_adam`.
    pub(crate) fn rates(&self) -> Result<Vec<(String, f64)>> {
        let compiled = self.compiled("learning_rate")?;
        let all = update::members(&compiled.optimizer);
        let name = |o: &Arc<dyn Optimizer>| match all.len() {
            1 => "learning_rate".to_string(),
            _ => format!("learning_rate_{}", o.common().name_or(o.class_name())),
        };
        let members = all.iter().enumerate();
        Ok(members
            .map(|(i, o)| (name(o), compiled.state.rate(i, o.as_ref())))
            .collect())
    }

    /// Changes the rate of optimizer number `member` from the next step on.
    pub(crate) fn set_rate(&mut self, member: usize, rate: f64) -> Result<()> {
        check_rate(rate)?;
        let call = "set_learning_rate";
        let compiled = self.compiled.as_mut().ok_or(Error::NotCompiled { call })?;
        compiled
            .state
            .set_rate(member, &update::members(&compiled.optimizer), rate)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    /// If the model is not compiled, the value is negative or not finite, the rate is a schedule, or there are several optimizers.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        check_rate(rate).map_err(|e| e.owned_by("set_learning_rate"))?;
        let compiled = self.compiled.as_mut().ok_or(Error::NotCompiled {
            call: "set_learning_rate",
        })?;
        compiled
            .state
            .set_learning_rate(&compiled.optimizer, rate)
            .map_err(|e| e.owned_by("set_learning_rate"))
    }
}

fn check_rate(rate: f64) -> Result<()> {
    match rate >= 0.0 && rate.is_finite() {
        true => Ok(()),
        false => Err(Error::arg(
            "learning_rate",
            "a number that is not negative",
            rate,
        )),
    }
}

/// An optimizer, typed or by name.
pub trait IntoOptimizer {
    /// The optimizer, or an error that lists the names.
    fn into_optimizer(self) -> Result<Arc<dyn Optimizer>>;
}

impl<O: Optimizer + 'static> IntoOptimizer for O {
    fn into_optimizer(self) -> Result<Arc<dyn Optimizer>> {
        Ok(Arc::new(self))
    }
}

impl IntoOptimizer for Arc<dyn Optimizer> {
    fn into_optimizer(self) -> Result<Arc<dyn Optimizer>> {
        Ok(self)
    }
}

impl IntoOptimizer for &str {
    fn into_optimizer(self) -> Result<Arc<dyn Optimizer>> {
        optimizers::get(self)
    }
}

/// A loss, typed or by name.
pub trait IntoLoss {
    /// The loss, or an error that lists the names.
    fn into_loss(self) -> Result<Arc<dyn Loss>>;
}

impl<L: Loss + 'static> IntoLoss for L {
    fn into_loss(self) -> Result<Arc<dyn Loss>> {
        Ok(Arc::new(self))
    }
}

impl IntoLoss for Arc<dyn Loss> {
    fn into_loss(self) -> Result<Arc<dyn Loss>> {
        Ok(self)
    }
}

impl IntoLoss for &str {
    fn into_loss(self) -> Result<Arc<dyn Loss>> {
        losses::get(self)
    }
}

/// One loss for all outputs, or one for each in order, or by the names of outputs.
pub trait IntoLosses {
    /// The losses, or an error that lists the names.
    fn into_losses(self) -> Result<PerOutput<Arc<dyn Loss>>>;
}

impl<L: IntoLoss> IntoLosses for L {
    fn into_losses(self) -> Result<PerOutput<Arc<dyn Loss>>> {
        Ok(PerOutput::All(self.into_loss()?))
    }
}

impl IntoLosses for PerOutput<Arc<dyn Loss>> {
    fn into_losses(self) -> Result<PerOutput<Arc<dyn Loss>>> {
        Ok(self)
    }
}

impl<L: IntoLoss, const N: usize> IntoLosses for [L; N] {
    fn into_losses(self) -> Result<PerOutput<Arc<dyn Loss>>> {
        Vec::from(self).into_losses()
    }
}

impl<L: IntoLoss> IntoLosses for Vec<L> {
    fn into_losses(self) -> Result<PerOutput<Arc<dyn Loss>>> {
        let losses = self.into_iter().map(|l| l.into_loss().map(Some));
        Ok(PerOutput::Each(losses.collect::<Result<_>>()?))
    }
}

impl<L: IntoLoss, const N: usize> IntoLosses for [(&str, L); N] {
    fn into_losses(self) -> Result<PerOutput<Arc<dyn Loss>>> {
        let named = |(name, loss): (&str, L)| Ok((name.to_string(), loss.into_loss()?));
        Ok(PerOutput::Named(
            self.into_iter().map(named).collect::<Result<_>>()?,
        ))
    }
}

/// A metric, typed or by name.
pub trait IntoMetric {
    /// The metric, or an error that lists the names.
    fn into_metric(self) -> Result<Box<dyn Metric>>;
}

impl<M: Metric + 'static> IntoMetric for M {
    fn into_metric(self) -> Result<Box<dyn Metric>> {
        Ok(Box::new(self))
    }
}

impl IntoMetric for Box<dyn Metric> {
    fn into_metric(self) -> Result<Box<dyn Metric>> {
        Ok(self)
    }
}

impl IntoMetric for &str {
    fn into_metric(self) -> Result<Box<dyn Metric>> {
        metrics::get(self)
    }
}

/// A list of metrics: an array, a vector, a tuple of different types, or `()` for none.
pub trait IntoMetrics {
    /// The metrics, or an error that lists the names.
    fn into_metrics(self) -> Result<Vec<Box<dyn Metric>>>;
}

impl IntoMetrics for () {
    fn into_metrics(self) -> Result<Vec<Box<dyn Metric>>> {
        Ok(Vec::new())
    }
}

impl<M: IntoMetric, const N: usize> IntoMetrics for [M; N] {
    fn into_metrics(self) -> Result<Vec<Box<dyn Metric>>> {
        self.into_iter().map(IntoMetric::into_metric).collect()
    }
}

impl<M: IntoMetric> IntoMetrics for Vec<M> {
    fn into_metrics(self) -> Result<Vec<Box<dyn Metric>>> {
        self.into_iter().map(IntoMetric::into_metric).collect()
    }
}

macro_rules! metric_tuples {
    ($(($($m:ident $i:tt),+))+) => {$(
        impl<$($m: IntoMetric),+> IntoMetrics for ($($m,)+) {
            fn into_metrics(self) -> Result<Vec<Box<dyn Metric>>> {
                Ok(vec![$(self.$i.into_metric()?),+])
            }
        }
    )+};
}
metric_tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}
