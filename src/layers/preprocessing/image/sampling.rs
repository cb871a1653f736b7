//! Warps: every pixel of the output is read at a place of the input, between pixels and beyond borders.
//!
//! `y = A x` with at most four entries in each row of `A`; `dx = A^T dy`.

use super::arguments::FillMode;
use super::augmentation::Image;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::layers::resize::Interpolation;

/// Up to four pixels and their weights; `None` is a place where `fill_value` stands.
pub(crate) type Taps = [(Option<usize>, Float); 4];

/// How pixels are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler<'a> {
    pub(crate) interpolation: &'a Interpolation,
    pub(crate) fill_mode: &'a FillMode,
    pub(crate) fill_value: f64,
}

/// Output `(x, y)` is read at `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)` with `k = c0 x + c1 y + 1`: the numbers
/// `a0 a1 a2 b0 b1 b2 c0 c1`.
pub(crate) type Projection = [Float; 8];

impl Sampler<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        self.interpolation.check(2)?;
        self.fill_mode.check()?;
        match self.fill_value.is_finite() {
            true => Ok(()),
            false => Err(Error::arg("fill_value", "a finite number", self.fill_value)),
        }
    }

    /// Warps `y`; `room` is as large.
    pub(crate) fn warp(&self, t: &Projection, image: Image, y: &mut [Float], room: &mut [Float]) {
        room.copy_from_slice(y);
        let at = |pixel| self.projected(t, image, pixel);
        read(image, self.fill_value as Float, at, room, y);
    }

    /// Applies the transposed of a warp to `d`; `room` is as large.
    pub(crate) fn warp_back(
        &self,
        t: &Projection,
        image: Image,
        d: &mut [Float],
        room: &mut [Float],
    ) {
        room.copy_from_slice(d);
        spread(image, |pixel| self.projected(t, image, pixel), room, d);
    }

    /// What is read for a pixel of the output.
    fn projected(&self, t: &Projection, image: Image, pixel: usize) -> Taps {
        let (row, column) = (
            (pixel / image.width) as Float,
            (pixel % image.width) as Float,
        );
        let k = t[6] * column + t[7] * row + 1.0;
        if k == 0.0 {
            return [(None, 1.0), (None, 0.0), (None, 0.0), (None, 0.0)];
        }
        let x = self.inside((t[0] * column + t[1] * row + t[2]) / k, image.width);
        let y = self.inside((t[3] * column + t[4] * row + t[5]) / k, image.height);
        if *self.interpolation == Interpolation::Nearest {
            let at = place(image, y.round(), x.round());
            return [(at, 1.0), (None, 0.0), (None, 0.0), (None, 0.0)];
        }
        let (top, left) = (y.floor(), x.floor());
        let (down, right) = (y - top, x - left);
        let (up, back) = (top + 1.0 - y, left + 1.0 - x);
        [
            (place(image, top, left), up * back),
            (place(image, top, left + 1.0), up * right),
            (place(image, top + 1.0, left), down * back),
            (place(image, top + 1.0, left + 1.0), down * right),
        ]
    }

    /// The coordinate within an axis of `n` pixels that stands for one beyond it.
    fn inside(&self, at: Float, n: usize) -> Float {
        let (len, last) = (n as Float, n as Float - 1.0);
        let mapped = match self.fill_mode {
            FillMode::Constant | FillMode::Invalid(_) => return at,
            FillMode::Nearest => at,
            _ if n == 1 => 0.0,
            FillMode::Reflect => {
                let period = 2.0 * len;
                if at < 0.0 {
                    let at = period * (-at / period).trunc() + at;
                    if at < -len { at + period } else { -at - 1.0 }
                } else {
                    let at = at - period * (at / period).trunc();
                    if at >= len { period - at - 1.0 } else { at }
                }
            }
            FillMode::Wrap if at < 0.0 => at + len * ((-at / last).trunc() + 1.0),
            FillMode::Wrap => at - len * (at / last).trunc(),
        };
        match at > last || at < 0.0 {
            true => mapped.clamp(0.0, last),
            false => at,
        }
    }

    /// What `map_coordinates` reads at a place: the rules beyond borders are those of whole pixels.
    pub(crate) fn mapped(&self, image: Image, y: Float, x: Float) -> Taps {
        let pick = |row: Float, column: Float, weight: Float| {
            let row = self.whole(row, image.height);
            let column = self.whole(column, image.width);
            (row.zip(column).map(|(r, c)| r * image.width + c), weight)
        };
        if *self.interpolation == Interpolation::Nearest {
            let at = pick(y.round_ties_even(), x.round_ties_even(), 1.0);
            return [at, (None, 0.0), (None, 0.0), (None, 0.0)];
        }
        let (top, left) = (y.floor(), x.floor());
        let (down, right) = (y - top, x - left);
        [
            pick(top, left, (1.0 - down) * (1.0 - right)),
            pick(top, left + 1.0, (1.0 - down) * right),
            pick(top + 1.0, left, down * (1.0 - right)),
            pick(top + 1.0, left + 1.0, down * right),
        ]
    }

    /// The pixel of an axis of `n` that stands for a whole number; none where `fill_value` does.
    fn whole(&self, at: Float, n: usize) -> Option<usize> {
        let len = n as Float;
        let inside = match self.fill_mode {
            FillMode::Constant | FillMode::Invalid(_) => {
                return (at >= 0.0 && at < len).then_some(at as usize);
            }
            FillMode::Nearest => at,
            FillMode::Wrap => at.rem_euclid(len),
            FillMode::Reflect => {
                let at = at.abs() % (2.0 * len);
                if at < len { at } else { 2.0 * len - at - 1.0 }
            }
        };
        Some(inside.clamp(0.0, len - 1.0) as usize)
    }
}

