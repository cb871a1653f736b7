//! LSTM whose products are convolutions: `z = x * W + h * U + b` at every pixel, the rest as in LSTM.
//!
//! With `*` a convolution ([`Conv`](crate::layers::Conv2D) of the input, one of strides 1 and padding `"same"` of the state):
//! `c' = f c + i g`, `h' = o act(c')`. Backward: `dz` from the gates as in LSTM; `dx` and `dh` are the transposed convolutions of
//! `dz`, and over all steps `dW`, `dU` those of `x`, `h` with `dz`, `db += sum dz`.
//! x: (space.., C)  h, c: (space'.., F)  W: (kernel_size.., C, 4 F)  U: (kernel_size.., F, 4 F)  b: (4 F).
//!
//! With dropout every gate has masks, and so factors, of its own: then there are four convolutions with a quarter of the kernel
//! each. Inside, channels are last.

use serde::{Deserialize, Serialize};

use super::cell::{AllRows, At, Cell, Room, Step, StepBack, Way};
use super::formula::{Arguments, Formula};
use super::layer::{Cells, Configurable, Placed};
use super::lstm::{Lstm, any_back, any_step};
use crate::activation::Activation;
use crate::config::{Config, to_config};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::kernels::conv::{Conv, Gradients};
use crate::kernels::{elementwise, gates};
use crate::layer::{Accum, Par, Slices, Stream, Weight, Weights};
use crate::layers::args::{DataFormat, Sizes};
use crate::layers::geometry::{self, Padding, ones};
use crate::shape::{Dims, Shape};

/// The cell of [`ConvLSTM1D`](super::ConvLSTM1D), [`ConvLSTM2D`](super::ConvLSTM2D) and [`ConvLSTM3D`](super::ConvLSTM3D), with `R`
/// spatial axes.
///
/// | name | default | meaning |
/// |---|---|---|
/// | `filters` | | channels of state and output |
/// | `kernel_size` | | taps of a window, one number or one for each axis |
/// | `strides` | 1 | distance of neighbouring windows over the input |
/// | `padding` | `"valid"` | of the input, or `"same"` |
/// | `data_format` | `"channels_last"` | or `"channels_first"` |
/// | `dilation_rate` | 1 | distance of neighbouring taps over the input; not together with strides |
/// | others | | as those of [`LSTMCell`](super::LSTMCell); `dropout` and `recurrent_dropout` have masks for each gate |
///
/// Weights: `kernel (kernel_size.., channels, 4 filters)`, `recurrent_kernel (kernel_size.., filters, 4 filters)`,
/// `bias (4 filters)`. Spatial sizes must be known.
#[derive(Clone, Debug)]
pub struct ConvLSTMCell<const R: usize> {
    pub(super) form: Form<R>,
    pub(super) args: Arguments,
}

/// The arguments that a plain LSTM has not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form<const R: usize> {
    pub filters: usize,
    pub kernel_size: Sizes<R>,
    #[serde(default = "ones")]
    pub strides: Sizes<R>,
    #[serde(default)]
    pub padding: Padding,
    #[serde(default, deserialize_with = "DataFormat::or_default")]
    pub data_format: DataFormat,
    #[serde(default = "ones")]
    pub dilation_rate: Sizes<R>,
}

/// The keys of [`Form`].
pub(super) const FORM: [&str; 6] = [
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
];

impl<const R: usize> Configurable for ConvLSTMCell<R> {
    fn args(&mut self) -> &mut Arguments {
        &mut self.args
    }
}

impl<const R: usize> Cells for ConvLSTMCell<R> {
    fn layer_name(&self) -> &'static str {
        ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"][R - 1]
    }

    fn config(&self) -> Config {
        let mut config = to_config(&self.form);
        let args = to_config(&self.args).into_iter();
        config.extend(args.filter(|(key, _)| key != "units"));
        config
    }

    fn cells(&self) -> Vec<Placed<'_>> {
        vec![Placed {
            group: "cell".into(),
            trainable: true,
            cell: self,
        }]
    }

    fn count(&self) -> usize {
        1
    }

    fn cell(&self, _i: usize) -> &dyn Cell {
        self
    }
}

