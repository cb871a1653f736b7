//! Where Keras puts each weight in a file.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::float::Float;
use crate::graph::Graph;
use crate::layer::default_name;
use crate::models::spec::{Block, Spec, key};

/// A group of a weights file: `path/vars/0`, `path/vars/1`, ... are the variables `vars`.
#[derive(Debug)]
pub(super) struct Group {
    /// `layers/dense`, `layers/bidirectional/forward_layer/cell`.
    pub path: String,
    /// What of it is behind the layer's own group: nothing, or `/forward_layer/cell`.
    pub part: String,
    /// Name of the layer.
    pub name: String,
    /// Rows of [`Graph::vars`].
    pub vars: Vec<usize>,
    /// What is there besides, by name ([`Layer::constants`](crate::layer::Layer::constants)).
    pub constants: Vec<(&'static str, Vec<Float>)>,
}

/// Unique names within a container, made of class names: `dense`, `dense_1`, ...
#[derive(Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    pub fn next(&mut self, class: &str) -> String {
        let stem = default_name(class);
        let count = self.0.entry(stem.clone()).or_insert(0);
        *count += 1;
        match *count {
            1 => stem,
            n => format!("{stem}_{}", n - 1),
        }
    }
}

/// The groups of a model's weights in Keras's order. Keras names them by the classes of the layers, counted within each model.
pub(super) fn groups(spec: &Spec, graph: &Graph) -> Vec<Group> {
    let entries = graph.entries.iter().enumerate();
    let entries: HashMap<usize, usize> = entries.map(|(i, e)| (key(&e.layer), i)).collect();
    let mut out = Vec::new();
    walk(spec, "", graph, &entries, &mut HashSet::new(), &mut out);
    out
}

fn walk(
    spec: &Spec,
    prefix: &str,
    graph: &Graph,
    entries: &HashMap<usize, usize>,
    seen: &mut HashSet<usize>,
    out: &mut Vec<Group>,
) {
    let mut names = Names::default();
    for block in spec.blocks() {
        match block {
            // Operations are no layers to Keras, and are not counted.
            Block::Layer(layer) if layer.layer.module().starts_with("keras.src.ops") => {}
            Block::Layer(layer) => {
                let path = format!("{prefix}layers/{}", names.next(layer.layer.class_name()));
                if !seen.insert(key(&layer.layer)) {
                    continue;
                }
                if let Some(&entry) = entries.get(&key(&layer.layer)) {
                    let entry = &graph.entries[entry];
                    let constants = entry.layer.constants();
                    if !constants.is_empty() {
                        out.push(Group {
                            path: path.clone(),
                            part: String::new(),
                            name: entry.name.clone(),
                            vars: Vec::new(),
                            constants,
                        });
                    }
                    out.extend(layer_groups(graph, entry.vars.clone(), &path, &entry.name));
                }
            }
            Block::Model(model) => {
                let mut path = format!("{prefix}layers/{}/", names.next(block.class_name()));
                if model.every_step.is_some() {
                    path += "layer/";
                }
                walk(&model.spec, &path, graph, entries, seen, out);
            }
        }
    }
}

/// A layer's own group, and those of the parts that it is made of.
fn layer_groups(graph: &Graph, vars: Range<usize>, path: &str, name: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for var in vars.filter(|&var| !graph.vars[var].weight.adapts) {
        let weight = &graph.vars[var].weight;
        for group in [Some(&weight.group), weight.also.as_ref()]
            .into_iter()
            .flatten()
        {
            let part = match group.as_str() {
                "" => String::new(),
                group => format!("/{group}"),
            };
            let path = format!("{path}{part}");
            match groups.iter_mut().find(|g| g.path == path) {
                Some(group) => group.vars.push(var),
                None => groups.push(Group {
                    path,
                    part,
                    name: name.to_string(),
                    vars: vec![var],
                    constants: Vec::new(),
                }),
            }
        }
    }
    groups
}
