//! Reads as much of a file as a loader could ask for: what fuzzing (`.fuzz`) and the tests with damaged files run. Errors are
//! as good as values; only panics, and more time or memory than the file is worth, are not.

#[cfg(feature = "keras")]
use super::{archive::Archive, hdf5::H5File};
use super::{number::numel, safetensors::SafeTensors};

/// Most values that are asked for at once.
const MOST: usize = 1 << 16;

/// Room for a shape that a file claims, if it is small enough to be asked for.
fn room(shape: &[usize]) -> Option<Vec<crate::Float>> {
    numel(shape).filter(|n| *n <= MOST).map(|n| vec![0.0; n])
}

/// `.h5`: all groups, datasets and the attributes that Keras knows. Whether all of it could be read.
#[cfg(feature = "keras")]
pub fn hdf5(bytes: &[u8]) -> bool {
    H5File::from_bytes(bytes.to_vec()).is_ok_and(|f| walk(&f))
}

#[cfg(feature = "keras")]
fn walk(f: &H5File) -> bool {
    let mut whole = true;
    let mut groups = vec![String::new()];
    while let Some(group) = groups.pop() {
        let datasets = f.datasets(&group).unwrap_or_default();
        for path in datasets.iter().map(|name| format!("{group}/{name}")) {
            let read = f.shape(&path).is_ok_and(|shape| match room(&shape) {
                Some(mut out) => f.read_into(&path, &shape, &mut out).is_ok(),
                None => false,
            });
            let _ = f.read_i64(&path, MOST);
            whole &= read && attributes(f, &path);
        }
        whole &= attributes(f, &group);
        let inner = f.groups(&group).unwrap_or_default();
        groups.extend(inner.iter().map(|name| format!("{group}/{name}")));
    }
    whole
}

#[cfg(feature = "keras")]
fn attributes(f: &H5File, path: &str) -> bool {
    let names = [
        "name",
        "names",
        "model_config",
        "layer_names",
        "ints",
        "text",
        "list",
    ];
    let mut whole = true;
    for name in names {
        let _ = f.attr_string(path, name);
        whole &= f.attr_strings(path, name).is_ok();
    }
    whole
}

/// `.keras`: all members, once as bytes and once as HDF5. Whether all of it could be read.
#[cfg(feature = "keras")]
pub fn zip(bytes: &[u8]) -> bool {
    let Ok(archive) = Archive::from_bytes(bytes.to_vec()) else {
        return false;
    };
    let names: Vec<&str> = archive.names().collect();
    names.into_iter().fold(true, |whole, name| {
        let read = archive.read(name, 1 << 24).is_ok();
        let h5 = archive.h5(name, 1 << 24);
        whole & read & h5.map_or(!name.ends_with("h5"), |f| walk(&f))
    })
}

/// `.safetensors`: all tensors. Whether all of them could be read.
pub fn safetensors(bytes: &[u8]) -> bool {
    let Ok(f) = SafeTensors::from_bytes(bytes.to_vec()) else {
        return false;
    };
    f.tensors().iter().all(|tensor| match room(&tensor.shape) {
        Some(mut out) => f.read_into(&tensor.name, &tensor.shape, &mut out).is_ok(),
        None => false,
    })
}
