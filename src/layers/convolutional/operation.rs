//! What all convolution layers do when they run: a convolution or a transposed one, bias, activation, in either data format.
//!
//! With channels first, images are transposed on the way in and out, and the activation sees them as Keras's does: its last axis
//! is the last spatial one.

use crate::activation::{Activation, Reads};
use crate::float::Float;
use crate::kernels::conv::{Conv, Gradients};
use crate::kernels::layout::transpose;
use crate::layer::{Backward, Buffers, Contract, Forward, Len};
use crate::layers::args::DataFormat;

/// A convolution between an image and its windows, for inputs of known sizes.
pub(super) struct Operation<'a> {
    /// The geometry; for a transposed one the image is the output.
    pub conv: Conv,
    pub transposed: bool,
    pub format: DataFormat,
    pub activation: &'a Activation,
    pub use_bias: bool,
}

/// A side of the operation: so many positions of so many channels each.
#[derive(Clone, Copy)]
struct Side {
    positions: usize,
    channels: usize,
}

impl Side {
    fn len(self) -> usize {
        self.positions * self.channels
    }

    fn to_last(self, from: &[Float], to: &mut [Float], par: crate::layer::Par) {
        transpose(self.channels, self.positions, from, to, par);
    }

    fn to_first(self, from: &[Float], to: &mut [Float], par: crate::layer::Par) {
        transpose(self.positions, self.channels, from, to, par);
    }
}

