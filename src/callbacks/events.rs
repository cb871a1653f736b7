//! The files that TensorBoard reads: records of `Event` messages.
//!
//! A record is the length of its data (8 bytes), a checksum of these, the data, a checksum of the data; all little-endian. The
//! checksum is CRC-32C, rotated right by 15 bits plus a constant. The messages are protocol buffers, written here by hand: a field is its
//! number and wire type in one varint, then a varint, 8 or 4 bytes, or a length and so many bytes.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Writes an event file.
#[derive(Debug)]
pub(super) struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

/// What TensorBoard's plugins make of a value.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// A point of a curve.
    Scalar(f64),
    /// Left edge, right edge and count of every bucket.
    Histogram(&'a [[f64; 3]]),
    /// A model in Keras's JSON, for the graph.
    KerasModel(&'a str),
}

/// Seconds since 1970.
fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |d| d.as_secs_f64())
}

impl EventWriter {
    /// A new file in this folder, which is made.
    pub fn new(folder: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let seconds = now();
        let (number, process) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
        // TensorBoard reads the files of a folder in the order of their names.
        let name = format!(
            "events.out.tfevents.{:010}.oxhorn.{process}.{number}.v2",
            seconds as u64
        );
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        let mut writer = EventWriter {
            path,
            file: BufWriter::new(file),
        };
        let mut event = Message::default();
        event.double(1, seconds);
        event.bytes(3, b"brain.Event:2");
        writer.record(&event.0)?;
        Ok(writer)
    }

    /// Adds a value at a step.
    pub fn add(&mut self, tag: &str, step: u64, content: &Content<'_>) -> Result<()> {
        self.record(&event(tag, step, now(), content))
    }

    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|e| Error::io(&self.path, e))
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let file = &mut self.file;
        record(file, data).map_err(|e| Error::io(&self.path, e))
    }
}

fn record(w: &mut impl Write, data: &[u8]) -> std::io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    w.write_all(&length)?;
    w.write_all(&masked(&length).to_le_bytes())?;
    w.write_all(data)?;
    w.write_all(&masked(data).to_le_bytes())
}

/// The message of one value: `Event { wall_time, step, summary { value { tag, tensor, metadata } } }`.
fn event(tag: &str, step: u64, time: f64, content: &Content<'_>) -> Vec<u8> {
    let mut tensor = Message::default();
    let (plugin, version, class) = match content {
        Content::Scalar(value) => {
            tensor.integer(1, FLOAT);
            tensor.bytes(2, &[]);
            tensor.bytes(4, &(*value as f32).to_le_bytes());
            ("scalars", "", 1)
        }
        Content::Histogram(buckets) => {
            tensor.integer(1, DOUBLE);
            let mut shape = Message::default();
            for n in [buckets.len() as u64, 3] {
                let mut dim = Message::default();
                dim.integer(1, n);
                shape.bytes(2, &dim.0);
            }
            tensor.bytes(2, &shape.0);
            let numbers = buckets.as_flattened().iter();
            let numbers: Vec<u8> = numbers.flat_map(|v| v.to_le_bytes()).collect();
            tensor.bytes(4, &numbers);
            ("histograms", "", 2)
        }
        Content::KerasModel(json) => {
            tensor.integer(1, STRING);
            tensor.bytes(2, &[]);
            tensor.bytes(8, json.as_bytes());
            ("graph_keras_model", "1", 0)
        }
    };
    let mut plugin_data = Message::default();
    plugin_data.bytes(1, plugin.as_bytes());
    if !version.is_empty() {
        plugin_data.bytes(2, version.as_bytes());
    }
    let mut metadata = Message::default();
    metadata.bytes(1, &plugin_data.0);
    if class > 0 {
        metadata.integer(4, class);
    }
    let mut value = Message::default();
    value.bytes(1, tag.as_bytes());
    value.bytes(8, &tensor.0);
    value.bytes(9, &metadata.0);
    let mut summary = Message::default();
    summary.bytes(1, &value.0);
    let mut event = Message::default();
    event.double(1, time);
    event.integer(2, step);
    event.bytes(5, &summary.0);
    event.0
}

const FLOAT: u64 = 1;
const DOUBLE: u64 = 2;
const STRING: u64 = 7;

/// A protocol buffer in the making.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn integer(&mut self, field: u64, n: u64) {
        self.varint(field << 3);
        self.varint(n);
    }

    fn double(&mut self, field: u64, x: f64) {
        self.varint((field << 3) | 1);
        self.0.extend(x.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint((field << 3) | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78) of every byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78);
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, b: &u8| (crc >> 8) ^ TABLE[(crc as u8 ^ b) as usize];
    !bytes.iter().fold(!0, step)
}

