//! The only way a command writes: results to standard output, everything else to standard error. With --json standard output has one JSON value a line.
use crate::error::{Error, Exit, Result};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Clone, Copy)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
}

impl Output {
    /// Text as it is, at once.
    pub fn data(self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| Error::new(Exit::Prerequisite, format!("standard output: {error}")))
    }

    pub fn line(self, text: &str) -> Result<()> {
        self.data(&format!("{text}\n"))
    }

    pub fn record(self, value: &impl Serialize) -> Result<()> {
        self.line(&serde_json::to_string(value).expect("JSON"))
    }

    /// A remark; not with --quiet.
    pub fn note(self, text: &str) {
        if !self.quiet {
            warn(text);
        }
    }

    pub fn error(self, error: &Error) {
        if self.json {
            let _ = self.record(&serde_json::json!({ "error": error.json() }));
            return;
        }
        warn(&format!("lightmamba: {error}"));
        if let Some(hint) = &error.hint {
            warn(&format!("hint: {hint}"));
        }
    }
}

/// Whoever does not listen any more has missed it: that is no fault, as eprintln would have it.
fn warn(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
