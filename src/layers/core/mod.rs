//! Core layers.

mod activation;
mod dense;
#[cfg(feature = "attention")]
mod einsum_dense;
mod embedding;
mod identity;
mod lora;
mod masking;
mod reversible_embedding;

pub use activation::Activation;
pub use dense::Dense;
#[cfg(feature = "attention")]
pub use einsum_dense::EinsumDense;
pub use embedding::Embedding;
pub use identity::Identity;
pub use masking::Masking;
pub use reversible_embedding::ReversibleEmbedding;

use super::{Entry, read};

/// The classes of this family.
pub(super) const TABLE: &[Entry] = &[
    ("Activation", read::<Activation>),
    ("Dense", read::<Dense>),
    #[cfg(feature = "attention")]
    ("EinsumDense", read::<EinsumDense>),
    ("Embedding", read::<Embedding>),
    ("Identity", read::<Identity>),
    ("Masking", read::<Masking>),
    ("ReversibleEmbedding", read::<ReversibleEmbedding>),
];
