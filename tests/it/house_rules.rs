//! The order of the house: floors, sizes, the changelog.

use std::fs;
use std::path::{Path, PathBuf};

/// The floor of each module: a file may use only modules of lower floors, of its own folder, and the listed neighbours.
/// `models`, `train` and `callbacks` are one floor: `fit` is a method of the model, and a callback sees the model.
/// A part of a module may have a floor of its own: the formats in `saving` know nothing of the models that are saved.
const FLOORS: &[(&str, u32)] = &[
    ("error", 0),
    ("float", 0),
    ("pattern", 1),
    ("shape", 1),
    ("config", 1),
    ("envelope", 2),
    ("random", 1),
    ("tensor", 2),
    ("kernels", 2),
    ("activation", 3),
    ("initializer", 3),
    ("regularizer", 3),
    ("constraint", 3),
    ("schedule", 3),
    ("layer", 4),
    ("losses", 4),
    ("layers", 5),
    ("metrics", 5),
    ("optimizers", 5),
    ("graph", 5),
    ("saving::number", 2),
    ("saving::source", 2),
    ("saving::atomic", 2),
    ("saving::hdf5", 3),
    ("saving::safetensors", 3),
    ("saving::archive", 4),
    ("data", 6),
    ("models", 7),
    ("train", 7),
    ("callbacks", 7),
    ("saving", 8),
    ("plot", 8),
    ("testing", 8),
    ("prelude", 9),
    ("lib", 9),
];

/// The floor whose modules may use each other.
const TRAINING: u32 = 7;

/// Lines of a file, its tests not counted, above which it is time to split it.
const MAX_LINES: usize = 550;

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, files),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
}

/// The entry of FLOORS that a path (`data::npy`, `saving::hdf5::write`) belongs to: of its first two names, or of its first.
fn floor(path: &str) -> (&'static str, u32) {
    let mut names = path.split("::");
    let first = names.next().unwrap();
    let both = format!("{first}::{}", names.next().unwrap_or_default());
    let named = |module: &str| FLOORS.iter().find(|(name, _)| *name == module).copied();
    named(&both)
        .or_else(|| named(first))
        .unwrap_or_else(|| panic!("`{first}` has no floor: add it to FLOORS"))
}

/// `saving/hdf5/write.rs` is `saving::hdf5::write`.
fn module_path(file: &Path) -> String {
    let names = file.iter().map(|name| name.to_str().unwrap());
    names.collect::<Vec<_>>().join("::").replace(".rs", "")
}

#[test]
fn modules_use_lower_floors_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 30);
    for file in files
        .iter()
        .filter(|f| !f.ends_with("tests.rs") && !f.to_string_lossy().ends_with("_tests.rs"))
    {
        let inside = file.strip_prefix(&src).unwrap();
        let (module, here) = floor(&module_path(inside));
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        // A table is as long as what it lists.
        assert!(
            code.lines().count() <= MAX_LINES || file.ends_with("table.rs"),
            "{} has {} lines: split it",
            inside.display(),
            code.lines().count()
        );
        for used in code
            .lines()
            .filter_map(|l| l.trim().strip_prefix("use crate::"))
        {
            let used = used.split([';', '{', ' ']).next().unwrap();
            // `crate::Float` and the like are re-exports of floor 0.
            if used.is_empty() || used.starts_with(char::is_uppercase) {
                continue;
            }
            let (used, there) = floor(used);
            if used == module {
                continue;
            }
            assert!(
                there < here || (there == here && here == TRAINING),
                "{}: floor {here} uses `{used}` of floor {there}",
                inside.display()
            );
        }
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let changelog = include_str!("../../src/doc/changelog.md");
    let newest = changelog
        .lines()
        .find_map(|l| l.strip_prefix("## "))
        .unwrap();
    assert!(
        newest.starts_with(env!("CARGO_PKG_VERSION")),
        "the changelog begins with {newest}"
    );
}
