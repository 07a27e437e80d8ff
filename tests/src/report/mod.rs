//! What the two report programs have in common: tables in Markdown, and work shared out to all processors.

pub mod bars;
pub mod peers;
mod table;

pub use table::{Table, grouped, three_digits};

use std::path::PathBuf;
use std::sync::Mutex;
use std::{fs, thread};

use crate::folder;

/// Writes a report to the repository's top folder.
///
/// # Panics
/// If it cannot be written.
pub fn write(name: &str, text: &str) -> PathBuf {
    let path = folder::repository().join(name);
    fs::write(&path, text).expect("the repository is writable");
    path
}

/// Applies `work` to each item, on all processors; the results keep the items' order.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(items.into_iter().enumerate());
    let take = || queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) = take() {
            done.push((index, work(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("no part of the work fails")).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
