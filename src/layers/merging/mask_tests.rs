//! Merges of masked inputs: gradients, and Keras's numbers.

use super::*;
use crate::float::Float;
use crate::layer::Layer;
use crate::shape::Shape;
use crate::testing::apply::apply;
use crate::testing::check_masked_layer;

#[test]
fn laws_with_masks() {
    let (a, b): (Shape, Shape) = ([3, 4].into(), [1, 4].into());
    let masks: [&[Option<Shape>]; 4] = [
        &[Some([3].into()), None, None],
        &[None, Some([3].into()), Some([1].into())],
        &[Some([3].into()), Some([3].into()), Some([1].into())],
        &[Some([3].into()), Some([3].into()), None],
    ];
    for masks in masks {
        let inputs = [a.clone(), a.clone(), b.clone()];
        check_masked_layer(Add::new(), &inputs, masks);
        check_masked_layer(Multiply::new(), &inputs, masks);
        check_masked_layer(Maximum::new(), &inputs, masks);
        check_masked_layer(Minimum::new(), &inputs, masks);
        check_masked_layer(Concatenate::new().axis(1), &inputs, masks);
    }
    // The mask of an input with fewer axes than the output counts for the mask of the output only.
    for layer in [true, false] {
        let (inputs, masks) = ([a.clone(), [4].into()], [Some([3].into()), None]);
        match layer {
            true => check_masked_layer(Multiply::new(), &inputs, &masks),
            false => check_masked_layer(Maximum::new(), &inputs, &masks),
        }
    }
}

const X0: [Float; 12] = [1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.];
const X1: [Float; 12] = [9., -1., 4., 3., -5., 8., 2., 20., 9., 1., -1., 13.];
const M0: [bool; 6] = [true, false, false, true, true, false];
const M1: [bool; 6] = [true, true, false, false, true, false];

#[test]
fn numbers_are_keras_s() {
    type Case<'a> = (&'a dyn Layer, &'a [Float], &'a [u8]);
    let run = |layer: &dyn Layer, m0: bool, m1: bool| {
        let inputs = [(&X0[..], &[3, 2][..]), (&X1[..], &[3, 2][..])];
        let masks = [
            m0.then_some((&M0[..], &[3][..])),
            m1.then_some((&M1[..], &[3][..])),
        ];
        apply(layer, &inputs, &masks, &[])
    };
    let (multiply, maximum, minimum) = (Multiply::new(), Maximum::new(), Minimum::new());
    let both: [Case; 3] = [
        (
            &multiply,
            &[9., -2., 4., 3., 0., 0., 7., 8., 81., 10., 0., 0.],
            &[1, 1, 0, 1, 1, 0],
        ),
        (
            &maximum,
            &[9., 2., 4., 3., 5., 6., 7., 8., 9., 10., 11., 12.],
            &[1, 1, 0, 1, 1, 0],
        ),
        (
            &minimum,
            &[1., -1., 4., 3., 5., 6., 7., 8., 9., 1., 11., 12.],
            &[1, 1, 0, 1, 1, 0],
        ),
    ];
    for (layer, y, mask) in both {
        let got = run(layer, true, true);
        assert_eq!(got.0, y, "{}", layer.class_name());
        assert_eq!(flags(&got.1), mask, "{}", layer.class_name());
    }
    let first: [Case; 3] = [
        (
            &multiply,
            &[9., -2., 4., 3., -5., 8., 14., 160., 81., 10., -1., 13.],
            &[],
        ),
        (
            &maximum,
            &[9., 2., 4., 3., -5., 8., 7., 20., 9., 10., -1., 13.],
            &[],
        ),
        (
            &minimum,
            &[1., -1., 4., 3., -5., 8., 2., 8., 9., 1., -1., 13.],
            &[],
        ),
    ];
    let second: [Case; 3] = [
        (
            &multiply,
            &[9., -2., 12., 12., 5., 6., 7., 8., 81., 10., 11., 12.],
            &[],
        ),
        (
            &maximum,
            &[9., 2., 4., 4., 5., 6., 7., 8., 9., 10., 11., 12.],
            &[],
        ),
        (
            &minimum,
            &[1., -1., 3., 3., 5., 6., 7., 8., 9., 1., 11., 12.],
            &[],
        ),
    ];
    for (case, is_first) in first
        .iter()
        .map(|c| (c, true))
        .chain(second.iter().map(|c| (c, false)))
    {
        let got = run(case.0, is_first, !is_first);
        assert_eq!(
            (&got.0[..], got.1),
            (case.1, None),
            "{}",
            case.0.class_name()
        );
    }
    let (behind, beside) = (Concatenate::new().axis(1), Concatenate::new());
    let masks = |layer: &dyn Layer, m0, m1| flags(&run(layer, m0, m1).1);
    assert_eq!(
        masks(&behind, true, true),
        [1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0]
    );
    assert_eq!(
        masks(&behind, true, false),
        [1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1]
    );
    assert_eq!(
        masks(&behind, false, true),
        [1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0]
    );
    assert_eq!(masks(&beside, true, true), [1, 1, 0, 1, 1, 0]);
    assert_eq!(masks(&beside, true, false), [1; 6]);
    assert!(masks(&beside, false, false).is_empty());
}

fn flags(mask: &Option<Vec<bool>>) -> Vec<u8> {
    mask.iter().flatten().map(|&flag| flag.into()).collect()
}
