//! What is drawn at random, besides [`Factor`](super::arguments::Factor)s.

use std::ops::Range;

use rand_distr::{Beta, Distribution, Gamma};

use super::augmentation::Image;
use crate::float::Float;
use crate::layer::{SampleRng, Stream};

/// A generator of its own.
pub(crate) fn fork(rng: &mut SampleRng) -> SampleRng {
    Stream::new(rng.next_u64(), 0, 0).at(0)
}

/// One of `0..n`.
pub(crate) fn below(n: usize, rng: &mut SampleRng) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// Beta distributed with both parameters `alpha`, which is positive.
pub(crate) fn beta(alpha: f64, rng: &mut SampleRng) -> Float {
    let drawn = Beta::new(alpha, alpha).map_or(f64::NAN, |beta| beta.sample(rng));
    // Next to `alpha = 0` it is one end or the other.
    match drawn.is_nan() {
        true => below(2, rng) as Float,
        false => drawn as Float,
    }
}

/// Gamma distributed with scale 1; `alpha` is positive.
pub(crate) fn gamma(alpha: f64, rng: &mut SampleRng) -> Float {
    Gamma::new(alpha, 1.0).map_or(1.0, |gamma| gamma.sample(rng)) as Float
}

/// The numbers `0..` in a random order.
pub(crate) fn permutation(rng: &mut SampleRng, order: &mut [u32]) {
    order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
    for i in (1..order.len()).rev() {
        order.swap(i, below(i + 1, rng));
    }
}

/// Rows and columns of a rectangle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

impl Region {
    /// A rectangle of these parts of the width and the height, anywhere in the image.
    pub(crate) fn draw(image: Image, width: Float, height: Float, rng: &mut SampleRng) -> Self {
        let mut side = |n: usize, part: Float| {
            let length = part * n as Float;
            let start = rng.uniform() * (n as Float - length);
            start.ceil() as usize..((start + length).ceil() as usize).min(n)
        };
        let columns = side(image.width, width);
        Region {
            rows: side(image.height, height),
            columns,
        }
    }

    /// Calls `f` with the place of every number in the rectangle, and its channel.
    pub(crate) fn each(&self, image: Image, mut f: impl FnMut(usize, usize)) {
        for row in self.rows.clone() {
            for column in self.columns.clone() {
                (0..image.channels).for_each(|c| f(image.at(row * image.width + column, c), c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::augmentation::testing::picture;
    use super::*;

    #[test]
    fn moments() {
        let mut rng = Stream::new(1, 2, 3).at(0);
        let mut moments = |draw: &mut dyn FnMut(&mut SampleRng) -> Float| {
            let draws: Vec<Float> = (0..20_000).map(|_| draw(&mut rng)).collect();
            let mean = draws.iter().sum::<Float>() / 20_000.0;
            (
                mean,
                draws.iter().map(|d| (d - mean).powi(2)).sum::<Float>() / 20_000.0,
            )
        };
        // Variance of Beta(a, a): 1 / (4 (2 a + 1)); of Gamma(a): a.
        for alpha in [0.2, 1.0, 3.0] {
            let (mean, variance) = moments(&mut |rng| beta(alpha, rng));
            let want = 0.25 / (2.0 * alpha as Float + 1.0);
            assert!((mean - 0.5).abs() < 0.01 && (variance - want).abs() < 0.005);
            let (mean, variance) = moments(&mut |rng| gamma(alpha, rng));
            let alpha = alpha as Float;
            assert!((mean / alpha - 1.0).abs() < 0.08 && (variance / alpha - 1.0).abs() < 0.15);
        }
        let (mean, variance) = moments(&mut |rng| beta(1e-6, rng));
        assert!((mean - 0.5).abs() < 0.02 && (variance - 0.25).abs() < 0.01);
    }

    #[test]
    fn orders_and_regions() {
        let mut rng = Stream::new(1, 2, 3).at(0);
        let mut order = [0; 50];
        permutation(&mut rng, &mut order);
        assert_ne!(order[..5], [0, 1, 2, 3, 4]);
        order.sort_unstable();
        assert!(order.iter().zip(0..).all(|(o, i)| *o == i));
        let (image, _) = picture(10, 20);
        let mut area = 0;
        for _ in 0..2000 {
            let region = Region::draw(image, 0.5, 0.25, &mut rng);
            assert!(region.rows.end <= 10 && region.columns.end <= 20);
            region.each(image, |_, _| area += 1);
        }
        assert!((area as Float / 2000.0 / 75.0 - 1.0).abs() < 0.02);
        assert_eq!(
            Region::draw(image, 1.0, 1.0, &mut rng),
            Region {
                rows: 0..10,
                columns: 0..20
            }
        );
    }
}
