//! The only error of this program: one line `file: field: what (expected …, found …)`, as the host's (host/errors.ts).
use serde_json::{Map, Value, json};
use std::{fmt, io, path::Path};

pub type Result<T> = std::result::Result<T, Error>;

/// How a command can end otherwise than well. Numbers and names are those of the host: docs/cli.md.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exit {
    Bug = 1,
    Usage = 2,
    Prerequisite = 4,
    Device = 5,
    Verification = 6,
    BadInput = 7,
    Unsupported = 8,
}

impl Exit {
    fn name(self) -> &'static str {
        match self {
            Exit::Bug => "bug",
            Exit::Usage => "usage",
            Exit::Prerequisite => "prerequisite",
            Exit::Device => "device",
            Exit::Verification => "verification",
            Exit::BadInput => "badInput",
            Exit::Unsupported => "unsupported",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Error {
    pub exit: Exit,
    what: String,
    file: Option<String>,
    field: Option<String>,
    expected: Option<String>,
    found: Option<String>,
    pub hint: Option<String>,
}

impl Error {
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            exit,
            what,
            file: None,
            field: None,
            expected: None,
            found: None,
            hint: None,
        }
    }

    /// What the system said about a file.
    pub fn io(path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound {
            Exit::BadInput
        } else {
            Exit::Prerequisite
        };
        let text = error.to_string();
        Self::new(exit, text.split(" (os error").next().unwrap_or(&text).to_lowercase()).file(path)
    }

    pub fn file(mut self, path: &Path) -> Self {
        self.file = Some(path.display().to_string());
        self
    }

    pub fn field(mut self, name: impl Into<String>) -> Self {
        self.field = Some(name.into());
        self
    }

    /// Of what is read, where the error does not name a file that was written.
    pub fn file_if_none(self, path: &Path) -> Self {
        if self.file.is_some() { self } else { self.file(path) }
    }

    /// The field is one of this.
    pub fn within(mut self, outer: &str) -> Self {
        self.field = Some(self.field.map_or(outer.into(), |inner| format!("{outer}: {inner}")));
        self
    }

    pub fn expected(mut self, value: impl fmt::Display) -> Self {
        self.expected = Some(value.to_string());
        self
    }

    pub fn found(mut self, value: impl fmt::Display) -> Self {
        self.found = Some(value.to_string());
        self
    }

    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    pub fn json(&self) -> Value {
        let parts = [
            ("file", &self.file),
            ("field", &self.field),
            ("expected", &self.expected),
            ("found", &self.found),
            ("hint", &self.hint),
        ];
        let known = parts
            .into_iter()
            .filter_map(|(name, part)| Some((name.to_string(), part.as_deref()?.into())));
        let detail: Map<String, Value> = known.collect();
        json!({ "exit": self.exit.name(), "code": self.exit as u8, "message": self.to_string(), "detail": detail })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let mut text = String::new();
        for part in [&self.file, &self.field].into_iter().flatten() {
            text += &format!("{part}: ");
        }
        text += &self.what;
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => text += &format!(" (expected {expected}, found {found})"),
            (Some(expected), None) => text += &format!(" (expected {expected})"),
            (None, Some(found)) => text += &format!(" (found {found})"),
            (None, None) => {}
        }
        // One line, whatever a file's name holds
        out.write_str(&text.replace(['\n', '\r'], " "))
    }
}

impl std::error::Error for Error {}

pub fn bad_input(what: impl Into<String>) -> Error {
    Error::new(Exit::BadInput, what)
}

pub fn usage(what: impl Into<String>) -> Error {
    Error::new(Exit::Usage, what)
}
