//! From a [`Spec`] to a [`Graph`]: nested models are inlined under their name as a scope, `encoder/dense`.

use std::collections::HashMap;

use super::spec::{Block, MAX_DEPTH, Source, Spec, bind, block_names, key};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layer::Bound;
#[cfg(feature = "recurrent")]
use crate::layer::LayerRef;
#[cfg(feature = "recurrent")]
use crate::layers::TimeDistributed;
use crate::shape::Shape;

/// The graph of a model whose inputs have these shapes.
pub(crate) fn lower(spec: &Spec, inputs: &[Shape]) -> Result<Graph> {
    lower_steps(spec, inputs, false)
}

/// The same; with `every_step` of a model that is applied to every time step of these inputs.
pub(crate) fn lower_steps(spec: &Spec, inputs: &[Shape], every_step: bool) -> Result<Graph> {
    let mut lowering = Lowering {
        time_axes: usize::from(every_step),
        ..Lowering::default()
    };
    lowering.graph.batch_size = spec.batch_size();
    let values: Vec<usize> = inputs
        .iter()
        .map(|shape| lowering.graph.input(shape.clone()))
        .collect();
    let outputs = lowering.inline(spec, "", true, &values, &[], None, 0)?;
    let Lowering {
        mut graph, entries, ..
    } = lowering;
    graph.outputs = outputs;
    let mut order = Vec::new();
    let mut seen = vec![false; graph.entries.len()];
    spec.visit(&mut |layer| {
        if let Some(&entry) = entries.get(&key(&layer.layer))
            && !std::mem::replace(&mut seen[entry], true)
        {
            order.push(entry);
        }
    });
    debug_assert_eq!(order.len(), graph.entries.len());
    graph.reorder(&order);
    Ok(graph)
}

#[derive(Default)]
struct Lowering {
    graph: Graph,
    /// Entry of every layer met so far.
    entries: HashMap<usize, usize>,
    /// Time axes in front of what layers expect: so many models around them are applied to every step.
    time_axes: usize,
}

impl Lowering {
    /// Adds a model's calls to the graph; the values of its outputs. `masks` are values that mask the inputs explicitly.
    fn inline(
        &mut self,
        spec: &Spec,
        scope: &str,
        trainable: bool,
        inputs: &[usize],
        masks: &[Option<usize>],
        training: Option<bool>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        if depth > MAX_DEPTH {
            return Err(Error::Model(format!(
                "models are nested more than {MAX_DEPTH} deep"
            )));
        }
        if spec.blocks().is_empty() && matches!(spec, Spec::Sequential(_)) {
            return Err(Error::Model(
                "the model has no layers; add some with `.add(layer)`".into(),
            ));
        }
        let names = block_names(spec.blocks());
        let scoped = |i: usize| format!("{scope}{}", names[i]);
        match spec {
            Spec::Sequential(chain) => {
                let [mut value] = inputs[..] else {
                    return Err(
                        Error::shape("one input", format!("{} inputs", inputs.len()))
                            .owned_by(scope.trim_end_matches('/')),
                    );
                };
                let mut mask = masks.first().copied().flatten();
                for (i, block) in chain.blocks.iter().enumerate() {
                    let bound = Bound {
                        inputs: vec![value],
                        mask: mask.take(),
                        training,
                        ..Bound::default()
                    };
                    let outputs = self.block(block, &scoped(i), trainable, bound, depth)?;
                    if outputs.len() != 1 {
                        return Err(Error::Model(format!(
                            "layer `{}` has {} outputs; a Sequential model needs layers with one",
                            scoped(i),
                            outputs.len()
                        )));
                    }
                    value = outputs[0];
                }
                Ok(vec![value])
            }
            Spec::Functional(net) => {
                if inputs.len() != net.inputs.len() {
                    return Err(Error::shape(
                        format!("{} inputs", net.inputs.len()),
                        format!("{} inputs", inputs.len()),
                    )
                    .owned_by(scope.trim_end_matches('/')));
                }
                let mut results: Vec<Vec<usize>> = Vec::with_capacity(net.calls.len());
                for site in &net.calls {
                    let name = scoped(site.block);
                    let value = |source: &Source| match *source {
                        Source::Input(i) => Some(inputs[i]),
                        Source::Call(call, output) => {
                            results.get(call).and_then(|r| r.get(output)).copied()
                        }
                    };
                    let missing = || {
                        Error::Model(format!("`{name}` is called on a tensor that nothing gives"))
                    };
                    let values = site
                        .tensors
                        .iter()
                        .map(|s| value(s).ok_or_else(missing))
                        .collect::<Result<Vec<usize>>>()?;
                    let block = &net.blocks[site.block];
                    let mut bound = bind(block, &site.call).map_err(|e| e.owned_by(&name))?;
                    bound.inputs.iter_mut().for_each(|i| *i = values[*i]);
                    bound.mask = bound.mask.map(|i| values[i]);
                    bound.training = bound.training.or(training);
                    // A mask given for an input of this model goes to the layers that read that input.
                    if let (None, Some(Source::Input(i))) = (bound.mask, site.tensors.first()) {
                        bound.mask = masks.get(*i).copied().flatten();
                    }
                    let outputs = self.block(block, &name, trainable, bound, depth)?;
                    results.push(outputs);
                }
                net.outputs
                    .iter()
                    .map(|source| match *source {
                        Source::Input(i) => Ok(inputs[i]),
                        Source::Call(call, output) => results
                            .get(call)
                            .and_then(|r| r.get(output))
                            .copied()
                            .ok_or_else(|| {
                                Error::Model(format!(
                                    "output {output} of call {call} does not exist"
                                ))
                            }),
                    })
                    .collect()
            }
        }
    }

    /// The call of the layer at every step of the time axes of the models around it.
    #[cfg(feature = "recurrent")]
    fn at_every_step(&self, layer: &LayerRef, mut bound: Bound) -> Bound {
        for _ in 0..self.time_axes {
            let inner = bound.layer.as_ref().unwrap_or(&layer.layer);
            bound.layer = Some(TimeDistributed::inlined(inner));
        }
        bound
    }

    fn block(
        &mut self,
        block: &Block,
        name: &str,
        trainable: bool,
        bound: Bound,
        depth: usize,
    ) -> Result<Vec<usize>> {
        match block {
            Block::Model(model) => {
                self.time_axes += usize::from(model.every_step.is_some());
                let outputs = self.inline(
                    &model.spec,
                    &format!("{name}/"),
                    trainable && model.trainable,
                    &bound.inputs,
                    &[bound.mask],
                    bound.training,
                    depth + 1,
                );
                self.time_axes -= usize::from(model.every_step.is_some());
                outputs
            }
            Block::Layer(layer) => {
                #[cfg(feature = "recurrent")]
                let bound = self.at_every_step(layer, bound);
                let entry = match self.entries.get(&key(&layer.layer)) {
                    Some(&entry) => entry,
                    None => {
                        let shapes: Vec<Shape> = bound
                            .inputs
                            .iter()
                            .map(|&v| self.graph.values[v].clone())
                            .collect();
                        let entry =
                            self.graph
                                .add_layer(layer, bound.layer.as_ref(), name, &shapes)?;
                        self.graph.entries[entry].trainable &= trainable;
                        self.entries.insert(key(&layer.layer), entry);
                        entry
                    }
                };
                self.graph.call_bound(entry, bound)
            }
        }
    }
}
