//! Random numbers: two generators, both seeded, neither global.
//!
//! * [`Rng`] is a sequence with a state: initial weights, shuffles, splits.
//! * [`Stream`] has no state. It is a function of (seed, step, node, sample): dropout masks and noise come out the same
//!   whatever the number of threads, and the backward pass can make the forward pass's mask again instead of keeping it.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rand_distr::{Distribution, StandardNormal};

use crate::float::Float;

/// A seed, as an argument that cannot be mistaken for another number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

/// A seeded sequence of random numbers.
///
/// ```
/// use oxhorn::random::Rng;
///
/// let (mut a, mut b) = (Rng::new(7), Rng::new(7));
/// assert_eq!(a.permutation(5), b.permutation(5));
/// assert_eq!(a.normal(), b.normal());
/// assert!((0.0..1.0).contains(&a.uniform()));
/// ```
#[derive(Debug)]
pub struct Rng(StdRng);

impl Rng {
    /// The sequence that belongs to this seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// An independent sequence; this one moves on.
    pub fn split(&mut self) -> Rng {
        Self(StdRng::from_rng(&mut self.0))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.random()
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> Float {
        unit(self.next_u64())
    }

    /// Normal with mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> Float {
        let z: f64 = StandardNormal.sample(&mut self.0);
        z as Float
    }

    /// Like [`Rng::normal`], drawn again until it is within `[-2, 2]` (standard deviation 0.8796).
    pub fn truncated_normal(&mut self) -> Float {
        loop {
            let z = self.normal();
            if z.abs() <= 2.0 {
                return z;
            }
        }
    }

    /// Uniform in `0..n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        self.0.random_range(0..n as u64) as usize
    }

    /// Brings the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }

    /// The numbers `0..n` in a random order.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        self.shuffle(&mut order);
        order
    }
}

/// The randomness of one layer call in one training step: a function of (seed, step, node) that is asked per sample.
///
/// ```
/// use oxhorn::random::Stream;
///
/// let stream = Stream::new(7, 0, 3);
/// let (mut forward, mut backward) = ([1.0; 1000], [1.0; 1000]);
/// stream.at(12).dropout(0.25, &mut forward);
/// stream.at(12).dropout(0.25, &mut backward);
/// assert_eq!(forward, backward);
/// assert_eq!(forward.iter().filter(|&&y| y == 0.0).count(), 242);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(u64);

impl Stream {
    /// The stream of a layer with a seed of its own at the same place and step.
    pub fn reseeded(self, seed: u64) -> Self {
        Self(mix(self.0 ^ mix(seed)))
    }

    /// The stream of this seed, training step and node of the graph.
    pub fn new(seed: u64, step: u64, node: u32) -> Self {
        let key = mix(seed ^ 0x6a09_e667_f3bc_c909);
        let key = mix(key ^ step.wrapping_add(0xbb67_ae85_84ca_a73b));
        Self(mix(
            key ^ u64::from(node).wrapping_add(0x3c6e_f372_fe94_f82b)
        ))
    }

    /// The generator of one sample, always from its start.
    #[inline]
    pub fn at(self, sample: u64) -> SampleRng {
        SampleRng(mix(self.0 ^ mix(sample.wrapping_add(GOLDEN))))
    }
}

/// A tiny generator (wyrand: one multiplication per 64 bits) for masks and noise. Not for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRng(u64);

impl SampleRng {
    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// Uniform in `[0, 1)`.
    #[inline]
    pub fn uniform(&mut self) -> Float {
        unit(self.next_u64())
    }

    /// Normal with mean 0 and standard deviation 1.
    #[inline]
    pub fn normal(&mut self) -> Float {
        let z: f64 = StandardNormal.sample(self);
        z as Float
    }

    /// Fills with [`SampleRng::uniform`].
    pub fn fill_uniform(&mut self, out: &mut [Float]) {
        for y in out {
            *y = self.uniform();
        }
    }

    /// Fills with [`SampleRng::normal`].
    pub fn fill_normal(&mut self, out: &mut [Float]) {
        for y in out {
            *y = self.normal();
        }
    }

    /// Dropout in place: each value becomes 0 with probability `rate`, else `value / (1 - rate)`.
    pub fn dropout(&mut self, rate: f64, values: &mut [Float]) {
        let scale = keep_scale(rate);
        self.choose(rate, values, |v| *v *= scale);
    }

    /// The mask of [`SampleRng::dropout`]: 0 with probability `rate`, else `1 / (1 - rate)`.
    pub fn dropout_mask(&mut self, rate: f64, mask: &mut [Float]) {
        let scale = keep_scale(rate);
        self.choose(rate, mask, |m| *m = scale);
    }

