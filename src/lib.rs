//! Keras for Rust: define, compile, fit, evaluate, predict, on the CPU, with hand-written backpropagation.
//!
//! ```
//! use oxhorn::prelude::*;
//!
//! let (train, test) = datasets::breast_cancer()?.standardized().split(0.2, Seed(1))?;
//!
//! let mut model = Sequential::new()
//!     .seed(0)
//!     .input([30])
//!     .add(Dense::new(64).activation("relu"))
//!     .add(Dense::new(1).activation("sigmoid"));
//! model.compile(Adam::default(), BinaryCrossentropy::default(), [Accuracy])?;
//! model.fit(&train.x, &train.y, Fit::epochs(20).verbose(0))?;
//!
//! assert!(model.evaluate(&test.x, &test.y)?.get("accuracy").unwrap() > 0.93);
//! # Ok::<(), oxhorn::Error>(())
//! ```
//!
//! # Where to look
//!
//! * [`models`]: [`Sequential`](models::Sequential) and [`Model`](models::Model), with `compile`, `fit`, `evaluate`, `predict`.
//! * [`layers`], [`activation`], [`initializer`], [`regularizer`], [`constraint`]: what models are made of.
//! * [`losses`], [`metrics`], [`optimizers`], [`callbacks`]: what they are trained with.
//! * [`data`]: tables, datasets larger than memory, splitting; [`plot`]: pictures of training and of models.
//! * [`layer`] and [`testing`]: the contract of a layer, and its proof, for layers of your own.
//! * [`doc`]: the architecture, guides, the changelog.
//!
//! # Features
//!
//! All of them but `images` are there by default. A program that names the ones it needs (`default-features = false`) builds faster.
//!
//! | feature | what it holds |
//! |---|---|
//! | `attention` | attention layers, `EinsumDense` |
//! | `convolution` | convolution, pooling, `ConvLSTM` (with `recurrent`), up-sampling, cropping and padding of images |
//! | `keras` | Keras's files (`.keras`, `.weights.h5`, `.h5`), `.npz`, gzip |
//! | `normalization` | batch, layer, group, RMS, unit and spectral normalization |
//! | `ops` | `keras.ops` in functional models |
//! | `plot` | pictures as SVG |
//! | `preprocessing` | layers for tables, text, sound and images; folders of images |
//! | `recurrent` | `LSTM`, `GRU`, `SimpleRNN`, `Bidirectional`, `TimeDistributed` |
//! | `images` | PNG and JPEG in folders of images (brings the `image` crate) |
//!
//! Names, defaults and numbers are Keras's; [`doc::keras_for_rust_users`] shows call for call.

// Without all of its features, some of what the parts share is never asked for.
#![cfg_attr(
    not(all(
        feature = "attention",
        feature = "convolution",
        feature = "keras",
        feature = "normalization",
        feature = "ops",
        feature = "plot",
        feature = "preprocessing",
        feature = "recurrent"
    )),
    allow(dead_code)
)]

pub mod activation;
pub mod callbacks;
pub mod config;
pub mod constraint;
pub mod data;
mod envelope;
pub mod error;
pub mod float;
pub mod graph;
pub mod initializer;
pub mod kernels;
pub mod layer;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod optimizers;
pub mod pattern;
#[cfg(feature = "plot")]
pub mod plot;
pub mod prelude;
pub mod random;
pub mod regularizer;
pub mod saving;
pub mod schedule;
pub mod shape;
pub mod tensor;
pub mod testing;
pub mod train;

pub use data::{datasets, utils};
pub use error::{Error, Result};
pub use float::Float;
#[cfg(feature = "ops")]
pub use models::ops;
pub use ndarray;
#[cfg(fuzzing)]
pub use saving::fuzz;
pub use shape::{Dims, Shape};
pub use tensor::Tensor;

/// Chapters: how it is built, how to extend it, what its numbers are.
pub mod doc {
    #[doc = include_str!("doc/adding_a_layer.md")]
    pub mod adding_a_layer {}
    #[doc = include_str!("doc/architecture.md")]
    pub mod architecture {}
    #[doc = include_str!("doc/changelog.md")]
    pub mod changelog {}
    #[doc = include_str!("doc/keras_for_rust_users.md")]
    pub mod keras_for_rust_users {}
    #[doc = include_str!("doc/numerics.md")]
    pub mod numerics {}
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
