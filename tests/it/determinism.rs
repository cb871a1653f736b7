//! One seed gives the same bits: run after run, and for any number of threads.

use ndarray::Array2;
use oxhorn::prelude::*;

use crate::{classifier, problem};

fn bits(model: &Model) -> Vec<u32> {
    model.params().iter().map(|w| w.to_bits()).collect()
}

#[test]
fn run_after_run() {
    let (x, y) = problem(200, 8, 1);
    let train = |seed| {
        let mut model = classifier(8, seed);
        let history = model
            .fit(&x, &y, Fit::epochs(3).validation_split(0.2).verbose(0))
            .unwrap();
        (bits(&model), history)
    };
    assert_eq!(train(5), train(5));
    assert_ne!(train(5).0, train(6).0);
}

#[test]
fn for_1_2_and_8_threads() {
    // Wide enough for the products to be shared out.
    let (x, y) = problem(300, 200, 2);
    let train = |threads| {
        let mut model = Sequential::new()
            .seed(3)
            .threads(threads)
            .input([200])
            .add(Dense::new(256).activation("gelu"))
            .add(Dropout::new(0.2))
            .add(Dense::new(256).activation("tanh"))
            .add(Dense::new(1).activation("sigmoid"));
        model
            .compile(
                Adam::new(0.001).global_clipnorm(1.0),
                "binary_crossentropy",
                ["accuracy"],
            )
            .unwrap();
        model
            .fit(&x, &y, Fit::epochs(2).batch_size(150).verbose(0))
            .unwrap();
        let predicted: Vec<u32> = model
            .predict(&x)
            .unwrap()
            .iter()
            .map(|p| p.to_bits())
            .collect();
        (bits(&model), predicted)
    };
    let one = train(1);
    assert!(one == train(2), "two threads give other bits than one");
    assert!(one == train(8), "eight threads give other bits than one");
}

#[test]
fn models_without_a_seed_differ_and_repeat() {
    let make = || {
        let mut model = Sequential::new().add(Dense::new(4));
        model.build([4]).unwrap();
        bits(&model)
    };
    // Other tests make models at the same time, so only the difference can be checked here.
    assert_ne!(make(), make());
    let mut a = Sequential::new().seed(9).add(Dense::new(4));
    let mut b = Sequential::new().seed(9).add(Dense::new(4));
    a.build([4]).unwrap();
    b.build([4]).unwrap();
    assert_eq!(bits(&a), bits(&b));
}

#[test]
fn changing_one_layer_leaves_the_start_of_the_others() {
    let first = |units| {
        let mut model = Sequential::new()
            .seed(1)
            .add(Dense::new(4))
            .add(Dense::new(units));
        model.build([3]).unwrap();
        model.weight("dense/kernel").unwrap()
    };
    assert_eq!(first(2), first(5));
    assert_eq!(first(2).shape(), [3, 4]);
    assert_ne!(first(2), Array2::<f32>::zeros((3, 4)).into_dyn());
}
