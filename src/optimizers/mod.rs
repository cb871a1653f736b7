//! Optimizers: [`Optimizer`], the arguments that all share ([`Common`]), and Keras's optimizers, one file each.
//!
//! An optimizer holds hyper-parameters and no memory: its slots (momenta) are flat arrays in the layout of the weights, lent to
//! it for one pass. Clipping, weight decay, averaging and accumulation are written once, in `train::update`.

mod adam;
mod rmsprop;
mod sgd;

pub use adam::{Adam, AdamW};
pub use rmsprop::{RMSprop, RmsProp};
pub use sgd::{SGD, Sgd};

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::update::Fold;
use crate::layer::default_name;

/// An optimizer; implement it for your own.
pub trait Optimizer: Debug + Send + Sync {
    /// Keras's class name: the key in files.
    fn class_name(&self) -> &'static str;

    /// Keras's constructor arguments.
    fn config(&self) -> Config;

    /// The arguments that all optimizers share.
    fn common(&self) -> &Common;

    /// The same, to be changed.
    fn common_mut(&mut self) -> &mut Common;

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// Names the argument.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Names of the slots, in the order in which Keras stores them for each variable: Adam's are `momentum, velocity`.
    fn slots(&self) -> &[&'static str];

    /// What slot number `slot` holds before the first step.
    fn initial(&self, _slot: usize) -> Float {
        0.0
    }

    /// Whether `update` may be given several variables at once. False if it needs the shape (Lamb, Muon, Adafactor).
    fn whole_runs(&self) -> bool {
        true
    }

    /// Changes `var.w` by `var.g`.
    fn update(&self, tick: &Tick, var: Var<'_>);
}

/// When and how far: what an update needs besides the arrays.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Number of this update, from 1.
    pub iteration: u64,
    /// Learning rate now.
    pub lr: f64,
    /// Factor on every gradient (global clipping), folded into the pass.
    pub grad_scale: Float,
    /// Decoupled weight decay, already times the learning rate: `w -= decay * w` before the update. 0 for none.
    pub decay: Float,
}

impl Tick {
    /// The factors on gradients and weights, for the fused kernels.
    pub(crate) fn fold(&self) -> Fold {
        Fold {
            grad_scale: f64::from(self.grad_scale),
            keep: 1.0 - f64::from(self.decay),
        }
    }
}

/// A contiguous piece of the weights with its gradients and slots.
#[derive(Debug)]
pub struct Var<'a> {
    /// Shape, where [`Optimizer::whole_runs`] is false; else one axis.
    pub shape: &'a [usize],
    /// Weights.
    pub w: &'a mut [Float],
    /// Gradients.
    pub g: &'a [Float],
    /// One slice a slot.
    pub slots: &'a mut [&'a mut [Float]],
}

/// The arguments that every Keras optimizer takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// Name. Default: the class in snake case.
    pub name: Option<String>,
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled decay: `w -= learning_rate * weight_decay * w` at every step.
    pub weight_decay: Option<f64>,
    /// Largest norm of each variable's gradient.
    pub clipnorm: Option<f64>,
    /// Largest absolute value of each element of a gradient.
    pub clipvalue: Option<f64>,
    /// Largest norm of all gradients together.
    pub global_clipnorm: Option<f64>,
    /// Keep an exponential moving average of the weights, and take it at the end of `fit`.
    pub use_ema: bool,
    /// Its momentum.
    pub ema_momentum: f64,
    /// Take the average every so many steps as well.
    pub ema_overwrite_frequency: Option<u64>,
    /// Factor on the loss whose effect on the gradients is undone before the update.
    pub loss_scale_factor: Option<f64>,
    /// Average the gradients of so many steps before each update.
    pub gradient_accumulation_steps: Option<u64>,
}

impl Common {
    /// Keras's defaults with this learning rate.
    pub fn new(learning_rate: f64) -> Self {
        Common {
            name: None,
            learning_rate,
            weight_decay: None,
            clipnorm: None,
            clipvalue: None,
            global_clipnorm: None,
            use_ema: false,
            ema_momentum: 0.99,
            ema_overwrite_frequency: None,
            loss_scale_factor: None,
            gradient_accumulation_steps: None,
        }
    }

