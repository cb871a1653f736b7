//! The dense parts of an attention layer: `y = x W + b` with x: (rows, k), W: (k, ..) and b: (..) as one matrix and one row.

use crate::activation::Activation;
use crate::constraint::Constraint;
use crate::error::Result;
use crate::float::Float;
use crate::initializer::Initializer;
use crate::kernels::elementwise::column_sums_on;
use crate::kernels::gemm::{Accum, Mat, gemm};
use crate::layer::{Par, Slices, Weight, Weights};
use crate::regularizer::Regularizer;
use crate::shape::Dims;

/// How the weights of all projections of a layer start and are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    pub use_bias: bool,
    pub kernel_initializer: &'a Initializer,
    pub bias_initializer: &'a Initializer,
    pub kernel_regularizer: &'a Option<Regularizer>,
    pub bias_regularizer: &'a Option<Regularizer>,
    pub kernel_constraint: &'a Option<Constraint>,
    pub bias_constraint: &'a Option<Constraint>,
}

impl Style<'_> {
    /// Kernel and bias of a projection from `inputs` to `outputs` axes, under this sub-path.
    pub(super) fn weights(
        &self,
        group: &str,
        inputs: &[usize],
        outputs: &[usize],
    ) -> Result<Vec<Weight>> {
        let shape = Dims::new(&[inputs, outputs].concat())?;
        // Fans as a matrix of the inputs and the outputs has them.
        let axes = |range: std::ops::Range<usize>| range.map(|i| i as isize).collect::<Vec<_>>();
        let init = self
            .kernel_initializer
            .with_axes(axes(0..inputs.len()), axes(inputs.len()..shape.len()));
        let kernel = Weight::new("kernel", shape, &init)
            .regularizer(self.kernel_regularizer)
            .constraint(self.kernel_constraint)
            .group(group);
        let bias = Weight::new("bias", Dims::new(outputs)?, self.bias_initializer)
            .regularizer(self.bias_regularizer)
            .constraint(self.bias_constraint)
            .group(group);
        Ok(if self.use_bias {
            vec![kernel, bias]
        } else {
            vec![kernel]
        })
    }
}

/// A projection at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Projection<'a> {
    kernel: &'a [Float],
    bias: Option<&'a [Float]>,
    /// Size of a row of `y`.
    cols: usize,
}

impl<'a> Projection<'a> {
    /// The next of a layer's weights.
    pub(super) fn next(w: &mut Weights<'a>, use_bias: bool, cols: usize) -> Self {
        let kernel = w.next().expect("kernel");
        let bias = if use_bias { w.next() } else { None };
        Projection { kernel, bias, cols }
    }

    fn inputs(&self) -> usize {
        self.kernel.len() / self.cols
    }

    pub(super) fn forward(&self, x: &[Float], y: &mut [Float], par: Par) {
        let (k, n) = (self.inputs(), self.cols);
        let (x, kernel) = (Mat::new(x, k), Mat::new(self.kernel, n));
        gemm(y.len() / n, k, n, x, kernel, Accum::Replace, y, n, par);
        Activation::Linear.apply_bias_on(par, self.bias, y, n, None);
    }

    /// `dW` and `db`, the next of the layer's gradients.
    pub(super) fn backward_weights(
        &self,
        x: &[Float],
        dy: &[Float],
        dw: &mut Option<Slices<'_>>,
        accum: Accum,
        par: Par,
    ) {
        if let Some(dbias) = self.backward_kernel(x, dy, dw, accum, par) {
            column_sums_on(par, dy, dbias);
        }
    }

    /// `dW`; the gradient of the bias, if there is one, to be added to.
    pub(super) fn backward_kernel<'b>(
        &self,
        x: &[Float],
        dy: &[Float],
        dw: &mut Option<Slices<'b>>,
        accum: Accum,
        par: Par,
    ) -> Option<&'b mut [Float]> {
        let dw = dw.as_mut()?;
        let (k, n) = (self.inputs(), self.cols);
        let dkernel = dw.next().expect("kernel");
        let (x, dy_rows) = (Mat::new(x, k).t(), dy.len() / n);
        gemm(k, dy_rows, n, x, Mat::new(dy, n), accum, dkernel, n, par);
        self.bias?;
        let dbias = dw.next().expect("bias");
        if accum == Accum::Replace {
            dbias.fill(0.0);
        }
        Some(dbias)
    }

    /// `dx = dy W^T`, or added.
    pub(super) fn backward_input(&self, dy: &[Float], dx: &mut [Float], accum: Accum, par: Par) {
        let (k, n) = (self.inputs(), self.cols);
        let (dy, kernel) = (Mat::new(dy, n), Mat::new(self.kernel, n).t());
        gemm(dx.len() / k, n, k, dy, kernel, accum, dx, k, par);
    }
}
