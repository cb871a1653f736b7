//! Numbers as files hold them, and their way to and from [`Float`].

use std::io::{self, Write};

use crate::error::Result;
use crate::float::Float;

/// Bytes converted at a time: small enough for the first-level cache, large enough for a read.
const PIECE: usize = 32 * 1024;

/// How one number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub kind: Kind,
    /// Bytes: 1, 2, 4 or 8.
    pub size: usize,
    pub big_endian: bool,
}

/// What its bits mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IEEE 754 of 2, 4 or 8 bytes.
    Float,
    /// bfloat16: the upper half of a float of 4 bytes.
    Brain,
    /// Two's complement.
    Signed,
    /// Also truth values, as 0 and 1.
    Unsigned,
}

impl Number {
    /// A little-endian number; `None` for a size that the kind does not have.
    pub(crate) fn new(kind: Kind, size: usize) -> Option<Number> {
        let fits = match kind {
            Kind::Float => matches!(size, 2 | 4 | 8),
            Kind::Brain => size == 2,
            Kind::Signed | Kind::Unsigned => matches!(size, 1 | 2 | 4 | 8),
        };
        fits.then_some(Number {
            kind,
            size,
            big_endian: false,
        })
    }

    /// Converts `out.len()` numbers; `bytes` holds exactly as many.
    pub(crate) fn convert(self, bytes: &[u8], out: &mut [Float]) {
        debug_assert_eq!(bytes.len(), out.len() * self.size);
        let big = self.big_endian;
        match (self.kind, self.size) {
            (Kind::Float, 2) => each(bytes, out, big, |b| half(u16::from_le_bytes(b)) as Float),
            (Kind::Float, 4) => each(bytes, out, big, |b| f32::from_le_bytes(b) as Float),
            (Kind::Float, _) => each(bytes, out, big, |b| f64::from_le_bytes(b) as Float),
            (Kind::Brain, _) => each(bytes, out, big, |b| brain(u16::from_le_bytes(b)) as Float),
            (Kind::Signed, 1) => each(bytes, out, big, |b| i8::from_le_bytes(b) as Float),
            (Kind::Signed, 2) => each(bytes, out, big, |b| i16::from_le_bytes(b) as Float),
            (Kind::Signed, 4) => each(bytes, out, big, |b| i32::from_le_bytes(b) as Float),
            (Kind::Signed, _) => each(bytes, out, big, |b| i64::from_le_bytes(b) as Float),
            (Kind::Unsigned, 1) => each(bytes, out, big, |b| u8::from_le_bytes(b) as Float),
            (Kind::Unsigned, 2) => each(bytes, out, big, |b| u16::from_le_bytes(b) as Float),
            (Kind::Unsigned, 4) => each(bytes, out, big, |b| u32::from_le_bytes(b) as Float),
            (Kind::Unsigned, _) => each(bytes, out, big, |b| u64::from_le_bytes(b) as Float),
        }
    }

    /// Fills `out` from what `read` delivers, piece by piece: no second copy of all the bytes.
    pub(crate) fn read_into(
        self,
        out: &mut [Float],
        mut read: impl FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; PIECE.min(out.len().saturating_mul(self.size))];
        for part in out.chunks_mut(PIECE / self.size) {
            let bytes = &mut buffer[..part.len() * self.size];
            read(bytes)?;
            self.convert(bytes, part);
        }
        Ok(())
    }

    /// One integer; `None` where the number is not an integer or does not fit.
    pub(crate) fn to_i64(self, bytes: &[u8]) -> Option<i64> {
        let mut wide = [0; 8];
        wide.get_mut(..self.size)?.copy_from_slice(bytes);
        if self.big_endian {
            wide[..self.size].reverse();
        }
        let unused = 64 - 8 * self.size as u32;
        match self.kind {
            Kind::Signed => Some((i64::from_le_bytes(wide) << unused) >> unused),
            Kind::Unsigned => i64::try_from(u64::from_le_bytes(wide)).ok(),
            Kind::Float | Kind::Brain => None,
        }
    }
}

fn each<const N: usize>(
    bytes: &[u8],
    out: &mut [Float],
    big_endian: bool,
    value: impl Fn([u8; N]) -> Float,
) {
    let (numbers, _) = bytes.as_chunks::<N>();
    if big_endian {
        for (y, &b) in out.iter_mut().zip(numbers) {
            let mut b = b;
            b.reverse();
            *y = value(b);
        }
    } else {
        for (y, &b) in out.iter_mut().zip(numbers) {
            *y = value(b);
        }
    }
}