    /// Keras's configuration: these arguments and an optimizer's own.
    pub(crate) fn config(
        &self,
        class: &str,
        own: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Config {
        let mut config = Config::new();
        let mut set = |key: &str, value: Value| config.insert(key.into(), value);
        set(
            "name",
            self.name
                .clone()
                .unwrap_or_else(|| default_name(class))
                .into(),
        );
        set("learning_rate", self.learning_rate.into());
        set("weight_decay", self.weight_decay.into());
        set("clipnorm", self.clipnorm.into());
        set("global_clipnorm", self.global_clipnorm.into());
        set("clipvalue", self.clipvalue.into());
        set("use_ema", self.use_ema.into());
        set("ema_momentum", self.ema_momentum.into());
        set(
            "ema_overwrite_frequency",
            self.ema_overwrite_frequency.into(),
        );
        set("loss_scale_factor", self.loss_scale_factor.into());
        set(
            "gradient_accumulation_steps",
            self.gradient_accumulation_steps.into(),
        );
        own.into_iter()
            .for_each(|(key, value)| drop(config.insert(key.into(), value)));
        config
    }

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// Names the argument.
    pub fn check(&self) -> Result<()> {
        let positive = |arg: &str, value: Option<f64>| match value {
            Some(v) if !(v > 0.0 && v.is_finite()) => Err(Error::arg(arg, "a positive number", v)),
            _ => Ok(()),
        };
        if !(self.learning_rate >= 0.0 && self.learning_rate.is_finite()) {
            return Err(Error::arg(
                "learning_rate",
                "a number that is not negative",
                self.learning_rate,
            ));
        }
        positive("clipnorm", self.clipnorm)?;
        positive("clipvalue", self.clipvalue)?;
        positive("global_clipnorm", self.global_clipnorm)?;
        positive("loss_scale_factor", self.loss_scale_factor)?;
        if [self.clipnorm, self.clipvalue, self.global_clipnorm]
            .iter()
            .flatten()
            .count()
            > 1
        {
            return Err(Error::arg(
                "clipnorm",
                "only one of clipnorm, clipvalue and global_clipnorm",
                "more than one",
            ));
        }
        if let Some(wd) = self
            .weight_decay
            .filter(|wd| !(*wd >= 0.0 && wd.is_finite()))
        {
            return Err(Error::arg(
                "weight_decay",
                "a number that is not negative",
                wd,
            ));
        }
        if self.use_ema && !(0.0..=1.0).contains(&self.ema_momentum) {
            return Err(Error::arg(
                "ema_momentum",
                "a number in [0, 1]",
                self.ema_momentum,
            ));
        }
        if self.ema_overwrite_frequency == Some(0) {
            return Err(Error::arg(
                "ema_overwrite_frequency",
                "a positive number of steps",
                0,
            ));
        }
        if self.gradient_accumulation_steps.is_some_and(|n| n < 2) {
            return Err(Error::arg(
                "gradient_accumulation_steps",
                "at least 2",
                self.gradient_accumulation_steps.unwrap_or(0),
            ));
        }
        Ok(())
    }
}

/// The builder methods that every optimizer has, named as Keras's arguments.
pub trait OptimizerExt: Optimizer + Sized {
    /// Name of the optimizer.
    fn name(mut self, name: impl Into<String>) -> Self {
        self.common_mut().name = Some(name.into());
        self
    }

    /// See [`Common::weight_decay`].
    fn weight_decay(mut self, decay: f64) -> Self {
        self.common_mut().weight_decay = Some(decay);
        self
    }

    /// See [`Common::clipnorm`].
    fn clipnorm(mut self, norm: f64) -> Self {
        self.common_mut().clipnorm = Some(norm);
        self
    }

    /// See [`Common::clipvalue`].
    fn clipvalue(mut self, value: f64) -> Self {
        self.common_mut().clipvalue = Some(value);
        self
    }

    /// See [`Common::global_clipnorm`].
    fn global_clipnorm(mut self, norm: f64) -> Self {
        self.common_mut().global_clipnorm = Some(norm);
        self
    }

    /// See [`Common::use_ema`].
    fn use_ema(mut self, yes: bool) -> Self {
        self.common_mut().use_ema = yes;
        self
    }

    /// See [`Common::ema_momentum`].
    fn ema_momentum(mut self, momentum: f64) -> Self {
        self.common_mut().ema_momentum = momentum;
        self
    }

    /// See [`Common::ema_overwrite_frequency`].
    fn ema_overwrite_frequency(mut self, steps: u64) -> Self {
        self.common_mut().ema_overwrite_frequency = Some(steps);
        self
    }

    /// See [`Common::loss_scale_factor`].
    fn loss_scale_factor(mut self, factor: f64) -> Self {
        self.common_mut().loss_scale_factor = Some(factor);
        self
    }

    /// See [`Common::gradient_accumulation_steps`].
    fn gradient_accumulation_steps(mut self, steps: u64) -> Self {
        self.common_mut().gradient_accumulation_steps = Some(steps);
        self
    }
}

impl<O: Optimizer> OptimizerExt for O {}

/// The arguments of a configuration, taken out one by one; what is left at the end is unknown.
pub(crate) struct Arguments {
    class: String,
    config: Config,
}

impl Arguments {
    fn wrong(&self, key: &str, want: &str, got: &Value) -> Error {
        Error::arg(key, want, got).owned_by(&self.class)
    }

