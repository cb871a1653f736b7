//! The laws themselves. Random numbers are drawn in the order of the weight's elements.

use ndarray::{Array2, ArrayView2, Axis, linalg::general_mat_mul, s};

use super::{Initializer, stft::stft};
use crate::{
    error::{Error, Result},
    float::Float,
    random::Rng,
};

pub(super) const DISTRIBUTIONS: [&str; 4] = [
    "truncated_normal",
    "untruncated_normal",
    "uniform",
    "normal",
];

/// Standard deviation of a standard normal that is cut off at two standard deviations.
const TRUNCATED_STDDEV: f64 = 0.879_625_661_034_239_8;

/// Number of inputs and outputs of one unit: `(fan_in, fan_out)`.
///
/// A matrix is `(inputs, outputs)`; a convolution kernel is `(.., channels, filters)`, where each output sees the whole
/// receptive field.
///
/// ```
/// use oxhorn::initializer::compute_fans;
///
/// assert_eq!(compute_fans(&[30, 64]), (30, 64));
/// assert_eq!(compute_fans(&[3, 3, 16, 32]), (144, 288));
/// ```
pub fn compute_fans(shape: &[usize]) -> (usize, usize) {
    match *shape {
        [] => (1, 1),
        [n] => (n, n),
        [ref field @ .., inputs, outputs] => {
            let field: usize = field.iter().product();
            (field * inputs, field * outputs)
        }
    }
}

impl Initializer {
    /// Fills a weight of that shape. An error if the law has no values for such a shape, or fails [`Initializer::check`].
    pub fn fill(&self, shape: &[usize], rng: &mut Rng, out: &mut [Float]) -> Result<()> {
        debug_assert_eq!(shape.iter().product::<usize>(), out.len());
        match self.own_seed() {
            Some(seed) => self.draw(shape, &mut Rng::new(seed), out),
            None => self.draw(shape, rng, out),
        }
    }

    fn draw(&self, shape: &[usize], rng: &mut Rng, out: &mut [Float]) -> Result<()> {
        match self {
            Self::Zeros => out.fill(0.0),
            Self::Ones => out.fill(1.0),
            Self::Constant { value } => out.fill(*value as Float),
            Self::Identity { gain } => identity(*gain, shape, out)?,
            Self::RandomNormal { mean, stddev, .. } => {
                fill(out, || mean + stddev * f64::from(rng.normal()));
            }
            Self::TruncatedNormal { mean, stddev, .. } => {
                fill(out, || mean + stddev * f64::from(rng.truncated_normal()));
            }
            Self::RandomUniform { minval, maxval, .. } => uniform(*minval, *maxval, rng, out),
            Self::Orthogonal { gain, .. } => orthogonal(*gain, shape, rng, out)?,
            Self::STFT {
                side,
                window,
                scaling,
                periodic,
            } => stft(side, window, scaling.as_deref(), *periodic, shape, out)?,
            Self::Custom(custom) => (custom.function)(shape, rng, out),
            Self::Invalid(_) => self.check("initializer")?,
            _ => self.scale_variance(shape, rng, out)?,
        }
        Ok(())
    }

    /// Scale, mode and distribution of the laws that depend on the fans.
    pub(super) fn scaling(&self) -> Option<(f64, &str, &str)> {
        Some(match self {
            Self::VarianceScaling {
                scale,
                mode,
                distribution,
                ..
            } => (*scale, mode, distribution),
            Self::GlorotUniform { .. } => (1.0, "fan_avg", "uniform"),
            Self::GlorotNormal { .. } => (1.0, "fan_avg", "truncated_normal"),
            Self::HeUniform { .. } => (2.0, "fan_in", "uniform"),
            Self::HeNormal { .. } => (2.0, "fan_in", "truncated_normal"),
            Self::LecunUniform { .. } => (1.0, "fan_in", "uniform"),
            Self::LecunNormal { .. } => (1.0, "fan_in", "truncated_normal"),
            _ => return None,
        })
    }

