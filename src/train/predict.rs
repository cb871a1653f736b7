//! Inference: `predict` takes `&self`, may run on many threads at once, and borrows its memory from a pool.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::graph::plan::Plan;
use crate::graph::run::Pass;
use crate::graph::workspace::Workspace;
use crate::kernels::parallel::{Par, with_threads, with_two_threads};
use crate::layer::Mode;
use crate::models::Model;
use crate::shape::Dims;
use crate::tensor::{Arrays, IntoArrays};

/// Most inputs of a model that a pass keeps on the stack.
const INLINE: usize = 4;

/// Plans by input shapes, and workspaces that are not in use.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<Runner>>,
    plans: Mutex<Vec<(Vec<Dims>, Arc<Plan>)>>,
}

/// A plan and memory to run it.
#[derive(Debug)]
struct Runner {
    inputs: Vec<Dims>,
    plan: Arc<Plan>,
    workspace: Workspace,
}

/// Workspaces kept when no longer in use; more threads than this at once make new ones.
const KEEP: usize = 32;

impl Pool {
    fn take(&self, model: &Model, inputs: &[Dims]) -> Result<Runner> {
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(i) = idle.iter().rposition(|r| r.inputs == inputs) {
                return Ok(idle.swap_remove(i));
            }
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.iter().find(|(shapes, _)| shapes == inputs) {
            Some((_, plan)) => plan.clone(),
            None => {
                let plan = Arc::new(Plan::new(&model.graph, inputs, Mode::Infer)?);
                if plans.len() >= KEEP {
                    plans.remove(0);
                }
                plans.push((inputs.to_vec(), plan.clone()));
                plan
            }
        };
        Ok(Runner {
            inputs: inputs.to_vec(),
            plan,
            workspace: Workspace::default(),
        })
    }

    fn give(&self, runner: Runner) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= KEEP {
            idle.remove(0);
        }
        idle.push(runner);
    }
}

/// Elements of the widest value in one piece of a large batch: enough rows that packing the weights costs little, few enough that
/// their values stay near.
const PIECE: usize = 1 << 17;
/// Multiplications that are worth sharing with a thread that is awake: on one thread they take 25 microseconds.
const WORTH_TWO: usize = 1 << 20;

/// Multiplications that are worth waking a pool for: on one thread they take 800 microseconds.
const WORTH_POOL: usize = 32 << 20;