impl Operation<'_> {
    /// What the planner may assume of a layer that is this operation.
    pub fn contract(activation: &Activation) -> Contract {
        Contract {
            reads_y: activation.reads() == Reads::Output,
            overwrites_dw: true,
            ..Contract::default()
        }
    }

    /// Input and output.
    fn sides(&self) -> (Side, Side) {
        let image = Side {
            positions: self.conv.grid().pixels(),
            channels: self.conv.channels(),
        };
        let windows = Side {
            positions: self.conv.grid().positions(),
            channels: self.conv.filters(),
        };
        if self.transposed {
            (windows, image)
        } else {
            (image, windows)
        }
    }

    /// Saved: the pre-activation. Saved index: the tables. Scratch: the kernel packed, sums of gradients, then input, output and
    /// input gradient with channels last.
    pub fn buffers(&self) -> Buffers {
        let (x, y) = self.sides();
        let packed = self.conv.forward_len().max(self.conv.backward_len());
        let bias = if self.use_bias { y.channels } else { 0 };
        let mut scratch = vec![Len::Fixed(packed), Len::Fixed(self.conv.sums_len(bias))];
        if self.format == DataFormat::ChannelsFirst {
            scratch.extend([x, y, x].map(|side| Len::PerSample(side.len())));
        }
        Buffers {
            saved: match self.activation.reads() {
                Reads::Input => vec![Len::PerSample(y.len())],
                _ => Vec::new(),
            },
            saved_index: vec![Len::Fixed(self.conv.tables_len())],
            scratch,
        }
    }

    /// The same without what only backward needs.
    pub fn inference_buffers(&self) -> Buffers {
        let Buffers {
            saved_index,
            mut scratch,
            ..
        } = self.buffers();
        scratch[1] = Len::Fixed(0);
        scratch.truncate(4);
        Buffers {
            saved_index,
            scratch,
            ..Buffers::default()
        }
    }

    pub fn forward(&self, mut cx: Forward<'_>) {
        let (kernel, bias) = (cx.w.next().expect("kernel"), cx.w.next());
        let tables = cx.saved_index.next().expect("tables");
        let packed = cx.scratch.next().expect("packed kernel");
        let z = cx.saved.next().unwrap_or_default();
        cx.scratch.next();
        self.conv.tables(tables);
        let (x, y) = self.sides();
        let (Some(x_last), Some(y_last)) = (cx.scratch.next(), cx.scratch.next()) else {
            return self.run(
                cx.x[0].data,
                tables,
                kernel,
                packed,
                cx.y.data,
                z,
                cx.par,
                &|y, z| {
                    let z = (!z.is_empty()).then_some(z);
                    self.activation
                        .apply_bias(bias, y, self.sides().1.channels, z);
                },
            );
        };
        x.to_last(cx.x[0].data, x_last, cx.par);
        self.run(
            x_last,
            tables,
            kernel,
            packed,
            y_last,
            &mut [],
            cx.par,
            &|part, _| {
                Activation::Linear.apply_bias(bias, part, y.channels, None);
            },
        );
        y.to_first(y_last, cx.y.data, cx.par);
        let cols = cx.y.shape[cx.y.shape.len() - 1];
        let z_len = if z.is_empty() { 0 } else { y.len() };
        cx.par
            .for_each_piece2(cx.y.data, y.len(), z, z_len, |_, y, z| {
                let z = (!z.is_empty()).then_some(z);
                self.activation.apply_bias(None, y, cols, z);
            });
    }

    fn run(
        &self,
        x: &[Float],
        tables: &[u32],
        kernel: &[Float],
        packed: &mut [Float],
        y: &mut [Float],
        z: &mut [Float],
        par: crate::layer::Par,
        finish: &(impl Fn(&mut [Float], &mut [Float]) + Sync),
    ) {
        if self.transposed {
            let kernel = self.conv.pack_backward(kernel, packed);
            self.conv
                .forward_transposed(x, tables, kernel, y, z, par, finish);
        } else {
            let kernel = self.conv.pack_forward(kernel, packed);
            self.conv.forward(x, tables, kernel, y, z, par, finish);
        }
    }

    pub fn backward(&self, mut cx: Backward<'_>) {
        let kernel = cx.w.next().expect("kernel");
        let tables = &*cx.saved_index.next().expect("tables");
        let packed = cx.scratch.next().expect("packed kernel");
        let sums = cx.scratch.next().expect("sums");
        let z = &*cx.saved.next().unwrap_or_default();
        let (dkernel, dbias) = match &mut cx.dw {
            Some(dw) => (dw.next(), dw.next()),
            None => (None, None),
        };
        let (x, y) = self.sides();
        let dx = cx.dx[0].as_mut().map(|dx| &mut *dx.data);
        let kernel = match (dx.is_some(), self.transposed) {
            (false, _) => &[],
            (true, false) => self.conv.pack_backward(kernel, packed),
            (true, true) => self.conv.pack_forward(kernel, packed),
        };
        let (Some(x_last), Some(dy_last), Some(dx_last)) =
            (cx.scratch.next(), cx.scratch.next(), cx.scratch.next())
        else {
            let grads = Gradients {
                dx,
                dkernel,
                dbias,
                accum: cx.accum,
                sums,
            };
            let slope = |at: usize, dy: &mut [Float], dbias: Option<&mut [Float]>| {
                let part = |s: &'_ [Float]| {
                    if s.is_empty() {
                        0..0
                    } else {
                        at..at + dy.len()
                    }
                };
                let (y_part, z_part) = (part(cx.y.data), part(z));
                let (y_part, z_part) = (&cx.y.data[y_part], &z[z_part]);
                self.activation
                    .grad_bias(y_part, z_part, dy, y.channels, dbias);
            };
            let back = if self.transposed {
                Conv::backward_transposed
            } else {
                Conv::backward
            };
            return back(
                &self.conv,
                cx.x[0].data,
                tables,
                kernel,
                cx.dy.data,
                grads,
                cx.par,
                &slope,
            );
        };
        let cols = cx.y.shape[cx.y.shape.len() - 1];
        let (y_data, dy) = (cx.y.data, &mut *cx.dy.data);
        self.activation.grad(y_data, z, dy, cols);
        y.to_last(dy, dy_last, cx.par);
        x.to_last(cx.x[0].data, x_last, cx.par);
        let grads = Gradients {
            dx: dx.is_some().then_some(&mut *dx_last),
            dkernel,
            dbias,
            accum: cx.accum,
            sums,
        };
        let slope = |_: usize, dy: &mut [Float], dbias: Option<&mut [Float]>| {
            Activation::Linear.grad_bias(&[], &[], dy, y.channels, dbias);
        };
        let back = if self.transposed {
            Conv::backward_transposed
        } else {
            Conv::backward
        };
        back(
            &self.conv, x_last, tables, kernel, dy_last, grads, cx.par, &slope,
        );
        if let Some(dx) = dx {
            x.to_first(dx_last, dx, cx.par);
        }
    }
}
