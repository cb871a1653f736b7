//! The formulas of the activations that work number by number, each with its derivative from `x` or from `y`
//! ([`Activation::reads`](super::Activation::reads) says which).
//!
//! Comparisons are written so that a NaN comes out as NaN.
use crate::float::Float;
use crate::kernels::math::{self, clamp};
use crate::kernels::pointwise::Pointwise;

const SELU_ALPHA: Float = 1.673_263_242_354_377_2f64 as Float;
const SELU_SCALE: Float = 1.050_700_987_355_480_5f64 as Float;
const SQRT_HALF: Float = 0.707_106_781_186_547_5f64 as Float;
const FRAC_1_SQRT_PI: Float = 0.564_189_583_547_756_3f64 as Float;
/// `2 sqrt(2 / pi)`.
const TWICE_SQRT_2_PI: Float = 1.595_769_121_605_730_7f64 as Float;

/// The normal distribution function.
#[inline(always)]
fn normal<const FMA: bool>(x: Float) -> Float {
    0.5 + 0.5 * math::erf::<FMA>(x * SQRT_HALF)
}

/// `x` above 0, else 0. `relu'(0) = 0`.
#[derive(Clone, Copy)]
pub struct Relu;

impl Pointwise for Relu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 { 1.0 } else { 0.0 }
    }
}

/// `x` above 0, else `slope x`; derivative from either where `slope > 0`.
#[derive(Clone, Copy)]
pub struct Leaky(pub Float);

impl Pointwise for Leaky {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x > 0.0 { x } else { self.0 * x }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, at: Float) -> Float {
        if at > 0.0 { 1.0 } else { self.0 }
    }
}

/// `relu` with all of Keras's arguments: `clip(x, 0, max_value)` above the threshold, below it `-negative_slope (threshold - x)`.
#[derive(Clone, Copy)]
pub struct Rectifier {
    pub slope: Float,
    pub max: Float,
    pub threshold: Float,
}

impl Pointwise for Rectifier {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x > self.threshold {
            let x = if x < 0.0 && self.max < Float::INFINITY {
                0.0
            } else {
                x
            };
            if x > self.max { self.max } else { x }
        } else {
            self.slope * (x - self.threshold)
        }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        if x > self.threshold {
            let low = x < 0.0 && self.max < Float::INFINITY;
            if low || x > self.max { 0.0 } else { 1.0 }
        } else {
            self.slope
        }
    }
}

/// `min(max(x, 0), 6)`.
#[derive(Clone, Copy)]
pub struct Relu6;

impl Pointwise for Relu6 {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        clamp(x, 0.0, 6.0)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 && y < 6.0 { 1.0 } else { 0.0 }
    }
}

/// `x` above 0, else `alpha (e^x - 1)`, whose derivative is `y + alpha`.
#[derive(Clone, Copy)]
pub struct Elu(pub Float);

impl Pointwise for Elu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x > 0.0 {
            x
        } else {
            self.0 * math::expm1::<FMA>(x)
        }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 { 1.0 } else { y + self.0 }
    }
}

/// `elu` with a negative `alpha`: the output does not say on which side of 0 the input was, so the derivative is taken from the input.
#[derive(Clone, Copy)]
pub struct FallingElu(pub Float);

impl Pointwise for FallingElu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        Elu(self.0).value::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        if x > 0.0 {
            1.0
        } else {
            self.0 * math::exp::<FMA>(x)
        }
    }
}

/// `scale elu(x)` with the `alpha` and `scale` that keep mean 0 and variance 1.
#[derive(Clone, Copy)]
pub struct Selu;

impl Pointwise for Selu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x > 0.0 {
            SELU_SCALE * x
        } else {
            SELU_SCALE * SELU_ALPHA * math::expm1::<FMA>(x)
        }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y < 0.0 {
            y + SELU_SCALE * SELU_ALPHA
        } else {
            SELU_SCALE
        }
    }
}

