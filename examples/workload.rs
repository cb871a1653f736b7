//! The workloads of a comparison with other libraries, under its contract: `workload W1` reads its inputs from
//! `$BENCH_DIR/data/*.npy` and its numbers from `$BENCH_DIR/workloads.json`, and prints one line of JSON.
//!
//! Training: W1 (MLP 10-64-64-1), W2 (MLP 784-512-512-10), W3 (two convolutions, two poolings, 128-10), W4 (LSTM 64 over 50 steps),
//! W5 (transformer encoder of two blocks), W6 (wide and deep, eight embeddings), W9 (MLP 2048 x 3). Prediction of W1 to W4: W7 (one
//! sample at a time), W8 (1024 at once). `$BENCH_THREADS=1` keeps to one thread.

use std::time::Instant;

use oxhorn::ndarray::{ArrayD, Axis, Slice};
use oxhorn::ops;
use oxhorn::prelude::*;
use serde_json::{Value, json};

fn main() -> Result<()> {
    let workload = std::env::args()
        .nth(1)
        .ok_or_else(|| Error::data("arguments", "which workload?"))?;
    let bench = Bench::open()?;
    let report = match workload.as_str() {
        "W7" => bench.latency()?,
        "W8" => bench.throughput()?,
        _ => bench.train(&workload)?,
    };
    println!("{report}");
    Ok(())
}

struct Bench {
    dir: String,
    numbers: Value,
    threads: usize,
}

impl Bench {
    fn open() -> Result<Bench> {
        let dir = std::env::var("BENCH_DIR").map_err(|_| Error::data("BENCH_DIR", "is not set"))?;
        let path = format!("{dir}/workloads.json");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let numbers = serde_json::from_str(&text).map_err(|e| Error::data(path, e.to_string()))?;
        let threads = if std::env::var("BENCH_THREADS").is_ok_and(|t| t == "1") {
            1
        } else {
            0
        };
        Ok(Bench {
            dir,
            numbers,
            threads,
        })
    }

    fn number(&self, workload: &str, key: &str) -> f64 {
        self.numbers[workload][key].as_f64().unwrap_or(f64::NAN)
    }

    fn array(&self, name: &str) -> Result<ArrayD<f32>> {
        read_npy(&format!("{}/data/{name}.npy", self.dir))
    }

    fn model(&self, workload: &str) -> Result<Sequential> {
        let model = Sequential::new().seed(7).threads(self.threads);
        let dense = |units, activation| Dense::new(units).activation(activation);
        Ok(match workload {
            "W1" => model
                .input([10])
                .add(dense(64, "relu"))
                .add(dense(64, "relu"))
                .add(dense(1, "sigmoid")),
            "W2" => model
                .input([784])
                .add(dense(512, "relu"))
                .add(dense(512, "relu"))
                .add(dense(10, "softmax")),
            "W3" => model
                .input([28, 28, 1])
                .add(Conv2D::new(32, 3).activation("relu"))
                .add(MaxPooling2D::new(2))
                .add(Conv2D::new(64, 3).activation("relu"))
                .add(MaxPooling2D::new(2))
                .add(Flatten::new())
                .add(dense(128, "relu"))
                .add(dense(10, "softmax")),
            "W4" => model
                .input([50, 32])
                .add(LSTM::new(64))
                .add(dense(1, "sigmoid")),
            "W9" => (0..3)
                .fold(model.input([2048]), |model, _| {
                    model.add(dense(2048, "relu"))
                })
                .add(dense(10, "softmax")),
            other => {
                let known = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9"];
                return Err(Error::unknown("workload", other, known));
            }
        })
    }

    /// The data of a workload: inputs and targets. `kind` is empty or `v`, for held-out rows.
    fn data(&self, workload: &str, kind: &str) -> Result<(Vec<ArrayD<f32>>, ArrayD<f32>)> {
        let array = |name: &str| self.array(&format!("{workload}_{kind}{name}"));
        let y = array("y")?;
        Ok(match workload {
            "W5" => {
                let x = array("x")?;
                let positions = ArrayD::from_shape_fn(x.raw_dim(), |at| at[1] as f32);
                (vec![x, positions], y)
            }
            "W6" => (vec![array("c")?, array("n")?], y.insert_axis(Axis(1))),
            "W1" | "W4" => (vec![array("x")?], y.insert_axis(Axis(1))),
            _ => (vec![array("x")?], y),
        })
    }