/// IEEE half precision: 1 bit sign, 5 bits exponent, 10 bits fraction.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(bits >> 10 & 31), u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // Zero and subnormal numbers count in steps of 2^-24.
        0 => (fraction as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Writes numbers as little-endian `f32`, piece by piece.
#[allow(clippy::unnecessary_cast)] // `Float` may be `f64`.
pub(crate) fn write_f32(w: &mut dyn Write, values: &[Float]) -> io::Result<()> {
    let mut buffer = vec![0; PIECE.min(values.len().saturating_mul(4))];
    for part in values.chunks(PIECE / 4) {
        let bytes = &mut buffer[..part.len() * 4];
        for (b, &v) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(part) {
            *b = (v as f32).to_le_bytes();
        }
        w.write_all(bytes)?;
    }
    Ok(())
}

/// Writes numbers as they are, little-endian, piece by piece.
pub(crate) fn write_floats(w: &mut dyn Write, values: &[Float]) -> io::Result<()> {
    const SIZE: usize = size_of::<Float>();
    let mut buffer = vec![0; PIECE.min(values.len().saturating_mul(SIZE))];
    for part in values.chunks(PIECE / SIZE) {
        let bytes = &mut buffer[..part.len() * SIZE];
        for (b, &v) in bytes.as_chunks_mut::<SIZE>().0.iter_mut().zip(part) {
            *b = v.to_le_bytes();
        }
        w.write_all(bytes)?;
    }
    Ok(())
}

/// Product of the sizes of all axes, if it fits.
pub(crate) fn numel(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(kind: Kind, size: usize, big_endian: bool) -> Number {
        Number {
            big_endian,
            ..Number::new(kind, size).unwrap()
        }
    }

    #[test]
    fn halves() {
        let cases = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
            (0x3555, 0.333_251_95),
        ];
        for (bits, want) in cases {
            assert_eq!(half(bits).to_bits(), f32::to_bits(want), "{bits:#x}");
        }
        assert!(half(0x7e01).is_nan());
        assert_eq!(brain(0x3f80), 1.0);
        assert_eq!(brain(0xc2f7), -123.5);
    }

    #[test]
    fn every_kind_in_both_byte_orders() {
        let minus_two: [(Kind, usize, Vec<u8>); 7] = [
            (Kind::Float, 2, 0xc000u16.to_le_bytes().into()),
            (Kind::Float, 4, (-2f32).to_le_bytes().into()),
            (Kind::Float, 8, (-2f64).to_le_bytes().into()),
            (Kind::Brain, 2, 0xc000u16.to_le_bytes().into()),
            (Kind::Signed, 1, (-2i8).to_le_bytes().into()),
            (Kind::Signed, 4, (-2i32).to_le_bytes().into()),
            (Kind::Signed, 8, (-2i64).to_le_bytes().into()),
        ];
        for (kind, size, mut bytes) in minus_two {
            for big in [false, true] {
                let n = number(kind, size, big);
                let mut out = [0.0];
                n.convert(&bytes, &mut out);
                assert_eq!(out, [-2.0], "{n:?}");
                let whole = (kind == Kind::Signed).then_some(-2);
                assert_eq!(n.to_i64(&bytes), whole, "{n:?}");
                bytes.reverse();
            }
        }
        let big = number(Kind::Unsigned, 8, false);
        assert_eq!(big.to_i64(&u64::MAX.to_le_bytes()), None);
        let bytes = 0xfffeu16.to_be_bytes();
        assert_eq!(number(Kind::Unsigned, 2, true).to_i64(&bytes), Some(0xfffe));
        assert_eq!(Number::new(Kind::Float, 3), None);
        assert_eq!(Number::new(Kind::Brain, 4), None);
    }

    #[test]
    fn pieces_join() {
        let values: Vec<Float> = (0..50_000).map(|i| i as Float * 0.5).collect();
        let mut bytes = Vec::new();
        write_f32(&mut bytes, &values).unwrap();
        assert_eq!(bytes.len(), 200_000);
        let mut at = 0;
        let mut back = vec![0.0; values.len()];
        let read = |buffer: &mut [u8]| {
            buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
            at += buffer.len();
            Ok(())
        };
        number(Kind::Float, 4, false)
            .read_into(&mut back, read)
            .unwrap();
        assert_eq!(back, values);
        assert_eq!(numel(&[usize::MAX, 2]), None);
        assert_eq!(numel(&[]), Some(1));
    }
}
