//! Files in folders, with labels from the folders' names: what images and texts have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batched::{Batched, Indexed};
use super::dataset::Part;
use crate::error::{Error, Result};
use crate::float::Float;
use crate::random::{Rng, Seed};
use crate::shape::Dims;

/// How labels become targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelMode {
    /// The number of the class: for the sparse losses.
    #[default]
    Int,
    /// A row with one 1.
    Categorical,
    /// 0 or 1, for two classes.
    Binary,
    /// No targets.
    None,
}

/// Which files a data set of a folder has.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    pub label_mode: LabelMode,
    pub class_names: Option<Vec<String>>,
    pub follow_links: bool,
    /// Part of the files that is put aside, and the seed of the order before that.
    pub validation: Option<(f64, Seed)>,
}

/// The files of a folder and their classes.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub paths: Arc<[PathBuf]>,
    classes: Arc<[u32]>,
    pub class_names: Vec<String>,
    mode: LabelMode,
}

/// Folders in folders deeper than this are not looked into: links may lead in a circle.
const MAX_DEPTH: usize = 64;

impl Files {
    /// All files with one of these endings below the folders of the classes, in the order of their names; without labels, below
    /// the folder itself.
    pub fn list(folder: &Path, endings: &[&str], form: &Form) -> Result<Files> {
        let mut names = Vec::new();
        if form.label_mode != LabelMode::None {
            names = entries(folder)?
                .into_iter()
                .filter(|(name, path)| path.is_dir() && !name.starts_with('.'))
                .map(|(name, _)| name)
                .collect();
            if let Some(given) = &form.class_names {
                if let Some(name) = given.iter().find(|n| !names.contains(n)) {
                    return Err(Error::unknown("class (folder)", name, names));
                }
                names.clone_from(given);
            }
        }
        let (mut paths, mut classes) = (Vec::new(), Vec::new());
        match form.label_mode {
            LabelMode::None => walk(folder, endings, form.follow_links, 0, &mut paths)?,
            _ => {
                for (class, name) in names.iter().enumerate() {
                    walk(
                        &folder.join(name),
                        endings,
                        form.follow_links,
                        0,
                        &mut paths,
                    )?;
                    classes.resize(paths.len(), class as u32);
                }
            }
        }
        let what = folder.display().to_string();
        if paths.is_empty() {
            let problem = format!("no files that end with {}", endings.join(", "));
            return Err(Error::data(what, problem));
        }
        if form.label_mode == LabelMode::Binary && names.len() != 2 {
            let got = format!("{} folders", names.len());
            return Err(Error::arg("label_mode", "two folders for `Binary`", got).owned_by(&what));
        }
        Ok(Files {
            paths: paths.into(),
            classes: classes.into(),
            class_names: names,
            mode: form.label_mode,
        })
    }

    /// Shape of a target, if there are any.
    pub fn target(&self) -> Option<Dims> {
        match self.mode {
            LabelMode::None => None,
            LabelMode::Int => Some(Dims::default()),
            LabelMode::Binary => Some([1].into()),
            LabelMode::Categorical => Some([self.class_names.len()].into()),
        }
    }

    pub fn put_target(&self, index: usize, part: &mut Part) {
        let class = self.classes[index] as usize;
        match self.mode {
            LabelMode::Categorical => part.add()[class] = 1.0,
            _ => part.add()[0] = class as Float,
        }
    }
}

/// Names and paths of what is in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let io = |e| Error::io(folder, e);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        all.push((
            entry.file_name().to_string_lossy().into_owned(),
            entry.path(),
        ));
    }
    all.sort();
    Ok(all)
}

/// The files of a folder, then those of the folders in it.
fn walk(
    folder: &Path,
    endings: &[&str],
    follow_links: bool,
    depth: usize,
    paths: &mut Vec<PathBuf>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let all = entries(folder)?;
    let (folders, files): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, path)| path.is_dir());
    let fits = |name: &str| endings.iter().any(|e| name.to_lowercase().ends_with(e));
    paths.extend(
        files
            .into_iter()
            .filter(|(name, _)| fits(name))
            .map(|(_, path)| path),
    );
    for (_, inner) in folders {
        if follow_links || !inner.is_symlink() {
            walk(&inner, endings, follow_links, depth + 1, paths)?;
        }
    }
    Ok(())
}

/// Training and validation: of the files in a random order the last part, as Keras does.
pub(super) fn split<S: Indexed + Clone>(
    data: Batched<S>,
    form: &Form,
) -> Result<(Batched<S>, Option<Batched<S>>)> {
    let Some((fraction, seed)) = form.validation else {
        return Ok((data, None));
    };
    let n = data.samples();
    let count = (fraction * n as f64) as usize;
    if !(fraction > 0.0 && fraction < 1.0) || count == 0 {
        let want = format!("a fraction within 0 and 1 that leaves some of {n} files on both sides");
        return Err(Error::arg("validation_split", want, fraction).owned_by("dataset"));
    }
    let order = Rng::new(seed.0).permutation(n);
    let (train, test) = order.split_at(n - count);
    Ok((
        data.clone().select(train)?,
        Some(data.select(test)?.shuffle(false)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_classes_are_folders() {
        let root = std::env::temp_dir().join(format!("oxhorn-folder-{}", std::process::id()));
        for file in [
            "b/2.txt",
            "b/1.TXT",
            "b/in/0.txt",
            "a/9.txt",
            "a/9.doc",
            ".c/1.txt",
            "top.txt",
        ] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let list = |form: &Form| {
            let files = Files::list(&root, &[".txt"], form)?;
            let names = files
                .paths
                .iter()
                .map(|p| p.strip_prefix(&root).unwrap().display().to_string());
            Ok::<_, Error>((
                names.collect::<Vec<_>>(),
                files.classes.to_vec(),
                files.class_names,
            ))
        };
        let (names, classes, class_names) = list(&Form::default()).unwrap();
        assert_eq!(names, ["a/9.txt", "b/1.TXT", "b/2.txt", "b/in/0.txt"]);
        assert_eq!(
            (classes, class_names),
            (vec![0, 1, 1, 1], vec!["a".into(), "b".into()])
        );
        let named = |names: &[&str]| Form {
            class_names: Some(names.iter().map(|n| n.to_string()).collect()),
            ..Form::default()
        };
        assert_eq!(list(&named(&["b", "a"])).unwrap().1, [0, 0, 0, 1]);
        assert!(list(&named(&["z"])).is_err());
        let binary = Form {
            label_mode: LabelMode::Binary,
            ..named(&["b"])
        };
        assert!(list(&binary).is_err());
        let none = Form {
            label_mode: LabelMode::None,
            ..Form::default()
        };
        assert_eq!(list(&none).unwrap().0.len(), 6);
        assert!(Files::list(&root, &[".png"], &Form::default()).is_err());
        std::fs::remove_dir_all(root).unwrap();
    }
}
