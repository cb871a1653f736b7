//! `Sequential`: layers one after the other.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use super::{Model, Spec};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layer::{LayerRef, default_name};
use crate::shape::Shape;

/// A model whose layers follow each other, each with one input and one output.
///
/// It is a [`Model`] (it dereferences to one), lowered to the same graph as every other.
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
///
/// let x = array![[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
/// let y = array![[0.0f32], [1.0], [1.0], [0.0]];
/// let mut model = Sequential::new().seed(1).input([2])
///     .add(Dense::new(8).activation("tanh"))
///     .add(Dense::new(1).activation("sigmoid"));
/// model.compile(Adam::new(0.05), BinaryCrossentropy::default(), ["accuracy"])?;
/// let history = model.fit(&x, &y, Fit::epochs(200).verbose(0))?;
/// assert_eq!(history.last("accuracy"), Some(1.0));
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequential(Model);

impl Default for Sequential {
    fn default() -> Self {
        Sequential::new()
    }
}

impl Sequential {
    /// No layers yet.
    pub fn new() -> Self {
        Sequential(Model::with_spec(
            "sequential",
            Spec::Sequential {
                input: None,
                layers: Vec::new(),
            },
        ))
    }

    /// Declares the shape of one sample, without the batch axis; `None` for an axis whose size varies. Without it, the first
    /// `fit` takes the shape of its data.
    pub fn input(mut self, shape: impl Into<Shape>) -> Self {
        let Spec::Sequential { input, .. } = &mut self.0.spec;
        *input = Some(shape.into());
        self
    }

    /// Adds a layer at the end.
    #[allow(clippy::should_implement_trait)] // Keras's name
    pub fn add(mut self, layer: impl Into<LayerRef>) -> Self {
        self.push(layer);
        self
    }

    /// [`add`](Self::add) for use in a loop. A model that was built is built anew when next used.
    pub fn push(&mut self, layer: impl Into<LayerRef>) {
        let Spec::Sequential { layers, .. } = &mut self.0.spec;
        layers.push(layer.into());
        self.unbuild();
    }

    /// Removes and returns the last layer.
    pub fn pop(&mut self) -> Option<LayerRef> {
        let Spec::Sequential { layers, .. } = &mut self.0.spec;
        let last = layers.pop();
        self.unbuild();
        last
    }

    fn unbuild(&mut self) {
        self.0.built = false;
        self.0.forget_plans();
    }

    /// Names the model. Default: `sequential`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// See [`Model::set_seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.set_seed(seed);
        self
    }

    /// See [`Model::set_threads`].
    pub fn threads(mut self, threads: usize) -> Self {
        self.0.set_threads(threads);
        self
    }

    /// The model itself.
    pub fn into_model(self) -> Model {
        self.0
    }
}

impl Deref for Sequential {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.0
    }
}

impl DerefMut for Sequential {
    fn deref_mut(&mut self) -> &mut Model {
        &mut self.0
    }
}

/// The graph of a chain of layers.
pub(super) fn lower(input: &Shape, layers: &[LayerRef]) -> Result<Graph> {
    if layers.is_empty() {
        return Err(Error::Model(
            "the model has no layers; add some with `.add(layer)`".into(),
        ));
    }
    let mut graph = Graph::default();
    let mut value = graph.input(input.clone());
    for (layer, name) in layers.iter().zip(names(layers)) {
        let shape = graph.values[value].clone();
        let entry = graph.add_layer(layer, &name, &[shape])?;
        let outputs = graph.call(entry, &[value])?;
        if outputs.len() != 1 {
            return Err(Error::Model(format!(
                "layer `{name}` has {} outputs; a Sequential model needs layers with one",
                outputs.len()
            )));
        }
        value = outputs[0];
    }
    graph.outputs = vec![value];
    Ok(graph)
}

/// Given names, and for the others Keras's: `dense`, `dense_1`, ...
fn names(layers: &[LayerRef]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let taken: Vec<&String> = layers.iter().filter_map(|l| l.name.as_ref()).collect();
    let mut next = |layer: &LayerRef| {
        let stem = default_name(layer.layer.class_name());
        loop {
            let count = counts.entry(stem.clone()).or_insert(0);
            let name = if *count == 0 {
                stem.clone()
            } else {
                format!("{stem}_{count}")
            };
            *count += 1;
            if !taken.contains(&&name) {
                return name;
            }
        }
    };
    layers
        .iter()
        .map(|l| l.name.clone().unwrap_or_else(|| next(l)))
        .collect()
}