    /// An optional number; null is none.
    fn optional(&mut self, key: &str, default: Option<f64>) -> Result<Option<f64>> {
        match self.config.remove(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(v) => v
                .as_f64()
                .map(Some)
                .ok_or_else(|| self.wrong(key, "a number", &v)),
        }
    }

    /// An optional positive integer; null is none.
    fn count(&mut self, key: &str) -> Result<Option<u64>> {
        match self.config.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(v) => v
                .as_u64()
                .map(Some)
                .ok_or_else(|| self.wrong(key, "a positive integer", &v)),
        }
    }

    pub(crate) fn number(&mut self, key: &str, default: f64) -> Result<f64> {
        match self.config.remove(key) {
            None => Ok(default),
            Some(v) => v.as_f64().ok_or_else(|| self.wrong(key, "a number", &v)),
        }
    }

    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.config.remove(key) {
            None => Ok(default),
            Some(v) => v
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false", &v)),
        }
    }

    /// The shared arguments; nothing may be left after them.
    pub(crate) fn common(mut self, default: Common) -> Result<Common> {
        let name = match self.config.remove("name") {
            Some(Value::String(name)) => Some(name),
            _ => None,
        };
        // Keras writes these and they say nothing of the mathematics here.
        self.config.remove("jit_compile");
        self.config.remove("is_legacy_optimizer");
        let common = Common {
            name,
            learning_rate: self.number("learning_rate", default.learning_rate)?,
            weight_decay: self.optional("weight_decay", default.weight_decay)?,
            clipnorm: self.optional("clipnorm", None)?,
            clipvalue: self.optional("clipvalue", None)?,
            global_clipnorm: self.optional("global_clipnorm", None)?,
            use_ema: self.flag("use_ema", false)?,
            ema_momentum: self.number("ema_momentum", default.ema_momentum)?,
            ema_overwrite_frequency: self.count("ema_overwrite_frequency")?,
            loss_scale_factor: self.optional("loss_scale_factor", None)?,
            gradient_accumulation_steps: self.count("gradient_accumulation_steps")?,
        };
        match self.config.keys().next() {
            Some(key) => Err(Error::Config {
                path: self.class.clone(),
                problem: format!("unknown argument `{key}`"),
            }),
            None => Ok(common),
        }
    }
}

/// Reads an optimizer of one class.
type Reader = fn(Arguments) -> Result<Arc<dyn Optimizer>>;

/// The table of optimizers by Keras's class name; names in lower case work too.
const TABLE: &[(&str, Reader)] = &[
    ("SGD", |a| Ok(Arc::new(Sgd::read(a)?))),
    ("Adam", |a| Ok(Arc::new(Adam::read("Adam", a)?))),
    ("AdamW", |a| Ok(Arc::new(Adam::read("AdamW", a)?))),
    ("RMSprop", |a| Ok(Arc::new(RmsProp::read(a)?))),
];

/// The optimizer of this name (`"adam"`, `"Adam"`) with default arguments.
///
/// # Errors
/// If there is none: the error lists the names.
pub fn get(name: &str) -> Result<Arc<dyn Optimizer>> {
    from_config(name, &Config::new())
}

