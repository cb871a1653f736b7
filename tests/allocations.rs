//! After the first step, training and `predict_into` allocate nothing, and thousands of calls leave nothing behind. A binary of its own, because it counts every allocation.

#![allow(unsafe_code)] // a global allocator is one

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use ndarray::Array2;
use oxhorn::Float;
use oxhorn::prelude::*;
use oxhorn::random::Rng;

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Bytes that are in use.
static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(size as isize - layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations counted after each batch, written into room made before.
struct Watch {
    counts: Vec<usize>,
}

impl Callback for Watch {
    fn on_train_batch_end(
        &mut self,
        _batch: usize,
        _logs: &BatchLogs<'_>,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        if self.counts.len() < self.counts.capacity() {
            self.counts.push(COUNT.load(Ordering::Relaxed));
        }
        Ok(())
    }
}

// One test: another at the same time would be counted too.
#[test]
fn nothing_is_allocated_after_the_first_step() {
    let mut rng = Rng::new(0);
    let x = Array2::from_shape_simple_fn((32 * 102, 20), || rng.normal());
    let y = x
        .mapv(|v| f32::from(v > 0.0))
        .sum_axis(ndarray::Axis(1))
        .insert_axis(ndarray::Axis(1))
        .mapv(|s| f32::from(s > 10.0));
    let mut model = Sequential::new()
        .seed(0)
        .threads(1)
        .input([20])
        .add(Dense::new(64).activation("relu"))
        .add(Dropout::new(0.2))
        .add(Dense::new(33).activation("gelu").kernel_regularizer("l2"))
        .add(Dense::new(1).activation("sigmoid"));
    model
        .compile(
            Adam::new(0.001).global_clipnorm(1.0),
            "binary_crossentropy",
            ["accuracy", "auc"],
        )
        .unwrap();
    let mut watch = Watch {
        counts: Vec::with_capacity(102),
    };
    model
        .fit(&x, &y, Fit::epochs(1).verbose(0).callback(&mut watch))
        .unwrap();
    assert_eq!(watch.counts.len(), 102);
    let (first, last) = (watch.counts[1], watch.counts[101]);
    assert_eq!(last - first, 0, "100 training steps");

    // Memory by variable, averages, accumulation, matrices in the update, weights, metrics of every kind.
    let optimizers: [Box<dyn Fn() -> Compile>; 4] = [
        Box::new(|| {
            let muon = oxhorn::optimizers::Muon::new(0.01).use_ema(true);
            Compile::new(muon, "huber").metrics(["recall", "r2_score", "precision"])
        }),
        Box::new(|| {
            let adafactor = oxhorn::optimizers::Adafactor::new(0.01).gradient_accumulation_steps(3);
            Compile::new(adafactor, "dice").weighted_metrics(["bce", "mae"])
        }),
        Box::new(|| {
            let scaled = oxhorn::optimizers::LossScaleOptimizer::new(Sgd::new(0.01).momentum(0.9));
            Compile::new(scaled, "binary_focal_crossentropy").metrics(["binary_io_u"])
        }),
        Box::new(|| {
            let rate = oxhorn::schedule::CosineDecay::new(0.01, 100.0);
            Compile::new(oxhorn::optimizers::Lamb::new(rate), "hinge").metrics(["hinge"])
        }),
    ];
    let weights: Vec<f32> = (0..x.nrows()).map(|i| 0.5 + (i % 3) as f32).collect();
    for (i, compile) in optimizers.iter().enumerate() {
        model.compile_with(compile()).unwrap();
        let mut watch = Watch {
            counts: Vec::with_capacity(102),
        };
        let fit = Fit::epochs(1)
            .verbose(0)
            .sample_weight(&weights)
            .callback(&mut watch);
        model.fit(&x, &y, fit).unwrap();
        // With accumulation the first update is the third step.
        let (first, last) = (watch.counts[5], watch.counts[101]);
        assert_eq!(last - first, 0, "optimizer {i}");
    }

    // From a dataset: shuffled in a buffer, with weights of classes, read ahead on a thread.
    let own: &'static (Array2<Float>, Array2<Float>) = Box::leak(Box::new((x.clone(), y.clone())));
    let data = oxhorn::data::from_arrays(&own.0, &own.1).unwrap();
    let mut data = data.shuffle_buffer(100).prefetch(2);
    let mut watch = Watch {
        counts: Vec::with_capacity(102),
    };
    let fit = Fit::epochs(1)
        .verbose(0)
        .class_weight([(0, 2.0)])
        .callback(&mut watch);
    model.fit_dataset(&mut data, fit).unwrap();
    let (first, last) = (watch.counts[5], watch.counts[101]);
    assert_eq!(last - first, 0, "96 batches of a dataset");

    let one = Array2::from_shape_fn((1, 20), |(_, j)| j as f32);
    let mut out = [0.0];
    model.predict_into(&one, &mut out).unwrap();
    let before = COUNT.load(Ordering::Relaxed);
    for _ in 0..100 {
        model.predict_into(&one, &mut out).unwrap();
    }
    assert_eq!(
        COUNT.load(Ordering::Relaxed) - before,
        0,
        "100 calls of predict_into"
    );

    // Ten thousand calls.
    let (few, targets) = (one.broadcast((4, 20)).unwrap(), Array2::<f32>::ones((4, 1)));
    let mut calls = |n: usize| {
        for _ in 0..n {
            model
                .fit(&few, &targets, Fit::epochs(1).verbose(0))
                .unwrap();
            model.predict(&few).unwrap();
            model.evaluate(&few, &targets).unwrap();
        }
        LIVE.load(Ordering::Relaxed)
    };
    let before = calls(100);
    assert_eq!(calls(5000) - before, 0, "bytes left by 15000 calls");
}
