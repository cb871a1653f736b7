//! What a pass left at the outputs of the model, and where its numbers stopped being finite.

use super::plan::{Place, Step};
use super::run::Pass;
use super::workspace::Workspace;
use crate::kernels::elementwise;
use crate::layer::{Mask, View, ViewMut};

impl<'a> Pass<'a> {
    /// Output number `i`.
    pub fn output<'w>(&self, i: usize, ws: &'w Workspace) -> View<'w>
    where
        'a: 'w,
    {
        self.view(self.plan.outputs[i], ws)
    }

    /// Where the loss writes the gradient of output number `i`, beside that output. `None` if no trained weight influences it.
    pub fn output_grad<'w>(
        &self,
        i: usize,
        ws: &'w mut Workspace,
    ) -> Option<(View<'w>, ViewMut<'w>)>
    where
        'a: 'w,
    {
        let v = self.plan.outputs[i];
        let (n, shape, batch) = (self.len(v), &self.plan.dims[v][..], self.batch);
        let Workspace { values, grads, .. } = ws;
        let data = match self.plan.places[v] {
            Place::Input(i) => self.inputs[i],
            Place::Slot(slot) => &values[slot][..n],
        };
        let grad = &mut grads[self.plan.grads[v]?][..n];
        Some((
            View { data, shape, batch },
            ViewMut {
                data: grad,
                shape,
                batch,
            },
        ))
    }

    /// Mask of output number `i`.
    pub fn output_mask<'w>(&self, i: usize, ws: &'w Workspace) -> Option<Mask<'w>>
    where
        'a: 'w,
    {
        self.mask(self.plan.outputs[i], ws)
    }

    /// The first layer whose output is not finite, for whom a NaN puzzles.
    pub fn first_non_finite(&self, ws: &Workspace) -> Option<&'a str> {
        let bad = |step: &&Step| !elementwise::all_finite(self.view(step.outputs[0], ws).data);
        self.plan
            .steps
            .iter()
            .find(bad)
            .map(|step| self.entry(step).name.as_str())
    }
}
