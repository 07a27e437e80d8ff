//! Constants in files beside the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::proto::StringStringEntryProto;
use crate::error::Error;

/// Bytes that a model may ask for beyond those of its own file. A few bytes of a hostile file can ask for the same
/// gigabyte a thousand times, or for a sparse tensor of any size; no microcontroller holds what this allows.
const ALLOWANCE: u128 = 256 << 20;

/// The folder of a model and what was read from it.
pub(super) struct SideFiles<'a> {
    base: &'a Path,
    read: BTreeSet<PathBuf>,
    spent: u128,
}

impl<'a> SideFiles<'a> {
    pub(super) fn new(base: &'a Path) -> Self {
        SideFiles { base, read: BTreeSet::new(), spent: 0 }
    }

    /// The files read, relative to the folder, sorted.
    pub(super) fn into_paths(self) -> Vec<PathBuf> {
        self.read.into_iter().collect()
    }

    /// Counts bytes that the model's own file does not contain.
    pub(super) fn spend(&mut self, bytes: u128) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > ALLOWANCE {
            return Err(Error::unsupported(format!("{} of external and sparse constants", mebibytes(self.spent)))
                .instead(format!("up to {}", mebibytes(ALLOWANCE))));
        }
        Ok(())
    }

    /// The `bytes` that `entries` (the `external_data` of a tensor) point at.
    pub(super) fn read(&mut self, entries: &[StringStringEntryProto], bytes: u128) -> Result<Vec<u8>, Error> {
        let entries: BTreeMap<&str, &str> = entries.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
        let location = *entries.get("location").ok_or_else(|| Error::invalid("external data without a location"))?;
        let number = |key: &str| match entries.get(key) {
            None => Ok(None),
            Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| {
                Error::invalid(format!("the external data's {key} `{}` is not a number", text.escape_debug()))
            }),
        };
        let offset = number("offset")?.unwrap_or(0);
        if let Some(length) = number("length")?
            && u128::from(length) != bytes
        {
            let what = format!("{length} bytes of external data in `{location}`, but its type and shape need {bytes}");
            return Err(Error::invalid(what));
        }
        let path = inside(location)?;
        let (mut file, size) = self.open(&path)?;
        if u128::from(offset) + bytes > u128::from(size) {
            let what = format!("`{location}` has {size} bytes, too few for {bytes} at offset {offset}");
            return Err(Error::invalid(what));
        }
        self.spend(bytes)?;
        let broken = |error| Error::io(format!("cannot read `{location}`: {error}"));
        // Within the file's size and the allowance, so it fits memory.
        let mut data = vec![0; bytes as usize];
        file.seek(SeekFrom::Start(offset)).map_err(broken)?;
        file.read_exact(&mut data).map_err(broken)?;
        self.read.insert(path);
        Ok(data)
    }

    /// Opens a regular file (never a pipe or a device, which could block or not end); its size.
    fn open(&self, path: &Path) -> Result<(File, u64), Error> {
        let full = self.base.join(path);
        let broken = |error| Error::io(format!("cannot read the external data file `{}`: {error}", path.display()));
        let metadata = full.metadata().map_err(broken)?;
        if !metadata.is_file() {
            return Err(Error::invalid(format!("the external data `{}` is not a file", path.display())));
        }
        Ok((File::open(full).map_err(broken)?, metadata.len()))
    }
}

/// The location as a path that stays in the model's folder. Symbolic links are followed all the same: the user made
/// them, not the model, and caches of downloaded models consist of them.
fn inside(location: &str) -> Result<PathBuf, Error> {
    let outside = || {
        let location = location.escape_debug();
        Error::invalid(format!("the external data file `{location}` is not inside the model's folder"))
    };
    // Windows separators and drives are refused everywhere: what a model means must not depend on the host.
    if location.contains(['\\', ':', '\0']) {
        return Err(outside());
    }
    let mut path = PathBuf::new();
    for component in Path::new(location).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    if path.as_os_str().is_empty() { Err(outside()) } else { Ok(path) }
}

fn mebibytes(bytes: u128) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
