//! Laws of recurrent layers, with masks and initial states too.

use super::*;
use crate::activation::Activation;
use crate::float::Float;
use crate::kernels::parallel::with_threads;
use crate::layer::{Backward, Forward, Layer, Mode, Slices, Stream, View, ViewMut, Weights};
use crate::random::Rng;
use crate::shape::Shape;
use crate::testing::{check_layer, check_masked_layer};

/// The variations that all recurrent layers have.
fn check_options<C: Cells>(layer: impl Fn() -> RecurrentLayer<C>, states: usize) {
    let x = || -> Shape { [4, 3].into() };
    check_layer(layer(), &[x()]);
    check_layer(layer().return_sequences(true).go_backwards(true), &[x()]);
    check_layer(layer().return_state(true).stateful(true), &[x()]);
    let mut given = layer().return_sequences(true).return_state(true);
    given.set_initial(states);
    let mut inputs = vec![x()];
    inputs.extend(vec![Shape::from([5]); states]);
    check_layer(given.clone(), &inputs);
    let mask = || Some(Shape::from([4]));
    let mut masks = vec![mask()];
    masks.resize(inputs.len(), None);
    check_masked_layer(given, &inputs, &masks);
    let masked = |layer| check_masked_layer(layer, &[x()], &[mask()]);
    masked(layer());
    masked(layer().go_backwards(true).return_sequences(true));
    masked(layer().zero_output_for_mask(true));
    masked(layer().zero_output_for_mask(true).return_sequences(true));
    masked(layer().stateful(true));
}

#[test]
fn simple_rnn_laws() {
    check_options(|| SimpleRNN::new(5), 1);
    check_layer(SimpleRNN::new(17).use_bias(false), &[[3, 2].into()]);
    for activation in Activation::all() {
        check_layer(SimpleRNN::new(3).activation(activation), &[[2, 2].into()]);
    }
    let dropped = SimpleRNN::new(4)
        .dropout(0.4)
        .recurrent_dropout(0.3)
        .seed(1);
    check_layer(dropped, &[[3, 5].into()]);
}

#[test]
fn lstm_laws() {
    check_options(|| LSTM::new(5), 2);
    check_layer(LSTM::new(17).use_bias(false), &[[3, 2].into()]);
    check_layer(LSTM::new(2).activation("gelu"), &[[3, 2].into()]);
    check_layer(
        LSTM::new(3).recurrent_activation("hard_sigmoid"),
        &[[3, 2].into()],
    );
    check_layer(
        LSTM::new(3)
            .activation("softmax")
            .recurrent_activation("silu"),
        &[[3, 2].into()],
    );
    check_layer(LSTM::new(4).dropout(0.4), &[[3, 5].into()]);
    check_layer(
        LSTM::new(4).recurrent_dropout(0.4).use_bias(false),
        &[[3, 5].into()],
    );
    let both = LSTM::new(3)
        .dropout(0.3)
        .recurrent_dropout(0.4)
        .activation("relu");
    check_layer(both, &[[3, 2].into()]);
}

#[test]
fn gru_laws() {
    for after in [true, false] {
        check_options(|| GRU::new(5).reset_after(after), 1);
        let gru = || GRU::new(4).reset_after(after);
        check_layer(
            GRU::new(17).reset_after(after).use_bias(false),
            &[[3, 2].into()],
        );
        check_layer(gru().activation("gelu"), &[[3, 2].into()]);
        check_layer(
            gru().activation("softmax").recurrent_activation("silu"),
            &[[3, 2].into()],
        );
        check_layer(gru().dropout(0.4), &[[3, 5].into()]);
        check_layer(
            gru().recurrent_dropout(0.4).use_bias(false),
            &[[3, 5].into()],
        );
        let both = gru().dropout(0.3).recurrent_dropout(0.4);
        check_layer(both, &[[3, 2].into()]);
    }
}

#[test]
fn mistakes_are_named() {
    let said = |layer: LSTM, x: Shape| {
        let e = layer.output_shape(&[x]).unwrap_err();
        e.owned_by("lstm").to_string()
    };
    let x = || Shape::from([4, 3]);
    assert!(said(LSTM::new(0), x()).starts_with("lstm: argument `units`"));
    assert!(said(LSTM::new(usize::MAX), x()).starts_with("lstm: argument `units`"));
    assert!(
        said(LSTM::new(2).dropout(1.0), x()).contains("`dropout`: expected a fraction in [0, 1)")
    );
    assert!(said(LSTM::new(2).recurrent_dropout(-0.1), x()).contains("`recurrent_dropout`"));
    assert!(said(LSTM::new(2).activation("tahn"), x()).contains("did you mean `tanh`?"));
    assert!(said(LSTM::new(2).recurrent_activation("sigmoit"), x()).contains("did you mean"));
    assert!(said(LSTM::new(2), [3].into()).contains("3 axes"));
    assert!(said(LSTM::new(2), [Some(3), None].into()).contains("known number of features"));
    assert!(said(LSTM::new(2), [1, 2, 3].into()).contains("3 axes"));
    let e = LSTM::new(2).output_shape(&[x(), [2].into()]).unwrap_err();
    assert!(
        e.to_string()
            .contains("`initial_state`: expected (None, 2), (None, 2)")
    );
    let simple = SimpleRNN::read("SimpleRNN", &LSTM::new(2).config()).unwrap_err();
    assert!(simple.to_string().contains("unknown field"), "{simple}");
}