    /// Mean 0, variance `scale / n`.
    fn scale_variance(&self, shape: &[usize], rng: &mut Rng, out: &mut [Float]) -> Result<()> {
        let Some((scale, mode, distribution)) = self.scaling() else {
            return Ok(());
        };
        let (fan_in, fan_out) = self.fans(shape)?;
        let n = match mode {
            "fan_in" => fan_in as f64,
            "fan_out" => fan_out as f64,
            _ => (fan_in + fan_out) as f64 / 2.0,
        };
        let variance = scale / n.max(1.0);
        match distribution {
            "uniform" => {
                let limit = (3.0 * variance).sqrt();
                uniform(-limit, limit, rng, out);
            }
            "untruncated_normal" => {
                let stddev = variance.sqrt();
                fill(out, || stddev * f64::from(rng.normal()));
            }
            _ => {
                let stddev = variance.sqrt() / TRUNCATED_STDDEV;
                fill(out, || stddev * f64::from(rng.truncated_normal()));
            }
        }
        Ok(())
    }

    /// [`compute_fans`], or the products of the axes that are named.
    fn fans(&self, shape: &[usize]) -> Result<(usize, usize)> {
        let Self::VarianceScaling {
            input_axes: Some(input),
            output_axes: Some(output),
            ..
        } = self
        else {
            return Ok(compute_fans(shape));
        };
        let size = |&axis: &isize| {
            let from_end = if axis < 0 { shape.len() as isize } else { 0 };
            let size = usize::try_from(axis + from_end)
                .ok()
                .and_then(|a| shape.get(a));
            size.copied().ok_or_else(|| {
                Error::shape(
                    format!("a weight with an axis {axis}"),
                    format!("{shape:?}"),
                )
            })
        };
        let product = |axes: &[isize]| axes.iter().map(size).product::<Result<usize>>();
        Ok((product(input)?, product(output)?))
    }
}

fn fill(out: &mut [Float], mut draw: impl FnMut() -> f64) {
    for w in out {
        *w = draw() as Float;
    }
}

fn uniform(low: f64, high: f64, rng: &mut Rng, out: &mut [Float]) {
    fill(out, || low + (high - low) * f64::from(rng.uniform()));
}

/// `gain` on the diagonal of a matrix, square or not.
fn identity(gain: f64, shape: &[usize], out: &mut [Float]) -> Result<()> {
    let &[_, columns] = shape else {
        return Err(Error::shape(
            "a matrix for `Identity`",
            format!("{shape:?}"),
        ));
    };
    out.fill(0.0);
    let diagonal = shape[0].min(columns);
    for i in 0..diagonal {
        out[i * columns + i] = gain as Float;
    }
    Ok(())
}

/// A matrix `(product of the leading axes, last axis)` of orthonormal vectors, each as long as the longer side.
fn orthogonal(gain: f64, shape: &[usize], rng: &mut Rng, out: &mut [Float]) -> Result<()> {
    let [leading @ .., columns] = shape else {
        return Err(no_matrix(shape));
    };
    if leading.is_empty() {
        return Err(no_matrix(shape));
    }
    let (rows, columns) = (leading.iter().product::<usize>(), *columns);
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors = Array2::from_shape_simple_fn((count, length), || f64::from(rng.normal()));
    orthonormalise(&mut vectors);
    let matrix: ArrayView2<f64> = match rows < columns {
        true => vectors.view(),
        false => vectors.t(),
    };
    for (w, q) in out.iter_mut().zip(matrix.iter()) {
        *w = (gain * q) as Float;
    }
    Ok(())
}

fn no_matrix(shape: &[usize]) -> Error {
    Error::shape("at least two axes for `Orthogonal`", format!("{shape:?}"))
}

