use std::io::{Cursor, Write};

use super::*;

/// An archive of stored members, as bytes.
fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for (name, bytes) in members {
        archive
            .member(name, bytes.len() as u64, |w| w.write_all(bytes))
            .unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn error(bytes: Vec<u8>) -> String {
    Archive::from_bytes(bytes).unwrap_err().to_string()
}

/// Writes `new` over the bytes at `at`.
fn patch(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// Where a record of this signature begins.
fn find(bytes: &[u8], signature: &[u8]) -> usize {
    let at = bytes.windows(4).position(|w| w == signature);
    at.unwrap()
}

#[test]
fn what_is_written_is_read() {
    let bytes = stored(&[
        ("config.json", b"{}"),
        ("assets/ä.txt", b"text"),
        ("empty", b""),
    ]);
    let archive = Archive::from_bytes(bytes.clone()).unwrap();
    let names: Vec<&str> = archive.names().collect();
    assert_eq!(names, ["assets/ä.txt", "config.json", "empty"]);
    assert_eq!(archive.read("assets/ä.txt", 4).unwrap(), b"text");
    assert_eq!(archive.read("empty", 0).unwrap(), b"");
    assert!(archive.read("Config.json", 9).is_err());
    assert_eq!(
        archive.read("config.json", 1).unwrap_err().to_string(),
        "zip archive, `config.json`: expected at most 1 bytes, got 2"
    );
    assert_eq!(
        archive.read("weights", 1).unwrap_err().to_string(),
        "zip archive: there is no `weights` in it"
    );
    assert_eq!(
        bytes,
        stored(&[
            ("config.json", b"{}"),
            ("assets/ä.txt", b"text"),
            ("empty", b"")
        ])
    );
    assert_eq!(Archive::from_bytes(stored(&[])).unwrap().names().count(), 0);
}

#[test]
fn an_archive_may_begin_anywhere_in_what_is_written() {
    let mut w = Cursor::new(b"front".to_vec());
    w.set_position(5);
    let mut archive = ArchiveWriter::new(w).unwrap();
    archive.member("a", 1, |w| w.write_all(b"x")).unwrap();
    let bytes = archive.finish().unwrap().into_inner();
    assert_eq!(&bytes[5..], stored(&[("a", b"x")]));
    assert!(error(bytes).contains("directory does not end"));
}

#[test]
fn what_cannot_be_written() {
    let mut archive = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    archive.member("a", 0, |_| Ok(())).unwrap();
    for name in ["a", "", "/a", "a/../b", "a\\b", "c:a", "a\n", "a/"] {
        assert!(archive.member(name, 0, |_| Ok(())).is_err(), "{name:?}");
    }
    assert!(archive.member("b", 2, |w| w.write_all(b"x")).is_err());
}

#[test]
fn names_that_lead_elsewhere() {
    let bytes = stored(&[("aaaa", b"x"), ("bbbb", b"y")]);
    let rename = |old: &[u8], new: &[u8]| {
        let mut bytes = bytes.clone();
        for at in 0..bytes.len() - 4 {
            if bytes[at..at + 4] == *old {
                bytes[at..at + 4].copy_from_slice(new);
            }
        }
        error(bytes)
    };
    for name in [
        "/etc", "../b", "b/..", "a//b", "./ab", "a\\bc", "a\0bc", "c:ab",
    ] {
        let problem = rename(b"bbbb", name.as_bytes());
        assert!(
            problem.ends_with("is no name for a member"),
            "{name:?}: {problem}"
        );
    }
    assert_eq!(
        rename(b"bbbb", b"aaaa"),
        "zip archive: zip: there are two members `aaaa`"
    );
    assert_eq!(
        rename(b"bbbb", b"\xff\xfe\xfd\xfc"),
        "zip archive: zip: the name of a member is not UTF-8"
    );
}

#[test]
fn headers_that_lie() {
    let bytes = stored(&[("aaaa", b"12345"), ("bbbb", b"6789")]);
    let central = find(&bytes, CENTRAL);
    let end = find(&bytes, END);
    let cases: &[(usize, &[u8], &str)] = &[
        (central + 8, &[1], "encrypted"),
        (central + 10, &[99], "unknown compression method 99"),
        (central + 10, &[8], "contradicts the directory"),
        (central + 20, &[6], "two sizes"),
        (central + 20, &[6, 0, 0, 0, 6], "contradicts the directory"),
        (central + 38, &[0, 0, 0xff, 0xa1], "symbolic links"),
        (central + 42, &[3], "not where the directory says"),
        (
            central + 42,
            &[0xff, 0xff, 0xff, 0xff],
            "zip64 field is missing",
        ),
        (central + 28, &[0xff, 0xff], "cut off"),
        (8, &[8], "contradicts the directory"),
        (14, &[1], "contradicts the directory"),
        (22, &[1], "contradicts the directory"),
        (30, b"c", "contradicts the directory"),
        (end + 4, &[1], "several parts"),
        (end + 8, &[3, 0, 3], "fewer members than declared"),
        (end + 8, &[1, 0, 1], "more than the 1 members"),
        (end + 8, &[0xff, 0xff, 0xff, 0xff], "zip64 end record"),
        (end + 8, &[0xfe, 0xff, 0xfe, 0xff], "too many"),
        (end + 12, &[1], "directory does not end"),
        (end + 20, &[1], "its end is missing"),
    ];
    for (at, new, problem) in cases {
        let got = error(patch(&bytes, *at, new));
        assert!(got.contains(problem), "{at} {new:?}: {got}");
    }
    let one = patch(&bytes, find(&bytes, b"6789"), b"0");
    let archive = Archive::from_bytes(one).unwrap();
    assert!(archive.read("aaaa", 9).is_ok());
    let got = archive.read("bbbb", 9).unwrap_err().to_string();
    assert_eq!(
        got,
        "zip archive, `bbbb`: zip: the bytes do not match their checksum (CRC)"
    );
    assert!(
        archive
            .h5("bbbb", 9)
            .unwrap_err()
            .to_string()
            .contains("CRC")
    );
    // Both members at the place of the first.
    let second = central + CENTRAL_LEN + 4;
    let both = patch(
        &patch(&bytes, second + 42, &[0]),
        second + CENTRAL_LEN,
        b"bbbb",
    );
    assert!(error(both).contains("contradicts"));
}

#[test]
fn front_and_back_belong_to_it() {
    let bytes = stored(&[("aaaa", b"12345")]);
    assert!(error([b"#!", &bytes[..]].concat()).contains("directory does not end"));
    assert!(error([&bytes[..], b"more"].concat()).contains("its end is missing"));
    for cut in 0..bytes.len() {
        assert!(Archive::from_bytes(bytes[..cut].to_vec()).is_err(), "{cut}");
    }
    let with_comment = patch(&[&bytes[..], b"note"].concat(), bytes.len() - 2, &[4]);
    assert!(Archive::from_bytes(with_comment).is_ok());
    let h5 = error(b"\x89HDF\r\n\x1a\n and more".to_vec());
    assert!(h5.contains("an HDF5 file"), "{h5}");
}

/// A deflated member, whose sizes may be made up.
fn deflated(bytes: &[u8], size: u32, behind: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    let mut packed = encoder.finish().unwrap();
    packed.extend(behind);
    let mut crc = Crc::new();
    crc.update(bytes);
    // As if the packed bytes were stored; then the two headers are told the truth.
    let mut archive = stored(&[("m", &packed)]);
    for header in [0, find(&archive, CENTRAL) + 2] {
        archive[header + 8] = 8;
        archive[header + 14..header + 18].copy_from_slice(&crc.sum().to_le_bytes());
        archive[header + 22..header + 26].copy_from_slice(&size.to_le_bytes());
    }
    archive
}

#[test]
fn inflating_is_bounded() {
    let text = b"weights ".repeat(1000);
    let read = |archive: Vec<u8>| {
        let archive = Archive::from_bytes(archive).unwrap();
        archive.read("m", 1 << 40).map_err(|e| e.to_string())
    };
    assert_eq!(read(deflated(&text, 8000, b"")).unwrap(), text);
    for size in [0, 100, 7999, 8001, 1 << 30, u32::MAX - 1] {
        let problem = read(deflated(&text, size, b"")).unwrap_err();
        assert!(problem.contains("does not inflate to"), "{size}: {problem}");
    }
    assert!(
        read(deflated(&text, 8000, b"junk"))
            .unwrap_err()
            .contains("does not inflate to")
    );
    let mut wrong = deflated(&text, 8000, b"");
    let at = find(&wrong, CENTRAL);
    wrong[at + 16] ^= 1;
    wrong[14] ^= 1;
    assert!(read(wrong).unwrap_err().contains("CRC"));
}

#[test]
fn more_than_four_gigabytes_need_zip64() {
    let large = Member {
        packed: 5 << 30,
        size: 5 << 30,
        header: 6 << 30,
        ..Member::default()
    };
    let source = Source::memory(Vec::new(), "x");
    let central = large.central("weights");
    let (name, back) = central_header(&source, &mut &central[..]).unwrap();
    assert_eq!(
        (name.as_str(), back.size, back.packed, back.header),
        ("weights", 5 << 30, 5 << 30, 6 << 30)
    );
    // One that is small, but far behind.
    let far = Member {
        size: 3,
        packed: 3,
        ..large
    };
    let (_, back) = central_header(&source, &mut &far.central("w")[..]).unwrap();
    assert_eq!((back.size, back.packed, back.header), (3, 3, 6 << 30));
}

#[test]
fn more_than_65534_members_need_zip64_and_are_refused() {
    let mut archive = ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for i in 0..65535 {
        archive.member(&i.to_string(), 0, |_| Ok(())).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    assert_eq!(
        error(bytes.clone()),
        "zip archive: zip: 65535 members are too many"
    );
    let record = find(&bytes, END_64);
    assert!(error(patch(&bytes, record + 24, &[7])).contains("zip64 end record"));
    assert!(error(patch(&bytes, record + 56 + 8, &[7])).contains("zip64 end record"));
}
