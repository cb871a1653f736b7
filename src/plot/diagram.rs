//! A model as boxes and arrows, before it is drawn: what `plot_model` and `model_to_dot` have in common.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::layer::LayerRef;
use crate::models::Model;
use crate::models::spec::{Block, Net, Source, Spec, block_names};
use crate::shape::Shape;

/// Which way a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankDir {
    /// From top to bottom.
    #[default]
    TB,
    /// From left to right.
    LR,
}

/// What of a model is shown, for [`plot_model`](super::plot_model) and [`model_to_dot`](super::model_to_dot).
///
/// | name | default | meaning |
/// |---|---|---|
/// | `show_shapes` | false | shapes of inputs and outputs |
/// | `show_dtype` | false | types of the outputs |
/// | `show_layer_names` | true | names of the layers |
/// | `rankdir` | `TB` | direction |
/// | `expand_nested` | false | models inside models as frames around their layers |
/// | `show_layer_activations` | false | activations of the layers that have an argument for it |
/// | `show_trainable` | false | whether the weights are trained |
/// | `dpi` | 200 | resolution that the text for Graphviz asks for |
#[derive(Clone, Copy, Debug)]
pub struct ModelPlot {
    pub(super) show_shapes: bool,
    pub(super) show_dtype: bool,
    pub(super) show_layer_names: bool,
    pub(super) rankdir: RankDir,
    pub(super) expand_nested: bool,
    pub(super) show_layer_activations: bool,
    pub(super) show_trainable: bool,
    pub(super) dpi: u32,
}

impl Default for ModelPlot {
    fn default() -> Self {
        ModelPlot {
            show_shapes: false,
            show_dtype: false,
            show_layer_names: true,
            rankdir: RankDir::TB,
            expand_nested: false,
            show_layer_activations: false,
            show_trainable: false,
            dpi: 200,
        }
    }
}

impl ModelPlot {
    /// Whether to show shapes.
    pub fn show_shapes(mut self, yes: bool) -> Self {
        self.show_shapes = yes;
        self
    }

    /// Whether to show types.
    pub fn show_dtype(mut self, yes: bool) -> Self {
        self.show_dtype = yes;
        self
    }

    /// Whether to show names.
    pub fn show_layer_names(mut self, yes: bool) -> Self {
        self.show_layer_names = yes;
        self
    }

    /// The direction.
    pub fn rankdir(mut self, direction: RankDir) -> Self {
        self.rankdir = direction;
        self
    }

    /// Whether to show what is inside of nested models.
    pub fn expand_nested(mut self, yes: bool) -> Self {
        self.expand_nested = yes;
        self
    }

    /// Whether to show activations.
    pub fn show_layer_activations(mut self, yes: bool) -> Self {
        self.show_layer_activations = yes;
        self
    }

    /// Whether to show which layers are trained.
    pub fn show_trainable(mut self, yes: bool) -> Self {
        self.show_trainable = yes;
        self
    }

    /// The resolution.
    pub fn dpi(mut self, dpi: u32) -> Self {
        self.dpi = dpi;
        self
    }
}

/// A box.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub name: String,
    pub class: String,
    /// `None` for an input layer, which has no input.
    pub input: Option<String>,
    pub output: String,
    pub dtype: String,
    pub activation: Option<String>,
    /// `None` where there are no weights.
    pub trainable: Option<bool>,
    /// The frame it lies in.
    pub cluster: Option<usize>,
}

/// A frame around the layers of a nested model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cluster {
    pub name: String,
    pub parent: Option<usize>,
}

/// Boxes, arrows and frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Diagram {
    pub nodes: Vec<Node>,
    pub edges: Vec<(usize, usize)>,
    pub clusters: Vec<Cluster>,
}

