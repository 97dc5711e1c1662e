//! An installation: what a bundle brings is written beside what is there, then takes its place. Until `commit` nothing has changed.
use crate::{
    board::Board,
    bundle::{Entry, Manifest},
    durable,
    error::{Error, Exit, Result, bad_input},
    load::file_sha256,
    places::free_bytes,
    setup::{SETUP, Setup},
    store::{ID_DIGITS, Lock, Store},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Beside the files themselves: folders, links, counters, and states that somebody saves meanwhile.
const ROOM_BYTES: u64 = 1 << 20;

pub struct Installation<'a> {
    board: &'a Board,
    pub manifest: Manifest,
    /// Where the model is written, once something of it is missing.
    part: Option<PathBuf>,
    /// Files that are still to come.
    missing: Vec<Entry>,
    _lock: Lock,
}

/// A file that comes.
pub struct Incoming {
    path: PathBuf,
    file: File,
    entry: Entry,
    hash: Sha256,
    pub at: u64,
}

/// What was installed.
pub enum Done {
    /// To be tested.
    Model { id: String },
}

impl<'a> Installation<'a> {
    /// What was left of an earlier one is removed. `note` says what takes long.
    pub fn begin(board: &'a Board, manifest: Manifest, note: &mut dyn FnMut(&str)) -> Result<Self> {
        check_fits(board, &manifest)?;
        let lock = board.store.lock()?;
        board.store.prepare()?;
        board.store.clean()?;
        let mut this = Self {
            board,
            manifest,
            part: None,
            missing: Vec::new(),
            _lock: lock,
        };
        this.begin_model(note)?;
        Ok(this)
    }

    fn begin_model(&mut self, note: &mut dyn FnMut(&str)) -> Result<()> {
        let Some(model) = &self.manifest.model else {
            return Ok(());
        };
        let store = &self.board.store;
        note("looking for files that are here already");
        let files = self.manifest.files.iter().filter(|entry| entry.model_file().is_some());
        let whole = files.clone().all(|entry| is_whole(&store.model(&model.id), entry));
        if whole {
            return Ok(());
        }
        let part = store.part(&model.id);
        fs::create_dir(&part).map_err(|error| Error::io(&part, &error))?;
        self.part = Some(part.clone());
        for entry in files {
            match find(store, entry)? {
                Some(path) => fs::hard_link(&path, part.join(entry.model_file().unwrap_or_default()))
                    .map_err(|error| Error::io(&path, &error))?,
                None => self.missing.push(entry.clone()),
            }
        }
        check_room(store, self.missing.iter().map(|entry| entry.bytes).sum())
    }

    /// Paths of files that are still to come, as the manifest has them.
    pub fn missing(&self) -> Vec<String> {
        self.missing.iter().map(|entry| entry.path.clone()).collect()
    }

    pub fn open(&self, path: &str) -> Result<Incoming> {
        let found = self.missing.iter().find(|entry| entry.path == path);
        let entry = found
            .ok_or_else(|| bad_input("not a file that is wanted").field(path))?
            .clone();
        let part = self
            .part
            .as_ref()
            .zip(entry.model_file())
            .map(|(part, name)| part.join(name));
        let path = part.ok_or_else(|| Error::new(Exit::Bug, "no place for this file"))?;
        let file = File::create(&path).map_err(|error| Error::io(&path, &error))?;
        Ok(Incoming {
            path,
            file,
            entry,
            hash: Sha256::new(),
            at: 0,
        })
    }

    /// The file has come, and is what the manifest says. Returns its SHA-256.
    pub fn close(&mut self, incoming: Incoming) -> Result<String> {
        let Incoming {
            path,
            file,
            entry,
            hash,
            at,
        } = incoming;
        if at != entry.bytes {
            let error = bad_input("the file was cut").field(&entry.path);
            return Err(error.expected(format!("{} bytes", entry.bytes)).found(at));
        }
        let found = cwasm::hex(&hash.finalize());
        if found != entry.sha256 {
            let error = Error::new(Exit::Verification, "the file was changed").field(&entry.path);
            return Err(error.expected(format!("sha256 {}", entry.sha256)).found(found));
        }
        file.sync_all().map_err(|error| Error::io(&path, &error))?;
        self.missing.retain(|other| other.path != entry.path);
        Ok(found)
    }

