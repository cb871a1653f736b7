//! Files that lie: each is a sound one with a few bytes changed.

use super::tests::{H5PY, NEW, sample};
use super::*;

/// Replaces the `nth` occurrence of a pattern.
fn replace(bytes: &[u8], nth: usize, old: &[u8], new: &[u8]) -> Vec<u8> {
    let found = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, w)| *w == old);
    let (at, _) = found
        .into_iter()
        .nth(nth)
        .expect("the pattern is in the file");
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// A file of one dataset `w` of shape (2, 3) with the values 0 to 5.
fn small() -> Vec<u8> {
    let mut w = H5Writer::new();
    w.dataset("w", &[2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
        .unwrap();
    w.finish()
}

/// What opening the file and reading `w` says.
fn problem(bytes: Vec<u8>) -> String {
    let read = |f: H5File| f.read_into("w", &[2, 3], &mut [0.0; 6]);
    H5File::from_bytes(bytes)
        .and_then(read)
        .unwrap_err()
        .to_string()
}

fn u64s(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// The messages of `w`, by their type and size.
const DATASPACE: &[u8] = &[1, 0, 24, 0, 0, 0, 0, 0, 1, 2, 0, 0];
const DATATYPE: &[u8] = &[3, 0, 24, 0, 1, 0, 0, 0, 0x11];
const FILL: &[u8] = &[5, 0, 8, 0, 1, 0, 0, 0];
const LAYOUT: &[u8] = &[8, 0, 24, 0, 0, 0, 0, 0, 3, 1];

#[test]
fn datasets_that_lead_elsewhere() {
    let cases: &[(&[u8], &[u8], &str)] = &[
        (FILL, &[7], "external files"),
        (LAYOUT, &[8, 0, 24, 0, 0, 0, 0, 0, 3, 3], "virtual dataset"),
        (
            LAYOUT,
            &[8, 0, 24, 0, 0, 0, 0, 0, 4, 2],
            "chunk index of HDF5 1.10",
        ),
        (LAYOUT, &[8, 0, 24, 0, 0, 0, 0, 0, 3, 9], "storage"),
        (
            LAYOUT,
            &[8, 0, 24, 0, 0, 0, 0, 0, 9],
            "version 9 of data layout",
        ),
        (LAYOUT, &[8, 0, 24, 0, 2], "a shared data layout"),
        (LAYOUT, &[9], "no data layout"),
        (DATATYPE, &[3, 0, 24, 0, 2], "a shared datatype"),
        (
            DATATYPE,
            &[3, 0, 24, 0, 0, 0, 0, 0, 0x16],
            "a compound type",
        ),
        (DATATYPE, &[3, 0, 24, 0, 0, 0, 0, 0, 0x17], "a reference"),
        (
            DATATYPE,
            &[3, 0, 24, 0, 0, 0, 0, 0, 0x19],
            "a variable-length sequence",
        ),
        (
            DATATYPE,
            &[3, 0, 24, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 3],
            "unusual width",
        ),
        (
            DATATYPE,
            &[3, 0, 24, 0, 0, 0, 0, 0, 0x11, 0x20, 31, 0, 2],
            "floating-point format of its own",
        ),
        (DATASPACE, &[1, 0, 24, 0, 0, 0, 0, 0, 1, 9], "9 axes"),
        (
            DATASPACE,
            &[1, 0, 24, 0, 0, 0, 0, 0, 7],
            "version 7 of dataspace",
        ),
        (DATASPACE, &[1, 0, 24, 0, 0, 0, 0, 0, 1, 3], "shorter than"),
    ];
    assert!(
        std::panic::catch_unwind(|| problem(small())).is_err(),
        "it is sound"
    );
    for (old, new, want) in cases {
        let got = problem(replace(&small(), 0, old, new));
        assert!(got.contains(want), "{new:?}: {got}");
    }
}

#[test]
fn sizes_that_are_made_up() {
    let shape = u64s(&[2, 3]);
    for lie in [[1 << 40, 1 << 20], [u64::MAX, u64::MAX], [2, 4], [0, 3]] {
        let got = problem(replace(&small(), 0, &shape, &u64s(&lie)));
        assert!(got.contains("expected shape [2, 3]"), "{got}");
    }
    // The place and the size of the values.
    let at = small().windows(10).position(|w| w == LAYOUT).unwrap() + 10;
    let place = &small()[at..at + 16];
    let lies = [
        ([96, 23], "23 bytes are stored where the shape asks for 24"),
        ([96, u64::MAX], "bytes are stored where"),
        ([u64::MAX, 24], "never written"),
        ([u64::MAX - 8, 24], "lie outside"),
        ([1 << 20, 24], "lie outside"),
    ];
    for (lie, want) in lies {
        let got = problem(replace(&small(), 0, place, &u64s(&lie)));
        assert!(got.contains(want), "{lie:?}: {got}");
    }
    // Whoever asks for what is declared is told what is there.
    let huge = replace(&small(), 0, &shape, &u64s(&[1 << 20, 3]));
    let f = H5File::from_bytes(huge).unwrap();
    let mut out = vec![0.0; 3 << 20];
    assert!(f.read_into("w", &[1 << 20, 3], &mut out).is_err());
}

#[test]
fn superblocks() {
    let cases: &[(usize, &[u8], &str)] = &[
        (0, b"X", "not an HDF5 file"),
        (8, &[77], "version 77 of superblock"),
        (13, &[4], "8 bytes"),
        (24, &[0, 2], "user block"),
        (40, &[0xff, 0xff, 0xff], "are there"),
        (48, &[0], "several parts"),
        (64, &[0xff; 8], "lie outside"),
        (64, &[0; 8], "object header"),
    ];
    for (at, new, want) in cases {
        let mut bytes = small();
        bytes[*at..at + new.len()].copy_from_slice(new);
        let got = problem(bytes);
        assert!(got.contains(want), "{at}: {got}");
    }
    assert!(problem(Vec::new()).contains("not an HDF5 file"));
    assert!(problem(b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec()).contains("lie outside"));
}

#[test]
fn links() {
    // The only member is at byte 8 of the names, with 24 bytes that say nothing more about it.
    let at = small().windows(4).position(|w| w == b"SNOD").unwrap();
    let mut soft = small();
    soft[at + 8 + 16] = 2;
    assert!(problem(soft).ends_with("the soft link `w` is not supported"));
    let mut nameless = small();
    nameless[at + 8] = 0;
    assert!(problem(nameless).contains("which is no name"));

    // A link message with a name of one letter: version, flags (order), order, letters, name.
    let link = NEW
        .windows(15)
        .position(|w| w[..2] == [1, 4] && w[10..12] == [1, b'b']);
    let link = link.unwrap();
    for (kind, want) in [
        (1, "soft link"),
        (64, "external link"),
        (65, "user-defined link"),
    ] {
        let mut bytes = NEW.to_vec();
        // The order makes room for a field that says what kind of link it is.
        let moved = [&[1, 4 | 8, kind], &NEW[link + 2..link + 19]].concat();
        bytes[link..link + moved.len()].copy_from_slice(&moved);
        let got = problem(bytes);
        assert!(got.contains(want), "{kind}: {got}");
    }
}

#[test]
fn circles() {
    let bytes = small();
    let at = |signature: &[u8]| {
        bytes
            .windows(signature.len())
            .position(|w| w == signature)
            .unwrap()
    };
    let root = &bytes[64..72];
    let patched = |place: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[place..place + new.len()].copy_from_slice(new);
        problem(bytes)
    };
    // The root as a member of itself.
    assert!(patched(at(b"SNOD") + 16, root).contains("another name of something seen before"));
    // A B-tree node as its own child, at its own level or one that does not end.
    let tree = at(b"TREE");
    let own = u64s(&[tree as u64]);
    let mut node = bytes[tree..tree + 48].to_vec();
    node[32..40].copy_from_slice(&own);
    for level in [1, 12, 200] {
        node[5] = level;
        assert!(patched(tree, &node).contains("B-tree node"), "{level}");
    }
    // All of 65535 entries.
    assert!(patched(tree + 6, &[0xff, 0xff]).contains("more than it can hold"));
    // A header that is continued by itself, or by all of the file.
    let header = at(DATASPACE);
    for len in [32, bytes.len() as u64] {
        let begin = if len == 32 { header as u64 } else { 0 };
        let continued = [&[0x10, 0, 24, 0, 0, 0, 0, 0][..], &u64s(&[begin, len])].concat();
        let got = patched(header, &continued);
        assert!(got.starts_with("HDF5 file: "), "{got}");
    }
}

#[test]
fn many_references_to_one_text() {
    // A list of references of 16 bytes, dressed as text (which their bytes are, if the heap lies well): 4000 times 64 KB.
    let dressed = |name: usize| {
        let mut w = H5Writer::new();
        w.group(&"g".repeat(name)).unwrap();
        w.attr_string("", "long", &"x".repeat(1 << 16)).unwrap();
        let at = w.finish().windows(4).position(|w| w == b"GCOL").unwrap();
        let reference = [&[0, 0, 1, 0], &u64s(&[at as u64])[..], &[1, 0, 0, 0]].concat();
        Some((w, String::from_utf8(reference).ok()?))
    };
    let (mut w, reference) = (1..255).find_map(dressed).unwrap();
    w.attr_strings("", "list", &vec![reference; 4000]).unwrap();
    let bytes = w.finish();
    let bytes = replace(&bytes, 0, &[0x13, 1, 0, 0, 16], &[0x19, 1, 1, 0, 16]);
    let f = H5File::from_bytes(bytes).unwrap();
    let got = f.attr_strings("", "list").unwrap_err().to_string();
    assert!(got.contains("too much text"), "{got}");
}

#[test]
fn chunks_that_lie() {
    // The layout of the first chunked dataset: version 3, chunked, three numbers, the tree.
    let at = H5PY.windows(5).position(|w| w == [3, 2, 3, 0x88, 0x1a]);
    let layout = at
        .or_else(|| H5PY.windows(3).position(|w| w == [3, 2, 3]))
        .unwrap();
    let name = ["chunks/all", "chunks/plain"].into_iter().find(|name| {
        let mut bytes = H5PY.to_vec();
        bytes[layout + 11] = 0;
        let f = H5File::from_bytes(bytes).unwrap();
        f.read_into(name, &[5, 7], &mut [0.0; 35]).is_err()
    });
    let name = name.expect("a dataset of this layout");
    let patched = |at: usize, new: &[u8]| {
        let mut bytes = H5PY.to_vec();
        bytes[at..at + new.len()].copy_from_slice(new);
        let f = H5File::from_bytes(bytes).unwrap();
        let got = f.read_into(name, &[5, 7], &mut [0.0; 35]);
        got.unwrap_err().to_string()
    };
    assert!(patched(layout + 11, &[0]).contains("do not fit the shape"));
    assert!(patched(layout + 11, &[0, 0, 0, 8]).contains("chunks are too large"));
    assert!(patched(layout + 11, &[0, 0, 4, 0]).contains("do not fit the shape"));
    assert!(patched(layout + 11, &[1]).contains("chunk"));
    assert!(patched(layout + 2, &[4]).contains("do not fit the shape"));
    let tree = u64::from_le_bytes(H5PY[layout + 3..layout + 11].try_into().unwrap()) as usize;
    assert_eq!(&H5PY[tree..tree + 4], b"TREE");
    // Key of the first chunk: size, mask, offsets; then its address.
    let key = tree + 24;
    assert!(patched(key, &[1]).contains("chunk"));
    assert!(patched(key + 8, &[1]).contains("outside of its dataset"));
    assert!(patched(key + 8, &[0xff; 8]).contains("outside of its dataset"));
    assert!(patched(key + 40, &H5PY[key..key + 40]).contains("stored twice"));
    assert!(patched(key + 32, &[0xff; 7]).contains("lie outside"));
    assert!(patched(tree + 6, &[1]).contains("never written"));
    assert!(patched(tree + 4, &[0]).contains("B-tree node"));
}

#[test]
fn files_that_are_cut_off() {
    let bytes = sample().finish();
    for len in 0..bytes.len() {
        let cut = bytes[..len].to_vec();
        assert!(H5File::from_bytes(cut).is_err(), "{len}");
    }
}
