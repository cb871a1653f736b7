//! Functions of two numbers and their derivatives, swept over slices.

use super::simd::simd_fn;
use crate::float::Float;

/// `f(a, b)` and its two derivatives; `#[inline(always)]`, so that sweeps vectorise.
pub trait Pair: Copy {
    /// `f(a, b)`.
    fn value(self, a: Float, b: Float) -> Float;
    /// The derivative by `a`.
    fn first(self, a: Float, b: Float) -> Float;
    /// The derivative by `b`.
    fn second(self, a: Float, b: Float) -> Float;
}

/// `f(b, a)`.
#[derive(Clone, Copy, Debug)]
pub struct Swap<U>(pub U);

impl<U: Pair> Pair for Swap<U> {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        self.0.value(b, a)
    }

    #[inline(always)]
    fn first(self, a: Float, b: Float) -> Float {
        self.0.second(b, a)
    }

    #[inline(always)]
    fn second(self, a: Float, b: Float) -> Float {
        self.0.first(b, a)
    }
}

/// `a + b`
#[derive(Clone, Copy, Debug)]
pub struct Add;

impl Pair for Add {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        a + b
    }

    #[inline(always)]
    fn first(self, _a: Float, _b: Float) -> Float {
        1.0
    }

    #[inline(always)]
    fn second(self, _a: Float, _b: Float) -> Float {
        1.0
    }
}

/// `a - b`
#[derive(Clone, Copy, Debug)]
pub struct Subtract;

impl Pair for Subtract {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        a - b
    }

    #[inline(always)]
    fn first(self, _a: Float, _b: Float) -> Float {
        1.0
    }

    #[inline(always)]
    fn second(self, _a: Float, _b: Float) -> Float {
        -1.0
    }
}

/// `a b`
#[derive(Clone, Copy, Debug)]
pub struct Multiply;

impl Pair for Multiply {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        a * b
    }

    #[inline(always)]
    fn first(self, _a: Float, b: Float) -> Float {
        b
    }

    #[inline(always)]
    fn second(self, a: Float, _b: Float) -> Float {
        a
    }
}

/// `a / b`
#[derive(Clone, Copy, Debug)]
pub struct Divide;

impl Pair for Divide {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        a / b
    }

    #[inline(always)]
    fn first(self, _a: Float, b: Float) -> Float {
        1.0 / b
    }

    #[inline(always)]
    fn second(self, a: Float, b: Float) -> Float {
        -a / (b * b)
    }
}

/// The larger one; of equals the gradient goes to the first.
#[derive(Clone, Copy, Debug)]
pub struct Maximum;

impl Pair for Maximum {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        // NaN wins.
        if a >= b || a.is_nan() { a } else { b }
    }

    #[inline(always)]
    fn first(self, a: Float, b: Float) -> Float {
        if a >= b { 1.0 } else { 0.0 }
    }

    #[inline(always)]
    fn second(self, a: Float, b: Float) -> Float {
        if a >= b { 0.0 } else { 1.0 }
    }
}

/// The smaller one; of equals the gradient goes to the first.
#[derive(Clone, Copy, Debug)]
pub struct Minimum;

impl Pair for Minimum {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        if a <= b || a.is_nan() { a } else { b }
    }

    #[inline(always)]
    fn first(self, a: Float, b: Float) -> Float {
        if a <= b { 1.0 } else { 0.0 }
    }

    #[inline(always)]
    fn second(self, a: Float, b: Float) -> Float {
        if a <= b { 0.0 } else { 1.0 }
    }
}

/// Any other function, by pointer: not vectorised.
#[derive(Clone, Copy, Debug)]
pub struct Pointers {
    /// `f(a, b)`
    pub value: fn(Float, Float) -> Float,
    /// The derivative by `a`.
    pub first: fn(Float, Float) -> Float,
    /// The derivative by `b`.
    pub second: fn(Float, Float) -> Float,
}

impl Pair for Pointers {
    #[inline(always)]
    fn value(self, a: Float, b: Float) -> Float {
        (self.value)(a, b)
    }