    /// Sets a value to 0 with probability `rate`, else calls `keep` on it: 32 random bits against a threshold.
    #[inline]
    fn choose(&mut self, rate: f64, values: &mut [Float], keep: impl Fn(&mut Float)) {
        // In 0..=2^32: rate 0 drops nothing, rate 1 everything.
        let threshold = (rate.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64;
        let select = |v: &mut Float, bits: u64| {
            keep(v);
            if bits < threshold {
                *v = 0.0;
            }
        };
        let mut pairs = values.chunks_exact_mut(2);
        for pair in &mut pairs {
            let bits = self.next_u64();
            select(&mut pair[0], bits >> 32);
            select(&mut pair[1], bits & 0xffff_ffff);
        }
        for v in pairs.into_remainder() {
            select(v, self.next_u64() >> 32);
        }
    }
}

/// Lets the distributions of `rand_distr` draw from it.
impl rand::TryRng for SampleRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64: a bijection after which every bit of the input has changed every bit with probability 1/2.
#[inline]
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The high bits as a number in `[0, 1)`: as many as the mantissa holds, so that it never rounds up to 1.
#[inline]
fn unit(bits: u64) -> Float {
    const DIGITS: u32 = Float::MANTISSA_DIGITS;
    (bits >> (64 - DIGITS)) as Float / (1u64 << DIGITS) as Float
}

/// `1 / (1 - rate)`, and 0 where nothing is kept.
fn keep_scale(rate: f64) -> Float {
    if rate < 1.0 {
        (1.0 / (1.0 - rate.max(0.0))) as Float
    } else {
        0.0
    }
}

static NEXT_SEED: AtomicU64 = AtomicU64::new(0);

/// Restarts the numbering of models without a seed of their own: the next gets `seed`, the one after it `seed + 1`, ...
///
/// Keras's `utils.set_random_seed`.
pub fn set_random_seed(seed: u64) {
    NEXT_SEED.store(seed, Ordering::Relaxed);
}

/// Seed of a model that was given none.
pub(crate) fn next_seed() -> u64 {
    NEXT_SEED.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance.
    fn moments(values: impl IntoIterator<Item = Float>) -> (f64, f64) {
        let v: Vec<f64> = values.into_iter().map(f64::from).collect();
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64;
        (mean, variance)
    }

    fn near(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() < tolerance, "{got} is not {want}");
    }

    #[test]
    fn rng_laws() {
        let mut rng = Rng::new(1);
        let n = 100_000;
        let (mean, variance) = moments((0..n).map(|_| rng.uniform()));
        near(mean, 0.5, 0.005);
        near(variance, 1.0 / 12.0, 0.002);
        let (mean, variance) = moments((0..n).map(|_| rng.normal()));
        near(mean, 0.0, 0.015);
        near(variance, 1.0, 0.02);
        let (mean, variance) = moments((0..n).map(|_| rng.truncated_normal()));
        near(mean, 0.0, 0.015);
        near(variance, 0.879_625_661_f64.powi(2), 0.02);
        let mut counts = [0; 3];
        (0..n).for_each(|_| counts[rng.below(3)] += 1);
        assert!(counts.iter().all(|c| (32_500..34_200).contains(c)));
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_split_is_independent_of_its_parent() {
        let mut parent = Rng::new(3);
        let mut child = parent.split();
        let products = (0..50_000).map(|_| parent.normal() * child.normal());
        near(moments(products).0, 0.0, 0.02);
        let mut order = Rng::new(3).permutation(1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &v)| i as u32 == v));
    }

    #[test]
    fn stream_laws() {
        let (mut u, mut z) = (vec![0.0; 100_000], vec![0.0; 100_000]);
        Stream::new(1, 2, 3).at(4).fill_uniform(&mut u);
        Stream::new(1, 2, 3).at(5).fill_normal(&mut z);
        assert!(u.iter().all(|x| (0.0..1.0).contains(x)));
        let (mean, variance) = moments(u.iter().copied());
        near(mean, 0.5, 0.005);
        near(variance, 1.0 / 12.0, 0.002);
        let (mean, variance) = moments(z.iter().copied());
        near(mean, 0.0, 0.015);
        near(variance, 1.0, 0.02);
        // Neighbours in one stream do not know of each other.
        let (covariance, _) = moments(z.windows(2).map(|p| p[0] * p[1]));
        near(covariance, 0.0, 0.015);
    }

    #[test]
    fn streams_that_differ_in_one_coordinate_are_independent() {
        let base = Stream::new(1, 2, 3);
        assert_eq!(base.at(9).next_u64(), Stream::new(1, 2, 3).at(9).next_u64());
        let others = [
            Stream::new(2, 2, 3),
            Stream::new(1, 3, 3),
            Stream::new(1, 2, 4),
            Stream::new(2, 1, 3),
            Stream::new(3, 2, 1),
        ];
        // The first draws of 20000 samples, against the same samples of another stream and against the next sample.
        let first = |stream: Stream, i: u64| stream.at(i).normal();
        for other in others {
            let products = (0..20_000).map(|i| first(base, i) * first(other, i));
            near(moments(products).0, 0.0, 0.03);
        }
        let products = (0..20_000).map(|i| first(base, i) * first(base, i + 1));
        near(moments(products).0, 0.0, 0.03);
        let (mean, variance) = moments((0..20_000).map(|i| first(base, i)));
        near(mean, 0.0, 0.03);
        near(variance, 1.0, 0.04);
    }

    #[test]
    fn dropout_keeps_the_expected_share_and_the_mean() {
        let n = 200_001;
        for rate in [0.1, 0.5, 0.9] {
            let mut mask = vec![Float::NAN; n];
            Stream::new(5, 0, 0).at(0).dropout_mask(rate, &mut mask);
            let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / n as f64;
            near(dropped, rate, 0.004);
            near(moments(mask.iter().copied()).0, 1.0, 0.025);
            // Both halves of the 64 bits are used, independently of each other.
            let both = mask.chunks_exact(2).filter(|p| p[0] == 0.0 && p[1] == 0.0);
            near(both.count() as f64 / (n / 2) as f64, rate * rate, 0.006);
            let mut y = vec![2.0; n];
            Stream::new(5, 0, 0).at(0).dropout(rate, &mut y);
            assert!(y.iter().zip(&mask).all(|(y, m)| *y == 2.0 * m));
        }
    }

    #[test]
    fn dropout_at_the_ends() {
        let mut y = [1.0, 2.0, 3.0];
        Stream::new(0, 0, 0).at(0).dropout(0.0, &mut y);
        assert_eq!(y, [1.0, 2.0, 3.0]);
        Stream::new(0, 0, 0).at(0).dropout(1.0, &mut y);
        assert_eq!(y, [0.0; 3]);
    }
}
