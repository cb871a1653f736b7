//! Different optimizers for different variables.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Arguments, Common, Members, Optimizer, Shared, Tick, Var, deserialize, serialize};
use crate::config::Config;
use crate::envelope::{Object, envelope};
use crate::error::{Error, Result};
use crate::pattern::Pattern;

/// Which optimizer updates which variable: the first whose key is the variable's path, or a pattern of it; else the default.
/// [Keras](https://keras.io/api/optimizers/)
#[derive(Clone, Debug)]
pub struct OptimizerMap {
    default_optimizer: Shared,
    optimizer_map: Vec<(String, Shared)>,
}

/// Different optimizers for different variables, each with a memory, a learning rate and clipping of its own.
/// [Keras](https://keras.io/api/optimizers/)
///
/// ```
/// use oxhorn::optimizers::{Adam, MultiOptimizer, OptimizerMap, Sgd};
/// let map = OptimizerMap::new(Sgd::new(0.01)).with(".*head/.*", Adam::new(0.001));
/// let optimizer = MultiOptimizer::new(map);
/// # use oxhorn::optimizers::Optimizer;
/// # assert_eq!(optimizer.config()["name"], "multi_optimizer");
/// ```
#[derive(Clone, Debug)]
pub struct MultiOptimizer {
    common: Common,
    map: OptimizerMap,
}

impl OptimizerMap {
    /// With this optimizer for what no pattern matches.
    pub fn new(default_optimizer: impl Optimizer + 'static) -> Self {
        OptimizerMap {
            default_optimizer: Arc::new(default_optimizer),
            optimizer_map: Vec::new(),
        }
    }

    /// With this optimizer for variables whose whole path matches the pattern: `.*dense_1/.*`.
    pub fn with(mut self, pattern: impl Into<String>, optimizer: impl Optimizer + 'static) -> Self {
        self.optimizer_map
            .push((pattern.into(), Arc::new(optimizer)));
        self
    }

    /// All optimizers: those of the patterns, then the default.
    pub(crate) fn all(&self) -> Vec<&Shared> {
        let mapped = self.optimizer_map.iter().map(|(_, optimizer)| optimizer);
        mapped.chain([&self.default_optimizer]).collect()
    }

    /// Number of the optimizer of this variable, among [`all`](Self::all).
    pub(crate) fn find(&self, path: &str) -> Result<usize> {
        let keys = || self.optimizer_map.iter().map(|(key, _)| key.as_str());
        if let Some(i) = keys().position(|key| key == path) {
            return Ok(i);
        }
        let mut found = None;
        for (i, key) in keys().enumerate() {
            if Pattern::new(key)?.matches(path) && found.replace(i).is_some() {
                let got = format!("several for `{path}`");
                return Err(Error::arg("optimizer_map", "one optimizer a variable", got));
            }
        }
        Ok(found.unwrap_or(self.optimizer_map.len()))
    }

    /// As Keras writes it. The factor on the loss is the same for all, and written with each.
    fn to_value(&self, loss_scale_factor: Option<f64>) -> Value {
        let write = |optimizer: &Shared| {
            let mut value = serialize(optimizer.as_ref());
            value["config"]["loss_scale_factor"] = json!(loss_scale_factor);
            value
        };
        let entries = self.optimizer_map.iter();
        let map: Config = entries
            .map(|(key, optimizer)| (key.clone(), write(optimizer)))
            .collect();
        let config =
            json!({"default_optimizer": write(&self.default_optimizer), "optimizer_map": map});
        envelope("keras.optimizers", "OptimizerMap", config)
    }

    fn from_value(value: Value) -> std::result::Result<Self, String> {
        let object = Object::read(value)?;
        if object.class != "OptimizerMap" {
            return Err(format!("expected an OptimizerMap, got {}", object.class));
        }
        let mut args = object.args;
        let read = |value: &Value| deserialize(value).map_err(|e| e.to_string());
        let default = args
            .value("default_optimizer")
            .ok_or("`default_optimizer` is missing")?;
        let map = match args.value("optimizer_map") {
            None => Config::new(),
            Some(Value::Object(map)) => map,
            Some(other) => return Err(format!("`optimizer_map`: expected an object, got {other}")),
        };
        args.finish()?;
        Ok(OptimizerMap {
            default_optimizer: read(&default)?,
            optimizer_map: map
                .iter()
                .map(|(key, value)| Ok((key.clone(), read(value)?)))
                .collect::<std::result::Result<_, String>>()?,
        })
    }
}

impl MultiOptimizer {
    /// By this map.
    pub fn new(map: OptimizerMap) -> Self {
        MultiOptimizer {
            common: Common::new(0.0),
            map,
        }
    }

    pub(super) fn read(mut arguments: Arguments) -> Result<Self> {
        let Some(map) = arguments.value("optimizer_map") else {
            return Err(arguments.problem("argument `optimizer_map` is missing"));
        };
        let map = OptimizerMap::from_value(map)
            .map_err(|problem| arguments.problem(format!("argument `optimizer_map`: {problem}")))?;
        let mut common = Common::new(0.0);
        common.name = arguments.take("name", None)?;
        common.loss_scale_factor = arguments.take("loss_scale_factor", None)?;
        arguments.finish()?;
        Ok(MultiOptimizer { common, map })
    }
}

impl Optimizer for MultiOptimizer {
    fn class_name(&self) -> &'static str {
        "MultiOptimizer"
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        let factor = self.common.loss_scale_factor;
        config.insert("optimizer_map".into(), self.map.to_value(factor));
        config.insert("loss_scale_factor".into(), factor.into());
        let name = self.common.name_or(self.class_name());
        config.insert("name".into(), name.into());
        config
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn check(&self) -> Result<()> {
        let c = &self.common;
        let numbers = [c.weight_decay, c.clipnorm, c.clipvalue, c.global_clipnorm];
        if numbers.iter().any(Option::is_some)
            || c.use_ema
            || c.gradient_accumulation_steps.is_some()
            || !c.undecayed.is_empty()
        {
            let want = "clipping, decay, averaging and accumulation set on its optimizers";
            return Err(Error::arg("optimizer_map", want, "set on the outer one"));
        }
        for (key, _) in &self.map.optimizer_map {
            Pattern::new(key)?;
        }
        for optimizer in self.map.all() {
            let class = optimizer.class_name();
            if !matches!(optimizer.members(), Members::Itself) {
                let want = "optimizers that update variables themselves";
                return Err(Error::arg("optimizer_map", want, class));
            }
            let inner = |e: Error| e.owned_by(class);
            optimizer.common().check().map_err(inner)?;
            optimizer.check().map_err(inner)?;
        }
        Ok(())
    }

    fn slots(&self) -> &[&'static str] {
        let longest = self.map.all().into_iter().map(|o| o.slots());
        longest.max_by_key(|slots| slots.len()).unwrap_or_default()
    }

    fn members(&self) -> Members<'_> {
        Members::Mapped(&self.map)
    }

    fn update(&self, tick: &Tick<'_>, var: Var<'_>) {
        self.map.default_optimizer.update(tick, var);
    }
}
