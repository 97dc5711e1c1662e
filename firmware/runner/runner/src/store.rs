//! Models on the data partition, as docs/update.md has them: each in a folder named by its content, `models/<id>`; and `current/<runtime>`, a link to the
//! one that a runtime takes. A candidate is `<runtime>.next`, and `<runtime>.testing` while it is tested.
use crate::{
    durable,
    error::{Error, Exit, Result, bad_input},
};
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Of a SHA-256, in names.
pub const ID_DIGITS: usize = 16;
const NEXT: &str = ".next";
const TESTING: &str = ".testing";
const PART: &str = ".part";

pub struct Store {
    data: PathBuf,
    /// Of this program.
    pub runtime: String,
}

/// Nobody else changes the store while it is held.
pub struct Lock {
    _folder: File,
}

pub fn is_id(text: &str) -> bool {
    is_hex(text, ID_DIGITS)
}

pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// By the SHA-256 of its files, in hexadecimal: weights, tokenizer, setup.
pub fn model_id(files: [&str; 3]) -> String {
    let lines: String = files.iter().map(|sha256| format!("{sha256}\n")).collect();
    cwasm::sha256(lines.as_bytes())[..ID_DIGITS].into()
}

impl Store {
    pub fn new(data: &Path, runtime_sha256: &str) -> Self {
        let runtime = runtime_sha256.chars().take(ID_DIGITS).collect();
        Self {
            data: data.into(),
            runtime,
        }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn models(&self) -> PathBuf {
        self.data.join("models")
    }

    pub fn model(&self, id: &str) -> PathBuf {
        self.models().join(id)
    }

    /// Where a model is written.
    pub fn part(&self, id: &str) -> PathBuf {
        self.models().join(format!("{id}{PART}"))
    }

    pub fn pointer(&self, runtime: &str) -> PathBuf {
        self.data.join("current").join(runtime)
    }

    fn with(&self, runtime: &str, ending: &str) -> PathBuf {
        self.pointer(&format!("{runtime}{ending}"))
    }

    /// The model that a runtime takes, if there is one.
    pub fn current(&self, runtime: &str) -> Result<Option<String>> {
        target(&self.pointer(runtime))
    }

    pub fn candidate(&self, runtime: &str) -> Result<Option<String>> {
        target(&self.with(runtime, NEXT))
    }

    /// Of this runtime: the model whose test did not end, since the machine or the program did.
    pub fn interrupted(&self) -> Result<Option<String>> {
        target(&self.with(&self.runtime, TESTING))
    }

    pub fn untested(&self) -> Result<bool> {
        Ok(self.interrupted()?.is_some() || self.candidate(&self.runtime)?.is_some())
    }

    pub fn lock(&self) -> Result<Lock> {
        let fails = |error: io::Error| Error::io(&self.data, &error);
        let folder = File::open(&self.data).map_err(fails)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _folder: folder }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(Exit::Usage, "another update is under way")),
            Err(error) => Err(fails(error.into())),
        }
    }

    /// Folders that a card of an older image may not have.
    pub fn prepare(&self) -> Result<()> {
        for folder in [self.models(), self.data.join("current")] {
            if !folder.is_dir() {
                let made = fs::create_dir(&folder).and_then(|()| durable::sync_folder(&folder));
                made.map_err(|error| Error::io(&folder, &error))?;
            }
        }
        Ok(())
    }

    /// Makes a whole model the one that a runtime tests next.
    pub fn propose(&self, runtime: &str, id: &str) -> Result<()> {
        durable::link(&Path::new("../models").join(id), &self.with(runtime, NEXT))
    }

    /// The candidate is under test from here on.
    pub fn begin_test(&self) -> Result<()> {
        durable::rename(&self.with(&self.runtime, NEXT), &self.with(&self.runtime, TESTING))
    }

    pub fn accept(&self) -> Result<()> {
        durable::rename(&self.with(&self.runtime, TESTING), &self.pointer(&self.runtime))
    }

    pub fn reject(&self) -> Result<()> {
        durable::remove_file(&self.with(&self.runtime, TESTING))
    }

    /// Removes the links of all runtimes but these.
    pub fn keep_runtimes(&self, runtimes: &[&str]) -> Result<()> {
        for (name, path) in entries(&self.data.join("current"))? {
            if !runtimes.contains(&&name[..ID_DIGITS.min(name.len())]) {
                durable::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes what is half written, and models to which no link leads.
    pub fn clean(&self) -> Result<()> {
        for folder in [&self.data, &self.data.join("current"), &self.data.join("states")] {
            match durable::clean(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(folder, &error)),
                _ => {}
            }
        }
        let mut wanted = BTreeSet::new();
        for (name, path) in entries(&self.data.join("current"))? {
            if !name.ends_with(".tmp") {
                wanted.extend(target(&path)?);
            }
        }
        for (name, path) in entries(&self.models())? {
            let half_written = name.strip_suffix(PART).is_some_and(is_id);
            if half_written || is_id(&name) && !wanted.contains(&name) {
                fs::remove_dir_all(&path).map_err(|error| Error::io(&path, &error))?;
            }
        }
        Ok(())
    }

    /// Of all models but those that are half written.
    pub fn ids(&self) -> Result<Vec<String>> {
        let names = entries(&self.models())?.into_iter().map(|(name, _)| name);
        Ok(names.filter(|name| is_id(name)).collect())
    }
}

/// The model that a link leads to.
fn target(link: &Path) -> Result<Option<String>> {
    match fs::read_link(link) {
        Ok(to) => {
            let id = to
                .strip_prefix("../models")
                .ok()
                .and_then(Path::to_str)
                .filter(|id| is_id(id));
            let error = || {
                bad_input("not a link to a model")
                    .file(link)
                    .expected("../models/<id>")
                    .found(to.display())
            };
            id.map(|id| Some(id.into())).ok_or_else(error)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(link, &error)),
    }
}

/// Sorted by name; none where there is no such folder. Names that are no text are not ours.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::io(folder, &error))?,
    };
    let mut all = Vec::new();
    for entry in found {
        let entry = entry.map_err(|error| Error::io(folder, &error))?;
        all.extend(entry.file_name().to_str().map(|name| (name.to_string(), entry.path())));
    }
    all.sort();
    Ok(all)
}
