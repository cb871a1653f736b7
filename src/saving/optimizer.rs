//! The optimizer's state in a weights file: Keras's `optimizer.variables`, as [`saved`](crate::train::saved) lists them.

use super::hdf5::{H5File, H5Writer};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::models::Model;
use crate::train::saved::{Place, Saved, Value, groups};

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
    // Where not one step was made, only the numbers are there.
    let list = |made| groups(&compiled.optimizer, &model.graph, made);
    let (whole, bare) = (list(true)?, list(false)?);
    let variables = match paths.len() {
        n if n == whole[0].variables.len() => &whole[0].variables,
        n if n == bare[0].variables.len() => &bare[0].variables,
        n => {
            return Err(Error::Shape {
                owner: format!("the state of {}", compiled.optimizer.class_name()),
                want: format!("{} arrays", whole[0].variables.len()),
                got: format!("{n} in the file"),
            });
        }
    };
    let state = &mut compiled.state;
    state.reserve(&compiled.optimizer, &model.graph, &model.weights)?;
    for (path, saved) in paths.iter().zip(variables) {
        match state.saved_mut(saved, &model.graph) {
            Place::Nowhere => {}
            Place::Integer(place) => {
                let value = file.read_i64(path, 1)?.first().copied().unwrap_or(0);
                *place = u64::try_from(value)
                    .map_err(|_| Error::data(path, format!("{value} steps were made")))?;
            }
            Place::Number(place) => {
                let mut value = [0.0];
                file.read_into(path, &[], &mut value)?;
                *place = value[0].into();
            }
            Place::Array(shape, out) => file.read_into(path, &shape, out)?,
        }
    }
    Ok(())
}

/// Writes the state of a compiled model, and that of inner optimizers once more under their own paths, as Keras does.
pub(super) fn write<'a>(model: &'a Model, file: &mut H5Writer<'a>) -> Result<()> {
    let Some(compiled) = model.compiled.as_ref().filter(|_| model.built) else {
        return Ok(());
    };
    for group in groups(&compiled.optimizer, &model.graph, compiled.state.is_made())? {
        let vars = match group.path.as_str() {
            "" => "optimizer/vars".into(),
            path => format!("optimizer/{path}/vars"),
        };
        file.group(&vars)?;
        file.attr_string(&vars, "name", &group.name)?;
        for (i, saved) in group.variables.iter().enumerate() {
            write_one(model, file, &format!("{vars}/{i}"), saved)?;
        }
    }
    Ok(())
}

/// The same for a whole-model `.h5`.
pub(super) fn write_legacy<'a>(model: &'a Model, file: &mut H5Writer<'a>) -> Result<()> {
    let Some(compiled) = model.compiled.as_ref().filter(|_| model.built) else {
        return Ok(());
    };
    let group = &groups(&compiled.optimizer, &model.graph, compiled.state.is_made())?[0];
    let array = |i: usize| match group.variables[i] {
        Saved::Iteration | Saved::NoIteration if i == 0 => format!("{}/iteration", group.name),
        Saved::LearningRate(_) | Saved::NoRate if i == 1 => {
            format!("{}/learning_rate", group.name)
        }
        _ => format!("{}/variable_{i}", group.name),
    };
    for (i, saved) in group.variables.iter().enumerate() {
        let path = format!("optimizer_weights/{}", array(i));
        write_one(model, file, &path, saved)?;
    }
    let names: Vec<String> = (0..group.variables.len()).map(array).collect();
    file.attr_strings("optimizer_weights", "weight_names", &names)
}

fn write_one<'a>(
    model: &'a Model,
    file: &mut H5Writer<'a>,
    path: &str,
    saved: &Saved,
) -> Result<()> {
    let Some(compiled) = &model.compiled else {
        return Ok(());
    };
    match compiled.state.saved(saved, &model.graph) {
        Value::Integer(value) => file.dataset_i64(path, &[], &[value]),
        Value::Small(value) => file.dataset_i64(path, &[], &[value.into()]),
        Value::Number(value) => file.dataset(path, &[], vec![value as Float]),
        Value::Array(shape, values) => file.dataset(path, &shape, values),
    }
}
