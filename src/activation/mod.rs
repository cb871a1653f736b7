//! Activations: Keras's elementwise functions, softmax and its relatives, with their derivatives.
//!
//! A layer that ends in an activation applies it in place ([`Activation::apply_bias`]) and turns `dy` into `dz` in place
//! ([`Activation::grad_bias`]); [`Activation::reads`] says whether that needs the output or the pre-activation.

pub(crate) mod form;
mod formulas;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::{self, Exp, Sigmoid, Tanh};
use crate::kernels::parallel::Par;
use crate::kernels::pointwise::{self, Pointwise};
use crate::kernels::reduce;
use formulas as f;

/// An activation function; `"relu"` and every other name of Keras's converts into one.
///
/// ```
/// use oxhorn::activation::Activation;
/// let mut y = [-1.0, 0.0, 2.0];
/// Activation::from("relu").apply(&mut y, 3);
/// assert_eq!(y, [0.0, 0.0, 2.0]);
/// let e = Activation::from("rleu").check("activation").unwrap_err();
/// assert!(e.to_string().contains("did you mean `relu`?"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    Linear,
    /// `max(x, 0)`, with Keras's arguments.
    Relu {
        /// Slope below the threshold.
        negative_slope: Float,
        /// Upper bound.
        max_value: Option<Float>,
        /// Where it starts.
        threshold: Float,
    },
    /// `x` above 0, else `negative_slope x`.
    LeakyRelu {
        /// Slope below 0.
        negative_slope: Float,
    },
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `e^x / sum e^x` over the last axis.
    Softmax,
    /// `ln softmax(x)` over the last axis.
    LogSoftmax,
    /// `x` above 0, else `alpha (e^x - 1)`.
    Elu {
        /// Scale below 0.
        alpha: Float,
    },
    /// Scaled exponential linear unit.
    Selu,
    /// `x` above 0, else `alpha (e^(x / alpha) - 1)`.
    Celu {
        /// Scale below 0.
        alpha: Float,
    },
    /// `ln(1 + e^x)`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `relu6(x + 3) / 6`
    HardSigmoid,
    /// `clip(0.2 x + 0.5, 0, 1)`: what Keras 1 and 2 called `hard_sigmoid`.
    HardSigmoidKeras2,
    /// `ln sigmoid(x)`
    LogSigmoid,
    /// `clip((x + 1) / 2, 0, 1)`
    SparseSigmoid,
    /// `x sigmoid(x)`, also called swish.
    Silu,
    /// `x hard_sigmoid(x)`, also called hard swish.
    HardSilu,
    /// `x P(X <= x)` for a normal `X`.
    Gelu {
        /// By `tanh`, instead of exactly.
        approximate: bool,
    },
    /// `x tanh(softplus(x))`
    Mish,
    /// `tanh(x)`
    Tanh,
    /// `clip(x, -1, 1)`
    HardTanh,
    /// `x - tanh(x)`
    TanhShrink,
    /// 0 within the threshold, else `x`.
    HardShrink {
        /// Half the width of the gap.
        threshold: Float,
    },
    /// 0 within the threshold, else `x` moved towards 0 by it.
    SoftShrink {
        /// Half the width of the gap.
        threshold: Float,
    },
    /// `x` above the threshold, else the default value.
    Threshold {
        /// Where it starts.
        threshold: Float,
        /// Value up to it.
        default_value: Float,
    },
    /// `e^x`
    Exponential,
    /// 0 up to -1, `x` from 1 on, between them `(x + 1)^2 / 4`.
    SparsePlus,
    /// `(x + sqrt(x^2 + b)) / 2`
    Squareplus {
        /// Smoothness.
        b: Float,
    },
    /// `max(x - tau, 0)` over the last axis, with Keras's `tau` (see [`kernels::reduce`](crate::kernels::reduce)).
    Sparsemax,
    /// Gated linear unit: `a sigmoid(b)` of the halves `a, b` of the last axis, which it halves. Only as a layer of its own,
    /// [`layers::Activation`](crate::layers::Activation).
    Glu,
    /// A function of your own.
    Custom(Arc<dyn CustomActivation>),
    /// A name that is not known: what [`Activation::check`] reports.
    #[doc(hidden)]
    Invalid(String),
}

/// An activation of your own.
pub trait CustomActivation: fmt::Debug + Send + Sync {
    /// Its name, for files and messages.
    fn name(&self) -> &str;
    /// Applies it in place to rows of `cols` numbers.
    fn apply(&self, y: &mut [Float], cols: usize);
    /// Turns `dy` into `dz`, given the pre-activation `z`.
    fn grad(&self, z: &[Float], dy: &mut [Float], cols: usize);
}

