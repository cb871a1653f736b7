//! A layer's place in a model: its name, whether it is trained, its penalty.

use std::sync::Arc;

use super::Layer;
use crate::regularizer::Regularizer;

/// A layer as a part of a model: shared, named, trainable or frozen.
///
/// Calling one `LayerRef` twice shares its weights.
#[derive(Clone, Debug)]
pub struct LayerRef {
    pub(crate) layer: Arc<dyn Layer>,
    pub(crate) name: Option<String>,
    pub(crate) trainable: bool,
    pub(crate) activity_regularizer: Option<Regularizer>,
}

impl LayerRef {
    /// A layer behind a pointer.
    pub fn from_arc(layer: Arc<dyn Layer>) -> Self {
        LayerRef {
            layer,
            name: None,
            trainable: true,
            activity_regularizer: None,
        }
    }

    /// Names the layer; names are unique within a model.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Freezes (`false`) or unfreezes the layer's weights. Default true.
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.trainable = trainable;
        self
    }

    /// Penalty on the output, added to the loss (divided by the batch size, as Keras does).
    pub fn activity_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.activity_regularizer = Some(regularizer.into());
        self
    }
}

impl<L: Layer + 'static> From<L> for LayerRef {
    fn from(layer: L) -> Self {
        LayerRef::from_arc(Arc::new(layer))
    }
}

/// `name`, `trainable` and `activity_regularizer` for every layer; they end the chain of its own builder methods.
pub trait LayerExt: Layer + Sized + 'static {
    /// Names the layer; names are unique within a model.
    fn name(self, name: impl Into<String>) -> LayerRef {
        LayerRef::from(self).name(name)
    }

    /// Freezes (`false`) or unfreezes the layer's weights. Default true.
    fn trainable(self, trainable: bool) -> LayerRef {
        LayerRef::from(self).trainable(trainable)
    }

    /// Penalty on the output, added to the loss (divided by the batch size, as Keras does).
    fn activity_regularizer(self, regularizer: impl Into<Regularizer>) -> LayerRef {
        LayerRef::from(self).activity_regularizer(regularizer)
    }
}

impl<L: Layer + 'static> LayerExt for L {}

/// Keras's default name for an object of this class: `MaxPooling2D` gives `max_pooling2d`, `ReLU` gives `re_lu`.
pub fn default_name(class: &str) -> String {
    // Keras knows this class by two names.
    let class = match class {
        "GroupQueryAttention" => "GroupedQueryAttention",
        class => class,
    };
    let chars: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| chars[j]);
        let starts_word = c.is_uppercase() && chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        let follows_lower = c.is_uppercase() && before.is_some_and(|b| b.is_lowercase());
        if before.is_some() && (starts_word || follows_lower) {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_names_are_keras_s() {
        for (class, name) in [
            ("Dense", "dense"),
            ("MaxPooling2D", "max_pooling2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("LSTMCell", "lstm_cell"),
            ("GRU", "gru"),
            ("GroupQueryAttention", "grouped_query_attention"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ] {
            assert_eq!(default_name(class), name);
        }
    }
}