/// The pixel at whole coordinates, if it is in the image.
fn place(image: Image, y: Float, x: Float) -> Option<usize> {
    let inside = y >= 0.0 && y < image.height as Float && x >= 0.0 && x < image.width as Float;
    inside.then(|| y as usize * image.width + x as usize)
}

/// `y = A x`, where `at(pixel)` is the row of `A`.
pub(crate) fn read(
    image: Image,
    fill: Float,
    at: impl Fn(usize) -> Taps,
    x: &[Float],
    y: &mut [Float],
) {
    for pixel in 0..image.pixels() {
        let taps = at(pixel);
        for c in 0..image.channels {
            let value = |from: Option<usize>| from.map_or(fill, |p| x[image.at(p, c)]);
            let terms = taps.iter().filter(|(_, w)| *w != 0.0);
            y[image.at(pixel, c)] = terms.map(|(from, w)| w * value(*from)).sum();
        }
    }
}

/// `dx = A^T dy`.
fn spread(image: Image, at: impl Fn(usize) -> Taps, dy: &[Float], dx: &mut [Float]) {
    dx.fill(0.0);
    for pixel in 0..image.pixels() {
        for (to, w) in at(pixel) {
            let Some(to) = to else { continue };
            for c in 0..image.channels {
                dx[image.at(to, c)] += w * dy[image.at(pixel, c)];
            }
        }
    }
}

/// Angle in degrees, as rotation about the middle of the image.
pub(crate) fn rotation(degrees: Float, image: Image) -> Projection {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let cx = 0.5 * (image.width as Float - 1.0);
    let cy = 0.5 * (image.height as Float - 1.0);
    let (a2, b2) = (cx - cx * cos + cy * sin, cy - cx * sin - cy * cos);
    [cos, -sin, a2, sin, cos, b2, 0.0, 0.0]
}

