//! The functions of one number that are not activations.

use super::elementwise::Function;
use crate::activation::Reads;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::elementwise::{Exp, Log, Tanh, scale};
use crate::kernels::math;
use crate::kernels::pointwise::{Pointwise, grad, map};

/// A function given as its value and derivative: not vectorised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub value: fn(Float) -> Float,
    pub slope: Slope,
}

/// The derivative.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slope {
    /// Zero where there is one: no gradient flows.
    None,
    /// Of `x`.
    OfInput(fn(Float) -> Float),
    /// Of `y`.
    OfOutput(fn(Float) -> Float),
}

impl Plain {
    /// With this derivative, a function of `x`.
    pub(super) fn new(value: fn(Float) -> Float, slope: fn(Float) -> Float) -> Self {
        Plain {
            value,
            slope: Slope::OfInput(slope),
        }
    }

    /// With this derivative, a function of `y`.
    pub(super) fn of_output(value: fn(Float) -> Float, slope: fn(Float) -> Float) -> Self {
        Plain {
            value,
            slope: Slope::OfOutput(slope),
        }
    }

    /// Made of steps, or of truth values.
    pub(super) fn steps(value: fn(Float) -> Float) -> Self {
        Plain {
            value,
            slope: Slope::None,
        }
    }
}

impl Function for Plain {
    fn reads(&self) -> Reads {
        match self.slope {
            Slope::None => Reads::Nothing,
            Slope::OfInput(_) => Reads::Input,
            Slope::OfOutput(_) => Reads::Output,
        }
    }

    fn differentiable(&self) -> bool {
        !matches!(self.slope, Slope::None)
    }

    fn apply(&self, y: &mut [Float]) {
        y.iter_mut().for_each(|y| *y = (self.value)(*y));
    }

    fn grad(&self, x: &[Float], y: &[Float], dy: &mut [Float]) {
        match self.slope {
            Slope::None => dy.fill(0.0),
            Slope::OfInput(slope) => dy.iter_mut().zip(x).for_each(|(d, x)| *d *= slope(*x)),
            Slope::OfOutput(slope) => dy.iter_mut().zip(y).for_each(|(d, y)| *d *= slope(*y)),
        }
    }
}

/// The common functions: vectorised.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fast {
    Absolute,
    Exp,
    Identity,
    Log,
    Negative,
    Reciprocal,
    Rsqrt,
    Sqrt,
    Square,
    Tanh,
}

macro_rules! pointwise {
    ($name:ident, $x:ident => $value:expr, $at:ident => $slope:expr) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl Pointwise for $name {
            #[inline(always)]
            fn value<const FMA: bool>(self, $x: Float) -> Float {
                $value
            }

            #[inline(always)]
            fn slope<const FMA: bool>(self, $at: Float) -> Float {
                $slope
            }
        }
    };
}

pointwise!(Absolute, x => x.abs(), x => sign(x));
pointwise!(Reciprocal, x => 1.0 / x, y => -y * y);
pointwise!(Rsqrt, x => 1.0 / x.sqrt(), y => -0.5 * y * y * y);
pointwise!(Sqrt, x => x.sqrt(), y => 0.5 / y);
pointwise!(Square, x => x * x, x => x + x);

