//! Keras's progress bar on a terminal, one plain line an epoch elsewhere. The only file that prints.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::Logs;

/// How much `fit` and `evaluate` print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbose {
    /// A bar on a terminal, one line an epoch elsewhere.
    #[default]
    Auto,
    /// Nothing.
    Silent,
    /// As `Auto`.
    Bar,
    /// One line an epoch.
    Line,
}

impl From<u8> for Verbose {
    /// Keras's 0, 1 and 2.
    fn from(level: u8) -> Self {
        match level {
            0 => Verbose::Silent,
            1 => Verbose::Bar,
            _ => Verbose::Line,
        }
    }
}

impl From<Verbose> for bool {
    fn from(v: Verbose) -> bool {
        v != Verbose::Silent
    }
}

/// Prints a line: what a callback with `verbose` has to say.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// A line on the standard error about something that is probably not meant; nothing where nothing is to be printed.
pub(crate) fn warn(verbose: Verbose, line: &str) {
    if verbose != Verbose::Silent {
        eprintln!("warning: {line}");
    }
}

/// Cells of the bar.
const WIDTH: usize = 20;
/// Redraws of the bar are at least so far apart.
const INTERVAL: Duration = Duration::from_millis(50);

/// Prints an epoch.
#[derive(Debug)]
pub struct Progress {
    style: Style,
    /// Batches of an epoch; 0 where that is not known.
    pub(crate) steps: usize,
    start: Instant,
    drawn: Option<Instant>,
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Silent,
    Bar,
    Line,
}

impl Progress {
    /// For epochs of `steps` batches.
    pub fn new(verbose: Verbose, steps: usize) -> Self {
        let style = match verbose {
            Verbose::Silent => Style::Silent,
            Verbose::Line => Style::Line,
            Verbose::Auto | Verbose::Bar if std::io::stdout().is_terminal() => Style::Bar,
            Verbose::Auto | Verbose::Bar => Style::Line,
        };
        Progress {
            style,
            steps,
            start: Instant::now(),
            drawn: None,
            width: 0,
        }
    }

    /// An epoch begins. `of` is the number of epochs, or 0 outside of training.
    pub fn begin(&mut self, epoch: usize, of: usize) {
        (self.start, self.drawn, self.width) = (Instant::now(), None, 0);
        if self.style == Style::Bar && of > 0 {
            println!("Epoch {}/{of}", epoch + 1);
        }
    }

    /// Whether it is time to draw again: only then are the running values needed.
    pub fn due(&self) -> bool {
        self.style == Style::Bar && self.drawn.is_none_or(|at| at.elapsed() >= INTERVAL)
    }

    /// A batch is done.
    pub fn update(&mut self, step: usize, logs: &Logs) {
        self.drawn = Some(Instant::now());
        let line = bar_line(step, self.steps, self.start.elapsed(), logs);
        self.draw(&line, false);
    }

    /// An epoch is done, with its validation.
    pub fn end(&mut self, epoch: usize, of: usize, logs: &Logs) {
        let time = self.start.elapsed();
        match self.style {
            Style::Silent => {}
            Style::Bar => self.draw(&bar_line(self.steps, self.steps, time, logs), true),
            Style::Line => {
                let head = if of > 0 {
                    format!("Epoch {}/{of} - ", epoch + 1)
                } else {
                    String::new()
                };
                println!(
                    "{head}{}/{} - {} - {} - {logs}",
                    self.steps,
                    self.steps,
                    whole(time),
                    per_step(time, self.steps)
                );
            }
        }
    }

    fn draw(&mut self, line: &str, last: bool) {
        // Spaces wipe what a longer line before left.
        let length = line.chars().count();
        let padding = " ".repeat(self.width.saturating_sub(length));
        self.width = length;
        print!("\r{line}{padding}{}", if last { "\n" } else { "" });
        // A closed or full standard output is no reason to stop training.
        let _ = std::io::stdout().flush();
    }
}

fn bar_line(step: usize, steps: usize, time: Duration, logs: &Logs) -> String {
    let filled = (step * WIDTH)
        .checked_div(steps)
        .unwrap_or(WIDTH)
        .min(WIDTH);
    if steps == 0 && step > 0 {
        let (clock, each) = (whole(time), per_step(time, step));
        return format!("{step}/Unknown {clock} {each} - {logs}");
    }
    let width = steps.to_string().len();
    let (full, empty) = ("━".repeat(filled), "─".repeat(WIDTH - filled));
    let clock = if step < steps {
        let left = time.as_secs_f64() / step.max(1) as f64 * (steps - step) as f64;
        format!("{}:{:02}", left as u64 / 60, left as u64 % 60)
    } else {
        whole(time)
    };
    format!(
        "{step:>width$}/{steps} {full}{empty} {clock} {} - {logs}",
        per_step(time, step)
    )
}

fn whole(time: Duration) -> String {
    match time.as_secs() {
        0 if time < Duration::from_millis(1) => format!("{}us", time.as_micros()),
        0 => format!("{}ms", time.as_millis()),
        s => format!("{s}s"),
    }
}

fn per_step(time: Duration, steps: usize) -> String {
    let each = time.as_secs_f64() / steps.max(1) as f64;
    match each {
        s if s >= 1.0 => format!("{s:.0}s/step"),
        s if s >= 1e-3 => format!("{:.0}ms/step", s * 1e3),
        s => format!("{:.0}us/step", s * 1e6),
    }
}

/// Four decimals, or scientific where they would show nothing: as Keras prints.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || (value.abs() >= 1e-3 && value.abs() < 1e7) {
        format!("{value:.4}")
    } else {
        format!("{value:.4e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut logs = Logs::default();
        logs.set("loss", 0.25);
        logs.set("val_loss", 1e-5);
        assert_eq!(
            bar_line(4, 8, Duration::from_millis(400), &logs),
            "4/8 ━━━━━━━━━━────────── 0:00 100ms/step - loss: 0.2500 - val_loss: 1.0000e-5"
        );
        assert!(
            bar_line(8, 8, Duration::from_secs(2), &logs)
                .starts_with("8/8 ━━━━━━━━━━━━━━━━━━━━ 2s 250ms/step")
        );
        assert_eq!(
            bar_line(3, 0, Duration::from_millis(300), &logs),
            "3/Unknown 300ms 100ms/step - loss: 0.2500 - val_loss: 1.0000e-5"
        );
        assert_eq!(per_step(Duration::from_micros(320), 32), "10us/step");
    }
}
