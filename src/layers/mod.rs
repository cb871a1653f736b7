//! Keras's layers, one file each, in Keras's folders.

pub mod activations;
mod args;
#[cfg(feature = "attention")]
pub mod attention;
mod axes;
#[cfg(feature = "convolution")]
pub mod convolutional;
pub mod core;
#[cfg(any(feature = "attention", feature = "ops"))]
mod equation;
#[cfg(any(feature = "convolution", feature = "preprocessing"))]
pub mod geometry;
pub(crate) mod inner;
mod layout;
pub mod merging;
#[cfg(feature = "normalization")]
pub mod normalization;
#[cfg(feature = "ops")]
pub mod ops;
#[cfg(feature = "convolution")]
pub mod pooling;
#[cfg(feature = "preprocessing")]
pub mod preprocessing;
pub mod regularization;
pub mod reshaping;
#[cfg(any(feature = "convolution", feature = "preprocessing"))]
pub(crate) mod resize;
#[cfg(feature = "recurrent")]
pub mod rnn;

pub use activations::{ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use args::{Borders, DataFormat, Sizes};
#[cfg(feature = "attention")]
pub use attention::{AdditiveAttention, Attention, GroupQueryAttention, MultiHeadAttention};
pub use axes::Axes;
#[cfg(feature = "convolution")]
pub use convolutional::{
    Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, DepthwiseConv1D,
    DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
};
#[cfg(feature = "attention")]
pub use core::EinsumDense;
pub use core::{Activation, Dense, Embedding, Identity, Masking, ReversibleEmbedding};
#[cfg(any(feature = "convolution", feature = "preprocessing"))]
pub use geometry::Padding;
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
#[cfg(feature = "normalization")]
pub use normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, RenormClipping,
    SpectralNormalization, UnitNormalization,
};
#[cfg(feature = "convolution")]
pub use pooling::{
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, AveragePooling1D,
    AveragePooling2D, AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
    MaxPooling1D, MaxPooling2D, MaxPooling3D,
};
#[cfg(feature = "preprocessing")]
pub use preprocessing::{
    AugMix, AutoContrast, CategoryEncoding, CenterCrop,
    ContrastLimitedAdaptiveHistogramEqualization, CutMix, Discretization, Equalization, Factor,
    Fill, FillMode, FlipMode, HashedCrossing, Hashing, IntegerLookup, MaxNumBoundingBoxes,
    MelSpectrogram, MixUp, Normalization, RandAugment, RandomBrightness, RandomColorDegeneration,
    RandomColorJitter, RandomContrast, RandomCrop, RandomElasticTransform, RandomErasing,
    RandomFlip, RandomGaussianBlur, RandomGrayscale, RandomHue, RandomInvert, RandomPerspective,
    RandomPosterization, RandomRotation, RandomSaturation, RandomSharpness, RandomShear,
    RandomTranslation, RandomZoom, Rescaling, Resizing, STFTSpectrogram, Solarization,
    StringLookup, TextVectorization, ValueRange,
};
pub use regularization::{
    ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise,
    SpatialDropout1D, SpatialDropout2D, SpatialDropout3D,
};
#[cfg(feature = "convolution")]
pub use reshaping::{
    Cropping1D, Cropping2D, Cropping3D, UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D,
    ZeroPadding2D, ZeroPadding3D,
};
pub use reshaping::{Flatten, Permute, RepeatVector, Reshape};
#[cfg(any(feature = "convolution", feature = "preprocessing"))]
pub use resize::Interpolation;
#[cfg(feature = "recurrent")]
pub use rnn::{
    Bidirectional, GRU, GRUCell, LSTM, LSTMCell, RNN, SimpleRNN, SimpleRNNCell, StackedRNNCells,
    TimeDistributed,
};
#[cfg(all(feature = "recurrent", feature = "convolution"))]
pub use rnn::{ConvLSTM1D, ConvLSTM2D, ConvLSTM3D};

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{Config, from_config as parse};
use crate::error::Result;
use crate::layer::Layer;

/// Reads a layer of one class.
type Reader = fn(&str, &Config) -> Result<Arc<dyn Layer>>;

fn read<L: Layer + DeserializeOwned + 'static>(
    class: &str,
    config: &Config,
) -> Result<Arc<dyn Layer>> {
    Ok(Arc::new(parse::<L>(class, config)?))
}

/// Keras's class name, and what reads its config.
type Entry = (&'static str, Reader);

/// The families that are compiled in; each lists its classes in its own module.
const FAMILIES: &[&[Entry]] = &[
    activations::TABLE,
    #[cfg(feature = "attention")]
    attention::TABLE,
    #[cfg(feature = "convolution")]
    convolutional::TABLE,
    core::TABLE,
    merging::TABLE,
    #[cfg(feature = "normalization")]
    normalization::TABLE,
    #[cfg(feature = "convolution")]
    pooling::TABLE,
    #[cfg(feature = "preprocessing")]
    preprocessing::TABLE,
    regularization::TABLE,
    reshaping::TABLE,
    #[cfg(feature = "recurrent")]
    rnn::TABLE,
];

/// The features whose layers this build leaves out.
pub(crate) fn left_out() -> Vec<&'static str> {
    [
        (cfg!(feature = "attention"), "attention"),
        (cfg!(feature = "convolution"), "convolution"),
        (cfg!(feature = "normalization"), "normalization"),
        (cfg!(feature = "ops"), "ops"),
        (cfg!(feature = "preprocessing"), "preprocessing"),
        (cfg!(feature = "recurrent"), "recurrent"),
    ]
    .into_iter()
    .filter_map(|(built, name)| (!built).then_some(name))
    .collect()
}

fn entry(class: &str) -> Option<&'static Entry> {
    FAMILIES
        .iter()
        .flat_map(|family| family.iter())
        .find(|(name, _)| *name == class)
}

/// Whether there is a layer, or a recurrent cell, of this class.
pub fn is_known(class: &str) -> bool {
    #[cfg(feature = "recurrent")]
    if rnn::CELLS.contains(&class) {
        return true;
    }
    entry(class).is_some()
}

/// The layer of this class with these arguments; `None` if the class is not known.
pub fn from_config(class: &str, config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    entry(class).map(|(_, read)| read(class, config))
}

/// What this class of this module of Keras is: a layer, or one of `keras.ops`, which have an `Add` of their own; `None` if it is
/// not known.
pub(crate) fn of_module(
    module: &str,
    class: &str,
    config: &Config,
) -> Option<Result<Arc<dyn Layer>>> {
    if module.starts_with("keras.src.ops") {
        #[cfg(feature = "ops")]
        return ops::from_config(class, config);
        #[cfg(not(feature = "ops"))]
        return None;
    }
    from_config(class, config)
}
