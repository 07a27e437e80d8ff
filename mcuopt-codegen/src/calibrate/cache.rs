//! Statistics of earlier builds, in the user's cache folder.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Channel, Method, Range, Ranges, Statistics, sample_files};
use crate::graph::{Graph, ValueId};
use crate::ops::Op;

/// Raised with every change of what is computed from samples or of how it is stored, so that older results are not
/// taken for new ones.
const CACHE_FORMAT: u32 = 6;

/// A hash of everything that ranges depend on: the files' bytes and the compiler's version.
///
/// Two runs of the standard library's hasher give 128 bits. It may change with the Rust release; then the samples
/// are run again.
pub fn content_hash(parts: &[&[u8]]) -> String {
    let run = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write_u32(CACHE_FORMAT);
        hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    };
    format!("{:016x}{:016x}", run(1), run(2))
}

/// A hash of the samples' names and bytes, read a block at a time: see [`sample_files`].
pub fn hash_samples(path: &Path) -> io::Result<String> {
    let mut runs = [1, 2].map(|seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher
    });
    let mut block = vec![0; 1 << 16];
    for path in sample_files(path)? {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        runs.iter_mut().for_each(|run| run.write(name));
        let mut file = fs::File::open(path)?;
        loop {
            let count = file.read(&mut block)?;
            if count == 0 {
                break;
            }
            runs.iter_mut().for_each(|run| run.write(&block[..count]));
        }
    }
    Ok(runs.iter().map(|hasher| format!("{:016x}", hasher.finish())).collect())
}

/// The cached ranges under `key`, if they are there and fit the graph.
pub fn load(key: &str, graph: &Graph<Op>) -> Option<Ranges> {
    let text = read(key, "ranges")?;
    let ids: BTreeMap<usize, ValueId> = graph.ids().map(|id| (id.index(), id)).collect();
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let id = *ids.get(&words.next()?.parse().ok()?)?;
        let method = Method::of(words.next()?)?;
        let mut bits = || Some(f32::from_bits(u32::from_str_radix(words.next()?, 16).ok()?));
        let mut range = || Some(Range { min: bits()?, max: bits()? });
        let (whole, candidates) = (range()?, [range()?, range()?, range()?, range()?]);
        let count = graph.value(id).ty.shape.last().copied().unwrap_or(1);
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(Channel { range: Range { min: bits()?, max: bits()? }, mean: bits()?, mean_square: bits()? });
        }
        words.next().is_none().then_some((id, Statistics { range: whole, candidates, method, given: None, channels }))
    };
    text.lines().map(entry).collect()
}

/// Stores ranges under `key`. A cache that cannot be written is no error: the next build calibrates again.
pub fn store(key: &str, ranges: &Ranges) {
    let line = |(id, statistics): (&ValueId, &Statistics)| {
        let ends = |range: &Range| [range.min, range.max];
        let ranges = [&statistics.range].into_iter().chain(&statistics.candidates).flat_map(ends);
        let channels = statistics.channels.iter();
        let channels =
            channels.flat_map(|channel| [channel.range.min, channel.range.max, channel.mean, channel.mean_square]);
        let words: String = ranges.chain(channels).map(|number| format!(" {:08x}", number.to_bits())).collect();
        format!("{} {}{words}\n", id.index(), statistics.method.name())
    };
    write(key, "ranges", &ranges.iter().map(line).collect::<String>());
}

/// What an earlier build stored under `key`, as the given kind of thing.
pub fn read(key: &str, kind: &str) -> Option<String> {
    fs::read_to_string(folder()?.join(format!("{key}.{kind}"))).ok()
}

/// Stores the result of a computation; a cache that cannot be written is no error.
pub fn write(key: &str, kind: &str, text: &str) {
    let Some(folder) = folder() else { return };
    // Written aside and renamed, so that a build beside this one never reads half a file.
    let temporary = folder.join(format!("{key}.{kind}.{}", std::process::id()));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&temporary, text));
    if written.and_then(|()| fs::rename(&temporary, folder.join(format!("{key}.{kind}")))).is_err() {
        let _ = fs::remove_file(&temporary);
    }
}

/// The user's cache folder, or one for temporary files where there is none.
#[cfg(feature = "profile")]
pub(crate) fn cache_folder() -> PathBuf {
    folder().unwrap_or_else(|| std::env::temp_dir().join("mcuopt"))
}

/// `MCUOPT_CACHE_DIR`, or the folder `mcuopt` where the user's system keeps caches.
fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("MCUOPT_CACHE_DIR") {
        return Some(folder);
    }
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("mcuopt"))
}
