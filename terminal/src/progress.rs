//! That a command waits, and how far it is: on a terminal only, on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Turns while something of unknown length goes on. Goes away when it is dropped.
pub fn spinner(doing: &str) -> Shown {
    let bar = ProgressBar::new_spinner().with_message(doing.to_owned());
    bar.enable_steady_tick(TICK);
    Shown(bar)
}

/// Counts `all` things, as they are done. Goes away when it is dropped.
pub fn bar(doing: &str, all: u64) -> Shown {
    let bar = ProgressBar::new(all).with_message(doing.to_owned());
    // The template is a constant; without it the bar only looks plainer.
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    Shown(bar)
}

/// Progress that is shown until it is dropped.
pub struct Shown(ProgressBar);

impl Shown {
    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Says what is being done now.
    pub fn now(&self, doing: impl Into<String>) {
        self.0.set_message(doing.into());
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
