//! AugMix: `y = clip(m x + (1 - m) sum_k w_k c_k(x))`, where every chain `c_k` does some changes, chosen at random, one after the other,
//! the `w_k` are from a Dirichlet distribution and `m` from `Beta(alpha, alpha)`.

use serde::{Deserialize, Serialize};

use super::image::arguments::{Factor, ValueRange, check_channels, check_positive};
use super::image::augmentation::{Augmentation, Image, pointwise};
use super::image::draws::{below, beta, fork, gamma};
use super::operations::{ALL, GEOMETRY, Operations, check_count};
use crate::error::Result;
use crate::float::Float;
use crate::kernels::elementwise::{axpy, scale};
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Mixes each image with what chains of random changes make of it, in training.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/image_augmentation/aug_mix/)
///
/// Input `(batch, height, width, 3)`, or channels behind the batch, and output likewise. In training each image has its own
/// draw; in inference nothing changes.
///
/// Changes are RandomShear, RandomTranslation, RandomRotation, RandomPosterization, Solarization, AutoContrast and Equalization, and with
/// `all_ops` RandomBrightness, RandomColorDegeneration, RandomContrast and RandomSharpness, or none. Keras chooses once for a batch, here
/// each image has its own choice; the histogram of Equalization is that of the image.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `value_range` | `[0, 255]` | smallest and largest value of pixels |
/// | `num_chains` | 3 | chains that are mixed |
/// | `chain_depth` | 3 | changes of a chain |
/// | `factor` | 0.3 | how strong changes are: between these, in `[0, 1]`; `f` is `[0, f]` |
/// | `alpha` | 1.0 | the larger, the more equal the parts |
/// | `all_ops` | true | whether changes of colour are among them |
/// | `interpolation` | `bilinear` | or `nearest` |
/// | `seed` | none | mixed with the model's seed into this layer's draws |
/// | `data_format` | `channels_last` | or `channels_first` |
///
/// ```
/// use oxhorn::{layers::AugMix, prelude::*};
/// let mut model = Sequential::new().input([1, 2, 3]).add(AugMix::new());
/// model.build([1, 2, 3])?;
/// let x = ndarray::array![[[[10.0f32, 20.0, 30.0], [0.0, 5.0, 250.0]]]];
/// assert_eq!(model.predict(&x)?, x.into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugMix {
    value_range: ValueRange,
    num_chains: usize,
    chain_depth: usize,
    factor: Factor,
    alpha: f64,
    all_ops: bool,
    interpolation: Interpolation,
    seed: Option<u64>,
    #[serde(deserialize_with = "DataFormat::or_default")]
    data_format: DataFormat,
}

impl Default for AugMix {
    fn default() -> Self {
        AugMix {
            value_range: ValueRange::default(),
            num_chains: 3,
            chain_depth: 3,
            factor: Factor::One(0.3),
            alpha: 1.0,
            all_ops: true,
            interpolation: Interpolation::Bilinear,
            seed: None,
            data_format: DataFormat::default(),
        }
    }
}

impl AugMix {
    /// Three chains of three changes of strength up to 0.3.
    pub fn new() -> Self {
        AugMix::default()
    }

    /// Smallest and largest value of pixels.
    pub fn value_range(mut self, value_range: impl Into<ValueRange>) -> Self {
        self.value_range = value_range.into();
        self
    }

    /// Chains that are mixed.
    pub fn num_chains(mut self, num_chains: usize) -> Self {
        self.num_chains = num_chains;
        self
    }

    /// Changes of a chain.
    pub fn chain_depth(mut self, chain_depth: usize) -> Self {
        self.chain_depth = chain_depth;
        self
    }

    /// How strong changes are.
    pub fn factor(mut self, factor: impl Into<Factor>) -> Self {
        self.factor = factor.into();
        self
    }

    /// The larger, the more equal the parts.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Whether changes of colour are among them.
    pub fn all_ops(mut self, yes: bool) -> Self {
        self.all_ops = yes;
        self
    }

    /// How pixels between pixels are found.
    pub fn interpolation(mut self, interpolation: impl Into<Interpolation>) -> Self {
        self.interpolation = interpolation.into();
        self
    }