/// The boxes of a model (or a part of one): where arrows into each of its inputs end, and from where its outputs come.
struct Ports {
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl Diagram {
    pub fn of(model: &Model, plot: &ModelPlot, call: &'static str) -> Result<Diagram> {
        if !model.is_built() {
            return Err(Error::NotBuilt { call });
        }
        let mut diagram = Diagram::default();
        diagram.add(&model.spec, &model.input_shapes(), None, true, plot)?;
        Ok(diagram)
    }

    fn add(
        &mut self,
        spec: &Spec,
        inputs: &[Shape],
        cluster: Option<usize>,
        trainable: bool,
        plot: &ModelPlot,
    ) -> Result<Ports> {
        match spec {
            Spec::Sequential(chain) => {
                let (mut shapes, mut ports) = (inputs.to_vec(), None::<Ports>);
                for (block, name) in chain.blocks.iter().zip(block_names(&chain.blocks)) {
                    let outputs = block.output_shapes(None, &shapes)?;
                    let next =
                        self.block(block, &name, &shapes, &outputs, cluster, trainable, plot)?;
                    shapes = outputs;
                    ports = Some(match ports {
                        Some(before) => {
                            self.edge(before.outputs[0], next.inputs[0]);
                            Ports {
                                inputs: before.inputs,
                                outputs: next.outputs,
                            }
                        }
                        None => next,
                    });
                }
                ports.ok_or_else(|| Error::Model("a model without layers".into()))
            }
            Spec::Functional(net) => self.net(net, cluster, trainable, plot),
        }
    }

    fn net(
        &mut self,
        net: &Net,
        cluster: Option<usize>,
        trainable: bool,
        plot: &ModelPlot,
    ) -> Result<Ports> {
        let mut inputs = Vec::with_capacity(net.inputs.len());
        for (i, input) in net.inputs.iter().enumerate() {
            self.nodes.push(Node {
                name: input.name.clone().unwrap_or_else(|| format!("input_{i}")),
                class: "InputLayer".into(),
                input: None,
                output: input.shape.to_string(),
                dtype: input.dtype.clone(),
                activation: None,
                trainable: None,
                cluster,
            });
            inputs.push(self.nodes.len() - 1);
        }
        let (names, shapes) = (block_names(&net.blocks), net.value_shapes()?);
        let mut parts: Vec<Option<Ports>> = net.blocks.iter().map(|_| None).collect();
        for (call, site) in net.calls.iter().enumerate() {
            let shape = |source: &Source| match *source {
                Source::Input(i) => net.inputs[i].shape.clone(),
                Source::Call(call, output) => shapes[call][output].clone(),
            };
            let given: Vec<Shape> = site.tensors.iter().map(shape).collect();
            // A layer that is called twice is one box.
            if parts[site.block].is_none() {
                let (block, name) = (&net.blocks[site.block], &names[site.block]);
                let ports =
                    self.block(block, name, &given, &shapes[call], cluster, trainable, plot)?;
                parts[site.block] = Some(ports);
            }
            for (i, source) in site.tensors.iter().enumerate() {
                let from = self.source(source, &inputs, net, &parts);
                let to = parts[site.block]
                    .as_ref()
                    .map(|p| p.inputs[i.min(p.inputs.len() - 1)]);
                if let (Some(from), Some(to)) = (from, to) {
                    self.edge(from, to);
                }
            }
        }
        let outputs = net.outputs.iter();
        let outputs = outputs
            .filter_map(|s| self.source(s, &inputs, net, &parts))
            .collect();
        Ok(Ports { inputs, outputs })
    }

    fn source(
        &self,
        source: &Source,
        inputs: &[usize],
        net: &Net,
        parts: &[Option<Ports>],
    ) -> Option<usize> {
        match *source {
            Source::Input(i) => inputs.get(i).copied(),
            Source::Call(call, output) => {
                let ports = parts[net.calls[call].block].as_ref()?;
                ports.outputs.get(output).or(ports.outputs.first()).copied()
            }
        }
    }

    fn block(
        &mut self,
        block: &Block,
        name: &str,
        inputs: &[Shape],
        outputs: &[Shape],
        cluster: Option<usize>,
        trainable: bool,
        plot: &ModelPlot,
    ) -> Result<Ports> {
        let (mut activation, mut weights) = (None, false);
        match block {
            Block::Model(model) if plot.expand_nested && model.every_step.is_none() => {
                let parent = cluster;
                self.clusters.push(Cluster {
                    name: name.into(),
                    parent,
                });
                let own = Some(self.clusters.len() - 1);
                return self.add(&model.spec, inputs, own, trainable && model.trainable, plot);
            }
            Block::Model(model) => model.spec.visit(&mut |layer| {
                weights |= has_weights(layer, inputs).unwrap_or(true);
            }),
            Block::Layer(layer) => {
                weights = has_weights(layer, inputs).unwrap_or(false);
                activation = activation_name(layer);
            }
        }
        let own = match block {
            Block::Layer(layer) => layer.trainable,
            Block::Model(model) => model.trainable,
        };
        self.nodes.push(Node {
            name: name.into(),
            class: block.class_name().into(),
            input: Some(list(inputs)),
            output: list(outputs),
            dtype: "float32".into(),
            activation,
            trainable: weights.then_some(own && trainable),
            cluster,
        });
        let node = self.nodes.len() - 1;
        Ok(Ports {
            inputs: vec![node],
            outputs: vec![node],
        })
    }

    fn edge(&mut self, from: usize, to: usize) {
        if !self.edges.contains(&(from, to)) {
            self.edges.push((from, to));
        }
    }

    /// The frames from the outermost to the one that a node lies in.
    pub fn path(&self, mut cluster: Option<usize>) -> Vec<usize> {
        let mut path = Vec::new();
        while let Some(c) = cluster {
            path.push(c);
            cluster = self.clusters[c].parent;
        }
        path.reverse();
        path
    }
}

/// One shape alone, several in brackets: as Python shows them.
fn list(shapes: &[Shape]) -> String {
    match shapes {
        [one] => one.to_string(),
        many => {
            let many: Vec<String> = many.iter().map(Shape::to_string).collect();
            format!("[{}]", many.join(", "))
        }
    }
}

fn has_weights(layer: &LayerRef, inputs: &[Shape]) -> Result<bool> {
    Ok(!layer.layer.weights(inputs)?.is_empty())
}

fn activation_name(layer: &LayerRef) -> Option<String> {
    match layer.layer.config().get("activation")? {
        Value::String(name) => Some(name.clone()),
        Value::Object(object) => object.get("class_name")?.as_str().map(str::to_string),
        _ => None,
    }
}