/// `x` above 0, else `alpha (e^(x / alpha) - 1)`, whose derivative is `y / alpha + 1`.
#[derive(Clone, Copy)]
pub struct Celu(pub Float);

impl Pointwise for Celu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x > 0.0 {
            x
        } else {
            self.0 * math::expm1::<FMA>(x / self.0)
        }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 { 1.0 } else { y / self.0 + 1.0 }
    }
}

/// `ln(1 + e^x)`; derivative `sigmoid(x) = 1 - e^-y`.
#[derive(Clone, Copy)]
pub struct Softplus;

impl Pointwise for Softplus {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        math::softplus::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        -math::expm1::<FMA>(-y)
    }
}

/// `x / (1 + |x|)`; derivative `1 / (1 + |x|)^2`.
#[derive(Clone, Copy)]
pub struct Softsign;

impl Pointwise for Softsign {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        x / (1.0 + x.abs())
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let d = 1.0 + x.abs();
        1.0 / (d * d)
    }
}

/// `min(max(x + 3, 0), 6) / 6`.
#[derive(Clone, Copy)]
pub struct HardSigmoid;

impl Pointwise for HardSigmoid {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        clamp(x + 3.0, 0.0, 6.0) / 6.0
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 && y < 1.0 { 1.0 / 6.0 } else { 0.0 }
    }
}

/// `min(max(0.2 x + 0.5, 0), 1)`: what Keras 1 and 2 called `hard_sigmoid`.
#[derive(Clone, Copy)]
pub struct HardSigmoidKeras2;

impl Pointwise for HardSigmoidKeras2 {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        clamp(0.2 * x + 0.5, 0.0, 1.0)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 && y < 1.0 { 0.2 } else { 0.0 }
    }
}

/// `ln(sigmoid(x)) = -softplus(-x)`; derivative `sigmoid(-x) = 1 - e^y`.
#[derive(Clone, Copy)]
pub struct LogSigmoid;

impl Pointwise for LogSigmoid {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        -math::softplus::<FMA>(-x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        -math::expm1::<FMA>(y)
    }
}

/// `min(max((x + 1) / 2, 0), 1)`.
#[derive(Clone, Copy)]
pub struct SparseSigmoid;

impl Pointwise for SparseSigmoid {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        clamp(0.5 * (x + 1.0), 0.0, 1.0)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y > 0.0 && y < 1.0 { 0.5 } else { 0.0 }
    }
}

/// `x s` with `s = sigmoid(x)`; derivative `s + x s (1 - s)`.
#[derive(Clone, Copy)]
pub struct Silu;

impl Pointwise for Silu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        x * math::sigmoid::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let s = math::sigmoid::<FMA>(x);
        s + x * s * (1.0 - s)
    }
}

/// `x hard_sigmoid(x)`.
#[derive(Clone, Copy)]
pub struct HardSilu;

impl Pointwise for HardSilu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        x * HardSigmoid.value::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let inside = x > -3.0 && x < 3.0;
        HardSigmoid.value::<FMA>(x) + if inside { x / 6.0 } else { 0.0 }
    }
}

/// `x P` with the normal distribution's `P(x) = (1 + erf(x / sqrt(2))) / 2`; derivative `P + x e^(-x^2 / 2) / sqrt(2 pi)`.
#[derive(Clone, Copy)]
pub struct Gelu;

impl Pointwise for Gelu {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        x * normal::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let density = math::exp_nonpositive::<FMA>(-0.5 * x * x) * SQRT_HALF * FRAC_1_SQRT_PI;
        normal::<FMA>(x) + x * density
    }
}

/// `x (1 + tanh(u)) / 2 = x s` with `s = sigmoid(2 u)`, `u = sqrt(2 / pi) (x + 0.044715 x^3)`; derivative `s + x s (1 - s) 2 u'`.
#[derive(Clone, Copy)]
pub struct GeluTanh;

