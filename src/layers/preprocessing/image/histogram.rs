//! Equalization of a histogram.

use super::arguments::ValueRange;
use super::augmentation::Image;
use crate::float::Float;

/// Equalizes channel `c` of all images of `data`, whose histogram is one; `counts` has room for each bin.
///
/// With `F` the number of values up to a bin, the value becomes `255 (F - F_min) / (n - F_min)`.
pub(crate) fn equalize(
    data: &mut [Float],
    image: Image,
    c: usize,
    range: ValueRange,
    counts: &mut [u32],
) {
    let bins = counts.len() as Float - 1.0;
    let (full, range) = (ValueRange::default(), range.sorted());
    let rescale = |from: ValueRange, to: ValueRange| {
        let scale = (to.second() - to.first()) / (from.second() - from.first());
        (scale, to.first() - from.first() * scale)
    };
    let ((enter, enter_by), (leave, leave_by)) = (rescale(range, full), rescale(full, range));
    let last = counts.len() - 1;
    counts.fill(0);
    for sample in data.chunks_exact_mut(image.len()) {
        for pixel in 0..image.pixels() {
            let v = sample[image.at(pixel, c)] * enter + enter_by;
            counts[((v * bins / 255.0) as usize).min(last)] += 1;
        }
    }
    if counts.iter().filter(|n| **n > 0).count() <= 1 {
        return;
    }
    let mut sum = 0;
    for n in counts.iter_mut() {
        sum += *n;
        *n = sum;
    }
    let least = counts.iter().copied().find(|n| *n > 0).unwrap_or(0);
    let width = f64::from((sum - least).max(1));
    for sample in data.chunks_exact_mut(image.len()) {
        for pixel in 0..image.pixels() {
            let v = &mut sample[image.at(pixel, c)];
            let bin = ((*v * enter + enter_by) / 255.0 * bins) as usize;
            let above = f64::from(counts[bin.min(last)].saturating_sub(least));
            let equal = (above * 255.0 / width).round_ties_even().clamp(0.0, 255.0);
            *v = equal as Float * leave + leave_by;
        }
    }
}
