//! Spectral normalization: the wrapped layer with its kernel divided by its largest singular value.
//!
//! Before every training step, with the kernel as a matrix `W` (its last axis the columns) and `vector_u` (1, columns):
//! `power_iterations` times `v = u W^T / |u W^T|`, `u = v W / |v W|`; then `sigma = v W u^T`, the kernel becomes `W / sigma` and
//! `vector_u` becomes `u`. No gradient flows through that. Forward and backward are the wrapped layer's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise::{axpy, dot, scale};
use crate::layer::{
    Backward, Bound, Buffers, Call, Contract, Forward, Head, Kind, Layer, LayerRef, Mask, Slices,
    View, Weight, Weights,
};
use crate::layers::inner::Inner;
use crate::regularizer::Regularizer;
use crate::shape::{Dims, Shape};

/// Bound of the factors that bring a vector to length 1: Keras's `1 / epsilon`.
const LARGEST: Float = 1e7;

/// Keeps the spectral norm of a layer's kernel at 1 in training.
/// [Keras](https://keras.io/api/layers/normalization_layers/spectral_normalization/)
///
/// Input and output are the wrapped layer's; its first weight must be called `kernel` or `embeddings`.
/// The weight `vector_u` is kept from step to step.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `layer` | | the layer whose kernel is normalised |
/// | `power_iterations` | 1 | iterations a step towards the largest singular value |
///
/// ```
/// use oxhorn::prelude::*;
/// use ndarray::array;
/// let mut model = Sequential::new().input([1]).add(SpectralNormalization::new(Dense::new(1).kernel_initializer("ones")));
/// model.compile(Sgd::new(0.0), MeanSquaredError::default(), ())?;
/// let mut w = model.get_weights();
/// w[0].fill(5.0);
/// model.set_weights(&w)?;
/// model.fit(&array![[1.0f32]], &array![[0.0f32]], Fit::epochs(1).verbose(0))?;
/// assert_eq!(model.get_weights()[0][[0, 0]], 1.0);
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectralNormalization {
    layer: Inner,
    #[serde(default = "one")]
    power_iterations: usize,
}

fn one() -> usize {
    1
}

impl SpectralNormalization {
    /// Around this layer.
    pub fn new(layer: impl Into<LayerRef>) -> Self {
        SpectralNormalization {
            layer: Inner(layer.into()),
            power_iterations: one(),
        }
    }

    /// Iterations a step.
    pub fn power_iterations(mut self, iterations: usize) -> Self {
        self.power_iterations = iterations;
        self
    }

    fn inner(&self) -> &dyn Layer {
        self.layer.0.layer.as_ref()
    }

    fn around(&self, layer: Arc<dyn Layer>) -> Self {
        let mut wrapper = self.clone();
        wrapper.layer.0.layer = layer;
        wrapper
    }
}

impl Layer for SpectralNormalization {
    fn class_name(&self) -> &'static str {
        "SpectralNormalization"
    }

    fn config(&self) -> Config {
        to_config(self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.power_iterations == 0 {
            return Err(Error::arg("power_iterations", "a positive integer", 0));
        }
        let name = self.layer.name();
        self.inner()
            .output_shape(inputs)
            .map_err(|e| e.owned_by(&name))
    }

    fn more_outputs(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        self.inner().more_outputs(inputs)
    }

    fn bind(&self, call: &Call) -> Result<Bound> {
        let mut bound = self.inner().bind(call)?;
        bound.layer = bound
            .layer
            .map(|layer| Arc::new(self.around(layer)) as Arc<dyn Layer>);
        Ok(bound)
    }

    fn weights(&self, inputs: &[Shape]) -> Result<Vec<Weight>> {
        let mut weights = self.inner().weights(inputs)?;
        let kernel = match weights.first() {
            Some(w) if matches!(w.name, "kernel" | "embeddings") && w.kind == Kind::Trainable => w,
            _ => {
                let want = "a layer whose first weight is a `kernel` or `embeddings`";
                return Err(Error::arg("layer", want, self.inner().class_name()));
            }
        };
        let law = Initializer::TruncatedNormal {
            mean: 0.0,
            stddev: 0.02,
            seed: None,
        };
        let vector = Weight::state("vector_u", [1, kernel.shape.last()], &law);
        weights = weights.into_iter().map(|w| w.group("layer")).collect();
        // Keras keeps the kernel as the wrapper's own as well.
        let kernel = weights.remove(0).also("");
        weights.splice(0..0, [kernel, vector]);
        Ok(weights)
    }

    fn buffers(&self, inputs: &[Dims]) -> Buffers {
        self.inner().buffers(inputs)
    }

    fn contract(&self) -> Contract {
        self.inner().contract()
    }

    fn prepare(&self, mut w: Slices<'_>, mut state: Slices<'_>, mut room: Slices<'_>) {
        let (kernel, u) = (w.next().expect("kernel"), state.next().expect("vector_u"));
        if kernel.iter().any(|&w| w != 0.0) {
            let next = room.next().expect("as much as vector_u");
            let sigma = power_iterations(self.power_iterations, kernel, u, next);
            kernel.iter_mut().for_each(|w| *w /= sigma);
        }
        self.inner().prepare(w, state, room);
    }

    fn forward(&self, mut cx: Forward<'_>) {
        cx.state.next();
        cx.stats.next();
        self.inner().forward(cx);
    }

    fn backward(&self, mut cx: Backward<'_>) {
        cx.state.next();
        self.inner().backward(cx);
    }

    fn update_state(&self, mut state: Slices<'_>, mut stats: Weights<'_>) {
        state.next();
        stats.next();
        self.inner().update_state(state, stats);
    }

    fn frozen(&self) -> bool {
        !self.layer.0.trainable || self.inner().frozen()
    }

    fn mask_shape(&self, inputs: &[Shape], masks: &[Option<Shape>]) -> Result<Option<Shape>> {
        self.inner().mask_shape(inputs, masks)
    }

    fn compute_mask(&self, x: &[View<'_>], masks: &[Option<Mask<'_>>], out: &mut [bool]) {
        self.inner().compute_mask(x, masks, out);
    }

    fn head(&self) -> Head {
        match self.inner().head() {
            Head::Split(layer, activation) => Head::Split(Arc::new(self.around(layer)), activation),
            _ => Head::None,
        }
    }

    fn activity_regularizer(&self) -> Option<&Regularizer> {
        let own = self.layer.0.activity_regularizer.as_ref();
        own.or_else(|| self.inner().activity_regularizer())
    }
}

