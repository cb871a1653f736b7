//! Preprocessing layers.

mod audio;
mod aug_mix;
mod auto_contrast;
mod category_encoding;
mod center_crop;
mod contrast_limited_adaptive_histogram_equalization;
mod cut_mix;
mod discretization;
mod encoding;
mod equalization;
mod fingerprint;
mod hashed_crossing;
mod hashing;
mod image;
mod index_lookup;
mod integer_lookup;
mod max_num_bounding_boxes;
mod mel_spectrogram;
mod mix_up;
mod normalization;
mod operations;
mod rand_augment;
mod random_brightness;
mod random_color_degeneration;
mod random_color_jitter;
mod random_contrast;
mod random_crop;
mod random_elastic_transform;
mod random_erasing;
mod random_flip;
mod random_gaussian_blur;
mod random_grayscale;
mod random_hue;
mod random_invert;
mod random_perspective;
mod random_posterization;
mod random_rotation;
mod random_saturation;
mod random_sharpness;
mod random_shear;
mod random_translation;
mod random_zoom;
mod rescaling;
mod resizing;
mod solarization;
mod stft_spectrogram;
mod string_lookup;
mod text_vectorization;
mod tokens;

pub use aug_mix::AugMix;
pub use auto_contrast::AutoContrast;
pub use category_encoding::CategoryEncoding;
pub use center_crop::CenterCrop;
pub use contrast_limited_adaptive_histogram_equalization::ContrastLimitedAdaptiveHistogramEqualization;
pub use cut_mix::CutMix;
pub use discretization::Discretization;
pub use encoding::OutputMode;
pub use equalization::Equalization;
pub use fingerprint::Salt;
pub use hashed_crossing::HashedCrossing;
pub use hashing::{Hashing, MaskValue};
pub use image::arguments::{Factor, FillMode, ValueRange};
pub use index_lookup::OovMethod;
pub use integer_lookup::IntegerLookup;
pub use max_num_bounding_boxes::MaxNumBoundingBoxes;
pub use mel_spectrogram::MelSpectrogram;
pub use mix_up::MixUp;
pub use normalization::Normalization;
pub use rand_augment::RandAugment;
pub use random_brightness::RandomBrightness;
pub use random_color_degeneration::RandomColorDegeneration;
pub use random_color_jitter::RandomColorJitter;
pub use random_contrast::RandomContrast;
pub use random_crop::RandomCrop;
pub use random_elastic_transform::RandomElasticTransform;
pub use random_erasing::{Fill, RandomErasing};
pub use random_flip::{FlipMode, RandomFlip};
pub use random_gaussian_blur::RandomGaussianBlur;
pub use random_grayscale::RandomGrayscale;
pub use random_hue::RandomHue;
pub use random_invert::RandomInvert;
pub use random_perspective::RandomPerspective;
pub use random_posterization::RandomPosterization;
pub use random_rotation::RandomRotation;
pub use random_saturation::RandomSaturation;
pub use random_sharpness::RandomSharpness;
pub use random_shear::RandomShear;
pub use random_translation::RandomTranslation;
pub use random_zoom::RandomZoom;
pub use rescaling::Rescaling;
pub use resizing::Resizing;
pub use solarization::Solarization;
pub use stft_spectrogram::STFTSpectrogram;
pub use string_lookup::StringLookup;
pub use text_vectorization::{Ngrams, Split, Standardize, TextVectorization};
pub use tokens::{ToTokens, Token};

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("AugMix", read::<AugMix>),
    ("AutoContrast", read::<AutoContrast>),
    ("CategoryEncoding", read::<CategoryEncoding>),
    ("CenterCrop", read::<CenterCrop>),
    (
        "ContrastLimitedAdaptiveHistogramEqualization",
        read::<ContrastLimitedAdaptiveHistogramEqualization>,
    ),
    ("CutMix", read::<CutMix>),
    ("Discretization", read::<Discretization>),
    ("Equalization", read::<Equalization>),
    ("HashedCrossing", read::<HashedCrossing>),
    ("Hashing", read::<Hashing>),
    ("IntegerLookup", read::<IntegerLookup>),
    ("MaxNumBoundingBoxes", read::<MaxNumBoundingBoxes>),
    ("MelSpectrogram", read::<MelSpectrogram>),
    ("MixUp", read::<MixUp>),
    ("Normalization", read::<Normalization>),
    ("RandAugment", read::<RandAugment>),
    ("RandomBrightness", read::<RandomBrightness>),
    ("RandomColorDegeneration", read::<RandomColorDegeneration>),
    ("RandomColorJitter", read::<RandomColorJitter>),
    ("RandomContrast", read::<RandomContrast>),
    ("RandomCrop", read::<RandomCrop>),
    ("RandomElasticTransform", read::<RandomElasticTransform>),
    ("RandomErasing", read::<RandomErasing>),
    ("RandomFlip", read::<RandomFlip>),
    ("RandomGaussianBlur", read::<RandomGaussianBlur>),
    ("RandomGrayscale", read::<RandomGrayscale>),
    ("RandomHue", read::<RandomHue>),
    ("RandomInvert", read::<RandomInvert>),
    ("RandomPerspective", read::<RandomPerspective>),
    ("RandomPosterization", read::<RandomPosterization>),
    ("RandomRotation", read::<RandomRotation>),
    ("RandomSaturation", read::<RandomSaturation>),
    ("RandomSharpness", read::<RandomSharpness>),
    ("RandomShear", read::<RandomShear>),
    ("RandomTranslation", read::<RandomTranslation>),
    ("RandomZoom", read::<RandomZoom>),
    ("Rescaling", read::<Rescaling>),
    ("Resizing", read::<Resizing>),
    ("STFTSpectrogram", read::<STFTSpectrogram>),
    ("Solarization", read::<Solarization>),
];