    /// Switches to what was installed; a model is to be tested then.
    pub fn commit(mut self) -> Result<Done> {
        if let Some(entry) = self.missing.first() {
            return Err(bad_input("files are missing").expected(&entry.path));
        }
        let Some(model) = &self.manifest.model else {
            return Err(Error::new(Exit::Unsupported, "systems cannot be installed here"));
        };
        let store = &self.board.store;
        if let Some(part) = self.part.take() {
            let placed = check_setup(&part, &self.manifest).and_then(|()| place(&part, &store.model(&model.id)));
            if placed.is_err() {
                let _ = fs::remove_dir_all(&part);
            }
            placed?;
        }
        store.propose(&model.runtime, &model.id)?;
        Ok(Done::Model { id: model.id.clone() })
    }
}

impl Drop for Installation<'_> {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_dir_all(part);
        }
    }
}

impl Incoming {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at + bytes.len() as u64;
        if end > self.entry.bytes {
            let error = bad_input("more than the manifest says").field(&self.entry.path);
            return Err(error.expected(format!("{} bytes", self.entry.bytes)).found(end));
        }
        self.file
            .write_all(bytes)
            .map_err(|error| Error::io(&self.path, &error))?;
        self.hash.update(bytes);
        self.at = end;
        Ok(())
    }
}

/// Whether this board and its program can use it.
fn check_fits(board: &Board, manifest: &Manifest) -> Result<()> {
    if manifest.board != board.name {
        let error = Error::new(Exit::Unsupported, "a bundle for another board").field("board");
        return Err(error.expected(&board.name).found(&manifest.board));
    }
    match (&manifest.system, &manifest.model) {
        (None, Some(model)) if model.runtime != board.store.runtime => {
            let error = Error::new(Exit::Unsupported, "a model for another runtime").field("model.runtime");
            let error = error.expected(&board.store.runtime).found(&model.runtime);
            Err(error
                .hint("prepare the bundle with the version of lightmamba that this card has, or bring its system too"))
        }
        _ => Ok(()),
    }
}

fn check_room(store: &Store, bytes: u64) -> Result<()> {
    let free = free_bytes(store.data())?;
    if bytes.saturating_add(ROOM_BYTES) <= free {
        return Ok(());
    }
    let error = Error::new(Exit::Prerequisite, "there is no room for it").file(store.data());
    let error = error.expected(format!("{} bytes", bytes.saturating_add(ROOM_BYTES)));
    Err(error.found(free).hint("remove saved states"))
}

fn is_whole(folder: &Path, entry: &Entry) -> bool {
    let path = folder.join(entry.model_file().unwrap_or_default());
    let same_size = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() == entry.bytes);
    same_size && file_sha256(&path).is_ok_and(|found| found == entry.sha256)
}

/// The same file, in a model that is here.
fn find(store: &Store, entry: &Entry) -> Result<Option<PathBuf>> {
    let folders = store.ids()?.into_iter().map(|id| store.model(&id));
    let found = folders.into_iter().find(|folder| is_whole(folder, entry));
    Ok(found.map(|folder| folder.join(entry.model_file().unwrap_or_default())))
}

/// What the manifest says of the model is what its setup says.
fn check_setup(folder: &Path, manifest: &Manifest) -> Result<()> {
    let setup = Setup::read(folder)?;
    let path = &folder.join(SETUP);
    let differs = |field: &str, expected: &str, found: &str| {
        let error = Error::new(Exit::Verification, "the manifest says something else")
            .file(path)
            .field(field);
        if expected == found {
            Ok(())
        } else {
            Err(error.expected(expected).found(found))
        }
    };
    let model = manifest.model.as_ref().expect("a model's folder");
    let runtime = setup.runtime.sha256.get(..ID_DIGITS).unwrap_or_default();
    differs("runtime", &model.runtime, runtime)?;
    differs("device.board", &manifest.board, &setup.device.board)?;
    for (name, sum) in &setup.files {
        differs(name, &manifest.model_file(name).sha256, &sum.sha256)?;
    }
    Ok(())
}

/// A folder that is whole takes its name. One that has the name already is damaged, and goes.
fn place(part: &Path, to: &Path) -> Result<()> {
    let fails = |error: io::Error| Error::io(to, &error);
    File::open(part).and_then(|folder| folder.sync_all()).map_err(fails)?;
    if !to.exists() {
        return durable::rename(part, to);
    }
    renameat_with(CWD, part, CWD, to, RenameFlags::EXCHANGE).map_err(|error| fails(error.into()))?;
    durable::sync_folder(to).map_err(fails)?;
    fs::remove_dir_all(part).map_err(fails)
}
