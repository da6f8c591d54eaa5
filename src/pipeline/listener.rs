//! Who is told how a stage goes.

/// Told how a stage goes: lines of text, and how far it is.
pub trait Listener: Sync {
    /// A line.
    fn say(&self, text: &str);
    /// `done` of `all` things of the stage.
    fn progress(&self, done: usize, all: usize);
    /// What is being done just now, of which only the latest is of interest; nothing where `text` is empty.
    fn state(&self, text: &str);
}

/// Tells nobody.
pub struct Silent;

impl Listener for Silent {
    fn say(&self, _: &str) {}
    fn progress(&self, _: usize, _: usize) {}
    fn state(&self, _: &str) {}
}