    #[inline(always)]
    fn first(self, a: Float, b: Float) -> Float {
        (self.first)(a, b)
    }

    #[inline(always)]
    fn second(self, a: Float, b: Float) -> Float {
        (self.second)(a, b)
    }
}

simd_fn! {
    /// `y = f(a, b)`.
    pub fn combine_to<FMA, U: Pair>(f: U, a: &[Float], b: &[Float], y: &mut [Float]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f.value(a, b);
        }
    }
}

simd_fn! {
    /// `y = f(y, b)`.
    pub fn combine<FMA, U: Pair>(f: U, b: &[Float], y: &mut [Float]) {
        for (y, &b) in y.iter_mut().zip(b) {
            *y = f.value(*y, b);
        }
    }
}

simd_fn! {
    /// `y = f(y, b)` for one `b`.
    pub fn combine_scalar<FMA, U: Pair>(f: U, b: Float, y: &mut [Float]) {
        for y in y {
            *y = f.value(*y, b);
        }
    }
}

simd_fn! {
    /// `dy *= ` the derivative of `f(a, b)` by `a`.
    pub fn slope<FMA, U: Pair>(f: U, a: &[Float], b: &[Float], dy: &mut [Float]) {
        for ((dy, &a), &b) in dy.iter_mut().zip(a).zip(b) {
            *dy *= f.first(a, b);
        }
    }
}

simd_fn! {
    /// `dy *= ` the derivative of `f(a, b)` by `a`, for one `b`.
    pub fn slope_scalar<FMA, U: Pair>(f: U, a: &[Float], b: Float, dy: &mut [Float]) {
        for (dy, &a) in dy.iter_mut().zip(a) {
            *dy *= f.first(a, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(f: impl Pair, ties: bool) {
        let h: Float = if cfg!(float64) { 1e-6 } else { 2e-3 };
        for i in 1..12 {
            for j in 1..12 {
                let (a, b) = (i as Float * 0.31 - 2.0, j as Float * 0.27 + 0.4);
                if ties && (a - b).abs() < 2.0 * h {
                    continue;
                }
                let d = |x: (Float, Float), y: (Float, Float)| {
                    (f.value(x.0, x.1) - f.value(y.0, y.1)) / (2.0 * h)
                };
                let (first, second) = (d((a + h, b), (a - h, b)), d((a, b + h), (a, b - h)));
                assert!((first - f.first(a, b)).abs() < 0.01 * (1.0 + first.abs()));
                assert!((second - f.second(a, b)).abs() < 0.01 * (1.0 + second.abs()));
                assert_eq!(f.value(a, b), Swap(f).value(b, a));
                assert_eq!(f.first(a, b), Swap(f).second(b, a));
            }
        }
    }

    #[test]
    fn derivatives_agree_with_differences() {
        check(Add, false);
        check(Subtract, false);
        check(Multiply, false);
        check(Divide, false);
        check(Maximum, true);
        check(Minimum, true);
    }

    #[test]
    fn sweeps_apply_the_function() {
        let (a, b) = ([1.0, 4.0, 9.0], [2.0, 2.0, 3.0]);
        let mut y = [0.0; 3];
        combine_to(Divide, &a, &b, &mut y);
        assert_eq!(y, [0.5, 2.0, 3.0]);
        combine(Subtract, &b, &mut y);
        assert_eq!(y, [-1.5, 0.0, 0.0]);
        combine_scalar(Swap(Subtract), 1.0, &mut y);
        assert_eq!(y, [2.5, 1.0, 1.0]);
        slope(Multiply, &a, &b, &mut y);
        assert_eq!(y, [5.0, 2.0, 3.0]);
        slope_scalar(Swap(Divide), &a, 16.0, &mut y); // 16 / a
        assert_eq!(y, [-80.0, -2.0, -3.0 * 16.0 / 81.0]);
        assert!(Maximum.value(Float::NAN, 1.0).is_nan() && Minimum.value(1.0, Float::NAN).is_nan());
    }
}