impl Model {
    /// The output for these inputs, batch first.
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().input([2]).add(Dense::new(3).kernel_initializer("ones").activation("relu"));
    /// model.build([2])?;
    /// let y = model.predict(&ndarray::array![[1.0f32, 2.0], [-1.0, -2.0]])?;
    /// assert_eq!(y, ndarray::array![[3.0, 3.0, 3.0], [0.0, 0.0, 0.0]].into_dyn());
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model is not built, has several outputs (see [`predict_all`](Self::predict_all)), or the shape does not fit.
    pub fn predict<'a>(&self, x: impl IntoArrays<'a>) -> Result<ArrayD<Float>> {
        let mut all = self.predict_all(x)?;
        match all.len() {
            1 => Ok(all.remove(0)),
            n => Err(Error::Model(format!(
                "the model has {n} outputs: call `predict_all`"
            ))),
        }
    }

    /// Every output for these inputs.
    ///
    /// # Errors
    /// If the model is not built or the shape does not fit.
    pub fn predict_all<'a>(&self, x: impl IntoArrays<'a>) -> Result<Vec<ArrayD<Float>>> {
        self.predict_from(x, None)
    }

    /// Every output; with `state`, from these states, which are changed.
    pub(super) fn predict_from<'a>(
        &self,
        x: impl IntoArrays<'a>,
        state: Option<&mut [Float]>,
    ) -> Result<Vec<ArrayD<Float>>> {
        self.require_built("predict")?;
        let x = self.check_inputs(x.into_arrays()?, "x")?;
        let batch = x.tensors()[0].batch();
        let runner = self.runner(&x)?;
        let dims: Vec<Dims> = runner
            .plan
            .outputs
            .iter()
            .map(|&v| runner.plan.dims[v])
            .collect();
        self.pool.give(runner);
        let mut data: Vec<Vec<Float>> = dims.iter().map(|d| vec![0.0; d.numel() * batch]).collect();
        {
            let mut outs: Vec<&mut [Float]> = data.iter_mut().map(|d| &mut d[..]).collect();
            match state {
                Some(state) => self.run_stateful(&x, &mut outs, state)?,
                None => self.run_inference(&x, &mut outs)?,
            }
        }
        let array = |(data, dims): (Vec<Float>, &Dims)| {
            let shape: Vec<usize> = std::iter::once(batch).chain(dims.iter().copied()).collect();
            ArrayD::from_shape_vec(IxDyn(&shape), data).expect("sized for the shape")
        };
        Ok(data.into_iter().zip(&dims).map(array).collect())
    }

    /// [`predict`](Self::predict) for a model with stateful layers, which then remember the states that they ended with: the next
    /// call goes on from there, as it does in Keras. ([`predict`](Self::predict) itself never changes the model.)
    ///
    /// ```
    /// use oxhorn::prelude::*;
    /// let mut model = Sequential::new().batch_shape([1, 1, 1]).add(SimpleRNN::new(1).activation("linear").stateful(true));
    /// model.build([1, 1])?;
    /// let ones = ndarray::array![[1.0f32]].into_dyn();
    /// model.set_weights(&[ones.clone(), ones, ndarray::array![0.0f32].into_dyn()])?;
    /// let x = ndarray::array![[[1.0f32]]];
    /// assert_eq!(model.predict_stateful(&x)?[[0, 0]], 1.0);
    /// assert_eq!(model.predict_stateful(&x)?[[0, 0]], 2.0);
    /// assert_eq!(model.predict(&x)?[[0, 0]], 3.0);
    /// model.reset_states();
    /// assert_eq!(model.predict(&x)?[[0, 0]], 1.0);
    /// # Ok::<(), oxhorn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `predict`, and if the samples are no whole number of batches.
    pub fn predict_stateful<'a>(&mut self, x: impl IntoArrays<'a>) -> Result<ArrayD<Float>> {
        let mut state = self.weights.state.clone();
        let mut all = self.predict_from(x, Some(&mut state))?;
        self.weights.state = state;
        match all.len() {
            1 => Ok(all.remove(0)),
            n => Err(Error::Model(format!(
                "the model has {n} outputs; `predict_stateful` is for one"
            ))),
        }
    }

    /// [`predict`](Self::predict), whose default treats a batch as one anyway. Keras's name.
    ///
    /// # Errors
    /// As `predict`.
    pub fn predict_on_batch<'a>(&self, x: impl IntoArrays<'a>) -> Result<ArrayD<Float>> {
        self.predict(x)
    }

    /// Writes the output into a slice: after the first call of a shape, nothing is allocated.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), or if `out` has not exactly the room for the output.
    pub fn predict_into<'a>(&self, x: impl IntoArrays<'a>, out: &mut [Float]) -> Result<()> {
        self.require_built("predict_into")?;
        if self.graph.outputs.len() != 1 {
            return Err(Error::Model(format!(
                "the model has {} outputs: call `predict_all`",
                self.graph.outputs.len()
            )));
        }
        let x = self.check_inputs(x.into_arrays()?, "x")?;
        self.run_inference(&x, &mut [out])
    }

    /// Checks the number and the batch sizes of the inputs.
    pub(crate) fn check_inputs<'a>(&self, mut x: Arrays<'a>, what: &str) -> Result<Arrays<'a>> {
        if x.names().is_some() {
            x = x.ordered(what, &self.input_names())?;
        }
        let n = self.graph.inputs.len();
        if x.tensors().len() != n {
            return Err(Error::shape(format!("{n} input arrays"), x.tensors().len()).owned_by(what));
        }
        let batch = x.tensors()[0].batch();
        match x.tensors().iter().find(|t| t.batch() != batch) {
            Some(t) => Err(
                Error::shape(format!("{batch} samples in every input"), t.batch()).owned_by(what),
            ),
            None => Ok(x),
        }
    }

    /// Puts targets (or weights) that were given by name into the order of the outputs.
    pub(crate) fn order_outputs<'a>(&self, y: Arrays<'a>, what: &str) -> Result<Arrays<'a>> {
        match y.names() {
            Some(_) => y.ordered(what, &self.output_names()),
            None => Ok(y),
        }
    }

    fn runner(&self, x: &Arrays<'_>) -> Result<Runner> {
        let mut dims = [Dims::default(); INLINE];
        let tensors = x.tensors();
        if tensors.len() <= INLINE {
            tensors
                .iter()
                .zip(&mut dims)
                .for_each(|(t, d)| *d = t.sample());
            return self.pool.take(self, &dims[..tensors.len()]);
        }
        self.pool.take(
            self,
            &tensors.iter().map(|t| t.sample()).collect::<Vec<_>>(),
        )
    }

    /// Batch after batch, each beginning with the states that the one before ended with.
    fn run_stateful(
        &self,
        x: &Arrays<'_>,
        outs: &mut [&mut [Float]],
        state: &mut [Float],
    ) -> Result<()> {
        let samples = x.tensors()[0].batch();
        let size = self.graph.stateful().unwrap_or(samples.max(1));
        self.check_stateful("predict", size, samples)?;
        let mut runner = self.runner(x)?;
        self.on_threads(samples * runner.plan.work, |par| {
            for start in (0..samples).step_by(size) {
                let mut parts: Vec<&mut [Float]> = outs
                    .iter_mut()
                    .map(|out| {
                        let width = out.len() / samples;
                        &mut out[start * width..(start + size) * width]
                    })
                    .collect();
                self.run_piece(&mut runner, x, start, start + size, &mut parts, state, par);
                Pass::update_state(&self.graph, &runner.plan, &runner.workspace, state);
            }
        });
        self.pool.give(runner);
        Ok(())
    }

    fn run_inference(&self, x: &Arrays<'_>, outs: &mut [&mut [Float]]) -> Result<()> {
        if self.graph.stateful().is_some() {
            return self.run_stateful(x, outs, &mut self.weights.state.clone());
        }
        let batch = x.tensors()[0].batch();
        let mut runner = self.runner(x)?;
        let plan = runner.plan.clone();
        for (i, out) in outs.iter().enumerate() {
            let want = plan.dims[plan.outputs[i]].numel() * batch;
            if out.len() != want {
                return Err(Error::shape(format!("room for {want} numbers"), out.len())
                    .owned_by("predict_into"));
            }
        }
        let widest = plan.slots.iter().copied().max().unwrap_or(1).max(1);
        let piece = (PIECE / widest).clamp(32, 512).next_multiple_of(32);
        if batch <= piece || plan.batch_coupled {
            let state = &self.weights.state;
            self.on_threads(batch * plan.work, |par| {
                self.run_piece(&mut runner, x, 0, batch, outs, state, par);
            });
            self.pool.give(runner);
            return Ok(());
        }
        self.pool.give(runner);
        self.on_threads(batch * plan.work, |par| {
            self.run_pieces(x, 0, batch, piece, outs, par)
        })
    }

    /// Runs so many multiplications on the threads that are worth it.
    fn on_threads<R: Send>(&self, work: usize, run: impl FnOnce(Par) -> R + Send) -> R {
        match self.threads {
            1 => run(Par::Serial),
            _ if work < WORTH_TWO => run(Par::Serial),
            n if work < WORTH_POOL => with_two_threads(n, run),
            n => with_threads(n, run),
        }
    }

    /// Halves a large batch until its parts are one piece; the parts do not depend on the number of threads.
    fn run_pieces(
        &self,
        x: &Arrays<'_>,
        start: usize,
        end: usize,
        piece: usize,
        outs: &mut [&mut [Float]],
        par: Par,
    ) -> Result<()> {
        let pieces = (end - start).div_ceil(piece);
        if pieces <= 1 {
            let mut runner = self.runner(x)?;
            let state = &self.weights.state;
            self.run_piece(&mut runner, x, start, end, outs, state, Par::Serial);
            self.pool.give(runner);
            return Ok(());
        }
        let middle = start + pieces / 2 * piece;
        let mut halves: Vec<(&mut [Float], &mut [Float])> = Vec::with_capacity(outs.len());
        for out in outs.iter_mut() {
            let width = out.len() / (end - start);
            halves.push(out.split_at_mut((middle - start) * width));
        }
        let (mut front, mut back): (Vec<_>, Vec<_>) = halves.into_iter().unzip();
        let (mut a, mut b) = (Ok(()), Ok(()));
        par.join(
            || a = self.run_pieces(x, start, middle, piece, &mut front, par),
            || b = self.run_pieces(x, middle, end, piece, &mut back, par),
        );
        a.and(b)
    }

    fn run_piece(
        &self,
        runner: &mut Runner,
        x: &Arrays<'_>,
        start: usize,
        end: usize,
        outs: &mut [&mut [Float]],
        state: &[Float],
        par: Par,
    ) {
        let batch = end - start;
        runner.workspace.reserve(&runner.plan, batch);
        let slice = |i: usize| {
            let tensor = &x.tensors()[i];
            let width = tensor.data().len() / tensor.batch().max(1);
            &tensor.data()[start * width..end * width]
        };
        let n = x.tensors().len();
        let inline: [&[Float]; INLINE] =
            std::array::from_fn(|i| if i < n { slice(i) } else { &[] });
        let heap: Vec<&[Float]> = if n > INLINE {
            (0..n).map(slice).collect()
        } else {
            Vec::new()
        };
        let pass = Pass {
            graph: &self.graph,
            plan: &runner.plan,
            params: &self.weights.params,
            state,
            inputs: if n > INLINE { &heap } else { &inline[..n] },
            batch,
            mode: Mode::Infer,
            seed: self.seed,
            step: 0,
            loss_scale: 1.0,
            par,
        };
        pass.forward(&mut runner.workspace);
        for (i, out) in outs.iter_mut().enumerate() {
            out.copy_from_slice(pass.output(i, &runner.workspace).data);
        }
    }
}
