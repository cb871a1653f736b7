//! One layer on numbers by hand, for tests that compare with numbers by hand (or Keras's).

use crate::float::Float;
use crate::layer::{
    Forward, Kind, Layer, Len, Mask, MaskRule, Mode, Par, Slices, Stream, View, ViewMut, Weights,
};
use crate::shape::{Dims, Shape};

/// Output and mask of a layer in inference. Inputs are numbers and the shape of one sample, masks likewise; `w` are all weights,
/// trainable ones first.
pub(crate) fn apply(
    layer: &dyn Layer,
    inputs: &[(&[Float], &[usize])],
    masks: &[Option<(&[bool], &[usize])>],
    w: &[Float],
) -> (Vec<Float>, Option<Vec<bool>>) {
    let shapes: Vec<Shape> = inputs
        .iter()
        .map(|(_, shape)| Shape::from(*shape))
        .collect();
    let dims: Vec<Dims> = shapes.iter().map(|s| s.known().unwrap()).collect();
    let batch = inputs[0].0.len() / dims[0].numel();
    let out = layer.output_shape(&shapes).unwrap().known().unwrap();
    let mut views: Vec<View> = inputs
        .iter()
        .map(|(data, shape)| View { data, shape, batch })
        .collect();
    let mask_shapes: Vec<Option<Shape>> = masks.iter().map(|m| m.map(|m| m.1.into())).collect();
    let masks: Vec<Option<Mask>> = masks
        .iter()
        .map(|m| m.map(|(data, shape)| Mask { data, shape }))
        .collect();
    let (weights, buffers) = (layer.weights(&shapes).unwrap(), layer.buffers(&dims));
    let lens = |kind: Kind| -> Vec<usize> {
        let weights = weights.iter().filter(|w| w.kind == kind);
        weights.map(|w| w.shape.numel()).collect()
    };
    let (params, states) = (lens(Kind::Trainable), lens(Kind::State));
    let (w, state) = w.split_at(params.iter().sum());
    let mut mask = None;
    if layer.contract().mask == MaskRule::Compute
        && let Some(shape) = layer.mask_shape(&shapes, &mask_shapes).unwrap()
    {
        let mut flags = vec![false; shape.numel().unwrap() * batch];
        layer.compute_mask(&views, &masks, &mut flags);
        mask = Some(flags);
    }
    let size = |lens: &[Len]| lens.iter().map(|l| l.at(batch)).sum::<usize>();
    let mut saved = vec![Float::NAN; size(&buffers.saved)];
    let mut saved_index = vec![u32::MAX; size(&buffers.saved_index)];
    let mut scratch = vec![Float::NAN; size(&buffers.scratch)];
    let mut y = vec![Float::NAN; out.numel() * batch];
    if layer.contract().in_place && inputs[0].0.len() == y.len() {
        y.copy_from_slice(inputs[0].0);
        views[0].data = &[];
    }
    layer.forward(Forward {
        x: &views,
        w: Weights::new(w, &params),
        state: Weights::new(state, &states),
        y: ViewMut {
            data: &mut y,
            shape: &out,
            batch,
        },
        more: &mut [],
        saved: Slices::scaled(&mut saved, &buffers.saved, batch),
        saved_index: Slices::scaled(&mut saved_index, &buffers.saved_index, batch),
        scratch: Slices::scaled(&mut scratch, &buffers.scratch, batch),
        stats: Slices::default(),
        masks: &masks,
        mode: Mode::Infer,
        trainable: true,
        rng: Stream::new(0, 0, 0),
        par: Par::Serial,
    });
    (y, mask)
}
