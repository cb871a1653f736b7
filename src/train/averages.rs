//! Weights and their moving averages changing places.

use super::update::{member_of, members};
use crate::error::{Error, Result};
use crate::models::Model;

impl Model {
    /// Puts the moving averages of the weights into the model, and the weights where the averages were; or (`false`) everything
    /// back. Does nothing if it is so already, or if no step was made yet.
    ///
    /// # Errors
    /// If no optimizer has `use_ema`.
    pub(crate) fn show_averages(&mut self, shown: bool) -> Result<()> {
        let call = "SwapEMAWeights";
        let compiled = self.compiled.as_mut().ok_or(Error::NotCompiled { call })?;
        let optimizer = &compiled.optimizer;
        let averages: Vec<bool> = members(optimizer)
            .iter()
            .map(|m| m.common().use_ema)
            .collect();
        if !averages.contains(&true) {
            return Err(Error::arg("use_ema", "true for an optimizer", false).owned_by(call));
        }
        let state = &mut compiled.state;
        let Some(average) = state.average.as_mut() else {
            return Ok(());
        };
        if state.averages_shown == shown {
            return Ok(());
        }
        for var in self.graph.vars.iter().filter(|v| self.graph.trains(v)) {
            if averages[member_of(optimizer.as_ref(), &self.graph.path(var))?] {
                let weights = &mut self.weights.params[var.range.clone()];
                weights.swap_with_slice(&mut average[var.range.clone()]);
            }
        }
        state.averages_shown = shown;
        Ok(())
    }
}