/// -1, 0 or 1; NaN stays.
#[inline(always)]
pub(super) fn sign(x: Float) -> Float {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

/// The error function.
pub(super) fn erf(x: Float) -> Float {
    math::erf::<false>(x)
}

impl Function for Fast {
    fn reads(&self) -> Reads {
        match self {
            Fast::Identity | Fast::Negative => Reads::Nothing,
            Fast::Absolute | Fast::Log | Fast::Square => Reads::Input,
            Fast::Exp | Fast::Reciprocal | Fast::Rsqrt | Fast::Sqrt | Fast::Tanh => Reads::Output,
        }
    }

    fn apply(&self, y: &mut [Float]) {
        match self {
            Fast::Absolute => map(Absolute, y),
            Fast::Exp => map(Exp, y),
            Fast::Identity => {}
            Fast::Log => map(Log, y),
            Fast::Negative => scale(-1.0, y),
            Fast::Reciprocal => map(Reciprocal, y),
            Fast::Rsqrt => map(Rsqrt, y),
            Fast::Sqrt => map(Sqrt, y),
            Fast::Square => map(Square, y),
            Fast::Tanh => map(Tanh, y),
        }
    }

    fn grad(&self, x: &[Float], y: &[Float], dy: &mut [Float]) {
        match self {
            Fast::Absolute => grad(Absolute, x, dy),
            Fast::Exp => grad(Exp, y, dy),
            Fast::Identity => {}
            Fast::Log => grad(Log, x, dy),
            Fast::Negative => scale(-1.0, dy),
            Fast::Reciprocal => grad(Reciprocal, y, dy),
            Fast::Rsqrt => grad(Rsqrt, y, dy),
            Fast::Sqrt => grad(Sqrt, y, dy),
            Fast::Square => grad(Square, x, dy),
            Fast::Tanh => grad(Tanh, y, dy),
        }
    }
}

/// The nearest of `min..=max`; the gradient passes inside, the ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clip {
    pub min: Float,
    pub max: Float,
}

impl Function for Clip {
    fn reads(&self) -> Reads {
        Reads::Input
    }

    fn check(&self) -> Result<()> {
        if self.min > self.max {
            return Err(Error::arg(
                "x_max",
                format!("at least {}", self.min),
                self.max,
            ));
        }
        Ok(())
    }

    fn apply(&self, y: &mut [Float]) {
        y.iter_mut()
            .for_each(|y| *y = math::clamp(*y, self.min, self.max));
    }

    fn grad(&self, x: &[Float], _y: &[Float], dy: &mut [Float]) {
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = if *x < self.min || *x > self.max {
                0.0
            } else {
                *dy
            };
        }
    }
}

/// To so many decimals, halves to even.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round(pub i32);

impl Function for Round {
    fn reads(&self) -> Reads {
        Reads::Nothing
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn check(&self) -> Result<()> {
        if self.0.abs() > 30 {
            return Err(Error::arg("decimals", "at most 30, up or down", self.0));
        }
        Ok(())
    }

    fn apply(&self, y: &mut [Float]) {
        let factor = (10.0 as Float).powi(self.0);
        y.iter_mut()
            .for_each(|y| *y = (*y * factor).round_ties_even() / factor);
    }

    fn grad(&self, _x: &[Float], _y: &[Float], dy: &mut [Float]) {
        dy.fill(0.0);
    }
}

/// One number everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill(pub Float);

impl Function for Fill {
    fn reads(&self) -> Reads {
        Reads::Nothing
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn apply(&self, y: &mut [Float]) {
        y.fill(self.0);
    }

    fn grad(&self, _x: &[Float], _y: &[Float], dy: &mut [Float]) {
        dy.fill(0.0);
    }
}

/// What becomes of numbers in another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    /// A float: the same.
    Float,
    /// An integer: the fraction is cut off.
    Integer,
    /// A truth value.
    Bool,
}

impl Cast {
    /// By Keras's name of the type; null is the same type.
    pub(super) fn named(dtype: &str) -> std::result::Result<Cast, String> {
        match dtype {
            "float16" | "bfloat16" | "float32" | "float64" => Ok(Cast::Float),
            "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" => {
                Ok(Cast::Integer)
            }
            "bool" => Ok(Cast::Bool),
            other => Err(format!(
                "argument `dtype`: expected a type of numbers, got `{other}`"
            )),
        }
    }
}

impl Function for Cast {
    fn reads(&self) -> Reads {
        Reads::Nothing
    }

    fn differentiable(&self) -> bool {
        *self == Cast::Float
    }

    fn apply(&self, y: &mut [Float]) {
        match self {
            Cast::Float => {}
            Cast::Integer => y.iter_mut().for_each(|y| *y = y.trunc()),
            Cast::Bool => y
                .iter_mut()
                .for_each(|y| *y = Float::from(u8::from(*y != 0.0))),
        }
    }

    fn grad(&self, _x: &[Float], _y: &[Float], dy: &mut [Float]) {
        if *self != Cast::Float {
            dy.fill(0.0);
        }
    }
}