/// Makes the rows orthonormal: Gram-Schmidt in blocks, each block twice, which is accurate to the last digits.
///
/// This is the Q of a QR decomposition whose R has a positive diagonal, which is what makes a Gaussian matrix uniform among
/// the orthogonal ones.
fn orthonormalise(vectors: &mut Array2<f64>) {
    const BLOCK: usize = 32;
    let count = vectors.nrows();
    for start in (0..count).step_by(BLOCK) {
        let end = count.min(start + BLOCK);
        for _ in 0..2 {
            let (done, mut rest) = vectors.view_mut().split_at(Axis(0), start);
            let mut block = rest.slice_mut(s![..end - start, ..]);
            let dots = block.dot(&done.t());
            general_mat_mul(-1.0, &dots, &done, 1.0, &mut block);
            for i in 0..end - start {
                let (before, mut from) = block.view_mut().split_at(Axis(0), i);
                let mut row = from.row_mut(0);
                for unit in before.rows() {
                    let dot = unit.dot(&row);
                    row.scaled_add(-dot, &unit);
                }
                let norm = row.dot(&row).sqrt();
                row /= norm;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 2] = [200, 300];

    fn filled(law: &Initializer, shape: &[usize]) -> Vec<f64> {
        let mut out = vec![Float::NAN; shape.iter().product()];
        law.fill(shape, &mut Rng::new(11), &mut out).unwrap();
        out.into_iter().map(|w| w as f64).collect()
    }

    /// Mean, standard deviation and largest distance from the given centre.
    fn law(name: &str, centre: f64) -> (f64, f64, f64) {
        moments(&filled(&name.into(), &SHAPE), centre)
    }

    fn moments(w: &[f64], centre: f64) -> (f64, f64, f64) {
        let n = w.len() as f64;
        let mean = w.iter().sum::<f64>() / n;
        let variance = w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / n;
        let far = w.iter().map(|w| (w - centre).abs()).fold(0.0, f64::max);
        (mean, variance.sqrt(), far)
    }

    #[test]
    fn laws_that_depend_on_the_fans() {
        // 60000 draws: the mean is within 5 / 245 standard deviations, the deviation within 2 %.
        for (name, variance, reach) in [
            ("glorot_uniform", 2.0 / 500.0, 3.0f64.sqrt()),
            ("he_uniform", 2.0 / 200.0, 3.0f64.sqrt()),
            ("lecun_uniform", 1.0 / 200.0, 3.0f64.sqrt()),
            ("glorot_normal", 2.0 / 500.0, 2.0 / TRUNCATED_STDDEV),
            ("he_normal", 2.0 / 200.0, 2.0 / TRUNCATED_STDDEV),
            ("lecun_normal", 1.0 / 200.0, 2.0 / TRUNCATED_STDDEV),
            ("variance_scaling", 1.0 / 200.0, 2.0 / TRUNCATED_STDDEV),
        ] {
            let want = f64::sqrt(variance);
            let (mean, stddev, far) = law(name, 0.0);
            assert!(mean.abs() < 0.02 * want, "{name}: mean {mean}");
            assert!(
                (stddev / want - 1.0).abs() < 0.02,
                "{name}: {stddev} {want}"
            );
            assert!(far <= reach * want * 1.000_001 && far > 0.99 * reach * want);
        }
    }

    #[test]
    fn laws_with_their_own_scale() {
        let (mean, stddev, far) = law("random_uniform", 0.0);
        assert!(mean.abs() < 0.001 && (stddev - 0.1 / 12.0f64.sqrt()).abs() < 0.0005);
        assert!(far <= 0.050_000_1);
        let (mean, stddev, far) = law("random_normal", 0.0);
        assert!(mean.abs() < 0.001 && (stddev - 0.05).abs() < 0.001 && far > 0.15);
        let truncated = Initializer::TruncatedNormal {
            mean: 3.0,
            stddev: 0.5,
            seed: None,
        };
        let (mean, stddev, far) = moments(&filled(&truncated, &SHAPE), 3.0);
        assert!((mean - 3.0).abs() < 0.01 && (stddev - 0.5 * TRUNCATED_STDDEV).abs() < 0.005);
        assert!(far <= 1.000_001);
        assert_eq!(
            filled(&Initializer::Constant { value: 0.5 }, &[3]),
            [0.5; 3]
        );
        assert_eq!(filled(&"ones".into(), &[2]), [1.0; 2]);
        assert_eq!(filled(&"zeros".into(), &[2]), [0.0; 2]);
    }

    #[test]
    fn modes_and_distributions() {
        for (mode, n) in [("fan_in", 200.0), ("fan_out", 300.0), ("fan_avg", 250.0)] {
            for distribution in DISTRIBUTIONS {
                let scaling = Initializer::VarianceScaling {
                    scale: 3.0,
                    mode: mode.into(),
                    distribution: distribution.into(),
                    seed: Some(1),
                    input_axes: None,
                    output_axes: None,
                };
                let (_, stddev, _) = moments(&filled(&scaling, &SHAPE), 0.0);
                assert!((stddev / f64::sqrt(3.0 / n) - 1.0).abs() < 0.02);
            }
        }
    }

    #[test]
    fn fans() {
        assert_eq!(compute_fans(&[]), (1, 1));
        assert_eq!(compute_fans(&[7]), (7, 7));
        assert_eq!(compute_fans(&[3, 3, 16, 32]), (144, 288));
        let axes = |input: &[isize]| Initializer::VarianceScaling {
            scale: 1.0,
            mode: "fan_in".into(),
            distribution: "uniform".into(),
            seed: None,
            input_axes: Some(input.to_vec()),
            output_axes: Some(vec![-1, -2]),
        };
        assert_eq!(axes(&[0]).fans(&[5, 4, 6]).unwrap(), (5, 24));
        assert!(axes(&[3]).fans(&[5, 4, 6]).is_err());
    }

    #[test]
    fn orthogonal_vectors_are_orthonormal() {
        // Tall, wide, a convolution kernel, and more vectors than one block holds.
        for shape in [vec![20, 7], vec![7, 20], vec![3, 3, 4, 10], vec![100, 100]] {
            let columns = *shape.last().unwrap();
            let q = filled(&Initializer::from("orthogonal"), &shape);
            let q = Array2::from_shape_vec((q.len() / columns, columns), q).unwrap();
            let gram = match q.nrows() < q.ncols() {
                true => q.dot(&q.t()),
                false => q.t().dot(&q),
            };
            let error = (gram - Array2::<f64>::eye(columns.min(q.nrows()))).mapv(f64::abs);
            assert!(error.iter().all(|e| *e < 1e-5), "{shape:?}");
        }
    }

    #[test]
    fn orthogonal_matrices_are_uniform() {
        // The sign fix: without it the diagonal of a 1x1 matrix would always have one sign.
        let law = Initializer::from("orthogonal");
        let mut rng = Rng::new(0);
        let mut w = [0.0; 1];
        let positive = (0..1000).filter(|_| {
            law.fill(&[1, 1], &mut rng, &mut w).unwrap();
            w[0] > 0.0
        });
        assert!((430..570).contains(&positive.count()));
    }

    #[test]
    fn identity_and_shapes_that_do_not_fit() {
        let identity = Initializer::Identity { gain: 2.0 };
        assert_eq!(filled(&identity, &[2, 3]), [2.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
        let fails = |law: &str, shape: &[usize]| {
            let mut out = vec![0.0; shape.iter().product()];
            let error = Initializer::from(law).fill(shape, &mut Rng::new(0), &mut out);
            error.unwrap_err().to_string()
        };
        assert!(fails("identity", &[2, 2, 2]).contains("a matrix for `Identity`, got [2, 2, 2]"));
        assert!(fails("orthogonal", &[4]).contains("at least two axes"));
        assert!(fails("stft", &[4, 4]).contains("frame_length"));
        assert!(fails("nothing", &[4]).contains("unknown initializer"));
    }

    #[test]
    fn a_seed_of_its_own_beats_the_models() {
        let fill = |law: &Initializer, seed| {
            let mut w = [0.0; 8];
            law.fill(&[2, 4], &mut Rng::new(seed), &mut w).unwrap();
            w
        };
        let free = Initializer::from("he_normal");
        assert_eq!(fill(&free, 1), fill(&free, 1));
        assert_ne!(fill(&free, 1), fill(&free, 2));
        let fixed = free.clone().seed(1);
        assert_eq!(fill(&fixed, 5), fill(&fixed, 6));
        assert_eq!(fill(&fixed, 5), fill(&free, 1));
    }
}
