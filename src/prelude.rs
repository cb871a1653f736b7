//! Everything that is common: `use oxhorn::prelude::*;`

pub use crate::callbacks::{
    Callback, EarlyStopping, History, Logs, MonitorMode, TrainContext, Verbose,
};
pub use crate::data::{Dataset, datasets};
pub use crate::error::{Error, Result};
pub use crate::layer::{Layer, LayerExt, LayerRef};
pub use crate::layers::{
    Activation, ActivityRegularization, Add, AlphaDropout, Average, Concatenate, Cropping1D,
    Cropping2D, Cropping3D, DataFormat, Dense, Dot, Dropout, ELU, Embedding, Flatten,
    GaussianDropout, GaussianNoise, Identity, LeakyReLU, Masking, Maximum, Minimum, Multiply,
    PReLU, Permute, ReLU, RepeatVector, Rescaling, Reshape, ReversibleEmbedding, Softmax,
    SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, Subtract, UpSampling1D, UpSampling2D,
    UpSampling3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
};
pub use crate::losses::{
    BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanAbsoluteError, MeanSquaredError,
    Reduction, SparseCategoricalCrossentropy,
};
pub use crate::metrics::{
    AUC, Accuracy, Auc, BinaryAccuracy, CategoricalAccuracy, F1Score, Metric, Precision, Recall,
    RootMeanSquaredError, SparseCategoricalAccuracy,
};
pub use crate::models::{Input, Inputs, KerasTensor, LayerCall, Model, Sequential};
pub use crate::optimizers::{Adam, AdamW, Optimizer, OptimizerExt, RMSprop, RmsProp, SGD, Sgd};
pub use crate::random::{Seed, set_random_seed};
pub use crate::saving;
pub use crate::shape::Shape;
pub use crate::train::compile::Compile;
pub use crate::train::evaluate::Evaluate;
pub use crate::train::fit::Fit;
pub use ndarray;
