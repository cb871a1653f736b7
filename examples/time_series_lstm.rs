//! A time series: from twelve months of growth, an LSTM forecasts the next month of the international air traffic (1949 to 1960).
//!
//!     cargo run --release --example time_series_lstm
//!
//! Last lines: the mean error over the last two years, which it has not seen, beside that of the growth of a year ago.

use oxhorn::data::{Table, Timeseries, timeseries_dataset_from_array};
use oxhorn::prelude::*;

/// Months that the forecast looks back.
const YEAR: usize = 12;
/// Months that are held out.
const TEST: usize = 24;

fn main() -> Result<()> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/data/airline_passengers.csv"
    );
    let passengers = Table::read(file)?.numeric("passengers")?;
    let growth: Vec<[f32; 1]> = passengers
        .windows(2)
        .map(|p| [(p[1] / p[0]).ln()])
        .collect();
    let first = growth.len() - TEST;

    // Windows of twelve months, each with the month behind it as the target.
    let form = Timeseries::of(YEAR);
    let (known, recent) = (&growth[..first], &growth[first - YEAR..]);
    let mut train =
        timeseries_dataset_from_array(known, Some(&known[YEAR..]), form)?.batch_size(16);
    let mut test = timeseries_dataset_from_array(recent, Some(&recent[YEAR..]), form)?;

    let mut model = Sequential::new()
        .seed(1)
        .input([YEAR, 1])
        .add(LSTM::new(32))
        .add(Dense::new(1));
    model.compile(Adam::new(0.01), "mse", ["mae"])?;
    model.fit_dataset(&mut train, Fit::epochs(150).verbose(0))?;

    let forecast = model.predict_dataset(&mut test)?;
    let error = |growth: &dyn Fn(usize) -> f32| -> f32 {
        let months = first..first + TEST;
        let off = |m: usize| (passengers[m] * growth(m).exp() - passengers[m + 1]).abs();
        months.map(off).sum::<f32>() / TEST as f32
    };
    println!(
        "growth of a year ago: off by {:.1} thousand passengers a month",
        error(&|m| growth[m - YEAR][0])
    );
    println!(
        "LSTM:                 off by {:.1}",
        error(&|m| forecast[[m - first, 0]])
    );
    Ok(())
}
