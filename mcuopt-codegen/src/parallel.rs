//! Work on all processors, with results that do not depend on their number.

use std::thread;

use crate::error::Error;

/// Runs `f` for each item; the results in the items' order. Fails with the first failure of the lowest part.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> Result<R, Error> + Sync) -> Result<Vec<R>, Error> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(items.len()).max(1);
    let f = &f;
    let work = |part: usize| items.iter().skip(part).step_by(workers).map(f).collect::<Result<Vec<R>, Error>>();
    let work = &work;
    let parts = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|part| scope.spawn(move || work(part))).collect();
        let joined = handles.into_iter().map(|handle| handle.join());
        joined.map(|part| part.unwrap_or_else(|_| Err(Error::bug("a thread panicked")))).collect::<Result<Vec<_>, _>>()
    })?;
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    Ok((0..items.len()).filter_map(|index| parts[index % workers].next()).collect())
}
