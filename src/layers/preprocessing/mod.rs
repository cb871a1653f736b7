//! Preprocessing layers.

mod audio;
mod category_encoding;
mod discretization;
mod encoding;
mod fingerprint;
mod hashed_crossing;
mod hashing;
mod index_lookup;
mod integer_lookup;
mod mel_spectrogram;
mod normalization;
mod rescaling;
mod stft_spectrogram;
mod string_lookup;
mod text_vectorization;
mod tokens;

pub use category_encoding::CategoryEncoding;
pub use discretization::Discretization;
pub use encoding::OutputMode;
pub use fingerprint::Salt;
pub use hashed_crossing::HashedCrossing;
pub use hashing::{Hashing, MaskValue};
pub use index_lookup::OovMethod;
pub use integer_lookup::IntegerLookup;
pub use mel_spectrogram::MelSpectrogram;
pub use normalization::Normalization;
pub use rescaling::Rescaling;
pub use stft_spectrogram::STFTSpectrogram;
pub use string_lookup::StringLookup;
pub use text_vectorization::{Ngrams, Split, Standardize, TextVectorization};
pub use tokens::{ToTokens, Token};
