//! Everything that is common: `use oxhorn::prelude::*;`

#[cfg(feature = "keras")]
pub use crate::callbacks::ModelCheckpoint;
pub use crate::callbacks::{
    BackupAndRestore, BatchLogs, CSVLogger, Callback, EarlyStopping, History, LambdaCallback,
    LearningRateScheduler, Logs, MonitorMode, ReduceLROnPlateau, SwapEMAWeights, TensorBoard,
    TerminateOnNaN, TrainContext, Verbose,
};
pub use crate::data::{Dataset, DatasetExt, Tabular, datasets};
pub use crate::error::{Error, Result};
pub use crate::layer::{Layer, LayerExt, LayerRef};
pub use crate::layers::{
    Activation, ActivityRegularization, Add, AlphaDropout, Average, Concatenate, DataFormat, Dense,
    Dot, Dropout, ELU, Embedding, Flatten, GaussianDropout, GaussianNoise, Identity, LeakyReLU,
    Masking, Maximum, Minimum, Multiply, PReLU, Permute, ReLU, RepeatVector, Reshape,
    ReversibleEmbedding, Softmax, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, Subtract,
};
#[cfg(feature = "convolution")]
pub use crate::layers::{
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D, AveragePooling1D,
    AveragePooling2D, AveragePooling3D, Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D,
    Conv3DTranspose, Cropping1D, Cropping2D, Cropping3D, DepthwiseConv1D, DepthwiseConv2D,
    GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D, GlobalMaxPooling1D,
    GlobalMaxPooling2D, GlobalMaxPooling3D, MaxPooling1D, MaxPooling2D, MaxPooling3D,
    SeparableConv1D, SeparableConv2D, UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D,
    ZeroPadding2D, ZeroPadding3D,
};
#[cfg(feature = "attention")]
pub use crate::layers::{
    AdditiveAttention, Attention, EinsumDense, GroupQueryAttention, MultiHeadAttention,
};
#[cfg(feature = "preprocessing")]
pub use crate::layers::{
    AugMix, AutoContrast, CategoryEncoding, CenterCrop,
    ContrastLimitedAdaptiveHistogramEqualization, CutMix, Discretization, Equalization,
    HashedCrossing, Hashing, IntegerLookup, MaxNumBoundingBoxes, MelSpectrogram, MixUp,
    Normalization, RandAugment, RandomBrightness, RandomColorDegeneration, RandomColorJitter,
    RandomContrast, RandomCrop, RandomElasticTransform, RandomErasing, RandomFlip,
    RandomGaussianBlur, RandomGrayscale, RandomHue, RandomInvert, RandomPerspective,
    RandomPosterization, RandomRotation, RandomSaturation, RandomSharpness, RandomShear,
    RandomTranslation, RandomZoom, Rescaling, Resizing, STFTSpectrogram, Solarization,
    StringLookup, TextVectorization,
};
#[cfg(feature = "normalization")]
pub use crate::layers::{
    BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization, RenormClipping,
    SpectralNormalization, UnitNormalization,
};
#[cfg(feature = "recurrent")]
pub use crate::layers::{
    Bidirectional, GRU, GRUCell, LSTM, LSTMCell, RNN, SimpleRNN, SimpleRNNCell, StackedRNNCells,
    TimeDistributed,
};
#[cfg(all(feature = "convolution", feature = "recurrent"))]
pub use crate::layers::{ConvLSTM1D, ConvLSTM2D, ConvLSTM3D};
pub use crate::losses::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CTC, CategoricalCrossentropy,
    CategoricalFocalCrossentropy, CategoricalGeneralizedCrossEntropy, CategoricalHinge, Circle,
    CosineSimilarity, Dice, Hinge, Huber, KLDivergence, LogCosh, Loss, LossExt, MeanAbsoluteError,
    MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson, Reduction,
    SparseCategoricalCrossentropy, SquaredHinge, Tversky,
};
// Metrics that share their name with a loss are written `metrics::Hinge`.
pub use crate::metrics::{
    AUC, Accuracy, Auc, BinaryAccuracy, BinaryIoU, CategoricalAccuracy, ConcordanceCorrelation,
    F1Score, FBetaScore, FalseNegatives, FalsePositives, IoU, LogCoshError, MeanIoU,
    MeanMetricWrapper, Metric, MetricExt, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Precision,
    PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, RootMeanSquaredError,
    SensitivityAtSpecificity, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity, TopKCategoricalAccuracy, TrueNegatives, TruePositives,
};
pub use crate::models::{Input, Inputs, KerasTensor, LayerCall, Model, Pipeline, Sequential};
pub use crate::optimizers::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer,
    MultiOptimizer, Muon, Nadam, Optimizer, OptimizerExt, OptimizerMap, RMSprop, RmsProp, SGD,
    ScheduleFreeAdamW, Sgd,
};
pub use crate::random::{Seed, set_random_seed};
pub use crate::schedule::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, LearningRate,
    PiecewiseConstantDecay, PolynomialDecay, Schedule,
};
pub use crate::shape::Shape;
pub use crate::train::Predict;
pub use crate::train::compile::Compile;
pub use crate::train::evaluate::Evaluate;
pub use crate::train::fit::Fit;
pub use crate::{losses, metrics, optimizers, saving};
pub use ndarray;