/// Forward and backward of a batch; everything that came out.
fn run(layer: &dyn Layer, x: Shape, batch: usize, threads: usize, mode: Mode) -> Vec<Vec<Float>> {
    let (x_dims, shapes) = (x.known().unwrap(), [x]);
    let y_dims = layer.output_shape(&shapes).unwrap().known().unwrap();
    let weights = layer.weights(&shapes).unwrap();
    let lens: Vec<usize> = weights.iter().map(|w| w.shape.numel()).collect();
    let buffers = match mode {
        Mode::Train => layer.buffers(&[x_dims]),
        Mode::Infer => layer.inference_buffers(&[x_dims]),
    };
    let mut rng = Rng::new(3);
    let mut random = |n: usize| (0..n).map(|_| rng.normal() * 0.5).collect::<Vec<Float>>();
    let (x, w) = (random(x_dims.numel() * batch), random(lens.iter().sum()));
    let mut dy = random(y_dims.numel() * batch);
    let room = |lens: &[crate::layer::Len]| -> Vec<Float> {
        vec![Float::NAN; lens.iter().map(|l| l.at(batch)).sum()]
    };
    let (mut saved, mut scratch) = (room(&buffers.saved), room(&buffers.scratch));
    let mut y = vec![Float::NAN; dy.len()];
    let mut dx = vec![Float::NAN; x.len()];
    let mut dw = vec![Float::NAN; w.len()];
    let view = View {
        data: &x,
        shape: &x_dims,
        batch,
    };
    with_threads(threads, |par| {
        layer.forward(Forward {
            x: &[view],
            w: Weights::new(&w, &lens),
            state: Weights::new(&[], &[]),
            y: ViewMut {
                data: &mut y,
                shape: &y_dims,
                batch,
            },
            more: &mut [],
            saved: Slices::scaled(&mut saved, &buffers.saved, batch),
            saved_index: Slices::default(),
            scratch: Slices::scaled(&mut scratch, &buffers.scratch, batch),
            stats: Slices::default(),
            masks: &[None],
            mode,
            trainable: true,
            rng: Stream::new(1, 2, 3),
            par,
        });
        if mode == Mode::Infer {
            return;
        }
        layer.backward(Backward {
            x: &[view],
            w: Weights::new(&w, &lens),
            state: Weights::new(&[], &[]),
            y: View {
                data: &y,
                shape: &y_dims,
                batch,
            },
            dy: ViewMut {
                data: &mut dy,
                shape: &y_dims,
                batch,
            },
            dmore: &mut [],
            dx: &mut [Some(ViewMut {
                data: &mut dx,
                shape: &x_dims,
                batch,
            })],
            dw: Some(Slices::exact(&mut dw, &lens)),
            accum: crate::layer::Accum::Replace,
            saved: Slices::scaled(&mut saved, &buffers.saved, batch),
            saved_index: Slices::default(),
            scratch: Slices::scaled(&mut scratch, &buffers.scratch, batch),
            masks: &[None],
            trainable: true,
            rng: Stream::new(1, 2, 3),
            par,
        });
    });
    match mode {
        Mode::Train => vec![y, dx, dw],
        Mode::Infer => vec![y],
    }
}

#[test]
fn large_batches_are_cut_into_pieces() {
    let layers: [&dyn Layer; 3] = [
        &LSTM::new(20).return_sequences(true),
        &GRU::new(20),
        &SimpleRNN::new(20),
    ];
    for layer in layers {
        for batch in [1, 2, 3, 15, 16, 17, 50] {
            let train = |threads| run(layer, [9, 6].into(), batch, threads, Mode::Train);
            let one = train(1);
            assert!(one.iter().flatten().all(|v| !v.is_nan()));
            for threads in [2, 8] {
                assert_eq!(one, train(threads), "{layer:?} {batch} {threads}");
            }
            // Without dropout, training and inference are the same, whatever is kept.
            let infer = run(layer, [9, 6].into(), batch, 2, Mode::Infer);
            for (a, b) in infer[0].iter().zip(&one[0]) {
                assert!((a - b).abs() < 1e-5, "{layer:?} {batch}: {a} {b}");
            }
        }
    }
}
