//! Keras's layers, one file each, in Keras's folders.

pub mod activations;
mod args;
pub mod attention;
mod axes;
pub mod convolutional;
pub mod core;
mod equation;
pub mod geometry;
pub(crate) mod inner;
mod layout;
pub mod merging;
pub mod normalization;
pub mod ops;
pub mod pooling;
pub mod preprocessing;
pub mod regularization;
pub mod reshaping;
pub(crate) mod resize;
pub mod rnn;

pub use activations::{ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use args::{Borders, DataFormat, Sizes};
pub use attention::{AdditiveAttention, Attention, GroupQueryAttention, MultiHeadAttention};
pub use axes::Axes;
pub use convolutional::{
    Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, DepthwiseConv1D,
    DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
};
pub use core::{Activation, Dense, EinsumDense, Embedding, Identity, Masking, ReversibleEmbedding};
pub use geometry::Padding;
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, RenormClipping,
    SpectralNormalization, UnitNormalization,
};
pub use pooling::{
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, AveragePooling1D,
    AveragePooling2D, AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D,
    MaxPooling1D, MaxPooling2D, MaxPooling3D,
};
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
pub use reshaping::{
    Cropping1D, Cropping2D, Cropping3D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D,
    UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
};
pub use resize::Interpolation;
pub use rnn::{
    Bidirectional, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, GRU, GRUCell, LSTM, LSTMCell, RNN,
    SimpleRNN, SimpleRNNCell, StackedRNNCells, TimeDistributed,
};

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

