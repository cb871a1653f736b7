//! Colours: hue, saturation and value; grey.

use super::augmentation::Image;
use crate::float::Float;

/// Share of red, green and blue in grey.
const GRAY: [Float; 3] = [0.2989, 0.587, 0.114];

/// Calls `f` on the first three channels of every pixel.
pub(crate) fn each_pixel(image: Image, y: &mut [Float], f: impl Fn([Float; 3]) -> [Float; 3]) {
    for pixel in 0..image.pixels() {
        let at: [usize; 3] = std::array::from_fn(|c| image.at(pixel, c));
        for (at, value) in at.into_iter().zip(f(at.map(|i| y[i]))) {
            y[at] = value;
        }
    }
}

/// Grey of a pixel.
pub(crate) fn gray(rgb: [Float; 3]) -> Float {
    rgb.iter().zip(GRAY).map(|(v, w)| v * w).sum()
}

/// What the grey's gradient, summed over the channels, is for each of them.
pub(crate) fn gray_back(d: [Float; 3]) -> [Float; 3] {
    let sum: Float = d.iter().sum();
    GRAY.map(|w| w * sum)
}

/// Hue (in turns), saturation, and the largest of the three.
pub(crate) fn rgb_to_hsv([r, g, b]: [Float; 3]) -> [Float; 3] {
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    let saturation = if value > 0.0 { range / value } else { 0.0 };
    if range <= 0.0 {
        return [0.0, saturation, value];
    }
    let norm = 1.0 / (6.0 * range);
    let hue = match value {
        v if v == r => norm * (g - b),
        v if v == g => norm * (b - r) + 2.0 / 6.0,
        _ => norm * (r - g) + 4.0 / 6.0,
    };
    [if hue < 0.0 { hue + 1.0 } else { hue }, saturation, value]
}

/// The inverse of [`rgb_to_hsv`].
pub(crate) fn hsv_to_rgb([hue, saturation, value]: [Float; 3]) -> [Float; 3] {
    let at = hue * 6.0;
    let pure = [
        (at - 3.0).abs() - 1.0,
        2.0 - (at - 2.0).abs(),
        2.0 - (at - 4.0).abs(),
    ];
    pure.map(|c| ((1.0 - saturation) + saturation * c.clamp(0.0, 1.0)) * value)
}

#[cfg(test)]
mod tests {
    use super::super::augmentation::testing::near;
    use super::*;

    #[test]
    fn there_and_back() {
        for rgb in [
            [0.1, 0.7, 0.3],
            [0.9, 0.2, 0.2],
            [0.5, 0.5, 0.5],
            [0.0; 3],
            [0.2, 0.3, 0.8],
        ] {
            near(&hsv_to_rgb(rgb_to_hsv(rgb)), &rgb, 1e-6);
        }
        near(&rgb_to_hsv([0.0, 1.0, 0.0]), &[1.0 / 3.0, 1.0, 1.0], 1e-6);
        near(&rgb_to_hsv([1.0, 0.0, 0.5]), &[11.0 / 12.0, 1.0, 1.0], 1e-6);
    }
}
