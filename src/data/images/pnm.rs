//! PGM and PPM, plain and binary: the picture formats that need no decompression.

use super::Picture;
use crate::float::Float;

/// Reads a picture of values from 0 to 255 into memory that is kept.
pub(super) fn decode(bytes: &[u8], out: &mut Picture) -> Result<(), String> {
    let mut words = Words { bytes, at: 2 };
    let (channels, binary) = match bytes.get(..2) {
        Some(b"P2") => (1, false),
        Some(b"P3") => (3, false),
        Some(b"P5") => (1, true),
        Some(b"P6") => (3, true),
        _ => return Err("this is neither a PGM nor a PPM file".into()),
    };
    let (width, height) = (words.number()?, words.number()?);
    let most = words.number()?;
    if width == 0 || height == 0 || !(1..=65535).contains(&most) {
        return Err(format!(
            "a picture of {width} x {height} with values up to {most} cannot be"
        ));
    }
    let scale = 255.0 / most as Float;
    let count = width
        .checked_mul(height)
        .and_then(|n| n.checked_mul(channels));
    let size = if binary {
        1 + usize::from(most > 255)
    } else {
        2
    };
    if binary {
        words.at += 1; // the one white space behind the header
    }
    let rest = bytes.get(words.at..).unwrap_or_default();
    // Every number of a plain file but the last takes a digit and a space.
    let there = if binary { rest.len() } else { rest.len() + 1 };
    let needed = count
        .and_then(|n| n.checked_mul(size))
        .filter(|n| *n <= there);
    let (Some(count), Some(needed)) = (count, needed) else {
        return Err(format!(
            "{} bytes are too few for {width} x {height} x {channels}",
            rest.len()
        ));
    };
    (out.width, out.height, out.channels) = (width, height, channels);
    out.values.clear();
    match (binary, size) {
        (true, 1) => out
            .values
            .extend(rest[..needed].iter().map(|&b| Float::from(b) * scale)),
        (true, _) => {
            let (pairs, _) = rest[..needed].as_chunks::<2>();
            out.values.extend(
                pairs
                    .iter()
                    .map(|&b| Float::from(u16::from_be_bytes(b)) * scale),
            );
        }
        (false, _) => {
            for _ in 0..count {
                out.values.push(words.number()? as Float * scale);
            }
        }
    }
    match out.values.iter().find(|v| **v > 255.0) {
        Some(v) => Err(format!("a value of {} is above {most}", v / scale)),
        None => Ok(()),
    }
}

/// Numbers between white space and comments.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Words<'_> {
    fn number(&mut self) -> Result<usize, String> {
        let mut comment = false;
        while let Some(&b) = self.bytes.get(self.at) {
            match b {
                b'\n' | b'\r' => comment = false,
                b'#' => comment = true,
                _ if comment || b.is_ascii_whitespace() => {}
                _ => break,
            }
            self.at += 1;
        }
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += len;
        let digits = std::str::from_utf8(&rest[..len]).unwrap_or_default();
        digits
            .parse()
            .map_err(|_| "a number is missing or too large".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(usize, usize, usize, Vec<Float>), String> {
        let mut p = Picture::default();
        decode(bytes, &mut p)?;
        Ok((p.height, p.width, p.channels, p.values))
    }

    #[test]
    fn the_four_forms() {
        let gray = (1, 2, 1, vec![255.0, 0.0]);
        assert_eq!(read(b"P2 # a comment\n2 1\n1\n1 0").unwrap(), gray);
        assert_eq!(read(b"P5\n2 1\n255\n\xff\x00").unwrap(), gray);
        assert_eq!(read(b"P5 2 1 65535 \xff\xff\x00\x00").unwrap(), gray);
        assert_eq!(
            read(b"P6\n1 1\n255\n\x01\x02\x03").unwrap(),
            (1, 1, 3, vec![1.0, 2.0, 3.0])
        );
        assert_eq!(read(b"P3 1 1 255 1 2 3\n").unwrap().3, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn hostile_ones() {
        for bad in [
            &b""[..],
            b"P",
            b"P7 1 1 255 ",
            b"P5",
            b"P5 1",
            b"P5 0 1 255 a",
            b"P5 2 2 255 abc",
            b"P5 99999999999999999999 1 255 a",
            b"P6 18446744073709551615 18446744073709551615 255 a",
            b"P2 4000000000 4000000000 255 1 2",
            b"P2 2 1 255 1",
            b"P2 2 1 255 1 x",
            b"P2 2 1 10 1 11",
            b"P5 1 1 0 a",
            b"P5 1 1 70000 ab",
            b"P5 1 1 255",
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
