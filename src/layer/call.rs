//! The arguments of a layer's call, as Keras's functional models hold them, and what a layer makes of them.

use std::sync::Arc;

use serde_json::Value;

use super::Layer;
use crate::error::{Error, Result};

/// One argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A tensor, by its number among the tensors of the call.
    Tensor(usize),
    /// A list of arguments.
    List(Vec<Arg>),
    /// A constant: a number, a flag, null, or Keras's `__slice__` object.
    Value(Value),
}

impl Arg {
    fn is_null(&self) -> bool {
        match self {
            Arg::Value(v) => v.is_null(),
            Arg::List(list) => !list.is_empty() && list.iter().all(Arg::is_null),
            Arg::Tensor(_) => false,
        }
    }

    fn collect(&self, out: &mut Vec<usize>) -> bool {
        match self {
            Arg::Tensor(i) => out.push(*i),
            Arg::List(list) => return list.iter().all(|a| a.collect(out)),
            Arg::Value(_) => return false,
        }
        true
    }
}

/// The arguments of one call of a layer: `layer(x)`, `layer([a, b])`, `attention(query, value, use_causal_mask=True)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// By position.
    pub args: Vec<Arg>,
    /// By name.
    pub kwargs: Vec<(String, Arg)>,
}

/// What a layer made of the arguments: the flat list of inputs that `forward` will see.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// The layer with what was constant in the call (a flag, an operand) built in; same weights. `None`: the layer itself.
    pub layer: Option<Arc<dyn Layer>>,
    /// Tensors of the call in the order of [`Forward::x`](super::Forward::x).
    pub inputs: Vec<usize>,
    /// A tensor given as `mask`: zero marks padding. It takes the place of the first input's own mask.
    pub mask: Option<usize>,
    /// `training` given in the call: overrides the mode of the pass.
    pub training: Option<bool>,
}

impl Call {
    /// A call with one tensor, or with one list of tensors if there are several.
    pub fn plain(tensors: usize) -> Self {
        let all: Vec<Arg> = (0..tensors).map(Arg::Tensor).collect();
        Call {
            args: match tensors {
                1 => all,
                _ => vec![Arg::List(all)],
            },
            kwargs: Vec::new(),
        }
    }

    /// The arguments by name; `names` are those that may be given by position, in order.
    ///
    /// # Errors
    /// If there are more positional arguments than names, or one is given twice.
    pub fn by_name<'a>(&'a self, names: &[&'a str]) -> Result<CallArgs<'a>> {
        if self.args.len() > names.len() {
            return Err(Error::shape(
                format!("at most {} arguments in its call", names.len()),
                self.args.len(),
            ));
        }
        let mut args: Vec<(&str, &Arg)> = names.iter().copied().zip(&self.args).collect();
        for (name, arg) in &self.kwargs {
            if args.iter().any(|(n, _)| n == name) {
                return Err(Error::arg(name, "one value", "two"));
            }
            args.push((name, arg));
        }
        Ok(CallArgs(args))
    }

    /// What a layer without arguments of its own makes of a call: every positional tensor is an input, in order; `mask` and
    /// `training` are the engine's.
    ///
    /// # Errors
    /// If there are other arguments.
    pub fn flat(&self) -> Result<Bound> {
        let mut bound = Bound::default();
        for arg in &self.args {
            if !arg.is_null() && !arg.collect(&mut bound.inputs) {
                return Err(Error::arg("inputs", "tensors", format!("{arg:?}")));
            }
        }
        let mut rest = CallArgs(self.kwargs.iter().map(|(n, a)| (n.as_str(), a)).collect());
        if bound.inputs.is_empty() {
            bound.inputs = rest.tensors("inputs")?;
        }
        rest.context(&mut bound)?;
        rest.finish()?;
        Ok(bound)
    }
}

/// Arguments that are taken out one by one; what is left at the end is an error. Null is the same as missing.
#[derive(Debug)]
pub struct CallArgs<'a>(Vec<(&'a str, &'a Arg)>);

impl<'a> CallArgs<'a> {
    fn take(&mut self, name: &str) -> Option<&'a Arg> {
        let at = self.0.iter().position(|(n, _)| *n == name)?;
        Some(self.0.remove(at).1).filter(|a| !a.is_null())
    }