/// The projection that reads `start[i]` where the output is at `end[i]` (each `x, y`); none where the points lie on one line.
pub(crate) fn homography(start: &[[Float; 2]; 4], end: &[[Float; 2]; 4]) -> Option<Projection> {
    let mut rows = [[0.0f64; 9]; 8];
    for (i, (s, e)) in start.iter().zip(end).enumerate() {
        let [sx, sy, ex, ey] = [s[0], s[1], e[0], e[1]].map(|v| v as f64);
        rows[2 * i] = [ex, ey, 1.0, 0.0, 0.0, 0.0, -sx * ex, -sx * ey, sx];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, ex, ey, 1.0, -sy * ex, -sy * ey, sy];
    }
    for k in 0..8 {
        let best = (k..8).max_by(|&i, &j| rows[i][k].abs().total_cmp(&rows[j][k].abs()))?;
        rows.swap(k, best);
        let pivot = rows[k];
        if pivot[k].abs() < 1e-12 {
            return None;
        }
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != k) {
            let factor = row[k] / pivot[k];
            row.iter_mut()
                .zip(pivot)
                .for_each(|(r, p)| *r -= factor * p);
        }
    }
    Some(std::array::from_fn(|k| (rows[k][8] / rows[k][k]) as Float))
}

#[cfg(test)]
mod tests {
    use super::super::augmentation::testing::{channels_first, near, picture};
    use super::*;

    fn channel(image: Image, y: &[Float]) -> Vec<Float> {
        (0..image.pixels()).map(|p| y[image.at(p, 1)]).collect()
    }

    const MODES: [&str; 4] = ["reflect", "constant", "wrap", "nearest"];

