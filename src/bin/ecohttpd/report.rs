//! What is to be said of a configuration.

use crate::log::Log;

/// What was found in command line and files. Every line names where it is from: `-p 80:`,
/// `/etc/httpd.conf:3:`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What cannot be followed.
    pub(crate) mistakes: Vec<String>,
    /// What can, but should be known.
    pub(crate) notes: Vec<String>,
}

/// It has been said where it had to be.
#[derive(Debug)]
pub(crate) struct Said;

impl Report {
    pub(crate) fn mistake(&mut self, what: impl Into<String>) {
        self.mistakes.push(what.into());
    }

    /// Says all of it.
    pub(crate) fn say(&self, log: &Log) {
        self.notes.iter().chain(&self.mistakes).for_each(|line| log.line(line));
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}
