//! A binary classifier on real data: which tumours are benign (1) and which malignant (0).
//!
//!     cargo run --release --example binary_classification                 (the bundled breast-cancer data, 569 x 30)
//!     cargo run --release --example binary_classification -- --synthetic  (1000 x 10, and 500 to validate)
//!     cargo run --release --example binary_classification -- --csv data.csv --target column
//!
//! `--seed N` and `--epochs N` go with each. The seed is that of the weights and of the shuffling; the split of the data stays.

use oxhorn::ndarray::{Array2, ArrayD};
use oxhorn::prelude::*;
use oxhorn::random::Rng;

/// Seed of the split, the same for every `--seed`: runs are measured on the same samples.
const SPLIT: Seed = Seed(1);

fn main() -> Result<()> {
    let args = Args::parse()?;
    let (train, test) = args.data()?;
    println!(
        "{} samples to train, {} to test, {} features\n",
        train.len(),
        test.len(),
        train.x.ncols()
    );

    let mut model = Sequential::new()
        .seed(args.seed)
        .input([train.x.ncols()])
        .add(Dense::new(64).activation("relu"))
        .add(Dense::new(64).activation("relu"))
        .add(Dense::new(1).activation("sigmoid"));
    model.compile(Adam::default(), BinaryCrossentropy::default(), [Accuracy])?;
    print!("{}", model.summary()?);

    model.fit(
        &train.x,
        &train.y,
        Fit::epochs(args.epochs)
            .batch_size(32)
            .validation(&test.x, &test.y),
    )?;

    model.compile(
        Adam::default(),
        BinaryCrossentropy::default(),
        (
            Accuracy,
            Precision::default(),
            Recall::default(),
            F1Score::default().threshold(0.5),
            Auc::default(),
        ),
    )?;
    println!("\ntest: {}", model.evaluate(&test.x, &test.y)?);
    print_confusion(&test, &model.predict(&test.x)?);
    Ok(())
}

fn print_confusion(test: &Tabular, predicted: &ArrayD<f32>) {
    let mut counts = [[0; 2]; 2];
    for (t, p) in test.y.iter().zip(predicted) {
        counts[usize::from(*t > 0.5)][usize::from(*p > 0.5)] += 1;
    }
    println!("\n            predicted 0   predicted 1");
    for (class, row) in counts.iter().enumerate() {
        println!("actual {class}    {:>11}   {:>11}", row[0], row[1]);
    }
}

struct Args {
    synthetic: bool,
    csv: Option<String>,
    target: Option<String>,
    seed: u64,
    epochs: usize,
}

impl Args {
    fn parse() -> Result<Args> {
        let mut args = Args {
            synthetic: false,
            csv: None,
            target: None,
            seed: 7,
            epochs: 10,
        };
        let mut given = std::env::args().skip(1);
        while let Some(arg) = given.next() {
            let mut value = || {
                given
                    .next()
                    .ok_or_else(|| Error::data(&arg, "a value must follow"))
            };
            let number = |text: String| {
                text.parse::<u64>()
                    .map_err(|_| Error::data("arguments", format!("`{text}` is not a number")))
            };
            match arg.as_str() {
                "--synthetic" => args.synthetic = true,
                "--csv" => args.csv = Some(value()?),
                "--target" => args.target = Some(value()?),
                "--seed" => args.seed = number(value()?)?,
                "--epochs" => args.epochs = number(value()?)? as usize,
                _ => {
                    return Err(Error::unknown(
                        "argument",
                        &arg,
                        ["--synthetic", "--csv", "--target", "--seed", "--epochs"],
                    ));
                }
            }
        }
        Ok(args)
    }

    /// Training and test data, standardised by the means and deviations of the training data.
    fn data(&self) -> Result<(Tabular, Tabular)> {
        if self.synthetic {
            return synthetic(self.seed);
        }
        let all = match (&self.csv, &self.target) {
            (Some(file), Some(target)) => Tabular::from_csv(file, target)?,
            (Some(_), None) => {
                return Err(Error::data(
                    "--csv",
                    "say which column is the target: `--target COLUMN`",
                ));
            }
            (None, _) => datasets::breast_cancer()?,
        };
        if all.y.iter().any(|y| *y != 0.0 && *y != 1.0) {
            return Err(Error::data(
                "target",
                "this example needs two classes, 0 and 1 (or two words)",
            ));
        }
        let (train, test) = all.split_stratified(0.2, SPLIT)?;
        let train = train.standardized();
        let test = test.standardized_like(&train)?;
        Ok((train, test))
    }
}

/// 1000 samples of ten normal features and 500 to validate; the class is which side of a curved surface they lie on.
fn synthetic(seed: u64) -> Result<(Tabular, Tabular)> {
    let mut rng = Rng::new(seed);
    let mut make = |n: usize| {
        let x = Array2::from_shape_simple_fn((n, 10), || rng.normal());
        let y = Array2::from_shape_fn((n, 1), |(i, _)| {
            let r = x.row(i);
            f32::from(r[0] + r[1] * r[2] - 0.5 * r[3] > 0.0)
        });
        Tabular::new(x, y)
    };
    Ok((make(1000)?, make(500)?))
}