/// What is known of the convolutions once the input is.
struct Plan {
    /// Convolutions of the input and of the state. With dropout, images hold a copy of their channels for each gate, and the
    /// convolution is one of as many groups: the kernel is the same.
    convs: [Conv; 2],
    copies: usize,
    /// Channels of an image of the input, and of the state.
    channels: [usize; 2],
    /// Whether channels come first.
    first: bool,
}

impl Plan {
    /// Pixels of an image of the input (0) or of the state (1).
    fn pixels(&self, which: usize) -> usize {
        self.convs[which].grid().pixels()
    }

    /// Numbers of an image, without copies.
    fn image(&self, which: usize) -> usize {
        self.pixels(which) * self.channels[which]
    }

    /// Place of a number in an image in the layer's format.
    fn at(&self, which: usize, pixel: usize, channel: usize) -> usize {
        match self.first {
            true => channel * self.pixels(which) + pixel,
            false => pixel * self.channels[which] + channel,
        }
    }

    /// Room for the kernel of a convolution in either order.
    fn packed_len(&self, which: usize) -> usize {
        let conv = &self.convs[which];
        let len = conv.forward_len().max(conv.backward_len());
        len.next_multiple_of(16)
    }

    /// The kernel of a convolution as [`pack`](Cell::pack) left it, or as it is if that leaves nothing.
    fn kernel<'p>(&self, which: usize, at: At<'p>) -> &'p [Float] {
        let (x, h) = at.packed.split_at(self.packed_len(0));
        let mut w = at.w;
        match self.packed_len(which) {
            0 => w.nth(which).unwrap_or_default(),
            len => &[x, h][which][..len],
        }
    }

    fn tables<'t>(&self, which: usize, tables: &'t [u32]) -> &'t [u32] {
        let (x, h) = tables.split_at(self.convs[0].tables_len());
        [x, h][which]
    }

    /// The copies of an image that a convolution sees, dropped out.
    fn copy(&self, which: usize, image: &[Float], masks: &[Float], copies: &mut [Float]) {
        let channels = self.channels[which];
        let pixels = copies.chunks_exact_mut(self.copies * channels);
        for (pixel, copies) in pixels.enumerate() {
            for copy in copies.chunks_exact_mut(channels) {
                for (channel, to) in copy.iter_mut().enumerate() {
                    *to = image[self.at(which, pixel, channel)];
                }
            }
        }
        if !masks.is_empty() {
            elementwise::mul(masks, copies);
        }
    }

    /// The reverse: an image's gradient is the sum of those of its copies.
    fn sum(&self, which: usize, copies: &mut [Float], masks: &[Float], image: &mut [Float]) {
        if !masks.is_empty() {
            elementwise::mul(masks, copies);
        }
        let channels = self.channels[which];
        let pixels = copies.chunks_exact(self.copies * channels);
        for (pixel, copies) in pixels.enumerate() {
            for channel in 0..channels {
                let copies = copies[channel..].iter().step_by(channels);
                image[self.at(which, pixel, channel)] = copies.sum();
            }
        }
    }

    /// States `[h c]` of images made such of pixels, as the sweeps over gates have them.
    fn enter(&self, state: &[Float], pixels: &mut [Float]) {
        let (image, f) = (self.image(1), self.channels[1]);
        for (i, to) in pixels.chunks_exact_mut(2 * f).enumerate() {
            let (row, pixel) = (i / self.pixels(1), i % self.pixels(1));
            for (j, to) in to.iter_mut().enumerate() {
                *to = state[(row * 2 + j / f) * image + self.at(1, pixel, j % f)];
            }
        }
    }

    /// The reverse.
    fn leave(&self, pixels: &[Float], state: &mut [Float]) {
        let (image, f) = (self.image(1), self.channels[1]);
        for (i, from) in pixels.chunks_exact(2 * f).enumerate() {
            let (row, pixel) = (i / self.pixels(1), i % self.pixels(1));
            for (j, from) in from.iter().enumerate() {
                state[(row * 2 + j / f) * image + self.at(1, pixel, j % f)] = *from;
            }
        }
    }

    /// Masks of a sample for images of the input, or of the state.
    fn masks<'m>(&self, which: usize, masks: &'m [Float]) -> &'m [Float] {
        match masks.is_empty() {
            true => masks,
            false => {
                let (x, h) = masks.split_at(self.copies * self.image(0));
                [x, h][which]
            }
        }
    }
}