impl Pointwise for GeluTanh {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        x * math::sigmoid::<FMA>(TWICE_SQRT_2_PI * x * (1.0 + 0.044715 * x * x))
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let square = x * x;
        let s = math::sigmoid::<FMA>(TWICE_SQRT_2_PI * x * (1.0 + 0.044715 * square));
        let bell = s * (1.0 - s);
        s + x * bell * TWICE_SQRT_2_PI * (1.0 + 0.134145 * square)
    }
}

/// `x tanh(softplus(x)) = x n / (n + 2)` with `n = e (e + 2)`, `e = e^x`; derivative `n / (n + 2) + 4 x e (1 + e) / (n + 2)^2`.
#[derive(Clone, Copy)]
pub struct Mish;

impl Pointwise for Mish {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        let e = math::exp::<FMA>(if x > 20.0 { 20.0 } else { x });
        let n = e * (e + 2.0);
        x * (n / (n + 2.0))
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let e = math::exp::<FMA>(if x > 20.0 { 20.0 } else { x });
        let n = e * (e + 2.0);
        let d = 1.0 / (n + 2.0);
        n * d + 4.0 * x * (e * d) * ((1.0 + e) * d)
    }
}

/// `min(max(x, -1), 1)`.
#[derive(Clone, Copy)]
pub struct HardTanh;

impl Pointwise for HardTanh {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        clamp(x, -1.0, 1.0)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        if (-1.0..=1.0).contains(&x) { 1.0 } else { 0.0 }
    }
}

/// `x - tanh(x)`; derivative `tanh(x)^2`.
#[derive(Clone, Copy)]
pub struct TanhShrink;

impl Pointwise for TanhShrink {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        x - math::tanh::<FMA>(x)
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        let t = math::tanh::<FMA>(x);
        t * t
    }
}

/// 0 within `[-threshold, threshold]`, else `x`.
#[derive(Clone, Copy)]
pub struct HardShrink(pub Float);

impl Pointwise for HardShrink {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x.abs() <= self.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y == 0.0 { 0.0 } else { 1.0 }
    }
}

/// 0 within `[-threshold, threshold]`, else `x` moved towards 0 by the threshold.
#[derive(Clone, Copy)]
pub struct SoftShrink(pub Float);

impl Pointwise for SoftShrink {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x.abs() <= self.0 {
            0.0
        } else {
            x - self.0.copysign(x)
        }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y == 0.0 { 0.0 } else { 1.0 }
    }
}

/// `x` above the threshold, else the default value.
#[derive(Clone, Copy)]
pub struct Threshold {
    pub threshold: Float,
    pub default: Float,
}

impl Pointwise for Threshold {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        if x <= self.threshold { self.default } else { x }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, x: Float) -> Float {
        if x > self.threshold { 1.0 } else { 0.0 }
    }
}

/// 0 up to -1, `x` from 1 on, between them `(x + 1)^2 / 4`; derivative `min(sqrt(y), 1)`.
#[derive(Clone, Copy)]
pub struct SparsePlus;

impl Pointwise for SparsePlus {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        let root = 0.5 * (x + 1.0);
        let inside = if x <= -1.0 { 0.0 } else { root * root };
        if x >= 1.0 { x } else { inside }
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        if y < 1.0 { y.sqrt() } else { 1.0 }
    }
}

/// `(x + sqrt(x^2 + b)) / 2`; derivative `y^2 / (y^2 + b / 4)`.
#[derive(Clone, Copy)]
pub struct Squareplus(pub Float);

impl Pointwise for Squareplus {
    #[inline(always)]
    fn value<const FMA: bool>(self, x: Float) -> Float {
        0.5 * (x + (x * x + self.0).sqrt())
    }

    #[inline(always)]
    fn slope<const FMA: bool>(self, y: Float) -> Float {
        1.0 / (1.0 + 0.25 * self.0 / (y * y))
    }
}