    /// A seed to mix with the model's into this layer's draws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the channels are.
    pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
        self.data_format = data_format.into();
        self
    }
}

impl Augmentation for AugMix {
    fn name(&self) -> &'static str {
        "AugMix"
    }

    fn format(&self) -> DataFormat {
        self.data_format
    }

    fn own_seed(&self) -> Option<u64> {
        self.seed
    }

    fn check(&self, size: [Option<usize>; 3]) -> Result<()> {
        check_count("num_chains", self.num_chains)?;
        check_count("chain_depth", self.chain_depth)?;
        check_positive("alpha", self.alpha)?;
        if self.all_ops {
            check_channels(size[2], &[1, 3])?;
        }
        self.operations().check(size)
    }

    /// The image, and what a chain makes of it.
    fn room(&self, image: Image) -> usize {
        2 * image.len() + self.operations().room(image)
    }

    fn augment(&self, mut rng: SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        let (x, room) = room.split_at_mut(image.len());
        let (chain, room) = room.split_at_mut(image.len());
        let own = beta(self.alpha, &mut rng);
        // The same draws twice: their sum, then each.
        let mut weights = fork(&mut rng);
        let mut again = weights;
        let total: Float = (0..self.num_chains)
            .map(|_| gamma(self.alpha, &mut again))
            .sum();
        x.copy_from_slice(y);
        scale(own, y);
        for _ in 0..self.num_chains {
            chain.copy_from_slice(x);
            for _ in 0..self.chain_depth {
                self.change(&mut rng, image, chain, room);
            }
            let part = match total > 0.0 {
                true => gamma(self.alpha, &mut weights) / total,
                false => 1.0 / self.num_chains as Float,
            };
            axpy((1.0 - own) * part, chain, y);
        }
        pointwise(y, |y| self.value_range.clip(y));
    }
}

impl AugMix {
    /// One change, or none.
    fn change(&self, rng: &mut SampleRng, image: Image, y: &mut [Float], room: &mut [Float]) {
        let choices = if self.all_ops { ALL } else { GEOMETRY };
        let op = below(choices + 1, rng);
        if op < choices {
            self.operations().apply(op, fork(rng), image, y, room);
        }
    }

    fn operations(&self) -> Operations<'_> {
        Operations {
            factor: self.factor,
            value_range: self.value_range,
            interpolation: &self.interpolation,
            format: self.data_format,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::augmentation::testing::{augmented, near, picture};
    use super::*;
    use crate::testing::check_layer;

    #[test]
    fn laws() {
        check_layer(AugMix::new(), &[[4, 3, 3].into()]);
        let layer = AugMix::new()
            .num_chains(2)
            .chain_depth(1)
            .factor([0.5, 0.9])
            .all_ops(false);
        check_layer(
            layer
                .alpha(0.5)
                .value_range([-9.0, 9.0])
                .data_format("channels_first"),
            &[[2, 3, 4].into()],
        );
    }

    #[test]
    fn parts_sum_to_one() {
        let (image, x) = picture(3, 4);
        // Chains without changes give the image.
        for i in 0..20 {
            let layer = AugMix::new().num_chains(5).chain_depth(0);
            near(&augmented(&layer, image, &x, i), &x, 1e-5);
        }
        let y = augmented(&AugMix::new(), image, &x, 0);
        assert!(y != x && y.iter().all(|v| (0.0..=255.0).contains(v)));
    }

    #[test]
    fn mistakes_are_named() {
        for layer in [
            AugMix::new().num_chains(usize::MAX),
            AugMix::new().chain_depth(usize::MAX),
            AugMix::new().alpha(0.0),
            AugMix::new().factor(1.5),
            AugMix::new().interpolation("bicubic"),
        ] {
            assert!(
                layer.check([Some(4), Some(4), Some(3)]).is_err(),
                "{layer:?}"
            );
        }
        let two = [Some(4), Some(4), Some(2)];
        assert!(AugMix::new().check(two).is_err());
        assert!(AugMix::new().all_ops(false).check(two).is_ok());
    }
}
