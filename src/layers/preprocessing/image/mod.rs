//! What the layers for images share.

pub(super) mod arguments;
pub(super) mod augmentation;
pub(super) mod color;
pub(super) mod draws;
pub(super) mod filter;
pub(super) mod frame;
pub(super) mod histogram;
pub(super) mod sampling;
