//! Elementary functions of one number, branch-free, so that loops over them vectorise inside [`simd_fn!`](super::simd).
//!
//! `f32`: polynomials; the bounds below are checked by the tests. NaN passes through: it is why clamping is written
//! `if x > hi { hi } else { x }`. `f64` (`--cfg float64`): the standard library's, for gradient tests.
#[cfg(not(float64))]
pub use single::*;

#[cfg(float64)]
pub use double::*;

use crate::float::Float;

/// `a * b + c`, in one instruction and rounding where the level has it.
#[inline(always)]
pub fn fma<const FMA: bool>(a: Float, b: Float, c: Float) -> Float {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The nearer of `lo..=hi`; NaN stays NaN.
#[inline(always)]
pub fn clamp(x: Float, lo: Float, hi: Float) -> Float {
    let x = if x > hi { hi } else { x };
    if x < lo { lo } else { x }
}

/// `ln(1 + e^x)` without overflow: `max(x, 0) + ln(1 + e^-|x|)`.
#[inline(always)]
pub fn softplus<const FMA: bool>(x: Float) -> Float {
    let positive = if x > 0.0 { x } else { 0.0 };
    positive + log1p::<FMA>(exp_nonpositive::<FMA>(-x.abs()))
}

#[cfg(not(float64))]
mod single {
    use super::{clamp, fma};

    const LN2_HI: f32 = 0.693_359_4; // 355/512: times a small integer it is exact
    const LN2_LO: f32 = -2.121_944_4e-4;

    /// The polynomial with these coefficients, highest power first.
    #[inline(always)]
    fn polynomial<const FMA: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
        let mut sum = c[0];
        for &c in &c[1..] {
            sum = fma::<FMA>(sum, x, c);
        }
        sum
    }

    /// `2^k` for `-126 <= k <= 127`, 0 for -127, infinity for 128.
    #[inline(always)]
    fn pow2(k: i32) -> f32 {
        f32::from_bits((k.wrapping_add(127) as u32) << 23)
    }

    /// `x = k ln 2 + r` with `|r| <= ln 2 / 2`; `|x| < 2^21`.
    #[inline(always)]
    fn reduce<const FMA: bool>(x: f32) -> (i32, f32) {
        const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer, held in the low bits
        let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, SHIFT);
        let k = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
        let whole = shifted - SHIFT;
        let r = fma::<FMA>(whole, -LN2_HI, x);
        (k, fma::<FMA>(whole, -LN2_LO, r))
    }

    /// `e^r - 1` for `|r| <= ln 2 / 2`: `r + r^2 q(r)`.
    #[inline(always)]
    fn expm1_reduced<const FMA: bool>(r: f32) -> f32 {
        const Q: [f32; 5] = [
            0.001_394_655_3,
            0.008_366_644,
            0.041_666_28,
            0.166_665_42,
            0.5,
        ];
        fma::<FMA>(r * r, polynomial::<FMA, 5>(r, Q), r)
    }

    /// `e^x`, subnormal results included (1 ulp).
    #[inline(always)]
    pub fn exp<const FMA: bool>(x: f32) -> f32 {
        let (k, r) = reduce::<FMA>(clamp(x, -104.0, 89.0));
        let half = k >> 1;
        (1.0 + expm1_reduced::<FMA>(r)) * pow2(half) * pow2(k.wrapping_sub(half))
    }

    /// `e^x` for `x <= 0`: quicker than [`exp`]; 0 below -87.7, where `exp` has its last subnormals.
    #[inline(always)]
    pub fn exp_nonpositive<const FMA: bool>(x: f32) -> f32 {
        let x = if x < -88.0 { -88.0 } else { x };
        let (k, r) = reduce::<FMA>(x);
        (1.0 + expm1_reduced::<FMA>(r)) * pow2(k)
    }

    /// `e^x - 1`, accurate near 0 (2 ulp).
    #[inline(always)]
    pub fn expm1<const FMA: bool>(x: f32) -> f32 {
        let (k, r) = reduce::<FMA>(clamp(x, -18.0, 89.0));
        let half = pow2(k.wrapping_sub(1)); // 2^128 does not exist, 2^127 does
        2.0 * fma::<FMA>(half, expm1_reduced::<FMA>(r), half - 0.5)
    }

    /// `tanh x`: odd, exactly 1 from 9.02 on (3 ulp). With `m = e^2|x| - 1` it is `m / (m + 2)`.
    #[inline(always)]
    pub fn tanh<const FMA: bool>(x: f32) -> f32 {
        let double = x.abs() + x.abs();
        let (k, r) = reduce::<FMA>(if double > 20.0 { 20.0 } else { double });
        let scale = pow2(k);
        let m = fma::<FMA>(scale, expm1_reduced::<FMA>(r), scale - 1.0);
        (m / (m + 2.0)).copysign(x)
    }

    /// `1 / (1 + e^-x)` (3 ulp); 0 below -88.8.
    #[inline(always)]
    pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
        let (k, r) = reduce::<FMA>(clamp(-x, -80.0, 89.0)); // k <= 128
        let half = (1.0 + expm1_reduced::<FMA>(r)) * pow2(k.wrapping_sub(1)); // e^-x / 2
        1.0 / fma::<FMA>(half, 2.0, 1.0)
    }

    /// `u = 2^k m` with `sqrt(1/2) <= m < sqrt(2)`, for normal positive `u`.
    #[inline(always)]
    fn split(u: f32) -> (i32, f32) {
        let bits = u.to_bits();
        let k = (bits.wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits()) as i32) >> 23;
        (k, f32::from_bits(bits.wrapping_sub((k as u32) << 23)))
    }

    /// `k ln 2 + ln(1 + f)` for `sqrt(1/2) <= 1 + f < sqrt(2)`: `ln(1 + f) = f - f^2/2 + f^3 p(f)`.
    #[inline(always)]
    fn log_sum<const FMA: bool>(k: f32, f: f32) -> f32 {
        const P: [f32; 9] = [
            0.069_157_26,
            -0.117_912_7,
            0.118_736_01,
            -0.123_841_62,
            0.142_185_55,
            -0.166_692_57,
            0.200_022_31,
            -0.249_999_87,
            0.333_333_1,
        ];
        let square = f * f;
        let p = polynomial::<FMA, 9>(f, P) * f;
        let tail = fma::<FMA>(square, p - 0.5, k * LN2_LO);
        fma::<FMA>(k, LN2_HI, f + tail)
    }

    /// `ln x`: negative infinity at 0, NaN below (2 ulp).
    #[inline(always)]
    pub fn log<const FMA: bool>(x: f32) -> f32 {
        const SCALE: f32 = 8_388_608.0; // 2^23 makes subnormals normal
        let small = x < f32::MIN_POSITIVE;
        let (k, m) = split(if small { x * SCALE } else { x });
        let k = k as f32 - if small { 23.0 } else { 0.0 };
        log_domain(x, x, log_sum::<FMA>(k, m - 1.0))
    }

    /// `ln(1 + x)`, accurate near 0 (2 ulp). The rounding error of `1 + x` is carried along.
    #[inline(always)]
    pub fn log1p<const FMA: bool>(x: f32) -> f32 {
        let u = 1.0 + x;
        let rounded = u - 1.0;
        let error = (1.0 - (u - rounded)) + (x - rounded);
        let (k, m) = split(u);
        let f = fma::<FMA>(error, pow2(k.wrapping_neg().max(-126)), m - 1.0);
        log_domain(u, x, log_sum::<FMA>(k as f32, f))
    }

    /// The logarithm of `u`, where it has one; `x` where `u` is infinite.
    #[inline(always)]
    fn log_domain(u: f32, x: f32, log: f32) -> f32 {
        let inside = if u < f32::INFINITY { log } else { x };
        let outside = if u == 0.0 {
            f32::NEG_INFINITY
        } else {
            f32::NAN
        };
        if u > 0.0 { inside } else { outside }
    }

    /// The error function (1e-7). Below 1: `x p(x^2)`; above: `1 - e^-g(|x|)` with a polynomial `g = -ln erfc`.
    #[inline(always)]
    pub fn erf<const FMA: bool>(x: f32) -> f32 {
        const P: [f32; 7] = [
            7.847_245e-5,
            -8.008_354e-4,
            0.005_188_137_3,
            -0.026_853_722,
            0.112_835_83,
            -0.376_126_26,
            std::f32::consts::FRAC_2_SQRT_PI,
        ];
        const G: [f32; 7] = [
            -1.856_948e-4,
            0.002_940_841_7,
            -0.021_810_459,
            0.103_048_55,
            0.638_212_3,
            1.127_048_4,
            3.515_778_5e-4,
        ];
        let t = if x.abs() > 4.0 { 4.0 } else { x.abs() };
        let small = t * polynomial::<FMA, 7>(t * t, P);
        let large = 1.0 - exp_nonpositive::<FMA>(-polynomial::<FMA, 7>(t, G));
        (if t > 1.0 { large } else { small }).copysign(x)
    }
}