/// The optimizer of this class with these arguments.
///
/// # Errors
/// If the class or an argument is unknown.
pub fn from_config(class: &str, config: &Config) -> Result<Arc<dyn Optimizer>> {
    match TABLE
        .iter()
        .find(|row| row.0 == class || row.0.to_lowercase() == class)
    {
        Some((class, read)) => read(Arguments {
            class: class.to_string(),
            config: config.clone(),
        }),
        None => Err(Error::unknown(
            "optimizer",
            class,
            TABLE.iter().map(|row| row.0.to_lowercase()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five updates of (1.0, -2.0) by gradients (0.1 t, -0.3) through the trait.
    fn trajectory(optimizer: &dyn Optimizer) -> [Float; 2] {
        let mut w = [1.0, -2.0];
        let mut slots: Vec<Vec<Float>> = (0..optimizer.slots().len())
            .map(|s| vec![optimizer.initial(s); 2])
            .collect();
        for t in 1..=5 {
            let g = [0.1 * t as Float, -0.3];
            let common = optimizer.common();
            let decay = (common.weight_decay.unwrap_or(0.0) * common.learning_rate) as Float;
            let tick = Tick {
                iteration: t,
                lr: common.learning_rate,
                grad_scale: 1.0,
                decay,
            };
            let mut slots: Vec<&mut [Float]> = slots.iter_mut().map(|s| &mut s[..]).collect();
            optimizer.update(
                &tick,
                Var {
                    shape: &[2],
                    w: &mut w,
                    g: &g,
                    slots: &mut slots,
                },
            );
        }
        w
    }

    /// The same by the formulas of the papers, in double precision.
    fn reference(step: impl Fn(f64, f64, f64, &mut [f64; 3]) -> f64) -> [Float; 2] {
        let one = |mut w: f64, g: &dyn Fn(f64) -> f64| {
            let mut memory = [0.0; 3];
            for t in 1..=5 {
                w = step(w, g(f64::from(t)), f64::from(t), &mut memory);
            }
            w as Float
        };
        [one(1.0, &|t| 0.1 * t), one(-2.0, &|_| -0.3)]
    }

    fn close(got: [Float; 2], want: [Float; 2]) {
        got.iter()
            .zip(want)
            .for_each(|(g, w)| assert!((g - w).abs() < 2e-6, "{got:?} instead of {want:?}"));
    }

    #[test]
    fn trajectories() {
        close(
            trajectory(&Sgd::new(0.1)),
            reference(|w, g, _, _| w - 0.1 * g),
        );
        let momentum = |nesterov: bool| {
            reference(move |w, g, _, s| {
                s[0] = 0.9 * s[0] - 0.1 * g;
                w + if nesterov { 0.9 * s[0] - 0.1 * g } else { s[0] }
            })
        };
        close(trajectory(&Sgd::new(0.1).momentum(0.9)), momentum(false));
        close(
            trajectory(&Sgd::new(0.1).momentum(0.9).nesterov(true)),
            momentum(true),
        );
        let adam = |w: f64, g: f64, t: f64, s: &mut [f64; 3], amsgrad: bool| {
            s[0] = 0.9 * s[0] + 0.1 * g;
            s[1] = 0.999 * s[1] + 0.001 * g * g;
            s[2] = s[2].max(s[1]);
            let v = if amsgrad { s[2] } else { s[1] };
            let alpha = 0.1 * (1.0 - 0.999f64.powf(t)).sqrt() / (1.0 - 0.9f64.powf(t));
            w - alpha * s[0] / (v.sqrt() + 1e-7)
        };
        close(
            trajectory(&Adam::new(0.1)),
            reference(|w, g, t, s| adam(w, g, t, s, false)),
        );
        close(
            trajectory(&Adam::new(0.1).amsgrad(true)),
            reference(|w, g, t, s| adam(w, g, t, s, true)),
        );
        close(
            trajectory(&AdamW::new(0.1)),
            reference(|w, g, t, s| adam(w - 0.004 * 0.1 * w, g, t, s, false)),
        );
        let rms = |w: f64, g: f64, s: &mut [f64; 3], centered: bool, momentum: f64| {
            s[0] = 0.9 * s[0] + 0.1 * g * g;
            s[1] = 0.9 * s[1] + 0.1 * g;
            let v = if centered { s[0] - s[1] * s[1] } else { s[0] };
            s[2] = momentum * s[2] + 0.1 * g / (v + 1e-7).sqrt();
            w - s[2]
        };
        close(
            trajectory(&RmsProp::new(0.1)),
            reference(|w, g, _, s| rms(w, g, s, false, 0.0)),
        );
        close(
            trajectory(&RmsProp::new(0.1).centered(true)),
            reference(|w, g, _, s| rms(w, g, s, true, 0.0)),
        );
        close(
            trajectory(&RmsProp::new(0.1).centered(true).momentum(0.5)),
            reference(|w, g, _, s| rms(w, g, s, true, 0.5)),
        );
        close(
            trajectory(&RmsProp::new(0.1).momentum(0.5)),
            reference(|w, g, _, s| rms(w, g, s, false, 0.5)),
        );
    }

    #[test]
    fn names_and_configurations() {
        for (class, _) in TABLE {
            let optimizer = get(&class.to_lowercase()).unwrap();
            assert_eq!(optimizer.class_name(), *class);
            assert_eq!(
                from_config(class, &optimizer.config()).unwrap().config(),
                optimizer.config()
            );
        }
        assert!(
            get("adan")
                .unwrap_err()
                .to_string()
                .contains("did you mean `adam`?")
        );
        let mut config = Adam::default().config();
        config.insert("beta_3".into(), 1.into());
        assert!(
            from_config("Adam", &config)
                .unwrap_err()
                .to_string()
                .contains("beta_3")
        );
    }

    #[test]
    fn arguments_are_checked() {
        assert!(Adam::new(-1.0).common().check().is_err());
        assert!(Adam::new(0.1).beta_1(1.0).check().is_err());
        assert!(
            Sgd::new(0.1)
                .clipnorm(1.0)
                .clipvalue(1.0)
                .common()
                .check()
                .is_err()
        );
    }
}
