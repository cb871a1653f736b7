//! The changes of which AugMix and RandAugment choose.

use super::image::arguments::{Factor, ValueRange};
use super::image::augmentation::{Augmentation, Image};
use super::image::histogram::equalize;
use super::{
    AutoContrast, RandomBrightness, RandomColorDegeneration, RandomContrast, RandomPosterization,
    RandomRotation, RandomSharpness, RandomShear, RandomTranslation, Solarization,
};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layer::SampleRng;
use crate::layers::args::DataFormat;
use crate::layers::resize::Interpolation;

/// Number of changes.
pub(super) const ALL: usize = 11;

/// The first of them: those that AugMix has without `all_ops`.
pub(super) const GEOMETRY: usize = 7;

/// What all changes share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operations<'a> {
    pub(super) factor: Factor,
    pub(super) value_range: ValueRange,
    pub(super) interpolation: &'a Interpolation,
    pub(super) format: DataFormat,
}

impl Operations<'_> {
    pub(super) fn check(&self, size: [Option<usize>; 3]) -> Result<()> {
        self.factor.check_within("factor", 0.0, 1.0)?;
        self.value_range.check()?;
        self.rotation().check(size)
    }

    /// Room for a copy of the image, which the warps and the sharpening need.
    pub(super) fn room(&self, image: Image) -> usize {
        image.len()
    }

    fn strength(&self) -> Factor {
        let [low, high] = self.factor.ends(0.0);
        Factor::Between(low, high)
    }

    fn rotation(&self) -> RandomRotation {
        RandomRotation::new(self.strength())
            .interpolation(self.interpolation.clone())
            .data_format(self.format)
    }

    /// Does change number `op`.
    pub(super) fn apply(
        &self,
        op: usize,
        rng: SampleRng,
        image: Image,
        y: &mut [Float],
        room: &mut [Float],
    ) {
        let (factor, range, format) = (self.strength(), self.value_range, self.format);
        let interpolation = || self.interpolation.clone();
        let mut run = |layer: &dyn Augmentation| layer.augment(rng, image, y, room);
        match op {
            0 => run(&RandomShear::new()
                .x_factor(factor)
                .y_factor(factor)
                .interpolation(interpolation())
                .data_format(format)),
            1 => run(&RandomTranslation::new(factor, factor)
                .interpolation(interpolation())
                .data_format(format)),
            2 => run(&self.rotation()),
            3 => {
                let bits = (8.0 * self.factor.ends(0.0)[1]).trunc().max(1.0);
                run(&RandomPosterization::new(bits)
                    .value_range(range)
                    .data_format(format));
            }
            4 => run(&Solarization::new()
                .addition_factor(factor)
                .threshold_factor(factor)
                .value_range(range)
                .data_format(format)),
            5 => run(&AutoContrast::new().value_range(range).data_format(format)),
            6 => (0..image.channels).for_each(|c| equalize(y, image, c, range, &mut [0; 256])),
            7 => run(&RandomBrightness::new(factor)
                .value_range(range)
                .data_format(format)),
            8 => run(&RandomColorDegeneration::new(factor)
                .value_range(range)
                .data_format(format)),
            9 => run(&RandomContrast::new(factor)
                .value_range(range)
                .data_format(format)),
            _ => run(&RandomSharpness::new(factor)
                .value_range(range)
                .data_format(format)),
        }
    }
}

/// Most changes of an image.
const MOST: usize = 1000;

/// An error unless so many changes come to an end.
pub(super) fn check_count(arg: &str, n: usize) -> Result<()> {
    match n <= MOST {
        true => Ok(()),
        false => Err(Error::arg(arg, format!("at most {MOST}"), n)),
    }
}
