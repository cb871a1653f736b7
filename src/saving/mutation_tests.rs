//! Sound files with a few bytes changed, a few thousand times: whatever they say, reading them ends, and in no panic.

use std::io::Cursor;
use std::time::{Duration, Instant};

use super::archive::ArchiveWriter;
use super::fuzz;
use super::hdf5::{H5Writer, tests as fixtures};
use super::safetensors::write_safetensors;

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Changes a few bytes, numbers or pieces, or cuts the file off.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const EDGES: [u64; 8] = [0, 1, 8, 0xff, 0xffff, u32::MAX as u64, u64::MAX, 1 << 40];
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        let room = bytes.len() - at;
        match random.below(8) {
            0 => bytes.truncate(at.max(1)),
            1 | 2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes[at] = random.next() as u8,
            4 => {
                let len = [1, 2, 4, 8][random.below(4)].min(room);
                let edge = EDGES[random.below(8)].to_le_bytes();
                bytes[at..at + len].copy_from_slice(&edge[..len]);
            }
            5 => {
                let len = 8.min(room);
                let place = (random.below(bytes.len()) as u64 & !7).to_le_bytes();
                bytes[at..at + len].copy_from_slice(&place[..len]);
            }
            _ => {
                let len = (1 + random.below(64)).min(room);
                let from = random.below(bytes.len() - len + 1);
                bytes.copy_within(from..from + len, at);
            }
        }
    }
}

/// Reads a sound file, then `rounds` damaged ones; most of them must be found out.
fn survive(bytes: &[u8], rounds: u64, read: fn(&[u8]) -> bool) {
    assert!(read(bytes), "the file is sound");
    let mut slowest = Duration::ZERO;
    let mut whole = 0;
    for seed in 0..rounds {
        let mut damaged = bytes.to_vec();
        mutate(&mut damaged, &mut Random(seed));
        let start = Instant::now();
        whole += u64::from(read(&damaged));
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(whole < rounds, "no damage was found in {rounds} files");
}

#[test]
fn damaged_hdf5_files() {
    survive(&fixtures::sample().finish(), 1500, fuzz::hdf5);
    survive(fixtures::NEW, 800, fuzz::hdf5);
    let all = |bytes: &[u8]| fuzz::hdf5(bytes) || bytes == fixtures::H5PY;
    survive(fixtures::H5PY, 300, all);
}

#[test]
fn damaged_archives() {
    let mut weights = H5Writer::new();
    weights.dataset("w", &[2], vec![1.0, 2.0]).unwrap();
    let mut archive = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    archive
        .member("config.json", 2, |w| w.write_all(b"{}"))
        .unwrap();
    archive
        .member("model.weights.h5", weights.size(), |w| weights.write_to(w))
        .unwrap();
    survive(&archive.finish().unwrap().into_inner(), 1000, fuzz::zip);
}

#[test]
fn damaged_safetensors() {
    let mut bytes = Vec::new();
    let tensors: [(&str, &[usize], &[crate::Float]); 2] =
        [("a", &[2, 1], &[1.0, 2.0]), ("b", &[], &[3.0])];
    write_safetensors(&mut bytes, &tensors, &[("by", "us")]).unwrap();
    survive(&bytes, 2000, fuzz::safetensors);
}

#[test]
fn damaged_npy_files() {
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    let start = [
        0x93,
        b'N',
        b'U',
        b'M',
        b'P',
        b'Y',
        1,
        0,
        text.len() as u8,
        0,
    ];
    let bytes = [&start[..], text.as_bytes(), &[0; 24]].concat();
    survive(&bytes, 2000, |bytes| {
        crate::data::npy::from_bytes(bytes.to_vec()).is_ok()
    });
}
