//! A file that comes: into a model's folder, or as a system into a slot. It is counted and hashed as it comes, and a system is read back.
use crate::{
    bundle::Entry,
    card::Region,
    error::{Error, Exit, Result, bad_input},
    load::sha256_of,
};
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    num::NonZeroU64,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub struct Incoming {
    path: PathBuf,
    file: File,
    /// In the file, for a slot of a disk.
    offset: u64,
    in_slot: bool,
    pub entry: Entry,
    hash: Sha256,
    pub at: u64,
}

impl Incoming {
    pub fn file(path: &Path, entry: &Entry) -> Result<Self> {
        let file = File::create(path).map_err(|error| Error::io(path, &error))?;
        Ok(Self::new(path, file, entry, 0, false))
    }

    pub fn slot(region: &Region, entry: &Entry) -> Result<Self> {
        let path = &region.disk;
        let disk = OpenOptions::new().read(true).write(true).open(path);
        let disk = disk.map_err(|error| Error::io(path, &error))?;
        Ok(Self::new(path, disk, entry, region.offset, true))
    }

    fn new(path: &Path, file: File, entry: &Entry, offset: u64, in_slot: bool) -> Self {
        let (path, entry, hash) = (path.into(), entry.clone(), Sha256::new());
        Self {
            path,
            file,
            offset,
            in_slot,
            entry,
            hash,
            at: 0,
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at + bytes.len() as u64;
        if end > self.entry.bytes {
            let error = bad_input("more than the manifest says").field(&self.entry.path);
            return Err(error.expected(format!("{} bytes", self.entry.bytes)).found(end));
        }
        let written = self.file.write_all_at(bytes, self.offset + self.at);
        written.map_err(|error| Error::io(&self.path, &error))?;
        self.hash.update(bytes);
        self.at = end;
        Ok(())
    }

    /// It has come, is what the manifest says, and has reached its medium.
    pub fn close(self) -> Result<Entry> {
        let entry = self.entry;
        if self.at != entry.bytes {
            let error = bad_input("the file was cut").field(&entry.path);
            return Err(error.expected(format!("{} bytes", entry.bytes)).found(self.at));
        }
        check(&entry, &cwasm::hex(&self.hash.finalize()), "the file was changed")?;
        let fails = |error: io::Error| Error::io(&self.path, &error);
        self.file.sync_all().map_err(fails)?;
        if self.in_slot {
            let found = region_sha256(&self.file, self.offset, entry.bytes).map_err(fails)?;
            check(&entry, &found, "the card holds something else than was written to it")?;
        }
        Ok(entry)
    }
}

fn check(entry: &Entry, found: &str, what: &str) -> Result<()> {
    if found == entry.sha256 {
        return Ok(());
    }
    let error = Error::new(Exit::Verification, what).field(&entry.path);
    Err(error.expected(format!("sha256 {}", entry.sha256)).found(found))
}

/// What is on the medium, not what is still in memory of it.
fn region_sha256(mut disk: &File, offset: u64, bytes: u64) -> io::Result<String> {
    fadvise(disk, offset, NonZeroU64::new(bytes), Advice::DontNeed)?;
    disk.seek(SeekFrom::Start(offset))?;
    sha256_of(disk.take(bytes))
}

/// Whether the slot, which has room for it, holds it already.
pub fn slot_holds(region: &Region, entry: &Entry) -> bool {
    let found = File::open(&region.disk).and_then(|disk| region_sha256(&disk, region.offset, entry.bytes));
    found.is_ok_and(|found| found == entry.sha256)
}
