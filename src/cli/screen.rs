//! How a stage goes, on standard error.

use deepid2::pipeline::listener::Listener;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines about what is being done, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// Lines, and a bar where standard error is a terminal.
pub struct Screen {
    bar: ProgressBar,
    /// When the latest line about what is being done was written.
    line: Mutex<Option<Instant>>,
}

impl Screen {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        Self { bar, line: Mutex::new(None) }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Listener for Screen {
    fn say(&self, text: &str) {
        self.bar.suspend(|| {
            // A log that nobody reads is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }

    fn progress(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
    }

    fn state(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            let template =
                if text.is_empty() { "{wide_bar} {pos}/{len}" } else { "{wide_bar} {pos}/{len}\n{wide_msg}" };
            self.bar.set_style(ProgressStyle::with_template(template).expect("a template without mistakes"));
            self.bar.set_message(text.to_string());
            return;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !text.is_empty() && line.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) {
            *line = Some(Instant::now());
            self.say(&format!("  {text}"));
        }
    }
}
