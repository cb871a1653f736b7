//! Class weights: weights of samples that follow from their targets.

use super::compile::PerOutput;
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
    let class = match target {
        [id] => id.round() as i64,
        one_hot => crate::kernels::reduce::argmax(one_hot) as i64,
    };
    let listed = classes.iter().find(|(c, _)| *c == class);
    listed.map_or(1.0, |(_, w)| *w as Float)
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
}