#[cfg(float64)]
mod double {
    /// `e^x`.
    #[inline(always)]
    pub fn exp<const FMA: bool>(x: f64) -> f64 {
        x.exp()
    }

    /// `e^x` for `x <= 0`.
    #[inline(always)]
    pub fn exp_nonpositive<const FMA: bool>(x: f64) -> f64 {
        x.exp()
    }

    /// `e^x - 1`.
    #[inline(always)]
    pub fn expm1<const FMA: bool>(x: f64) -> f64 {
        x.exp_m1()
    }

    /// `tanh x`.
    #[inline(always)]
    pub fn tanh<const FMA: bool>(x: f64) -> f64 {
        x.tanh()
    }

    /// `1 / (1 + e^-x)`.
    #[inline(always)]
    pub fn sigmoid<const FMA: bool>(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// `ln x`.
    #[inline(always)]
    pub fn log<const FMA: bool>(x: f64) -> f64 {
        x.ln()
    }

    /// `ln(1 + x)`.
    #[inline(always)]
    pub fn log1p<const FMA: bool>(x: f64) -> f64 {
        x.ln_1p()
    }

    /// The error function: `2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (2n+1)!!`, terms of one sign.
    #[inline(always)]
    pub fn erf<const FMA: bool>(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return 1f64.copysign(x);
        }
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-17 * sum.abs() {
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    }
}

#[cfg(all(test, not(float64)))]
mod tests {
    use super::*;

