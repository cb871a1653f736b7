//! Regression: how far diabetes has progressed after a year, from ten measurements (442 patients).
//!
//!     cargo run --release --example regression
//!
//! Stops early and keeps the best weights. Last line: the error on patients that were held out, beside that of the mean.

use oxhorn::prelude::*;

fn main() -> Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/diabetes.csv");
    let (train, test) = Tabular::from_csv(file, "progression")?.split(0.2, Seed(1))?;
    let train = train.standardized();
    let test = test.standardized_like(&train)?;
    // The targets run from 25 to 346: bring them near one.
    let (y, y_test) = (&train.y / 100.0, &test.y / 100.0);

    let mut model = Sequential::new()
        .seed(2)
        .input([train.x.ncols()])
        .add(Dense::new(32).activation("relu").kernel_regularizer("l2"))
        .add(Dropout::new(0.2))
        .add(Dense::new(1));
    model.compile(Adam::new(0.005), MeanSquaredError::default(), ["mae"])?;
    let mut stop = EarlyStopping::new("val_mae")
        .patience(20)
        .restore_best_weights(true);
    model.fit(
        &train.x,
        &y,
        Fit::epochs(300)
            .validation_split(0.2)
            .verbose(0)
            .callback(&mut stop),
    )?;
    println!(
        "stopped after epoch {:?}, best {:?}",
        stop.stopped_epoch(),
        stop.best()
    );

    let mean = y.mean().unwrap_or(0.0);
    let baseline = y_test.mapv(|v| (v - mean).abs()).mean().unwrap_or(0.0);
    let measured = model.evaluate(&test.x, &y_test)?;
    println!(
        "mean absolute error {:.1} (always the mean: {:.1})",
        100.0 * measured.get("mae").unwrap_or(f64::NAN),
        100.0 * baseline
    );
    Ok(())
}