/// Moves `u` towards the largest singular value's vector; that value. `next` is as long as `u`.
fn power_iterations(n: usize, kernel: &[Float], u: &mut [Float], next: &mut [Float]) -> Float {
    let mut sigma = 1.0;
    for _ in 0..n {
        // v W is summed as v comes, before v has length 1.
        next.fill(0.0);
        let mut length = 0.0;
        for row in kernel.chunks_exact(u.len()) {
            let v = dot(u, row);
            length += v * v;
            axpy(v, row, next);
        }
        scale(unit(length), next);
        u.copy_from_slice(next);
        scale(unit(dot(u, u)), u);
        sigma = dot(next, u);
    }
    sigma
}

/// What brings a vector of this squared length to length 1.
fn unit(squared_length: Float) -> Float {
    (1.0 / squared_length.sqrt()).min(LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Activation, Dense};
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(
            SpectralNormalization::new(Dense::new(3).activation("tanh")),
            &[[4].into()],
        );
        let two = SpectralNormalization::new(Dense::new(2).use_bias(false)).power_iterations(2);
        check_layer(two, &[[2, 4].into()]);
    }

    #[test]
    fn the_kernel_comes_to_norm_one() {
        let mut kernel = [3.0, 0.0, 0.0, 0.5, 0.0, 0.0];
        let (mut u, mut next) = ([0.6, 0.8], [0.0; 2]);
        let sigma = power_iterations(20, &kernel, &mut u, &mut next);
        assert!((sigma - 3.0).abs() < 1e-5 && (u[0] - 1.0).abs() < 1e-5 && u[1].abs() < 1e-5);
        let layer = SpectralNormalization::new(Dense::new(2)).power_iterations(20);
        let (mut state, mut room) = ([0.6, 0.8], [0.0; 2]);
        let mut prepare = |kernel: &mut [Float; 6]| {
            let (w, s, r) = (
                Slices::exact(kernel, &[6]),
                Slices::exact(&mut state, &[2]),
                Slices::exact(&mut room, &[2]),
            );
            layer.prepare(w, s, r);
        };
        prepare(&mut kernel);
        assert!((kernel[0] - 1.0).abs() < 1e-5 && (kernel[3] - 0.5 / 3.0).abs() < 1e-5);
        assert!((state[0] - 1.0).abs() < 1e-5);
        // A kernel of zeros stays, and so does the vector.
        let mut zeros = [0.0; 6];
        let (mut state, mut room) = ([0.6, 0.8], [0.0; 2]);
        layer.prepare(
            Slices::exact(&mut zeros, &[6]),
            Slices::exact(&mut state, &[2]),
            Slices::exact(&mut room, &[2]),
        );
        assert_eq!((zeros, state), ([0.0; 6], [0.6, 0.8]));
    }

    #[test]
    fn mistakes_are_named() {
        let x = [Shape::from([3])];
        let none = SpectralNormalization::new(Dense::new(2)).power_iterations(0);
        assert!(
            none.output_shape(&x)
                .unwrap_err()
                .to_string()
                .contains("`power_iterations`")
        );
        let e = SpectralNormalization::new(Dense::new(0))
            .output_shape(&x)
            .unwrap_err();
        assert!(e.to_string().starts_with("dense: argument `units`"));
        let e = SpectralNormalization::new(Activation::new("relu"))
            .weights(&x)
            .unwrap_err();
        assert!(e.to_string().contains("`layer`"));
    }
}
