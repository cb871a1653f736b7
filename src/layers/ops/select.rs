//! Operations that pick, repeat or surround elements along axes: `x[..]`, `flip`, `roll`, `repeat`, `tile`, `pad`, `take`.
//!
//! `y[i, j, ..] = x[f(i), g(j), ..]` with a map for each axis (see `axis_map`); backward adds `dy` to where it came from.

use std::sync::Arc;

use serde_json::Value;

use super::Op;
use super::axis_map::{AxisMap, Edge, Maps, gather, scatter};
use super::operand::{constant, one_tensor};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::{Arg, Backward, Bound, Call, Contract, Forward, Layer};
use crate::layers::args::{checked, one_input, sample_axis};
use crate::layers::axes::Axes;
use crate::shape::{MAX_RANK, Shape};

/// One entry of `x[a, b, ..]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Slice {
        start: Option<i64>,
        stop: Option<i64>,
        step: i64,
    },
    Index(i64),
    NewAxis,
    Ellipsis,
}

impl Entry {
    const ALL: Entry = Entry::Slice {
        start: None,
        stop: None,
        step: 1,
    };

    /// Reads a number, null, or Keras's `__slice__` and `__ellipsis__`.
    fn read(value: &Value) -> Option<Entry> {
        let end = |key: &str| match &value["config"][key] {
            Value::Null => Some(None),
            n => n.as_i64().map(Some),
        };
        match value {
            Value::Null => Some(Entry::NewAxis),
            Value::Number(n) => n.as_i64().map(Entry::Index),
            Value::Object(object) => match object.get("class_name")?.as_str()? {
                "__ellipsis__" => Some(Entry::Ellipsis),
                "__slice__" => {
                    let step = end("step")?.unwrap_or(1);
                    // From 0 on is from the start.
                    let start = end("start")?.filter(|at| step < 0 || *at != 0);
                    let stop = end("stop")?;
                    (step != 0).then_some(Entry::Slice { start, stop, step })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// What is done; axes are counted with the batch.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    GetItem(Arc<[Entry]>),
    Flip(Option<Axes>),
    Roll(Vec<i64>, Option<Axes>),
    Repeat(usize, Option<i64>),
    /// Times for the last axes.
    Tile(Vec<usize>),
    /// Before and behind, for each axis or for all.
    Pad(Vec<(usize, usize)>, Edge, Float),
    Take(Arc<[i64]>, Option<i64>),
}

/// The operation.
#[derive(Clone, Debug)]
pub(super) struct Select {
    pub op: Op,
    pub rule: Rule,
}

fn no_axis() -> Error {
    Error::arg(
        "axis",
        "an axis other than the batch",
        "none, which is all of them",
    )
}

impl Select {
    /// The map of every axis of a sample of this rank.
    fn maps(&self, rank: usize) -> Result<Maps<'_>> {
        let mut maps = [AxisMap::Whole; MAX_RANK];
        match &self.rule {
            Rule::GetItem(entries) => {
                let mut axis = 0;
                for entry in sample_entries(entries, rank)? {
                    match *entry {
                        Entry::Ellipsis => axis = rank - axes_of(entries, Entry::Ellipsis),
                        Entry::NewAxis => continue,
                        Entry::Index(at) => maps[axis] = AxisMap::Index(at),
                        Entry::ALL => {}
                        Entry::Slice { start, stop, step } => {
                            maps[axis] = AxisMap::Slice { start, stop, step }
                        }
                    }
                    axis += usize::from(*entry != Entry::Ellipsis);
                }
            }
            Rule::Flip(axes) => {
                let set = axes.as_ref().ok_or_else(no_axis)?.of_sample("axis", rank)?;
                for (axis, map) in maps[..rank].iter_mut().enumerate() {
                    if set.has(axis) {
                        *map = AxisMap::Slice {
                            start: None,
                            stop: None,
                            step: -1,
                        };
                    }
                }
            }
            Rule::Roll(shifts, axes) => {
                let axes = axes.as_ref().ok_or_else(no_axis)?;
                axes.of_sample("axis", rank)?;
                if shifts.len() != axes.list().len() && shifts.len() != 1 {
                    return Err(Error::arg(
                        "shift",
                        "one for each axis",
                        format!("{shifts:?}"),
                    ));
                }
                for (i, axis) in axes.list().iter().enumerate() {
                    let shift = shifts[if shifts.len() == 1 { 0 } else { i }];
                    maps[sample_axis("axis", *axis, rank)?] = AxisMap::Roll(shift);
                }
            }
            Rule::Repeat(times, axis) => {
                maps[sample_axis("axis", axis.ok_or_else(no_axis)?, rank)?] =
                    AxisMap::Repeat(*times);
            }
            Rule::Tile(times) => {
                let (front, back) = times.split_at(times.len().saturating_sub(rank));
                if front.len() > 1 || front.iter().any(|n| *n != 1) {
                    return Err(Error::arg(
                        "repeats",
                        "1 for the batch axis",
                        format!("{times:?}"),
                    ));
                }
                for (map, &n) in maps[rank - back.len()..rank].iter_mut().zip(back) {
                    *map = if n == 1 {
                        AxisMap::Whole
                    } else {
                        AxisMap::Tile(n)
                    };
                }
            }
            Rule::Pad(widths, edge, _) => {
                let each = match &widths[..] {
                    [(0, 0)] => return Ok(maps),
                    [(0, 0), rest @ ..] if rest.len() == rank => rest,
                    _ => {
                        let want =
                            format!("(0, 0) for the batch and a pair for each of {rank} axes");
                        return Err(Error::arg("pad_width", want, format!("{widths:?}")));
                    }
                };
                for (map, &(before, after)) in maps.iter_mut().zip(each) {
                    if (before, after) != (0, 0) {
                        *map = AxisMap::Pad {
                            before,
                            after,
                            edge: *edge,
                        };
                    }
                }
            }
            Rule::Take(positions, axis) => {
                maps[sample_axis("axis", axis.ok_or_else(no_axis)?, rank)?] =
                    AxisMap::Take(positions);
            }
        }
        Ok(maps)
    }
}

/// Entries that stand for an axis each, behind this one.
fn axes_of(entries: &[Entry], behind: Entry) -> usize {
    let at = entries
        .iter()
        .position(|e| *e == behind)
        .map_or(0, |at| at + 1);
    entries[at..]
        .iter()
        .filter(|e| !matches!(e, Entry::NewAxis | Entry::Ellipsis))
        .count()
}

/// The entries for the axes of a sample: those behind `:`, which keeps the batch.
fn sample_entries(entries: &[Entry], rank: usize) -> Result<&[Entry]> {
    let batch = || {
        let want = "`:` for the batch axis (every sample is kept)";
        Err(Error::arg("key", want, format!("{entries:?}")))
    };
    let rest = match entries {
        [Entry::ALL, rest @ ..] => rest,
        [] => entries,
        [Entry::Ellipsis, ..] => entries,
        _ => return batch(),
    };
    let ellipses = rest.iter().filter(|e| **e == Entry::Ellipsis).count();
    let axes = rest
        .iter()
        .filter(|e| !matches!(e, Entry::NewAxis | Entry::Ellipsis))
        .count();
    // `x[..., 0]` of rank 1 would be the batch itself.
    if axes > rank || ellipses > 1 {
        let want = format!("at most {} axes", rank + 1);
        return Err(Error::arg("key", want, format!("{entries:?}")));
    }
    Ok(rest)
}

impl Layer for Select {
    fn class_name(&self) -> &'static str {
        self.op.class
    }

    fn module(&self) -> &'static str {
        self.op.module
    }

    fn config(&self) -> Config {
        self.op.config.clone()
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let with = |rule: Rule, tensor: usize| Bound {
            layer: Some(Arc::new(Select {
                rule,
                op: self.op.clone(),
            })),
            inputs: vec![tensor],
            ..Bound::default()
        };
        let value = |arg: Option<&Arg>, name: &str| -> Result<Value> {
            let value = arg.map_or(Some(Value::Null), constant);
            value.ok_or_else(|| Error::arg(name, "constants, not tensors of the model", "a tensor"))
        };
        match &self.rule {
            Rule::GetItem(_) => {
                let mut args = call.by_name(&["x", "key"])?;
                let x = args
                    .tensor("x")?
                    .ok_or_else(|| Error::arg("x", "a tensor", "nothing"))?;
                let key = value(args.any("key"), "key")?;
                args.finish()?;
                let list = match key {
                    Value::Array(list) => list,
                    one => vec![one],
                };
                let entries = list
                    .iter()
                    .map(Entry::read)
                    .collect::<Option<Arc<[Entry]>>>();
                let wrong = || {
                    Error::arg(
                        "key",
                        "numbers, slices, `...` and new axes",
                        format!("{list:?}"),
                    )
                };
                Ok(with(Rule::GetItem(entries.ok_or_else(wrong)?), x))
            }
            Rule::Take(_, axis) => {
                let mut args = call.by_name(&["x", "indices"])?;
                let x = args
                    .tensor("x")?
                    .ok_or_else(|| Error::arg("x", "a tensor", "nothing"))?;
                let indices = value(args.any("indices"), "indices")?;
                args.finish()?;
                let list = indices.as_array().map(|list| {
                    list.iter()
                        .map(Value::as_i64)
                        .collect::<Option<Arc<[i64]>>>()
                });
                let wrong = || Error::arg("indices", "a list of integers", indices.to_string());
                Ok(with(
                    Rule::Take(list.flatten().ok_or_else(wrong)?, *axis),
                    x,
                ))
            }
            Rule::Pad(widths, edge, _) => {
                let mut args = call.by_name(&["x", "constant_values"])?;
                let x = args
                    .tensor("x")?
                    .ok_or_else(|| Error::arg("x", "a tensor", "nothing"))?;
                let constant = value(args.any("constant_values"), "constant_values")?;
                args.finish()?;
                let number = if constant.is_null() {
                    Some(0.0)
                } else {
                    constant.as_f64()
                };
                let wrong = || Error::arg("constant_values", "a number", constant.to_string());
                let number = number.ok_or_else(wrong)? as Float;
                Ok(with(Rule::Pad(widths.clone(), *edge, number), x))
            }
            _ => one_tensor(call, "x"),
        }
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = one_input(inputs)?;
        let maps = self.maps(x.rank())?;
        let mut dims = Vec::new();
        for (map, &size) in maps.iter().zip(x.dims()) {
            dims.push(match (size, map) {
                (_, AxisMap::Take(positions)) if size.is_none() => Some(positions.len()),
                (None, AxisMap::Whole) => None,
                (None, AxisMap::Index(_)) => Some(1),
                (None, _) => None,
                (Some(n), map) => {
                    let wrong = || Error::shape(format!("an axis that {map:?} fits"), x);
                    Some(map.len(n).ok_or_else(wrong)?)
                }
            });
        }
        let Rule::GetItem(entries) = &self.rule else {
            return checked(dims.into());
        };
        // Numbers take their axis away, new axes come between.
        let (mut out, mut axis) = (Vec::new(), 0);
        for entry in sample_entries(entries, x.rank())? {
            match entry {
                Entry::Ellipsis => {
                    let end = x.rank() - axes_of(entries, Entry::Ellipsis);
                    out.extend(&dims[axis..end]);
                    axis = end;
                }
                Entry::NewAxis => out.push(Some(1)),
                Entry::Index(_) => axis += 1,
                Entry::Slice { .. } => {
                    out.push(dims[axis]);
                    axis += 1;
                }
            }
        }
        out.extend(&dims[axis..]);
        checked(out.into())
    }

    fn contract(&self) -> Contract {
        Contract {
            reads_x: false,
            ..Contract::default()
        }
    }

    fn forward(&self, cx: Forward<'_>) {
        let x = cx.x[0];
        let (each, out) = (x.data.len() / x.batch, cx.y.data.len() / x.batch);
        let maps = self.maps(x.shape.len()).expect("checked");
        let constant = if let Rule::Pad(_, _, constant) = self.rule {
            constant
        } else {
            0.0
        };
        cx.par.for_each_rows(cx.y.data, out, |first, y| {
            let samples = x.data[first * each..].chunks_exact(each.max(1));
            for (x_part, y) in samples.zip(y.chunks_exact_mut(out.max(1))) {
                gather(&maps[..x.shape.len()], x.shape, x_part, y, constant);
            }
        });
    }

    fn backward(&self, cx: Backward<'_>) {
        let Some(dx) = &mut cx.dx[0] else { return };
        let (shape, batch) = (dx.shape, dx.batch);
        let (each, out) = (dx.data.len() / batch, cx.dy.data.len() / batch);
        let maps = self.maps(shape.len()).expect("checked");
        if out == 0 {
            return dx.data.fill(0.0);
        }
        let dy = &*cx.dy.data;
        cx.par.for_each_rows(dx.data, each, |first, dx| {
            let samples = dy[first * out..].chunks_exact(out);
            for (dy, dx) in samples.zip(dx.chunks_exact_mut(each.max(1))) {
                scatter(&maps[..shape.len()], shape, dy, dx);
            }
        });
    }
}

/// Reads Keras's `pad_width`: a number, a pair, or a list of pairs.
pub(super) fn pad_width(value: &Value) -> Option<Vec<(usize, usize)>> {
    let size = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
    let pair = |v: &Value| match v {
        Value::Array(pair) if pair.len() == 2 => Some((size(&pair[0])?, size(&pair[1])?)),
        Value::Array(one) if one.len() == 1 => Some((size(&one[0])?, size(&one[0])?)),
        _ => None,
    };
    match value {
        Value::Array(list) if list.len() == 2 && list.iter().all(Value::is_u64) => {
            Some(vec![pair(value)?])
        }
        Value::Array(list) => list.iter().map(pair).collect(),
        one => size(one).map(|n| vec![(n, n)]),
    }
}