impl PartialEq for dyn CustomActivation {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// Numbers that are worth a fork.
const PIECE: usize = 1 << 15;

/// What the derivative of an activation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Neither.
    Nothing,
    /// The output `y`.
    Output,
    /// The pre-activation `z`, which has to be saved.
    Input,
}

/// Something to do with the formula of an activation, chosen once outside the loop.
trait With {
    fn run<U: Pointwise>(self, formula: U);
}

impl Activation {
    /// `relu` without arguments.
    pub const RELU: Activation = Activation::Relu {
        negative_slope: 0.0,
        max_value: None,
        threshold: 0.0,
    };

    /// Whether the activation is known and its arguments make sense.
    ///
    /// # Errors
    /// An unknown name (the error lists the known ones), or an argument out of range, under the name `arg`.
    pub fn check(&self, arg: &str) -> Result<()> {
        match self {
            Activation::Invalid(name) => Err(Error::unknown("activation", name, form::names())),
            Activation::Glu => Err(Error::arg(
                arg,
                "an activation that keeps the shape (`glu` halves the last axis: put it in a layer `Activation`)",
                "glu",
            )),
            Activation::Relu {
                max_value: Some(max),
                ..
            } if *max < 0.0 => Err(Error::arg(arg, "a `max_value` that is not negative", max)),
            Activation::Celu { alpha } if *alpha == 0.0 => {
                Err(Error::arg(arg, "an `alpha` other than 0", alpha))
            }
            Activation::HardShrink { threshold } | Activation::SoftShrink { threshold }
                if *threshold < 0.0 =>
            {
                Err(Error::arg(
                    arg,
                    "a `threshold` that is not negative",
                    threshold,
                ))
            }
            _ => Ok(()),
        }
    }

    /// What the derivative needs. Where the output determines it exactly, it is the output, which is kept anyway.
    pub fn reads(&self) -> Reads {
        match *self {
            Activation::Linear | Activation::Invalid(_) | Activation::Glu => Reads::Nothing,
            Activation::Relu {
                negative_slope,
                max_value,
                threshold,
            } if negative_slope == 0.0 && max_value.is_none() && threshold == 0.0 => Reads::Output,
            Activation::LeakyRelu { negative_slope } if negative_slope > 0.0 => Reads::Output,
            Activation::Elu { alpha } if alpha >= 0.0 => Reads::Output,
            Activation::Celu { .. } => Reads::Output,
            Activation::Relu { .. } | Activation::LeakyRelu { .. } | Activation::Elu { .. } => {
                Reads::Input
            }
            Activation::Softsign
            | Activation::Silu
            | Activation::HardSilu
            | Activation::Gelu { .. }
            | Activation::Mish
            | Activation::HardTanh
            | Activation::TanhShrink
            | Activation::Threshold { .. }
            | Activation::Sparsemax
            | Activation::Custom(_) => Reads::Input,
            _ => Reads::Output,
        }
    }