impl<const R: usize> ConvLSTMCell<R> {
    fn plan(&self, x: &[usize]) -> Plan {
        let form = &self.form;
        let (image, channels) = geometry::known_sizes::<R>(form.data_format, x);
        let (size, strides, dilation) = (form.kernel_size, form.strides, form.dilation_rate);
        let grid = geometry::grid(image, size, strides, dilation, &form.padding);
        let out: [usize; R] = std::array::from_fn(|a| grid.out[3 - R + a]);
        let state = geometry::grid(out, size, ones(), ones(), &Padding::Same);
        let dropped = self.args.dropout > 0.0 || self.args.recurrent_dropout > 0.0;
        let copies = if dropped { 4 } else { 1 };
        let f = form.filters;
        Plan {
            convs: [
                Conv::new(grid, copies * channels, 4 * f, copies),
                Conv::new(state, copies * f, 4 * f, copies),
            ],
            copies,
            channels: [channels, f],
            first: form.data_format == DataFormat::ChannelsFirst,
        }
    }
}

/// Whether a number of the result depends on a whole row.
fn of_rows(activation: &Activation) -> bool {
    matches!(
        activation,
        Activation::Softmax | Activation::LogSoftmax | Activation::Sparsemax
    )
}

impl<const R: usize> Cell for ConvLSTMCell<R> {
    fn class_name(&self) -> &'static str {
        "ConvLSTMCell"
    }

    fn config(&self) -> Config {
        Cells::config(self)
    }

    fn states(&self, x: &Shape) -> Result<Vec<Dims>> {
        let form = &self.form;
        if form.filters == 0 {
            return Err(Error::arg("filters", "a positive integer", 0));
        }
        self.args.check()?;
        geometry::check_positive("kernel_size", form.kernel_size)?;
        geometry::check_positive("strides", form.strides)?;
        geometry::check_positive("dilation_rate", form.dilation_rate)?;
        geometry::check_not_both(form.strides, form.dilation_rate)?;
        form.padding.check(false)?;
        let inputs = std::slice::from_ref(x);
        let (space, channels) = geometry::split::<R>(form.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        let rows = of_rows(&self.args.activation) || of_rows(self.args.recurrent_activation());
        if rows && form.data_format == DataFormat::ChannelsFirst {
            let want = "a function of single numbers with `channels_first`";
            return Err(Error::arg("activation", want, "one of whole rows"));
        }
        let Some(image) = geometry::all_known(space) else {
            let want = "known spatial sizes";
            return Err(Error::shape(want, format!("steps of shape {x}")));
        };
        let most = channels.max(form.filters).checked_mul(4);
        let most = most.unwrap_or(usize::MAX);
        for channels in [channels, form.filters] {
            let mut kernel = form.kernel_size.0.to_vec();
            kernel.extend([channels, form.filters.saturating_mul(4)]);
            geometry::check_len("kernel", &kernel)?;
        }
        let (size, strides, dilation) = (form.kernel_size, form.strides, form.dilation_rate);
        let out = geometry::out_sizes(space, size, strides, dilation, &form.padding)?;
        let grid = geometry::grid(image, size, strides, dilation, &form.padding);
        geometry::check_size(&grid, most)?;
        let state = geometry::all_known(out).unwrap_or([1; R]);
        let state = geometry::grid(state, size, ones(), ones(), &Padding::Same);
        geometry::check_size(&state, most)?;
        let state = geometry::join(form.data_format, out, Some(form.filters))?;
        Ok(vec![state.known().unwrap_or_default(); 2])
    }

    fn state_count(&self) -> usize {
        2
    }

    fn output(&self, x: &[usize]) -> Dims {
        let plan = self.plan(x);
        let mut dims = Dims::default();
        if plan.first {
            dims.push(plan.channels[1]);
        }
        let space = &plan.convs[1].grid().image[3 - R..];
        space.iter().for_each(|&n| dims.push(n));
        if !plan.first {
            dims.push(plan.channels[1]);
        }
        dims
    }

    fn weight_count(&self) -> usize {
        2 + usize::from(self.args.use_bias)
    }

    fn weights(&self, x: &Shape) -> Result<Vec<Weight>> {
        let (form, args) = (&self.form, &self.args);
        let inputs = std::slice::from_ref(x);
        let (_, channels) = geometry::split::<R>(form.data_format, inputs)?;
        let channels = geometry::known_channels(channels, inputs)?;
        let shape = |channels: usize| {
            let mut shape = form.kernel_size.0.to_vec();
            shape.extend([channels, 4 * form.filters]);
            Dims::new(&shape)
        };
        let bias = Dims::from([4 * form.filters]);
        let shapes = [shape(channels)?, shape(form.filters)?, bias];
        Ok(args.weights(shapes, Lstm::bias_initializer(args)))
    }

    fn room(&self, x: &[usize]) -> Room {
        let plan = self.plan(x);
        let (pixels, f) = (plan.pixels(1), plan.channels[1]);
        let images = [0, 1].map(|which| plan.copies * plan.image(which));
        let sums = plan.convs.iter().map(|c| c.sums_len(4 * f)).max();
        // Enough samples in a piece for a product of some size.
        let rows = (256 / pixels).clamp(1, 16);
        Room {
            state: 2 * plan.image(1),
            inputs: images[0],
            recurrent: images[1],
            gates: pixels * 4 * f,
            kept: pixels * f * if self.args.usual() { 2 } else { 7 },
            masks: if plan.copies > 1 {
                images[0] + images[1]
            } else {
                0
            },
            // Products or images, the states before and after, and what a sweep needs.
            scratch: (pixels * 4 * f).max(images[0]).max(images[1]) + 4 * pixels * f + f,
            packed: (plan.packed_len(0) + plan.packed_len(1)).max(sums.unwrap_or(0)),
            tables: plan.convs[0].tables_len() + plan.convs[1].tables_len(),
            rows,
            ahead: rows,
        }
    }

    fn tables(&self, x: &[usize], tables: &mut [u32]) {
        let plan = self.plan(x);
        let (of_x, of_h) = tables.split_at_mut(plan.convs[0].tables_len());
        plan.convs[0].tables(of_x);
        plan.convs[1].tables(of_h);
    }

    fn pack(&self, x: &[usize], w: Weights<'_>, way: Way, packed: &mut [Float]) {
        let plan = self.plan(x);
        let (of_x, of_h) = packed.split_at_mut(plan.packed_len(0));
        for ((which, kernel), to) in w.take(2).enumerate().zip([of_x, of_h]) {
            let conv = &plan.convs[which];
            match way {
                Way::Forward { .. } => conv.pack_forward(kernel, to),
                Way::Backward { dx } if dx || which == 1 => conv.pack_backward(kernel, to),
                Way::Backward { .. } => &[],
            };
        }
    }

    fn draw(&self, x: &[usize], rng: Stream, sample: u64, masks: &mut [Float]) {
        let (plan, args) = (self.plan(x), &self.args);
        let rng = args.seed.map_or(rng, |seed| rng.reseeded(seed));
        let mut rng = rng.at(sample);
        let (of_x, of_h) = masks.split_at_mut(plan.copies * plan.image(0));
        rng.dropout_mask(args.dropout, of_x);
        rng.dropout_mask(args.recurrent_dropout, of_h);
    }

    fn load(&self, shape: &[usize], x: &[Float], masks: &[Float], inputs: &mut [Float]) {
        let plan = self.plan(shape);
        plan.copy(0, x, plan.masks(0, masks), inputs);
    }

    fn project(&self, at: At<'_>, inputs: &[Float], gates: &mut [Float]) {
        let plan = self.plan(at.x);
        let (tables, kernel) = (plan.tables(0, at.tables), plan.kernel(0, at));
        plan.convs[0].forward(
            inputs,
            tables,
            kernel,
            gates,
            &mut [],
            Par::Serial,
            &nothing,
        );
    }

    fn step(&self, at: At<'_>, step: Step<'_>) {
        let (plan, f) = (self.plan(at.x), self.form.filters);
        let (image, each) = (plan.image(1), step.gates.len());
        let rows = step.state.len() / (2 * image);
        let masks = at.masks.len() / rows;
        let copies = step.recurrent.chunks_exact_mut(plan.copies * image);
        for (r, copies) in copies.enumerate() {
            let masks = plan.masks(1, &at.masks[r * masks..(r + 1) * masks]);
            plan.copy(1, &step.state[r * 2 * image..][..image], masks, copies);
        }
        let (products, rest) = step.scratch.split_at_mut(each);
        let (tables, kernel) = (plan.tables(1, at.tables), plan.kernel(1, at));
        let h = &*step.recurrent;
        plan.convs[1].forward(h, tables, kernel, products, &mut [], Par::Serial, &nothing);
        elementwise::add(products, step.gates);
        let (before, rest) = rest.split_at_mut(step.state.len());
        let after = &mut rest[..step.state.len()];
        plan.enter(step.state, before);
        let (mut w, gates) = (at.w, step.gates);
        match self.args.usual() {
            true => gates::lstm(f, w.nth(2), gates, before, after, step.kept),
            false => any_step(&self.args, w.nth(2), gates, before, after, step.kept),
        }
        plan.leave(after, step.next);
    }

    fn back(&self, at: At<'_>, step: StepBack<'_>) {
        let (plan, f) = (self.plan(at.x), self.form.filters);
        let image = plan.image(1);
        let rows = step.dstate.len() / (2 * image);
        let (dstate, rest) = step.scratch.split_at_mut(step.dstate.len());
        plan.enter(step.dstate, dstate);
        match self.args.usual() {
            true => gates::lstm_back(f, step.gates, step.kept, dstate),
            false => any_back(&self.args, step.gates, step.kept, dstate, rest),
        }
        plan.leave(dstate, step.dstate);
        let each = at.masks.len() / rows;
        let masks = |which, r: usize| plan.masks(which, &at.masks[r * each..(r + 1) * each]);
        let mut spread = |which: usize, put: &mut dyn FnMut(usize, &mut [Float])| {
            let (tables, kernel) = (plan.tables(which, at.tables), plan.kernel(which, at));
            let len = plan.copies * plan.image(which);
            let images = &mut rest[..rows * len];
            let conv = &plan.convs[which];
            conv.forward_transposed(
                step.gates,
                tables,
                kernel,
                images,
                &mut [],
                Par::Serial,
                &nothing,
            );
            let images = images.chunks_exact_mut(len).enumerate();
            images.for_each(|(r, images)| put(r, images));
        };
        spread(1, &mut |r, images| {
            let dh = &mut step.dstate[r * 2 * image..][..image];
            plan.sum(1, images, masks(1, r), dh);
        });
        if let Some((dx, distance)) = step.dx {
            spread(0, &mut |r, images| {
                let dx = &mut dx[r * distance..][..plan.image(0)];
                plan.sum(0, images, masks(0, r), dx);
            });
        }
    }

    fn gradients(&self, at: At<'_>, all: AllRows<'_>, mut dw: Slices<'_>, accum: Accum, par: Par) {
        let plan = self.plan(at.x);
        let f = self.form.filters;
        let kernels = [dw.next(), dw.next()];
        let mut dbias = dw.next();
        for ((which, dkernel), images) in kernels
            .into_iter()
            .enumerate()
            .zip([all.inputs, all.recurrent])
        {
            // What the bias is added to is convolved with the input; once is enough.
            let dbias = if which == 0 { dbias.take() } else { None };
            let grads = Gradients {
                dx: None,
                dkernel,
                dbias,
                accum,
                sums: &mut *all.room,
            };
            let sums = |_: usize, dz: &mut [Float], dbias: Option<&mut [Float]>| {
                Activation::Linear.grad_bias(&[], &[], dz, 4 * f, dbias);
            };
            let tables = plan.tables(which, at.tables);
            plan.convs[which].backward(images, tables, &[], all.gates, grads, par, &sums);
        }
    }
}

fn nothing(_: &mut [Float], _: &mut [Float]) {}