/// The table of layers by Keras's class name: one line each.
const TABLE: &[(&str, Reader)] = &[
    ("Activation", read::<Activation>),
    ("ActivityRegularization", read::<ActivityRegularization>),
    ("AdaptiveAveragePooling1D", read::<AdaptiveAveragePooling1D>),
    ("AdaptiveAveragePooling2D", read::<AdaptiveAveragePooling2D>),
    ("AdaptiveAveragePooling3D", read::<AdaptiveAveragePooling3D>),
    ("AdaptiveMaxPooling1D", read::<AdaptiveMaxPooling1D>),
    ("AdaptiveMaxPooling2D", read::<AdaptiveMaxPooling2D>),
    ("AdaptiveMaxPooling3D", read::<AdaptiveMaxPooling3D>),
    ("Add", read::<Add>),
    ("AdditiveAttention", read::<AdditiveAttention>),
    ("AlphaDropout", read::<AlphaDropout>),
    ("Attention", read::<Attention>),
    ("AugMix", read::<AugMix>),
    ("AutoContrast", read::<AutoContrast>),
    ("Average", read::<Average>),
    ("AveragePooling1D", read::<AveragePooling1D>),
    ("AveragePooling2D", read::<AveragePooling2D>),
    ("AveragePooling3D", read::<AveragePooling3D>),
    ("BatchNormalization", read::<BatchNormalization>),
    ("Bidirectional", read::<Bidirectional>),
    ("CenterCrop", read::<CenterCrop>),
    ("CategoryEncoding", read::<CategoryEncoding>),
    ("Concatenate", read::<Concatenate>),
    (
        "ContrastLimitedAdaptiveHistogramEqualization",
        read::<ContrastLimitedAdaptiveHistogramEqualization>,
    ),
    ("Conv1D", read::<Conv1D>),
    ("Conv1DTranspose", read::<Conv1DTranspose>),
    ("Conv2D", read::<Conv2D>),
    ("Conv2DTranspose", read::<Conv2DTranspose>),
    ("Conv3D", read::<Conv3D>),
    ("Conv3DTranspose", read::<Conv3DTranspose>),
    ("ConvLSTM1D", ConvLSTM1D::read),
    ("ConvLSTM2D", ConvLSTM2D::read),
    ("ConvLSTM3D", ConvLSTM3D::read),
    ("Cropping1D", read::<Cropping1D>),
    ("Cropping2D", read::<Cropping2D>),
    ("Cropping3D", read::<Cropping3D>),
    ("CutMix", read::<CutMix>),
    ("Dense", read::<Dense>),
    ("DepthwiseConv1D", read::<DepthwiseConv1D>),
    ("DepthwiseConv2D", read::<DepthwiseConv2D>),
    ("Discretization", read::<Discretization>),
    ("Dot", read::<Dot>),
    ("Dropout", read::<Dropout>),
    ("ELU", read::<ELU>),
    ("EinsumDense", read::<EinsumDense>),
    ("Embedding", read::<Embedding>),
    ("Equalization", read::<Equalization>),
    ("Flatten", read::<Flatten>),
    ("GRU", GRU::read),
    ("GaussianDropout", read::<GaussianDropout>),
    ("GaussianNoise", read::<GaussianNoise>),
    ("GlobalAveragePooling1D", read::<GlobalAveragePooling1D>),
    ("GlobalAveragePooling2D", read::<GlobalAveragePooling2D>),
    ("GlobalAveragePooling3D", read::<GlobalAveragePooling3D>),
    ("GlobalMaxPooling1D", read::<GlobalMaxPooling1D>),
    ("GlobalMaxPooling2D", read::<GlobalMaxPooling2D>),
    ("GlobalMaxPooling3D", read::<GlobalMaxPooling3D>),
    ("GroupNormalization", read::<GroupNormalization>),
    ("GroupQueryAttention", read::<GroupQueryAttention>),
    ("HashedCrossing", read::<HashedCrossing>),
    ("Hashing", read::<Hashing>),
    ("Identity", read::<Identity>),
    ("IntegerLookup", read::<IntegerLookup>),
    ("LSTM", LSTM::read),
    ("LayerNormalization", read::<LayerNormalization>),
    ("LeakyReLU", read::<LeakyReLU>),
    ("Masking", read::<Masking>),
    ("MaxNumBoundingBoxes", read::<MaxNumBoundingBoxes>),
    ("MaxPooling1D", read::<MaxPooling1D>),
    ("MaxPooling2D", read::<MaxPooling2D>),
    ("MaxPooling3D", read::<MaxPooling3D>),
    ("Maximum", read::<Maximum>),
    ("MelSpectrogram", read::<MelSpectrogram>),
    ("Minimum", read::<Minimum>),
    ("MixUp", read::<MixUp>),
    ("MultiHeadAttention", read::<MultiHeadAttention>),
    ("Multiply", read::<Multiply>),
    ("Normalization", read::<Normalization>),
    ("PReLU", read::<PReLU>),
    ("Permute", read::<Permute>),
    ("RMSNormalization", read::<RMSNormalization>),
    ("RNN", RNN::read),
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
    ("ReLU", read::<ReLU>),
    ("RepeatVector", read::<RepeatVector>),
    ("Rescaling", read::<Rescaling>),
    ("Reshape", read::<Reshape>),
    ("Resizing", read::<Resizing>),
    ("ReversibleEmbedding", read::<ReversibleEmbedding>),
    ("STFTSpectrogram", read::<STFTSpectrogram>),
    ("SeparableConv1D", read::<SeparableConv1D>),
    ("SeparableConv2D", read::<SeparableConv2D>),
    ("SimpleRNN", SimpleRNN::read),
    ("Softmax", read::<Softmax>),
    ("Solarization", read::<Solarization>),
    ("SpatialDropout1D", read::<SpatialDropout1D>),
    ("SpatialDropout2D", read::<SpatialDropout2D>),
    ("SpatialDropout3D", read::<SpatialDropout3D>),
    ("SpectralNormalization", read::<SpectralNormalization>),
    ("Subtract", read::<Subtract>),
    ("TimeDistributed", read::<TimeDistributed>),
    ("UnitNormalization", read::<UnitNormalization>),
    ("UpSampling1D", read::<UpSampling1D>),
    ("UpSampling2D", read::<UpSampling2D>),
    ("UpSampling3D", read::<UpSampling3D>),
    ("ZeroPadding1D", read::<ZeroPadding1D>),
    ("ZeroPadding2D", read::<ZeroPadding2D>),
    ("ZeroPadding3D", read::<ZeroPadding3D>),
];

/// Whether there is a layer, or a recurrent cell, of this class.
pub fn is_known(class: &str) -> bool {
    TABLE.iter().any(|(name, _)| *name == class) || rnn::CELLS.contains(&class)
}

/// The layer of this class with these arguments; `None` if the class is not known.
pub fn from_config(class: &str, config: &Config) -> Option<Result<Arc<dyn Layer>>> {
    TABLE
        .iter()
        .find(|(name, _)| *name == class)
        .map(|(_, read)| read(class, config))
}