/// Masked, so that data which hold their own checksums are no special case.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The numbers in buckets of equal width from the smallest to the largest: TensorBoard's rule. Those that are not finite are left
/// out.
pub(super) fn histogram(values: impl Iterator<Item = f64> + Clone) -> Vec<[f64; 3]> {
    const BUCKETS: usize = 30;
    let values = values.filter(|v| v.is_finite());
    let (min, max, count) = values.clone().fold(
        (f64::INFINITY, f64::NEG_INFINITY, 0.0),
        |(min, max, n), v| (min.min(v), max.max(v), n + 1.0),
    );
    if count == 0.0 {
        return vec![[0.0; 3]; BUCKETS];
    }
    let width = (max - min) / BUCKETS as f64;
    if max == min {
        let mut buckets = vec![[max, max, 0.0]; BUCKETS];
        buckets[BUCKETS - 1][2] = count;
        return buckets;
    }
    let edge = |i: usize| match i {
        BUCKETS => max,
        i => min + i as f64 * width,
    };
    let mut buckets: Vec<[f64; 3]> = (0..BUCKETS).map(|i| [edge(i), edge(i + 1), 0.0]).collect();
    for v in values {
        let bucket = ((v - min) / width).floor() as usize;
        buckets[bucket.min(BUCKETS - 1)][2] += 1.0;
    }
    buckets
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message taken apart, strictly: fields in ascending order, nothing left over.
    #[derive(Debug, PartialEq)]
    pub enum Part {
        Integer(u64),
        Double(f64),
        Bytes(Vec<u8>),
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a varint ends");
            *bytes = rest;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return n;
            }
        }
        panic!("a varint has at most ten bytes");
    }

    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (head, rest) = bytes.split_at_checked(n).expect("as many bytes");
        *bytes = rest;
        head
    }

    pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Part)> {
        let mut out: Vec<(u64, Part)> = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let part = match key & 7 {
                0 => Part::Integer(varint(&mut bytes)),
                1 => Part::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let n = varint(&mut bytes) as usize;
                    Part::Bytes(take(&mut bytes, n).to_vec())
                }
                wire => panic!("wire type {wire}"),
            };
            assert!(out.last().is_none_or(|(n, _)| *n <= key >> 3));
            out.push((key >> 3, part));
        }
        out
    }

    /// The bytes of a field that must be there once.
    pub fn inner(message: &[(u64, Part)], field: u64) -> &[u8] {
        let mut all = message.iter().filter(|(n, _)| *n == field);
        match (all.next(), all.next()) {
            (Some((_, Part::Bytes(bytes))), None) => bytes,
            other => panic!("field {field}: {other:?}"),
        }
    }

    /// The records of a file, with their checksums checked bit by bit by the definition.
    pub fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let crc = |data: &[u8]| {
            let mut crc = !0u32;
            for byte in data {
                for bit in 0..8 {
                    let odd = (crc ^ (u32::from(*byte) >> bit)) & 1 == 1;
                    crc >>= 1;
                    if odd {
                        crc ^= 0x82f6_3b78;
                    }
                }
            }
            let crc = !crc;
            crc.rotate_right(15).wrapping_add(0xa282_ead8)
        };
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let length = take(&mut bytes, 8);
            let n = u64::from_le_bytes(length.try_into().unwrap());
            assert_eq!(take(&mut bytes, 4), crc(length).to_le_bytes());
            let data = take(&mut bytes, n as usize);
            assert_eq!(take(&mut bytes, 4), crc(data).to_le_bytes());
            out.push(data.to_vec());
        }
        out
    }

    /// Tag, step and number of the scalars of a file.
    pub fn scalars(bytes: &[u8]) -> Vec<(String, u64, f32)> {
        let mut out = Vec::new();
        for record in &records(bytes)[1..] {
            let event = fields(record);
            let value = fields(inner(&fields(inner(&event, 5)), 1));
            let tensor = fields(inner(&value, 8));
            let plugin = fields(inner(&fields(inner(&value, 9)), 1));
            if inner(&plugin, 1) == b"scalars" {
                let step = event.iter().find_map(|(n, part)| match (n, part) {
                    (2, Part::Integer(step)) => Some(*step),
                    _ => None,
                });
                let number = f32::from_le_bytes(inner(&tensor, 4).try_into().unwrap());
                let tag = String::from_utf8(inner(&value, 1).to_vec()).unwrap();
                out.push((tag, step.unwrap(), number));
            }
        }
        out
    }

    #[test]
    fn checksums() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_scalar_is_what_tensorflow_writes() {
        // tf.compat.v1.Event(wall_time=1.5, step=300, summary=...).SerializeToString()
        let got = event("loss", 300, 1.5, &Content::Scalar(0.25));
        let hex: String = got.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "09000000000000f83f10ac022a230a210a046c6f7373420a080112002204\
             0000803e4a0d0a090a077363616c6172732001"
                .replace(char::is_whitespace, "")
        );
        assert_eq!(fields(&got).len(), 3);
        let mut file = Vec::new();
        record(&mut file, &got).unwrap();
        record(&mut file, &[]).unwrap();
        assert_eq!(records(&file), [got, vec![]]);
    }

    #[test]
    fn histograms() {
        let buckets = histogram([0.0, 0.0, 0.1, 1.0, 3.0, f64::NAN].into_iter());
        assert_eq!(buckets.len(), 30);
        assert_eq!(buckets[0], [0.0, 0.1, 2.0]);
        assert_eq!((buckets[1][2], buckets[10][2]), (1.0, 1.0));
        assert_eq!((buckets[29][1], buckets[29][2]), (3.0, 1.0));
        assert_eq!(histogram([2.0, 2.0].into_iter())[29], [2.0, 2.0, 2.0]);
        assert_eq!(histogram(std::iter::empty()), vec![[0.0; 3]; 30]);
    }
}