    /// From -120 to 120 closely, and both signs of every power of two and of infinity.
    fn points() -> impl Iterator<Item = f32> {
        let close = (-600_000..=600_000).map(|i| i as f32 * 2e-4 + 1e-5);
        let powers = (-149..128).map(|k| 2f64.powi(k) as f32);
        let far = powers.chain([f32::INFINITY, f32::MAX, 0.0]);
        close.chain(far.flat_map(|x| [x, -x]))
    }

    /// The largest error in units of the last place (of normal numbers), where `inside` says that the bound holds.
    fn worst(f: [fn(f32) -> f32; 2], want: fn(f64) -> f64, inside: fn(f32) -> bool) -> f64 {
        let mut worst: f64 = 0.0;
        for x in points().filter(|x| inside(*x)) {
            let exact = want(f64::from(x));
            let rounded = exact as f32;
            for got in f.map(|f| f(x)) {
                if got == rounded || (got.is_nan() && rounded.is_nan()) {
                    continue;
                }
                let size = rounded.abs().clamp(f32::MIN_POSITIVE, f32::MAX);
                let ulp = f64::from(size.next_up()) - f64::from(size);
                let error = (f64::from(got) - exact).abs() / ulp.abs();
                let error = if error.is_nan() { f64::INFINITY } else { error };
                worst = worst.max(error);
                assert!(error < 1e3, "at {x}: {got} instead of {exact}");
            }
        }
        worst
    }

    fn any(_: f32) -> bool {
        true
    }

    #[test]
    fn bounds_hold_everywhere() {
        assert!(worst([exp::<true>, exp::<false>], f64::exp, any) <= 1.5);
        assert!(worst([expm1::<true>, expm1::<false>], f64::exp_m1, any) <= 2.0);
        assert!(worst([tanh::<true>, tanh::<false>], f64::tanh, any) <= 3.0);
        assert!(worst([log::<true>, log::<false>], f64::ln, any) <= 2.0);
        assert!(worst([log1p::<true>, log1p::<false>], f64::ln_1p, any) <= 2.0);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let near = |x: f32| x > -80.0;
        assert!(worst([sigmoid::<true>, sigmoid::<false>], logistic, near) <= 3.0);
        let falling = |x: f32| (-87.0..=0.0).contains(&x);
        let fast = [exp_nonpositive::<true>, exp_nonpositive::<false>];
        assert!(worst(fast, f64::exp, falling) <= 1.5);
    }

    #[test]
    fn what_is_far_out_is_at_its_limit() {
        for x in points().filter(|x| *x < -89.0) {
            assert_eq!(sigmoid::<true>(x), 0.0, "{x}");
            assert_eq!(sigmoid::<false>(x), 0.0, "{x}");
            assert_eq!(exp_nonpositive::<true>(x), 0.0, "{x}");
            assert_eq!((erf::<true>(x), erf::<true>(-x)), (-1.0, 1.0), "{x}");
            assert_eq!((softplus::<true>(x), softplus::<true>(-x)), (0.0, -x));
        }
        for x in points().filter(|x| (-89.0..-80.0).contains(x)) {
            assert!((0.0..2e-35).contains(&sigmoid::<true>(x)), "{x}");
        }
    }
}
