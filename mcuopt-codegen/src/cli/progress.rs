//! That something is going on, on standard error, if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// For work without known steps.
pub(crate) fn spinner(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message.into());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// For so many steps.
pub(crate) fn steps(count: usize, message: impl Into<String>) -> ProgressBar {
    let template = "{msg} [{bar:30}] {pos}/{len}, {eta} left";
    // A template that does not parse would show in every run: the default is good enough then.
    let style = ProgressStyle::with_template(template).map(|style| style.progress_chars("━╸ "));
    let bar = ProgressBar::new(count as u64).with_message(message.into());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// For work that tells its steps as it goes: see [`show`].
pub(crate) fn watched() -> ProgressBar {
    let bar = steps(0, "");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows that so many of so many parts are done.
pub(crate) fn show(bar: &ProgressBar, done: usize, all: usize, what: &str) {
    bar.set_length(all as u64);
    bar.set_position(done as u64);
    bar.set_message(what.to_string());
}