    /// The second channel of a picture of 3 x 4, for every mode and both interpolations.
    fn check(
        f: impl Fn(&Sampler<'_>, Image, &mut [Float], &mut [Float]),
        want: [[[Float; 12]; 2]; 4],
    ) {
        let (image, x) = picture(3, 4);
        for (mode, want) in MODES.into_iter().zip(want) {
            for (interpolation, want) in ["bilinear", "nearest"].into_iter().zip(want) {
                let sampler = Sampler {
                    interpolation: &interpolation.into(),
                    fill_mode: &mode.into(),
                    fill_value: 7.0,
                };
                let (mut y, mut room) = (x.clone(), vec![0.0; x.len()]);
                f(&sampler, image, &mut y, &mut room);
                near(&channel(image, &y), &want, 2e-5);
                let (first, mut planes) = channels_first(image, &x);
                f(&sampler, first, &mut planes, &mut room);
                assert_eq!(planes, channels_first(image, &y).1);
            }
        }
    }

    #[test]
    fn rotations_are_keras_s() {
        let reflect = [
            [
                111.7693, 203.2688, 237.812, 131.1093, 92.1579, 211.803, 165.8218, 75.4298,
                171.6783, 198.6753, 111.6473, 47.2763,
            ],
            [
                15.0, 211.0, 247.0, 81.0, 159.0, 251.0, 189.0, 81.0, 159.0, 201.0, 25.0, 69.0,
            ],
        ];
        let constant = [
            [
                87.6487, 203.2688, 231.8548, 32.8328, 79.4637, 211.803, 165.8218, 65.2292, 41.2771,
                193.7282, 111.6473, 38.0036,
            ],
            [
                15.0, 211.0, 247.0, 7.0, 159.0, 251.0, 189.0, 81.0, 7.0, 201.0, 25.0, 69.0,
            ],
        ];
        let wrap = [
            [
                83.7284, 203.2688, 161.3247, 188.3217, 157.8772, 211.803, 165.8218, 173.1491,
                196.8907, 90.188, 111.6473, 132.0205,
            ],
            [
                141.0, 211.0, 159.0, 201.0, 247.0, 251.0, 189.0, 201.0, 247.0, 81.0, 25.0, 55.0,
            ],
        ];
        // So near the border both do the same.
        let want = [reflect, constant, wrap, reflect];
        check(
            |s, image, y, room| s.warp(&rotation(130.0, image), image, y, room),
            want,
        );
    }

    #[test]
    fn far_translations_are_keras_s() {
        let move_ = [1.0, 0.0, -5.3, 0.0, 1.0, 4.6, 0.0, 0.0];
        let reflect = [
            [
                124.12, 93.4, 165.08, 196.08, 58.2, 15.0, 115.8, 188.4, 157.08, 132.6, 189.72,
                199.92,
            ],
            [
                15.0, 15.0, 159.0, 201.0, 15.0, 15.0, 159.0, 201.0, 211.0, 211.0, 251.0, 189.0,
            ],
        ];
        let wrap = [
            [58.2, 15.0, 15.0, 171.6].repeat(3),
            [15.0, 15.0, 15.0, 159.0].repeat(3),
        ];
        let wrap = wrap.map(|w| w.try_into().unwrap());
        let want = [reflect, [[7.0; 12]; 2], wrap, [[69.0; 12]; 2]];
        check(|s, image, y, room| s.warp(&move_, image, y, room), want);
    }

    #[test]
    fn map_coordinates_is_keras_s() {
        let by = [
            0.3, -1.2, 2.4, 5.1, -0.7, 0.2, -6.3, 1.5, 4.6, -2.5, 0.9, -0.4,
        ];
        let want = [
            [
                [
                    133.56, 60.52, 131.8, 147.0, 170.04, 183.96, 58.2, 151.0, 181.56, 200.0, 74.2,
                    169.88,
                ],
                [
                    141.0, 25.0, 55.0, 141.0, 201.0, 189.0, 15.0, 55.0, 251.0, 159.0, 55.0, 55.0,
                ],
            ],
            [
                [
                    133.56, 7.0, 7.0, 7.0, 36.76, 183.96, 7.0, 7.0, 7.0, 7.0, 13.72, 169.88,
                ],
                [
                    141.0, 7.0, 7.0, 7.0, 7.0, 189.0, 7.0, 7.0, 7.0, 7.0, 7.0, 55.0,
                ],
            ],
            [
                [
                    133.56, 65.4, 110.28, 77.88, 83.52, 183.96, 87.52, 123.0, 144.84, 119.0, 33.88,
                    169.88,
                ],
                [
                    141.0, 69.0, 69.0, 69.0, 15.0, 189.0, 25.0, 69.0, 189.0, 159.0, 15.0, 55.0,
                ],
            ],
            [
                [
                    133.56, 141.0, 55.0, 55.0, 106.2, 183.96, 141.0, 55.0, 55.0, 141.0, 74.2,
                    169.88,
                ],
                [
                    141.0, 141.0, 55.0, 55.0, 141.0, 189.0, 141.0, 55.0, 55.0, 141.0, 55.0, 55.0,
                ],
            ],
        ];
        check(
            |s, image, y, room| {
                room.copy_from_slice(y);
                let at =
                    |p: usize| s.mapped(image, (p / 4) as Float + by[p], (p % 4) as Float + by[p]);
                read(image, 7.0, at, room, y);
            },
            want,
        );
    }

    #[test]
    fn homographies_meet_their_points() {
        let start = [[0.0, 0.0], [3.0, 0.0], [0.0, 2.0], [3.0, 2.0]];
        let end = [[0.0, 0.0], [2.1, 0.0], [0.0, 1.5], [3.45, 1.3]];
        let t = homography(&start, &end).unwrap();
        near(
            &t,
            &[1.3126, 0.0, 0.0, 0.0, 2.3223, 0.0, -0.0386, 0.4945],
            1e-4,
        );
        for ([x, y], want) in end.iter().zip(start) {
            let k = t[6] * x + t[7] * y + 1.0;
            let got = [
                (t[0] * x + t[1] * y + t[2]) / k,
                (t[3] * x + t[4] * y + t[5]) / k,
            ];
            near(&got, &want, 1e-5);
        }
        assert!(homography(&[[0.0, 0.0]; 4], &[[0.0, 0.0]; 4]).is_none());
    }
}
