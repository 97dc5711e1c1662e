//! An installation: what a bundle brings is written beside what is there, then takes its place. Until `commit` nothing has changed.
use crate::{
    board::Board,
    bundle::{Entry, Manifest},
    card::Slot,
    durable,
    error::{Error, Exit, Result, bad_input},
    incoming::{Incoming, slot_holds},
    load::file_sha256,
    places::free_bytes,
    setup::{SETUP, Setup},
    slots::Slots,
    store::{ID_DIGITS, Lock, Store},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs::{self, File},
    io,
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
    /// Where a system goes.
    slots: Option<Slots>,
    _lock: Lock,
}

/// What was installed.
pub enum Done {
    /// To be tested here.
    Model { id: String },
    /// To be tried by a new start, with a model or without.
    System { slot: Slot },
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
            slots: None,
            _lock: lock,
        };
        note("looking for files that are here already");
        this.begin_system()?;
        this.begin_model()?;
        Ok(this)
    }

    fn begin_system(&mut self) -> Result<()> {
        let Some(entry) = self.manifest.files.iter().find(|entry| entry.model_file().is_none()) else {
            return Ok(());
        };
        let slots = self.board.slots()?;
        let region = slots.other_partition();
        if entry.bytes > region.bytes {
            let error = Error::new(Exit::Unsupported, "the system is larger than the slot").field("bytes");
            return Err(error.expected(format!("at most {}", region.bytes)).found(entry.bytes));
        }
        if !slot_holds(region, entry) {
            self.missing.push(entry.clone());
        }
        self.slots = Some(slots);
        Ok(())
    }

    fn begin_model(&mut self) -> Result<()> {
        let Some(model) = &self.manifest.model else {
            return Ok(());
        };
        let store = &self.board.store;
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
        let come = self.missing.iter().filter(|entry| entry.model_file().is_some());
        check_room(store, come.map(|entry| entry.bytes).sum())
    }

    /// Paths of files that are still to come, as the manifest has them.
    pub fn missing(&self) -> Vec<String> {
        self.missing.iter().map(|entry| entry.path.clone()).collect()
    }

    pub fn open(&mut self, path: &str) -> Result<Incoming> {
        let found = self.missing.iter().find(|entry| entry.path == path);
        let entry = found.ok_or_else(|| bad_input("not a file that is wanted").field(path))?;
        match (entry.model_file(), &self.part, &mut self.slots) {
            (Some(name), Some(part), _) => Incoming::file(&part.join(name), entry),
            (None, _, Some(slots)) => {
                // Half a system is never booted
                slots.retire_other()?;
                Incoming::slot(slots.other_partition(), entry)
            }
            _ => Err(Error::new(Exit::Bug, "no place for this file")),
        }
    }

    /// The file has come, and is what the manifest says. Returns its SHA-256.
    pub fn close(&mut self, incoming: Incoming) -> Result<String> {
        let entry = incoming.close()?;
        self.missing.retain(|other| other.path != entry.path);
        Ok(entry.sha256)
    }

    /// Switches to what was installed: a model is to be tested then, a system to be tried.
    pub fn commit(mut self) -> Result<Done> {
        if let Some(entry) = self.missing.first() {
            return Err(bad_input("files are missing").expected(&entry.path));
        }
        self.commit_model()?;
        let (store, manifest) = (&self.board.store, &self.manifest);
        if let (Some(slots), Some(system)) = (&mut self.slots, &manifest.system) {
            let slot = slots.running().other();
            slots.start_trial(slot)?;
            // The third was that of the system that is no more
            store.keep_runtimes(&[&store.runtime, &system.runtime])?;
            return Ok(Done::System { slot });
        }
        let id = manifest.model.as_ref().map_or(String::new(), |model| model.id.clone());
        Ok(Done::Model { id })
    }

    fn commit_model(&mut self) -> Result<()> {
        let Some(model) = &self.manifest.model else {
            return Ok(());
        };
        let store = &self.board.store;
        if let Some(part) = &self.part {
            check_setup(part, &self.manifest)?;
            place(part, &store.model(&model.id))?;
        }
        self.part = None;
        store.propose(&model.runtime, &model.id)
    }
}

impl Drop for Installation<'_> {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_dir_all(part);
        }
    }
}

/// Whether this board and its program can use it.
fn check_fits(board: &Board, manifest: &Manifest) -> Result<()> {
    let (store, unsupported) = (&board.store, |what: &str| Error::new(Exit::Unsupported, what));
    let name = board.name()?;
    if manifest.board != name {
        return Err(unsupported("a bundle for another board")
            .field("board")
            .expected(name)
            .found(&manifest.board));
    }
    match (&manifest.system, &manifest.model) {
        (None, Some(model)) if model.runtime != store.runtime => {
            let error = unsupported("a model for another runtime").field("model.runtime");
            let error = error.expected(&store.runtime).found(&model.runtime);
            Err(error
                .hint("prepare the bundle with the version of lightmamba that this card has, or bring its system too"))
        }
        // A trial that could only fail
        (Some(system), None)
            if store.current(&store.runtime)?.is_some() && store.current(&system.runtime)?.is_none() =>
        {
            let error = unsupported("a system for whose runtime this card has no model").field("system.runtime");
            Err(error
                .found(&system.runtime)
                .hint("bring a model with it: lightmamba bundle create --system … --model …"))
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
