//! The laws of an optimizer.

use crate::float::Float;
use crate::optimizers::{Initial, Members, Optimizer, Tick, Var, Variable};
use crate::shape::Dims;

/// An optimizer with the memory of one variable.
struct Run<'a> {
    optimizer: &'a dyn Optimizer,
    shape: Dims,
    w: Vec<Float>,
    slots: Vec<Vec<Float>>,
    scalars: Vec<f64>,
    scratch: Vec<Float>,
    updates: u64,
}

impl<'a> Run<'a> {
    fn new(optimizer: &'a dyn Optimizer, shape: &[usize], w: Vec<Float>) -> Self {
        let shape = Dims::new(shape).expect("at most eight axes");
        let variable = Variable {
            path: "dense/kernel",
            shape,
        };
        let slot = |s: usize| {
            let shape = match optimizer.whole_runs() {
                true => Some(shape),
                false => optimizer.slot_shape(s, &variable),
            };
            match (shape, optimizer.initial(s)) {
                (None, _) => Vec::new(),
                (Some(shape), Initial::Value(value)) => vec![value; shape.numel()],
                (Some(_), Initial::Weights) => w.clone(),
            }
        };
        Run {
            slots: (0..optimizer.slots().len()).map(slot).collect(),
            scalars: optimizer.scalars().iter().map(|(_, v)| *v).collect(),
            scratch: vec![Float::NAN; optimizer.scratch(&shape)],
            optimizer,
            shape,
            w,
            updates: 0,
        }
    }

    /// One update, in these pieces of the arrays (all at once for an optimizer that needs the shape).
    fn update(&mut self, g: &[Float], grad_scale: Float, decay: Float, pieces: &[usize]) {
        self.updates += 1;
        self.optimizer.advance(self.updates, &mut self.scalars);
        let tick = Tick {
            iteration: self.updates,
            lr: self.optimizer.common().learning_rate.at(self.updates - 1),
            grad_scale,
            decay,
            scalars: &self.scalars,
        };
        let whole = self.optimizer.whole_runs();
        let mut start = 0usize;
        for &length in if whole { pieces } else { &[usize::MAX][..] } {
            let end = self.w.len().min(start.saturating_add(length));
            let length = [end - start];
            let mut slots: Vec<&mut [Float]> = self
                .slots
                .iter_mut()
                .map(|s| match whole {
                    true => &mut s[start..end],
                    false => &mut s[..],
                })
                .collect();
            self.optimizer.update(
                &tick,
                Var {
                    shape: if whole { &length } else { &self.shape },
                    w: &mut self.w[start..end],
                    g: &g[start..end],
                    slots: &mut slots,
                    scratch: &mut self.scratch,
                },
            );
            start = end;
        }
    }
}

/// Checks an optimizer that updates variables itself:
///
/// * its arguments make sense, and its slots are grouped whole;
/// * what is folded into the pass is honoured: a factor on the gradients, and weight decay before the update;
/// * where it takes several variables at once, it makes no difference how the arrays are cut;
/// * the same gradients give the same bits again;
/// * variables of any rank stay finite, also where all gradients are zero;
/// * on a bowl `sum w^2` it goes down (so its learning rate should suit one).
///
/// ```
/// oxhorn::testing::check_optimizer(&oxhorn::optimizers::Adam::new(0.05));
/// ```
///
/// # Panics
/// If one of the laws is broken; the message says which.
pub fn check_optimizer(optimizer: &dyn Optimizer) {
    let class = optimizer.class_name();
    optimizer.common().check().expect("arguments");
    optimizer.check().expect("arguments");
    assert!(
        matches!(optimizer.members(), Members::Itself),
        "{class} hands its variables to others: check those"
    );
    assert_eq!(
        optimizer.slot_groups().iter().sum::<usize>(),
        optimizer.slots().len(),
        "{class}: the groups have other slots than there are"
    );
    let start = |n: usize| (0..n).map(|i| (i as Float * 1.7).cos() + 0.3).collect();
    let gradient = |n: usize, t: usize| -> Vec<Float> {
        (0..n)
            .map(|i| ((i + 3 * t) as Float * 0.9).sin() + 0.1)
            .collect()
    };
    for shape in [&[7, 6][..], &[6, 7], &[42], &[2, 3, 7], &[1, 42], &[42, 1]] {
        let n = shape.iter().product();
        let mut plain = Run::new(optimizer, shape, start(n));
        let mut folded = Run::new(optimizer, shape, start(n));
        let mut again = Run::new(optimizer, shape, start(n));
        for t in 0..6 {
            let g = gradient(n, t);
            let half: Vec<Float> = g.iter().map(|g| 0.5 * g).collect();
            plain.w.iter_mut().for_each(|w| *w *= 1.0 - 0.125);
            plain.update(&half, 1.0, 0.0, &[n]);
            folded.update(&g, 0.5, 0.125, &[1, 16, 20, n]);
            again.update(&g, 0.5, 0.125, &[n]);
        }
        for (i, (a, b)) in plain.w.iter().zip(&folded.w).enumerate() {
            assert!(
                a.is_finite() && (a - b).abs() <= 1e-4 * (1.0 + a.abs()),
                "{class} {shape:?}: element {i} is {b} with the scale and the decay folded in, {a} without"
            );
        }
        let bits = |run: &Run<'_>| run.w.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
        assert!(
            optimizer.whole_runs() || bits(&folded) == bits(&again),
            "{class} {shape:?}: the same gradients give other bits"
        );
        for (a, b) in folded.w.iter().zip(&again.w) {
            assert!(
                (a - b).abs() <= 1e-5 * (1.0 + a.abs()),
                "{class} {shape:?}: it matters how the arrays are cut"
            );
        }
        let mut still = Run::new(optimizer, shape, start(n));
        for _ in 0..3 {
            still.update(&vec![0.0; n], 1.0, 0.0, &[n]);
        }
        assert!(
            still.w.iter().all(|w| w.is_finite()),
            "{class} {shape:?}: zero gradients make weights that are not finite"
        );
        let mut bowl = Run::new(optimizer, shape, start(n));
        let height = |w: &[Float]| w.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
        let top = height(&bowl.w);
        for _ in 0..40 {
            let g: Vec<Float> = bowl.w.iter().map(|w| 2.0 * w).collect();
            bowl.update(&g, 1.0, 0.0, &[n]);
        }
        let bottom = height(&bowl.w);
        assert!(
            bottom < top,
            "{class} {shape:?}: from {top} it went to {bottom}"
        );
    }
}
