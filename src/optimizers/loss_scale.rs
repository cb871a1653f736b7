//! Dynamic loss scaling.

use serde_json::json;

use super::{Arguments, Common, Members, Optimizer, Shared, Tick, Var, deserialize, serialize};
use crate::config::Config;
use crate::error::{Error, Result};

/// Another optimizer, with the loss multiplied by a scale that adapts: it doubles after so many good steps, and a step whose
/// gradients are not all finite is left out and halves it. [Keras](https://keras.io/api/optimizers/loss_scale_optimizer/)
///
/// Everything here is single precision, where this is seldom of use; models that were trained in half precision bring it along.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `initial_scale` | 32768 | scale at the beginning |
/// | `dynamic_growth_steps` | 2000 | good steps until it doubles |
///
/// ```
/// use oxhorn::optimizers::{Adam, LossScaleOptimizer, Optimizer};
/// let optimizer = LossScaleOptimizer::new(Adam::new(0.01)).initial_scale(1024.0);
/// assert_eq!(optimizer.config()["initial_scale"], 1024.0);
/// ```
#[derive(Clone, Debug)]
pub struct LossScaleOptimizer {
    common: Common,
    inner: Shared,
    initial_scale: f64,
    dynamic_growth_steps: u64,
}

impl LossScaleOptimizer {
    /// Around this optimizer, whose own `loss_scale_factor` no longer counts.
    pub fn new(mut inner: impl Optimizer + 'static) -> Self {
        inner.common_mut().loss_scale_factor = None;
        LossScaleOptimizer {
            common: Common::new(0.0),
            inner: std::sync::Arc::new(inner),
            initial_scale: 32768.0,
            dynamic_growth_steps: 2000,
        }
    }

    /// Scale at the beginning.
    pub fn initial_scale(mut self, scale: f64) -> Self {
        self.initial_scale = scale;
        self
    }

    /// Good steps until it doubles.
    pub fn dynamic_growth_steps(mut self, steps: u64) -> Self {
        self.dynamic_growth_steps = steps;
        self
    }

    /// The optimizer that updates the variables.
    pub fn inner(&self) -> &Shared {
        &self.inner
    }

    pub(crate) fn first_scale(&self) -> f64 {
        self.initial_scale
    }

    pub(crate) fn growth_steps(&self) -> u64 {
        self.dynamic_growth_steps
    }

    pub(super) fn read(mut arguments: Arguments) -> Result<Self> {
        let Some(inner) = arguments.value("inner_optimizer") else {
            return Err(arguments.problem("argument `inner_optimizer` is missing"));
        };
        if arguments.take("dynamic", true)? {
            let default = LossScaleOptimizer::new(super::Sgd::default());
            let this = LossScaleOptimizer {
                inner: deserialize(&inner)?,
                initial_scale: arguments.take("initial_scale", default.initial_scale)?,
                dynamic_growth_steps: arguments
                    .take("dynamic_growth_steps", default.dynamic_growth_steps)?,
                common: arguments.common(default.common)?,
            };
            return Ok(this);
        }
        Err(arguments.problem("argument `dynamic`: expected true (else use `loss_scale_factor`)"))
    }
}

impl Optimizer for LossScaleOptimizer {
    fn class_name(&self) -> &'static str {
        "LossScaleOptimizer"
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        let name = self.common.name_or(self.class_name());
        config.insert("name".into(), name.into());
        let mut inner = serialize(self.inner.as_ref());
        // Its own factor does not count beside the dynamic one.
        inner["config"]["loss_scale_factor"] = json!(null);
        config.insert("inner_optimizer".into(), inner);
        config.insert("initial_scale".into(), json!(self.initial_scale));
        let steps = self.dynamic_growth_steps;
        config.insert("dynamic_growth_steps".into(), steps.into());
        config
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn check(&self) -> Result<()> {
        if !(self.initial_scale > 0.0 && self.initial_scale.is_finite()) {
            let want = "a positive number";
            return Err(Error::arg("initial_scale", want, self.initial_scale));
        }
        if self.dynamic_growth_steps == 0 {
            return Err(Error::arg("dynamic_growth_steps", "a positive number", 0));
        }
        // Everything else is the inner optimizer's; Keras refuses it here, too.
        let c = &self.common;
        let numbers = [c.weight_decay, c.clipnorm, c.clipvalue, c.global_clipnorm];
        if numbers.iter().any(Option::is_some)
            || c.use_ema
            || c.loss_scale_factor.is_some()
            || c.gradient_accumulation_steps.is_some()
            || !c.undecayed.is_empty()
        {
            let want = "clipping, decay, averaging and accumulation set there";
            return Err(Error::arg("inner_optimizer", want, "set on the outer one"));
        }
        if let Members::Scaled(_) = self.inner.members() {
            let got = self.inner.class_name();
            return Err(Error::arg(
                "inner_optimizer",
                "one that does not scale",
                got,
            ));
        }
        let inner = |e: Error| e.owned_by(self.inner.class_name());
        self.inner.common().check().map_err(inner)?;
        self.inner.check().map_err(inner)
    }

    fn slots(&self) -> &[&'static str] {
        self.inner.slots()
    }

    fn members(&self) -> Members<'_> {
        Members::Scaled(self)
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        self.inner.update(tick, var);
    }
}
