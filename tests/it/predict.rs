//! Inference: many threads, large batches, into slices, from every type of data.

use ndarray::{Array2, Axis, array, s};
use oxhorn::prelude::*;

use crate::{classifier, problem};

fn shared<T: Send + Sync>() {}

#[test]
fn models_are_send_and_sync() {
    shared::<Model>();
    shared::<Sequential>();
}

#[test]
fn many_threads_at_once_give_what_one_gives() {
    let (x, _) = problem(256, 6, 3);
    let model = {
        let mut model = classifier(6, 0);
        model.build([6]).unwrap();
        model
    };
    let want = model.predict(&x).unwrap();
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (model, x, want) = (&model, &x, &want);
            scope.spawn(move || {
                for i in 0..100 {
                    let (a, b) = ((i * 13 + t) % 200, (i * 13 + t) % 200 + 1 + i % 50);
                    let got = model.predict(&x.slice(s![a..b, ..])).unwrap();
                    let want = want.slice_axis(Axis(0), (a..b).into());
                    got.iter()
                        .zip(&want)
                        .for_each(|(g, w)| assert!((g - w).abs() < 1e-6));
                }
            });
        }
    });
}

#[test]
fn a_clone_trains_while_others_predict_with_the_original() {
    let (x, y) = problem(64, 6, 3);
    let mut model = classifier(6, 0);
    model.build([6]).unwrap();
    let want = model.predict(&x).unwrap();
    let mut copy = model.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| copy.fit(&x, &y, Fit::epochs(5).verbose(0)).unwrap());
        (0..200).for_each(|_| assert_eq!(model.predict(&x).unwrap(), want));
    });
    assert_ne!(copy.predict(&x).unwrap(), want);
}

#[test]
fn large_batches_are_cut_without_a_seam() {
    let (x, _) = problem(3000, 6, 4);
    let mut model = classifier(6, 0);
    model.build([6]).unwrap();
    let all = model.predict(&x).unwrap();
    for i in [0, 511, 512, 1024, 2999] {
        let one = model.predict(&x.slice(s![i..=i, ..])).unwrap();
        assert!((one[[0, 0]] - all[[i, 0]]).abs() < 1e-6);
    }
    assert_eq!(
        model
            .predict(&Array2::<f32>::zeros((0, 6)))
            .unwrap()
            .shape(),
        [0, 1]
    );
}

#[test]
fn every_type_of_data_is_taken() {
    let mut model = Sequential::new()
        .input([2])
        .add(Dense::new(1).kernel_initializer("ones"));
    model.build([2]).unwrap();
    let want = array![[3.0], [7.0]].into_dyn();
    assert_eq!(
        model.predict(&array![[1.0f32, 2.0], [3.0, 4.0]]).unwrap(),
        want
    );
    assert_eq!(
        model.predict(&array![[1.0f64, 2.0], [3.0, 4.0]]).unwrap(),
        want
    );
    assert_eq!(model.predict(&array![[1u8, 2], [3, 4]]).unwrap(), want);
    assert_eq!(model.predict(&[[1i32, 2], [3, 4]]).unwrap(), want);
    assert_eq!(
        model
            .predict(&array![[1.0f32, 3.0], [2.0, 4.0]].t())
            .unwrap(),
        want
    );
    let mut out = [0.0; 2];
    model
        .predict_into(&[[1.0f32, 2.0], [3.0, 4.0]], &mut out)
        .unwrap();
    assert_eq!(out, [3.0, 7.0]);
    assert!(model.predict_into(&[[1.0f32, 2.0]], &mut out).is_err());
}
