//! `Pipeline`: layers one after the other that count as one layer.

use std::sync::Arc;

use super::spec::{Block, Chain, Nested, Spec};
use super::symbolic::{IntoInputs, KerasTensor, one, record};
use crate::error::Result;

/// Layers one after the other as one layer of a model: most often those that prepare the data.
/// [Keras](https://keras.io/api/layers/preprocessing_layers/)
///
/// Its layers become layers of the model, under its name: `pipeline/rescaling`. Unlike in a model of its own, random layers in it do
/// nothing in inference, as everywhere.
///
/// ```
/// use oxhorn::prelude::*;
/// let prepare = Pipeline::new().add(Rescaling::new(0.5)).add(Rescaling::new(1.0).offset(1.0));
/// let mut model = Sequential::new().input([2]).add(prepare).add(Flatten::new());
/// model.build([2])?;
/// assert_eq!(model.layer_names()[0], "pipeline/rescaling");
/// assert_eq!(model.predict(&ndarray::array![[2.0f32, 4.0]])?, ndarray::array![[2.0, 3.0]].into_dyn());
/// # Ok::<(), oxhorn::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    name: Option<String>,
    blocks: Vec<Block>,
}

impl Pipeline {
    /// No layers yet.
    pub fn new() -> Self {
        Pipeline::default()
    }

    /// Adds a layer at the end.
    #[allow(clippy::should_implement_trait)] // as in `Sequential`
    pub fn add(mut self, layer: impl Into<Block>) -> Self {
        self.blocks.push(layer.into());
        self
    }

    /// Names it. Default: `pipeline`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Its output for this input.
    ///
    /// # Errors
    /// If a layer refuses it, or there is none.
    pub fn call(&self, input: impl IntoInputs) -> Result<KerasTensor> {
        let outputs = record(Block::from(self.clone()), input.into_inputs(), None)?;
        one(outputs, "Pipeline")
    }
}

impl From<Pipeline> for Block {
    fn from(pipeline: Pipeline) -> Self {
        let chain = Chain {
            input: None,
            blocks: pipeline.blocks,
            pipeline: true,
        };
        Block::Model(Nested {
            name: pipeline.name,
            trainable: true,
            spec: Arc::new(Spec::Sequential(chain)),
            donor: None,
            every_step: None,
        })
    }
}
