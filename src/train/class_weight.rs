//! Class weights: weights of samples that follow from their targets.

use super::compile::PerOutput;
use super::samples::Samples;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::tensor::{Arrays, Tensor};

/// Weight of each class; a class that is not listed has 1.
pub(super) type Classes = Vec<(i64, f64)>;

/// The class weights of every output; `None` where there are none.
pub(super) fn by_output<'w>(
    weights: &'w PerOutput<Classes>,
    outputs: &[String],
) -> Result<Vec<Option<&'w Classes>>> {
    if matches!(weights, PerOutput::All(_)) && outputs.len() > 1 {
        let want = format!(
            "weights by output with `class_weight_of` ({})",
            outputs.join(", ")
        );
        return Err(Error::arg("class_weight", want, "weights for all").owned_by("fit"));
    }
    weights.resolve("class_weight", outputs)
}

/// The weights of the samples, one array an output: Keras's `class_weight_to_sample_weights`. The class of a target is its id
/// (`[n]` or `[n, 1]`), or the place of the largest (`[n, classes]`).
pub(super) fn sample_weights(
    weights: &PerOutput<Classes>,
    y: &Arrays<'_>,
    outputs: &[String],
) -> Result<Arrays<'static>> {
    let each = by_output(weights, outputs)?;
    let arrays = y.tensors().iter().zip(&each).zip(outputs);
    arrays
        .map(|((y, classes), output)| match classes {
            None => Tensor::new(vec![1.0; y.batch()], &[y.batch()]),
            Some(classes) => {
                check(classes, &y.sample()).map_err(|e| e.owned_by(output))?;
                let mut weights = Vec::with_capacity(y.batch());
                let targets = y.data().chunks_exact(y.sample().numel().max(1));
                weights.extend(targets.map(|target| weight(classes, target)));
                Tensor::new(weights, &[y.batch()])
            }
        })
        .collect::<Result<_>>()
        .map(Arrays::many)
}

/// Whether targets of this shape have classes, and these weights are weights.
pub(super) fn check(classes: &Classes, target: &[usize]) -> Result<()> {
    if let Some((class, weight)) = classes.iter().find(|(_, w)| !w.is_finite()) {
        return Err(Error::arg(
            "class_weight",
            format!("a finite weight of class {class}"),
            weight,
        ));
    }
    if target.len() > 1 {
        return Err(Error::shape(
            "targets [n], [n, 1] or [n, classes] with `class_weight`",
            format!("samples of shape {target:?}"),
        ));
    }
    Ok(())
}

/// The weight of a sample with this target.
pub(super) fn weight(classes: &Classes, target: &[Float]) -> Float {
    let class = class(target);
    let listed = classes.iter().find(|(c, _)| *c == class);
    listed.map_or(1.0, |(_, w)| *w as Float)
}

/// The class of a target: its id, or the place of the largest.
fn class(target: &[Float]) -> i64 {
    match target {
        [id] => id.round() as i64,
        one_hot => crate::kernels::reduce::argmax(one_hot) as i64,
    }
}

/// What to say where the samples that were split off for validation are all of one class and the others are not, as happens to data
/// that are sorted by class. Only targets that are whole numbers are taken for classes.
pub(super) fn one_class_only(train: &Samples<'_>, validation: &Samples<'_>) -> Option<String> {
    let ([train], [tail]) = (train.y.tensors(), validation.y.tensors()) else {
        return None;
    };
    let whole = |t: &Tensor<'_>| t.data().iter().all(|v| v.fract() == 0.0 && *v >= 0.0);
    let width = train.sample().numel().max(1);
    if train.sample().len() > 1 || tail.batch() < 2 || !whole(train) || !whole(tail) {
        return None;
    }
    let classes = |t: &Tensor<'_>| {
        let mut all: Vec<i64> = t.data().chunks_exact(width).map(class).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (others, [one]) = (classes(train), &classes(tail)[..]) else {
        return None;
    };
    (others.len() > 1).then(|| {
        let n = tail.batch();
        format!(
            "all {n} samples of `validation_split` are of class {one}: it takes the end of the data before shuffling. Shuffle the \
             data first, or split them with `split_stratified` and give `validation`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{IntoArrays, ToTensor};

    #[test]
    fn classes_of_ids_and_of_one_hot_targets() {
        let weights = PerOutput::All(vec![(0, 0.5), (2, 3.0)]);
        let names = ["y".to_string()];
        let of = |y: &dyn ToTensor| {
            let y = vec![y.to_tensor().unwrap()].into_arrays().unwrap();
            sample_weights(&weights, &y, &names).map(|w| w.tensors()[0].data().to_vec())
        };
        assert_eq!(of(&[0.0, 1.0, 2.0]).unwrap(), [0.5, 1.0, 3.0]);
        assert_eq!(of(&[[2.0], [7.0]]).unwrap(), [3.0, 1.0]);
        assert_eq!(of(&[[0.0, 0.0, 1.0], [0.2, 0.1, 0.0]]).unwrap(), [3.0, 0.5]);
        assert!(of(&ndarray::Array3::<Float>::zeros((2, 2, 2))).is_err());
    }

    #[test]
    fn several_outputs_have_weights_by_name() {
        let (a, b) = ([0.0, 1.0], [1.0, 1.0]);
        let y = [&a, &b].into_arrays().unwrap();
        let names = ["a".to_string(), "b".to_string()];
        let named = PerOutput::Named(vec![("b".to_string(), vec![(1, 4.0)])]);
        let weights = sample_weights(&named, &y, &names).unwrap();
        assert_eq!(weights.tensors()[0].data(), [1.0, 1.0]);
        assert_eq!(weights.tensors()[1].data(), [4.0, 4.0]);
        let all = PerOutput::All(vec![(1, 4.0)]);
        assert!(sample_weights(&all, &y, &names).is_err());
        let unknown = PerOutput::Named(vec![("c".to_string(), vec![(1, 4.0)])]);
        assert!(sample_weights(&unknown, &y, &names).is_err());
        let bad = PerOutput::Named(vec![("a".to_string(), vec![(1, f64::NAN)])]);
        assert!(sample_weights(&bad, &y, &names).is_err());
    }

    #[test]
    fn a_tail_of_one_class_is_noticed() {
        let says = |y: &dyn ToTensor, fraction| {
            let y = y.to_tensor().unwrap();
            let x = vec![0.0; y.batch()];
            let x = vec![x.to_tensor().unwrap()].into_arrays().unwrap();
            let data = Samples::new(x, vec![y].into_arrays().unwrap(), None).unwrap();
            let (train, tail) = data.split(fraction).unwrap();
            one_class_only(&train, &tail)
        };
        let line = says(&[0.0, 0.0, 1.0, 1.0, 2.0, 2.0], 0.33).unwrap();
        assert!(line.starts_with("all 2 samples of `validation_split` are of class 2"));
        assert!(says(&[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], 0.5).is_some());
        assert!(says(&[0.0, 1.0, 0.0, 1.0], 0.5).is_none());
        assert!(says(&[1.0, 1.0, 1.0, 1.0], 0.5).is_none());
        assert!(says(&[0.5, 0.0, 1.0, 1.0], 0.5).is_none());
    }
}
