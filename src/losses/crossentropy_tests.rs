//! The three cross-entropies together.

use super::*;
use crate::testing::check_loss;

const P: [Float; 6] = [0.3, 0.2, 0.5, 0.6, 0.1, 0.3];
const Z: [Float; 6] = [0.3, -1.2, 2.5, -3.6, 0.1, 0.7];

#[test]
fn gradients() {
    let (binary, hot, ids) = (
        [0.0, 1.0, 0.25, 1.0, 0.0, 1.0],
        [0.0, 1.0, 0.0, 0.25, 0.25, 0.5],
        [2.0, 0.0],
    );
    for s in [0.0, 0.2] {
        check_loss(
            &BinaryCrossentropy::default().label_smoothing(s),
            &binary,
            &[3],
            &P,
            &[3],
        );
        check_loss(
            &BinaryCrossentropy::default()
                .label_smoothing(s)
                .from_logits(true),
            &binary,
            &[3],
            &Z,
            &[3],
        );
        check_loss(
            &CategoricalCrossentropy::default().label_smoothing(s),
            &hot,
            &[3],
            &P,
            &[3],
        );
        check_loss(
            &CategoricalCrossentropy::default()
                .label_smoothing(s)
                .from_logits(true),
            &hot,
            &[3],
            &Z,
            &[3],
        );
    }
    check_loss(
        &SparseCategoricalCrossentropy::default(),
        &ids,
        &[],
        &P,
        &[3],
    );
    check_loss(
        &SparseCategoricalCrossentropy::default().from_logits(true),
        &ids,
        &[1],
        &Z,
        &[3],
    );
    check_loss(
        &SparseCategoricalCrossentropy::default()
            .ignore_class(2)
            .from_logits(true),
        &ids,
        &[],
        &Z,
        &[3],
    );
}

#[test]
fn values_are_keras_s() {
    // keras.losses.binary_crossentropy([[0., 1.], [0., 0.]], [[.6, .4], [.4, .6]]) = [0.916, 0.714]
    let mut out = [0.0; 2];
    let view = |data| View {
        data,
        shape: &[2],
        batch: 2,
    };
    BinaryCrossentropy::default().values(
        view(&[0.0, 1.0, 0.0, 0.0]),
        view(&[0.6, 0.4, 0.4, 0.6]),
        &mut out,
    );
    assert!(
        (out[0] - 0.916_290_7).abs() < 1e-5 && (out[1] - 0.713_558_2).abs() < 1e-5,
        "{out:?}"
    );
    // From logits, a saturated prediction costs its logit, not ln(1e-7).
    let mut out = [0.0];
    let one = |data| View {
        data,
        shape: &[1],
        batch: 1,
    };
    BinaryCrossentropy::default()
        .from_logits(true)
        .values(one(&[0.0]), one(&[30.0]), &mut out);
    assert!((out[0] - 30.0).abs() < 1e-5);
}

#[test]
fn shapes_and_labels_are_checked() {
    let sparse = SparseCategoricalCrossentropy::default();
    assert!(sparse.check(&Shape::default(), &[3].into()).is_ok());
    assert!(sparse.check(&[1].into(), &[3].into()).is_ok());
    assert!(
        sparse
            .check(&[3].into(), &[3].into())
            .unwrap_err()
            .to_string()
            .contains("one-hot")
    );
    let ids = View {
        data: &[0.0, 3.0],
        shape: &[],
        batch: 2,
    };
    assert_eq!(
        sparse.check_targets(ids, &[3]).unwrap_err().to_string(),
        "y: sample 1 holds 3, not a class id in 0..3"
    );
    let binary = BinaryCrossentropy::default();
    let e = binary
        .check(&Shape::default(), &[1].into())
        .unwrap_err()
        .to_string();
    assert!(e.contains("insert_axis"), "{e}");
    assert!(
        binary
            .check_targets(
                View {
                    data: &[0.5, -1.0],
                    shape: &[1],
                    batch: 2
                },
                &[1]
            )
            .is_err()
    );
}
