//! A layer of your own, with its backward pass, proved by `check_layer`.
//!
//!     cargo run --release --example custom_layer
//!
//! `Scale` multiplies each feature by a weight: `y = x w`, so `dx = dy w` and `dw += sum over rows of dy x`.

use oxhorn::config::Config;
use oxhorn::layer::{Backward, Forward, Weight};
use oxhorn::ndarray::Array2;
use oxhorn::prelude::*;
use oxhorn::random::Rng;
use oxhorn::testing::check_layer;

#[derive(Debug)]
struct Scale;

impl Layer for Scale {
    fn class_name(&self) -> &'static str {
        "Scale"
    }

    fn config(&self) -> Config {
        Config::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        match inputs {
            [x] if x.last().is_some() => Ok(x.clone()),
            _ => Err(Error::shape(
                "one input whose last axis has a known size",
                format!("{inputs:?}"),
            )),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        Ok(vec![Weight::new(
            "scale",
            [inputs[0].last().unwrap_or(0)],
            &"ones".into(),
        )])
    }

    fn forward(&self, cx: Forward<'_>) {
        let [w] = cx.w.all();
        for (x, y) in cx.x[0]
            .data
            .chunks_exact(w.len())
            .zip(cx.y.data.chunks_exact_mut(w.len()))
        {
            y.iter_mut()
                .zip(x)
                .zip(w)
                .for_each(|((y, x), w)| *y = x * w);
        }
    }

    fn backward(&self, cx: Backward<'_>) {
        let [w] = cx.w.all();
        let n = w.len();
        if let Some(dw) = cx.dw {
            let [dw] = dw.all();
            for (x, dy) in cx.x[0].data.chunks_exact(n).zip(cx.dy.data.chunks_exact(n)) {
                dw.iter_mut()
                    .zip(x)
                    .zip(dy)
                    .for_each(|((dw, x), dy)| *dw += x * dy);
            }
        }
        if let Some(dx) = &mut cx.dx[0] {
            for (dx, dy) in dx.data.chunks_exact_mut(n).zip(cx.dy.data.chunks_exact(n)) {
                dx.iter_mut()
                    .zip(dy)
                    .zip(w)
                    .for_each(|((dx, dy), w)| *dx = dy * w);
            }
        }
    }
}

fn main() -> Result<()> {
    check_layer(Scale, &[[3].into()]);
    check_layer(Scale, &[[4, 2].into()]);
    println!("Scale keeps the contract");

    // y = 3 a - 2 b: the layer has to find 3 and -2.
    let mut rng = Rng::new(0);
    let x = Array2::from_shape_simple_fn((200, 2), || rng.normal());
    let y = Array2::from_shape_fn((200, 1), |(i, _)| 3.0 * x[[i, 0]] - 2.0 * x[[i, 1]]);
    let sum = Dense::new(1)
        .use_bias(false)
        .kernel_initializer("ones")
        .trainable(false);
    let mut model = Sequential::new()
        .input([2])
        .add(Scale.name("scale"))
        .add(sum);
    model.compile(Sgd::new(0.1), "mse", ())?;
    model.fit(&x, &y, Fit::epochs(30).verbose(0))?;
    println!("{:.3}", model.weight("scale/scale")?);
    Ok(())
}
