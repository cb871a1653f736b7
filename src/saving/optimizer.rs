//! The optimizer's state in a weights file: `iteration`, `learning_rate`, then one array a slot and variable, in the order in
//! which Keras makes them.

use super::hdf5::{H5File, H5Writer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::Graph;
use crate::layer::Kind;
use crate::models::Model;
use crate::optimizers::Optimizer;
use crate::train::update::OptimizerState;

/// An array of a saved optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Saved {
    /// Steps made.
    Iteration,
    /// Learning rate of the next update.
    LearningRate,
    /// Moving average of this variable.
    Average(usize),
    /// Sum of this variable's gradients on the way to the next update.
    Accumulated(usize),
    /// This slot of this variable.
    Slot(usize, usize),
}

/// Everything in Keras's order. Frozen variables have no slots.
fn layout(optimizer: &dyn Optimizer, graph: &Graph) -> Vec<Saved> {
    let trained = |&v: &usize| {
        let var = &graph.vars[v];
        var.weight.kind == Kind::Trainable && graph.entries[var.entry].trainable
    };
    let vars: Vec<usize> = (0..graph.vars.len()).filter(trained).collect();
    let common = optimizer.common();
    let mut all = vec![Saved::Iteration, Saved::LearningRate];
    if common.use_ema {
        all.extend(vars.iter().map(|&v| Saved::Average(v)));
    }
    if common.gradient_accumulation_steps.is_some() {
        all.extend(vars.iter().map(|&v| Saved::Accumulated(v)));
    }
    let slots = 0..optimizer.slots().len();
    all.extend(
        vars.iter()
            .flat_map(|&v| slots.clone().map(move |s| Saved::Slot(s, v))),
    );
    all
}

/// Reads the state into a compiled model. An optimizer that was saved before its first step has no slots in the file.
pub(super) fn read(model: &mut Model, file: &H5File) -> Result<()> {
    const PATH: &str = "optimizer/vars";
    if !file.has(PATH) {
        return Ok(());
    }
    let count = file.datasets(PATH)?.len();
    let paths: Vec<String> = (0..count).map(|i| format!("{PATH}/{i}")).collect();
    read_arrays(model, file, &paths)
}

/// The same from a whole-model `.h5`, where the arrays are listed by name.
pub(super) fn read_legacy(model: &mut Model, file: &H5File) -> Result<()> {
    const PATH: &str = "optimizer_weights";
    if !file.has(PATH) {
        return Ok(());
    }
    let names = file.attr_strings(PATH, "weight_names")?.unwrap_or_default();
    let paths: Vec<String> = names.iter().map(|n| format!("{PATH}/{n}")).collect();
    read_arrays(model, file, &paths)
}

fn read_arrays(model: &mut Model, file: &H5File, paths: &[String]) -> Result<()> {
    let Some(compiled) = model.compiled.as_mut().filter(|_| model.built) else {
        return Ok(());
    };
    let layout = layout(compiled.optimizer.as_ref(), &model.graph);
    let there = paths.len();
    if there <= 2 && there < layout.len() {
        // Not one step was made: only the iteration and the learning rate are there.
    } else if there != layout.len() {
        return Err(Error::Shape {
            owner: format!("the state of {}", compiled.optimizer.class_name()),
            want: format!("{} arrays", layout.len()),
            got: format!("{there} in the file"),
        });
    }
    compiled
        .state
        .reserve(compiled.optimizer.as_ref(), &model.weights);
    for (path, saved) in paths.iter().zip(&layout) {
        let state = &mut compiled.state;
        if let Saved::Iteration = saved {
            let steps = file.read_i64(path, 1)?.first().copied().unwrap_or(0);
            state.steps = u64::try_from(steps)
                .map_err(|_| Error::data(path, format!("{steps} steps were made")))?;
            continue;
        }
        match slot(saved, state, &model.graph) {
            Some((shape, out)) => file.read_into(path, shape, out)?,
            None => {
                let mut rate = [0.0];
                file.read_into(path, &[], &mut rate)?;
                state.learning_rate = rate[0].into();
            }
        }
    }
    Ok(())
}

/// Where an array lies, with its shape; `None` for what is no array.
fn slot<'a>(
    saved: &Saved,
    state: &'a mut OptimizerState,
    graph: &'a Graph,
) -> Option<(&'a [usize], &'a mut [Float])> {
    let (var, buffer) = match *saved {
        Saved::Iteration | Saved::LearningRate => return None,
        Saved::Average(v) => (v, state.average.as_mut()?),
        Saved::Accumulated(v) => (v, state.accumulated.as_mut()?),
        Saved::Slot(s, v) => (v, &mut state.slots[s]),
    };
    let var = &graph.vars[var];
    Some((&var.weight.shape, &mut buffer[var.range.clone()]))
}

/// Writes the state of a compiled model.
pub(super) fn write<'a>(model: &'a Model, file: &mut H5Writer<'a>) -> Result<()> {
    let Some(compiled) = model.compiled.as_ref().filter(|_| model.built) else {
        return Ok(());
    };
    let name = crate::layer::default_name(compiled.optimizer.class_name());
    file.group("optimizer/vars")?;
    file.attr_string("optimizer/vars", "name", &name)?;
    write_arrays(model, file, &|i| format!("optimizer/vars/{i}")).map(drop)
}

/// The same for a whole-model `.h5`.
pub(super) fn write_legacy<'a>(model: &'a Model, file: &mut H5Writer<'a>) -> Result<()> {
    let Some(compiled) = model.compiled.as_ref().filter(|_| model.built) else {
        return Ok(());
    };
    let name = crate::layer::default_name(compiled.optimizer.class_name());
    let array = |i: usize| match i {
        0 => format!("{name}/iteration"),
        1 => format!("{name}/learning_rate"),
        n => format!("{name}/variable_{n}"),
    };
    let count = write_arrays(model, file, &|i| format!("optimizer_weights/{}", array(i)))?;
    let names: Vec<String> = (0..count).map(array).collect();
    file.attr_strings("optimizer_weights", "weight_names", &names)
}

/// Writes every array under the path that its number gives; how many there are.
fn write_arrays<'a>(
    model: &'a Model,
    file: &mut H5Writer<'a>,
    path: &dyn Fn(usize) -> String,
) -> Result<usize> {
    let Some(compiled) = &model.compiled else {
        return Ok(0);
    };
    let (state, optimizer) = (&compiled.state, compiled.optimizer.as_ref());
    let layout = layout(optimizer, &model.graph);
    // Before the first step there are no slots, as in Keras.
    let made = state.slots.len() == optimizer.slots().len();
    let count = if made { layout.len() } else { 2 };
    for (i, saved) in layout.iter().take(count).enumerate() {
        let path = path(i);
        let (var, buffer) = match *saved {
            Saved::Iteration => {
                file.dataset_i64(&path, &[], &[state.steps as i64])?;
                continue;
            }
            Saved::LearningRate => {
                file.dataset(&path, &[], vec![state.learning_rate as Float])?;
                continue;
            }
            Saved::Average(v) => (v, state.average.as_ref()),
            Saved::Accumulated(v) => (v, state.accumulated.as_ref()),
            Saved::Slot(s, v) => (v, Some(&state.slots[s])),
        };
        let var = &model.graph.vars[var];
        if let Some(buffer) = buffer {
            file.dataset(&path, &var.weight.shape, &buffer[var.range.clone()])?;
        }
    }
    Ok(count)
}