    /// A tensor, or nothing.
    ///
    /// # Errors
    /// If it is something else.
    pub fn tensor(&mut self, name: &str) -> Result<Option<usize>> {
        match self.take(name) {
            None => Ok(None),
            Some(Arg::Tensor(i)) => Ok(Some(*i)),
            Some(Arg::List(list)) if list.len() == 1 => match &list[0] {
                Arg::Tensor(i) => Ok(Some(*i)),
                other => Err(Error::arg(name, "a tensor", format!("{other:?}"))),
            },
            Some(other) => Err(Error::arg(name, "a tensor", format!("{other:?}"))),
        }
    }

    /// A tensor, or a list of tensors; empty where there is none.
    ///
    /// # Errors
    /// If it is something else.
    pub fn tensors(&mut self, name: &str) -> Result<Vec<usize>> {
        let mut out = Vec::new();
        match self.take(name) {
            Some(arg) if !arg.collect(&mut out) => {
                Err(Error::arg(name, "tensors", format!("{arg:?}")))
            }
            _ => Ok(out),
        }
    }

    /// A list some of whose places may be null: one entry a place.
    ///
    /// # Errors
    /// If it is something else.
    pub fn optional_tensors(&mut self, name: &str) -> Result<Vec<Option<usize>>> {
        let one = |arg: &Arg| match arg {
            Arg::Tensor(i) => Ok(Some(*i)),
            arg if arg.is_null() => Ok(None),
            other => Err(Error::arg(name, "tensors", format!("{other:?}"))),
        };
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Arg::List(list)) => list.iter().map(one).collect(),
            Some(arg) => Ok(vec![one(arg)?]),
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// If it is something else.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.take(name) {
            None => Ok(default),
            Some(Arg::Value(Value::Bool(b))) => Ok(*b),
            Some(other) => Err(Error::arg(name, "true or false", format!("{other:?}"))),
        }
    }

    /// Whatever was given.
    pub fn any(&mut self, name: &str) -> Option<&'a Arg> {
        self.take(name)
    }

    /// Takes `mask` (of the first input) and `training`.
    ///
    /// # Errors
    /// If they are not a tensor and a flag.
    pub fn context(&mut self, bound: &mut Bound) -> Result<()> {
        bound.mask = self.tensor("mask")?;
        bound.training = match self.take("training") {
            None => None,
            Some(Arg::Value(Value::Bool(b))) => Some(*b),
            Some(other) => {
                return Err(Error::arg(
                    "training",
                    "true or false",
                    format!("{other:?}"),
                ));
            }
        };
        Ok(())
    }

    /// An error if an argument is left that nobody took.
    ///
    /// # Errors
    /// Names it.
    pub fn finish(self) -> Result<()> {
        match self.0.iter().find(|(_, arg)| !arg.is_null()) {
            Some((name, arg)) => Err(Error::arg(
                *name,
                "no such argument in its call",
                format!("{arg:?}"),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_calls_are_flat() {
        assert_eq!(Call::plain(1).flat().unwrap().inputs, [0]);
        assert_eq!(Call::plain(3).flat().unwrap().inputs, [0, 1, 2]);
        let mut call = Call::plain(1);
        call.kwargs = vec![
            ("mask".into(), Arg::Tensor(1)),
            ("training".into(), Arg::Value(json!(false))),
            ("other".into(), Arg::Value(Value::Null)),
        ];
        let bound = call.flat().unwrap();
        assert_eq!(
            (bound.inputs, bound.mask, bound.training),
            (vec![0], Some(1), Some(false))
        );
        call.kwargs.push(("axis".into(), Arg::Value(json!(1))));
        let e = call.flat().unwrap_err().owned_by("dense");
        assert!(
            e.to_string()
                .starts_with("dense: argument `axis`: expected no such argument")
        );
    }

    #[test]
    fn arguments_by_name_and_position() {
        let call = Call {
            args: vec![Arg::Tensor(0), Arg::Tensor(1)],
            kwargs: vec![("use_causal_mask".into(), Arg::Value(json!(true)))],
        };
        let mut args = call.by_name(&["query", "value", "key"]).unwrap();
        assert_eq!(args.tensor("query").unwrap(), Some(0));
        assert_eq!(args.tensor("value").unwrap(), Some(1));
        assert_eq!(args.tensor("key").unwrap(), None);
        assert!(args.flag("use_causal_mask", false).unwrap());
        assert!(args.finish().is_ok());
        assert!(call.by_name(&["query"]).is_err());
    }
}