    fn train(&self, workload: &str) -> Result<Value> {
        let mut model: Model = match workload {
            "W5" => encoder()?,
            "W6" => wide_and_deep()?,
            _ => self.model(workload)?.into_model(),
        };
        let seed = std::env::var("BENCH_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        model.set_seed(seed.unwrap_or(7));
        model.set_threads(self.threads);
        let loss = match workload {
            "W1" | "W4" | "W6" => "binary_crossentropy",
            _ => "sparse_categorical_crossentropy",
        };
        model.compile(Adam::new(self.number(workload, "lr")), loss, ["accuracy"])?;
        let (x, y) = self.data(workload, "")?;
        let (vx, vy) = self.data(workload, "v")?;
        let (epochs, batch) = (
            self.number(workload, "epochs") as usize,
            self.number(workload, "batch") as usize,
        );
        let mut clock = Clock {
            mark: (Instant::now(), cpu_seconds()),
            wall: Vec::new(),
            cpu: Vec::new(),
        };
        let mut fit = Fit::epochs(epochs).batch_size(batch).verbose(0);
        if self.numbers[workload]["val_each_epoch"] == true {
            fit = fit.validation(&vx[..], &vy);
        }
        let history = model.fit(&x[..], &y, fit.callback(&mut clock))?;
        let measured = model.evaluate(&vx[..], &vy)?;
        Ok(json!({
            "epoch_s": clock.wall, "epoch_cpu_s": clock.cpu, "final_loss": history.last("loss"),
            "final_metric": measured.get("accuracy"), "params": model.count_params(),
        }))
    }

    fn latency(&self) -> Result<Value> {
        let (warmup, calls) = (
            self.number("W7", "warmup") as usize,
            self.number("W7", "calls") as usize,
        );
        self.results(|model, x| {
            let row = |i: usize| x.slice_axis(Axis(0), Slice::from(i..i + 1)).to_owned();
            let rows: Vec<ArrayD<f32>> = (0..256).map(row).collect();
            let mut out = vec![0.0; model.output_shapes()[0].numel().unwrap_or(1)];
            let mut times = Vec::with_capacity(calls);
            for i in 0..warmup + calls {
                let start = Instant::now();
                model.predict_into(&rows[i % 256], &mut out)?;
                if i >= warmup {
                    times.push(start.elapsed().as_secs_f64() * 1e6);
                }
            }
            times.sort_by(f64::total_cmp);
            Ok(json!({"predict_into": {"median_us": times[calls / 2], "p99_us": times[calls * 99 / 100], "calls": calls}}))
        })
    }

    fn throughput(&self) -> Result<Value> {
        let (warmup, calls, batch) = (
            self.number("W8", "warmup") as usize,
            self.number("W8", "calls") as usize,
            self.number("W8", "batch") as usize,
        );
        self.results(|model, x| {
            let x = x.slice_axis(Axis(0), Slice::from(0..batch.min(x.shape()[0])));
            // W1 has 1,000 rows: begin again from the first.
            let rows: Vec<_> = (0..batch).map(|i| x.index_axis(Axis(0), i % x.shape()[0])).collect();
            let x = oxhorn::ndarray::stack(Axis(0), &rows).map_err(|e| Error::data("x", e.to_string()))?;
            let mut times = Vec::with_capacity(calls);
            for i in 0..warmup + calls {
                let start = Instant::now();
                let y = model.predict(&x)?;
                if i >= warmup {
                    times.push(start.elapsed().as_secs_f64());
                }
                drop(y);
            }
            times.sort_by(f64::total_cmp);
            Ok(json!({"predict": {"samples_per_s": batch as f64 / times[calls / 2], "calls": calls}}))
        })
    }

    fn results(&self, measure: impl Fn(&Model, &ArrayD<f32>) -> Result<Value>) -> Result<Value> {
        let mut results = serde_json::Map::new();
        for workload in ["W1", "W2", "W3", "W4"] {
            let mut model = self.model(workload)?;
            let x = self.array(&format!("{workload}_x"))?;
            model.build(&x.shape()[1..])?;
            results.insert(workload.into(), measure(&model, &x)?);
        }
        Ok(json!({"results": results}))
    }
}

/// Two blocks `x = LN(x + MHA(x)); x = LN(x + Dense(gelu(Dense(x))))` on tokens and their positions.
fn encoder() -> Result<Model> {
    let (tokens, positions) = (
        Input::new([64]).name("tokens"),
        Input::new([64]).name("positions"),
    );
    let token = Embedding::new(5000, 128).call(&tokens)?;
    let position = Embedding::new(64, 128).call(&positions)?;
    let norm = |x: &KerasTensor| LayerNormalization::new().epsilon(1e-5).call(x);
    let mut x = Add::new().call([&token, &position])?;
    for _ in 0..2 {
        let attended = MultiHeadAttention::new(4, 32).call(Inputs::of(&x).and(&x))?;
        x = norm(&Add::new().call([&x, &attended])?)?;
        let hidden = Dense::new(512).activation("gelu").call(&x)?;
        x = norm(&Add::new().call([&x, &Dense::new(128).call(&hidden)?])?)?;
    }
    let mean = GlobalAveragePooling1D::new().call(&x)?;
    Model::new(
        [&tokens, &positions],
        &Dense::new(2).activation("softmax").call(&mean)?,
    )
}

/// A table for each of eight categories and the numbers through three layers, beside a linear model of the numbers.
fn wide_and_deep() -> Result<Model> {
    let (categories, numbers) = (
        Input::new([8]).name("categories"),
        Input::new([13]).name("numbers"),
    );
    let table = |k: i64| {
        let ids = ops::get_item(&categories, [(..).into(), k.into()])?;
        Embedding::new(10_000, 16).call(&ids)
    };
    let mut all = (0..8).map(table).collect::<Result<Vec<KerasTensor>>>()?;
    all.push((*numbers).clone());
    let mut deep = Concatenate::new().call(&all)?;
    for units in [256, 128, 64] {
        deep = Dense::new(units).activation("relu").call(&deep)?;
    }
    let wide = Dense::new(1).use_bias(false).call(&numbers)?;
    let sum = Add::new().call([&Dense::new(1).call(&deep)?, &wide])?;
    Model::new(
        [&categories, &numbers],
        &Activation::new("sigmoid").call(&sum)?,
    )
}

/// Wall and processor time of every epoch.
struct Clock {
    mark: (Instant, f64),
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Callback for Clock {
    fn on_epoch_begin(&mut self, _epoch: usize, _cx: &mut TrainContext<'_>) -> Result<()> {
        self.mark = (Instant::now(), cpu_seconds());
        Ok(())
    }

    fn on_epoch_end(
        &mut self,
        _epoch: usize,
        _logs: &mut Logs,
        _cx: &mut TrainContext<'_>,
    ) -> Result<()> {
        self.wall.push(self.mark.0.elapsed().as_secs_f64());
        self.cpu.push(cpu_seconds() - self.mark.1);
        Ok(())
    }
}

/// Processor time of all threads so far (Linux; 0 elsewhere).
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0.0;
    };
    let of = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("schedstat"))
            .ok()?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    };
    tasks.flatten().filter_map(of).sum::<f64>() * 1e-9
}

/// A little-endian float32 or int32 array in C order.
fn read_npy(path: &str) -> Result<ArrayD<f32>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let bad = |problem: &str| Error::data(path, problem);
    let length = bytes
        .get(8..10)
        .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
        .ok_or_else(|| bad("too short"))?;
    let header = std::str::from_utf8(bytes.get(10..10 + length).ok_or_else(|| bad("too short"))?)
        .map_err(|_| bad("no text in its header"))?;
    let shape = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .ok_or_else(|| bad("no shape"))?
        .0;
    let shape: Vec<usize> = shape
        .split(',')
        .filter_map(|n| n.trim().parse().ok())
        .collect();
    let words = bytes[10 + length..]
        .chunks_exact(4)
        .map(|b| [b[0], b[1], b[2], b[3]]);
    let data: Vec<f32> = match header {
        h if h.contains("<f4") => words.map(f32::from_le_bytes).collect(),
        h if h.contains("<i4") => words.map(|w| i32::from_le_bytes(w) as f32).collect(),
        _ => return Err(bad("neither float32 nor int32")),
    };
    ArrayD::from_shape_vec(shape, data).map_err(|e| bad(&e.to_string()))
}