    /// Applies it in place to rows of `cols` numbers.
    pub fn apply(&self, y: &mut [Float], cols: usize) {
        struct Map<'a>(&'a mut [Float]);
        impl With for Map<'_> {
            fn run<U: Pointwise>(self, formula: U) {
                pointwise::map(formula, self.0);
            }
        }
        match self {
            Activation::Linear | Activation::Invalid(_) | Activation::Glu => {}
            Activation::Softmax => reduce::softmax(y, cols),
            Activation::LogSoftmax => reduce::log_softmax(y, cols),
            Activation::Sparsemax => reduce::sparsemax(y, cols),
            Activation::Custom(custom) => custom.apply(y, cols),
            _ => self.with(Map(y)),
        }
    }

    /// `y = f(y + bias)` row by row; `z`, if given, keeps `y + bias`.
    pub fn apply_bias(
        &self,
        bias: Option<&[Float]>,
        y: &mut [Float],
        cols: usize,
        z: Option<&mut [Float]>,
    ) {
        match (self, bias, z) {
            (Activation::Linear, Some(bias), None) => elementwise::add_rows(bias, y),
            (Activation::Linear, None, None) => {}
            (_, Some(bias), None) if self.is_plain_relu() => {
                pointwise::map_bias_fused(f::Relu, bias, y)
            }
            (_, bias, z) => pointwise::map_bias(|block| self.apply(block, cols), bias, y, cols, z),
        }
    }

    /// Turns `dy` into `dz`. `y` or `z` may be empty where [`reads`](Self::reads) does not ask for it.
    pub fn grad(&self, y: &[Float], z: &[Float], dy: &mut [Float], cols: usize) {
        struct Grad<'a>(&'a [Float], &'a mut [Float]);
        impl With for Grad<'_> {
            fn run<U: Pointwise>(self, formula: U) {
                pointwise::grad(formula, self.0, self.1);
            }
        }
        match self {
            Activation::Linear | Activation::Invalid(_) | Activation::Glu => {}
            Activation::Softmax => reduce::softmax_backward(y, dy, cols),
            Activation::LogSoftmax => reduce::log_softmax_backward(y, dy, cols),
            Activation::Sparsemax => reduce::sparsemax_backward(z, dy, cols),
            Activation::Custom(custom) => custom.grad(z, dy, cols),
            _ => self.with(Grad(if self.reads() == Reads::Output { y } else { z }, dy)),
        }
    }

    /// [`grad`](Self::grad), and `dbias += ` the sums of the columns of `dz`.
    pub fn grad_bias(
        &self,
        y: &[Float],
        z: &[Float],
        dy: &mut [Float],
        cols: usize,
        dbias: Option<&mut [Float]>,
    ) {
        let Some(dbias) = dbias else {
            return self.grad(y, z, dy, cols);
        };
        if *self == Activation::Linear {
            return elementwise::column_sums(dy, dbias);
        }
        if self.is_plain_relu() {
            return pointwise::grad_bias_fused(f::Relu, y, dy, dbias);
        }
        let part = |s: &[Float], at: usize, len: usize| -> std::ops::Range<usize> {
            if s.is_empty() { 0..0 } else { at..at + len }
        };
        pointwise::grad_bias(
            |at, block| {
                let (y, z) = (&y[part(y, at, block.len())], &z[part(z, at, block.len())]);
                self.grad(y, z, block, cols);
            },
            dy,
            cols,
            dbias,
        );
    }

    /// [`apply_bias`](Self::apply_bias), on several threads where allowed and worth it; the bits are the same.
    pub fn apply_bias_on(
        &self,
        par: Par,
        bias: Option<&[Float]>,
        y: &mut [Float],
        cols: usize,
        z: Option<&mut [Float]>,
    ) {
        if par == Par::Serial || y.len() <= PIECE {
            return self.apply_bias(bias, y, cols, z);
        }
        let piece = (PIECE / cols.max(1)).max(1) * cols;
        let (z, piece_z) = match z {
            Some(z) => (z, piece),
            None => (&mut [][..], 0),
        };
        par.for_each_piece2(y, piece, z, piece_z, |_, y, z| {
            self.apply_bias(bias, y, cols, (piece_z > 0).then_some(z));
        });
    }

    /// [`grad_bias`](Self::grad_bias), on several threads where allowed and worth it; the bits are the same.
    pub fn grad_bias_on(
        &self,
        par: Par,
        y: &[Float],
        z: &[Float],
        dy: &mut [Float],
        cols: usize,
        dbias: Option<&mut [Float]>,
    ) {
        if par == Par::Serial || dy.len() <= PIECE {
            return self.grad_bias(y, z, dy, cols, dbias);
        }
        let piece = (PIECE / cols.max(1)).max(1) * cols;
        par.for_each_piece(dy, piece, |at, dy| {
            let part = |s: &[Float]| {
                if s.is_empty() {
                    0..0
                } else {
                    at..at + dy.len()
                }
            };
            self.grad(&y[part(y)], &z[part(z)], dy, cols);
        });
        if let Some(dbias) = dbias {
            elementwise::column_sums_on(par, dy, dbias);
        }
    }

    fn is_plain_relu(&self) -> bool {
        *self == Activation::RELU
    }

    fn with(&self, with: impl With) {
        match *self {
            Activation::Relu { .. } if self.is_plain_relu() => with.run(f::Relu),
            Activation::Relu {
                negative_slope,
                max_value,
                threshold,
            } => with.run(f::Rectifier {
                slope: negative_slope,
                max: max_value.unwrap_or(Float::INFINITY),
                threshold,
            }),
            Activation::LeakyRelu { negative_slope } => with.run(f::Leaky(negative_slope)),
            Activation::Relu6 => with.run(f::Relu6),
            Activation::Elu { alpha } if alpha >= 0.0 => with.run(f::Elu(alpha)),
            Activation::Elu { alpha } => with.run(f::FallingElu(alpha)),
            Activation::Selu => with.run(f::Selu),
            Activation::Celu { alpha } => with.run(f::Celu(alpha)),
            Activation::Softplus => with.run(f::Softplus),
            Activation::Softsign => with.run(f::Softsign),
            Activation::Sigmoid => with.run(Sigmoid),
            Activation::HardSigmoid => with.run(f::HardSigmoid),
            Activation::HardSigmoidKeras2 => with.run(f::HardSigmoidKeras2),
            Activation::LogSigmoid => with.run(f::LogSigmoid),
            Activation::SparseSigmoid => with.run(f::SparseSigmoid),
            Activation::Silu => with.run(f::Silu),
            Activation::HardSilu => with.run(f::HardSilu),
            Activation::Gelu { approximate: false } => with.run(f::Gelu),
            Activation::Gelu { approximate: true } => with.run(f::GeluTanh),
            Activation::Mish => with.run(f::Mish),
            Activation::Tanh => with.run(Tanh),
            Activation::HardTanh => with.run(f::HardTanh),
            Activation::TanhShrink => with.run(f::TanhShrink),
            Activation::HardShrink { threshold } => with.run(f::HardShrink(threshold)),
            Activation::SoftShrink { threshold } => with.run(f::SoftShrink(threshold)),
            Activation::Threshold {
                threshold,
                default_value,
            } => with.run(f::Threshold {
                threshold,
                default: default_value,
            }),
            Activation::Exponential => with.run(Exp),
            Activation::SparsePlus => with.run(f::SparsePlus),
            Activation::Squareplus { b } => with.run(f::Squareplus(b)),
            Activation::Linear
            | Activation::Softmax
            | Activation::LogSoftmax
            | Activation::Sparsemax
            | Activation::Glu
            | Activation::Custom(_)
            | Activation::Invalid(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grid without the kinks of any of the functions.
    fn grid() -> Vec<Float> {
        (-60..60).map(|i| i as Float * 0.173 + 0.0371).collect()
    }

    #[test]
    fn gradients_agree_with_differences() {
        let h: Float = if cfg!(float64) { 1e-6 } else { 3e-3 };
        let tolerance: f64 = if cfg!(float64) { 1e-5 } else { 2e-2 };
        let odd = [-0.5, 0.0].map(|alpha| Activation::Elu { alpha });
        let odd = odd.into_iter().chain([Activation::Celu { alpha: -0.5 }]);
        for activation in Activation::all().into_iter().chain(odd) {
            let x = match activation {
                // Grows like e^(2 |x|).
                Activation::Celu { alpha } if alpha < 0.0 => {
                    grid().iter().map(|x| x / 8.0).collect()
                }
                _ => grid(),
            };
            let cols = 6;
            let apply = |x: &[Float]| {
                let mut y = x.to_vec();
                activation.apply(&mut y, cols);
                y
            };
            let weights: Vec<Float> = (0..x.len())
                .map(|i| ((i * 7919) % 13) as Float / 6.5 - 0.9)
                .collect();
            let y = apply(&x);
            let mut dz = weights.clone();
            let (y_read, z_read) = match activation.reads() {
                Reads::Nothing => (&[][..], &[][..]),
                Reads::Output => (&y[..], &[][..]),
                Reads::Input => (&[][..], &x[..]),
            };
            activation.grad(y_read, z_read, &mut dz, cols);
            for i in 0..x.len() {
                let moved = |by: Float| {
                    let mut x = x.clone();
                    x[i] += by;
                    apply(&x)
                        .iter()
                        .zip(&weights)
                        .map(|(y, w)| f64::from(*y) * f64::from(*w))
                        .sum::<f64>()
                };
                let (up, down, here) = (moved(h), moved(-h), moved(0.0));
                if ((up - here) - (here - down)).abs() > 0.05 * f64::from(h) {
                    continue; // a kink within reach
                }
                let numeric = (up - down) / f64::from(2.0 * h);
                let got = f64::from(dz[i]);
                assert!(
                    (numeric - got).abs() <= tolerance * (1.0 + numeric.abs()),
                    "{activation:?} at {}: {got} instead of {numeric}",
                    x[i]
                );
            }
        }
    }

    #[test]
    fn values_are_keras_s() {
        let at_one = |name: &str| {
            let mut y = [1.0];
            Activation::from(name).apply(&mut y, 1);
            f64::from(y[0])
        };
        for (name, want) in [
            ("gelu", 0.841_344_7),
            ("selu", 1.050_700_9),
            ("mish", 0.865_098_36),
            ("softplus", 1.313_261_6),
            ("silu", 0.731_058_6),
            ("hard_sigmoid", 0.666_666_7),
            ("softsign", 0.5),
            ("tanh", 0.761_594_2),
            ("sparse_plus", 1.0),
            ("squareplus", 1.618_034),
            ("log_sigmoid", -0.313_261_7),
            ("exponential", std::f64::consts::E),
        ] {
            assert!(
                (at_one(name) - want).abs() < 2e-6,
                "{name}: {} instead of {want}",
                at_one(name)
            );
        }
    }

    #[test]
    fn sparsemax_has_keras_s_threshold() {
        let x = [-0.5, -0.7, -0.6, -0.9, -2.0, 3.0, 1.0, 0.5, 0.0, -1.0];
        let (mut y, mut dy) = (x, [1.0, 2.0, 3.0, 4.0, 6.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        Activation::Sparsemax.apply(&mut y, 5);
        Activation::Sparsemax.grad(&[], &x, &mut dy, 5);
        let want_y = [1.275, 1.075, 1.175, 0.875, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let want_dx = [-9.0, -3.0, -4.5, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for (got, want) in y.iter().chain(&dy).zip(want_y.iter().chain(&want_dx)) {
            assert!((got - want).abs() < 1e-5, "{got} is not {want}");
        }
    }

    #[test]
    fn bias_and_sums_go_with_every_activation() {
        for activation in Activation::all() {
            let (cols, bias) = (5, [0.1, -0.2, 0.3, 0.0, 0.5]);
            let x: Vec<Float> = (0..35).map(|i| (i % 11) as Float * 0.31 - 1.6).collect();
            let mut want: Vec<Float> = x
                .iter()
                .zip(bias.iter().cycle())
                .map(|(x, b)| x + b)
                .collect();
            let z = want.clone();
            activation.apply(&mut want, cols);
            let (mut y, mut kept) = (x.clone(), vec![0.0; 35]);
            activation.apply_bias(Some(&bias), &mut y, cols, Some(&mut kept));
            assert_eq!(kept, z);
            y.iter()
                .zip(&want)
                .for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{activation:?}: {a} {b}"));
            let mut plain = x.clone();
            activation.apply_bias(Some(&bias), &mut plain, cols, None);
            plain
                .iter()
                .zip(&want)
                .for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{activation:?}: {a} {b}"));
            let (mut dy, mut dz, mut dbias) = (vec![1.0; 35], vec![1.0; 35], vec![1.0; 5]);
            activation.grad(&want, &z, &mut dz, cols);
            activation.grad_bias(&want, &z, &mut dy, cols, Some(&mut dbias));
            assert_eq!(dy, dz);
            for (j, sum) in dbias.iter().enumerate() {
                let want: Float = 1.0 + dz.iter().skip(j).step_by(cols).sum::<Float>();
                assert!((sum - want).abs() < 1e-4, "{activation:?}: {sum} {want}");
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        use crate::kernels::parallel::with_threads;
        let (rows, cols) = (700, 130);
        let x: Vec<Float> = (0..rows * cols)
            .map(|i| ((i * 7919) % 1013) as Float / 300.0 - 1.7)
            .collect();
        for name in ["linear", "relu", "gelu", "tanh", "softmax"] {
            let activation = Activation::from(name);
            let run = |threads| {
                let (mut y, mut z, mut dy, mut dbias) =
                    (x.clone(), vec![0.0; x.len()], x.clone(), vec![1.0; cols]);
                with_threads(threads, |par| {
                    activation.apply_bias_on(par, Some(&x[..cols]), &mut y, cols, Some(&mut z));
                    activation.grad_bias_on(par, &y, &z, &mut dy, cols, Some(&mut dbias));
                });
                (y, z, dy, dbias)
            };
            let one = run(1);
            assert_eq!(one, run(2), "{name}");
            assert_eq!(one, run(8), "{name}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_set_of_instructions_gives_the_same() {
        use crate::kernels::simd::{Level, at_most};
        for activation in Activation::all() {
            let apply = |level| {
                let mut y = grid();
                at_most(level, || activation.apply(&mut y, 6));
                y
            };
            let best = apply(Level::Avx512);
            for level in [Level::Avx2, Level::Portable] {
                for (a, b) in best.iter().zip(apply(level)) {
                    assert!(
                        (a - b).abs() <= 2e-6 * (1.0 + a.abs()),
                        "{activation:?} {level:?}: {a} {b}"
                    );
                }
            }
        }
    }

    #[test]
    fn nan_comes_out_as_nan() {
        for activation in Activation::all() {
            let mut y = [Float::NAN, 1.0, 2.0];
            activation.apply(&mut y, 3);
            assert!(
                y[0].is_nan() || activation == Activation::Sparsemax,
                "{activation:?}"
            );
        }
    }
}
