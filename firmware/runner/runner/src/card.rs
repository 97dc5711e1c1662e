//! The card that this system runs from: its disk, where its two slots lie, and in which of them the root is. docs/boot.md.
use crate::error::{Error, Exit, Result, bad_input};
use rustix::fs::{major, minor, stat};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The disk's signature (firmware/system/genimage.cfg), and what the table has for Linux' partitions.
const SIGNATURE: u32 = 0x4c4d_4d42;
const LINUX: u8 = 0x83;
const SECTOR_BYTES: u64 = 512;
/// How a squashfs begins.
const SYSTEM_MAGIC: &[u8] = b"hsqs";

/// One of the two places for a system.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Slot {
    #[value(name = "A")]
    A,
    #[value(name = "B")]
    B,
}

impl Slot {
    pub fn other(self) -> Self {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    fn partition(self) -> usize {
        match self {
            Slot::A => 2,
            Slot::B => 3,
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        [Slot::A, Slot::B].into_iter().find(|slot| slot.to_string() == name)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Slot::A => "A",
            Slot::B => "B",
        })
    }
}

/// A part of the disk.
#[derive(Clone, Debug)]
pub struct Region {
    pub disk: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

impl Region {
    /// Whether a system begins here; what it is worth, whoever wrote it has checked.
    pub fn has_system(&self) -> Result<bool> {
        let mut magic = [0; SYSTEM_MAGIC.len()];
        let read = File::open(&self.disk).and_then(|disk| disk.read_exact_at(&mut magic, self.offset));
        read.map_err(|error| Error::io(&self.disk, &error))?;
        Ok(magic == SYSTEM_MAGIC)
    }
}

#[derive(Debug)]
pub struct Card {
    pub path: PathBuf,
    /// Open for reading and writing.
    pub disk: File,
    pub running: Slot,
    regions: [Region; 2],
}

impl Card {
    /// A disk, or a file that is like one, and the slot that runs; without them, where the root is.
    pub fn open(given: Option<(&Path, Slot)>) -> Result<Self> {
        let (path, running) = match given {
            Some((path, slot)) => (path.to_path_buf(), slot),
            None => root()?,
        };
        let mut disk = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io(&path, &error))?;
        let regions = regions(&mut disk, &path).map_err(|error| error.file(&path))?;
        Ok(Self {
            path,
            disk,
            running,
            regions,
        })
    }

    pub fn region(&self, slot: Slot) -> &Region {
        &self.regions[slot.partition() - 2]
    }
}

/// The disk of the root's partition, and the slot that this is.
fn root() -> Result<(PathBuf, Slot)> {
    let device = stat("/")
        .map_err(|error| Error::io(Path::new("/"), &error.into()))?
        .st_dev;
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let not_ours = || {
        Error::new(Exit::Prerequisite, "this system does not run from one of our cards")
            .field("the root's partition")
            .expected("2 (slot A) or 3 (slot B) of a disk")
            .hint("--disk <file> and --running A|B name them")
    };
    let folder = fs::canonicalize(&link).map_err(|_| not_ours())?;
    let number = fs::read_to_string(folder.join("partition")).map_err(|_| not_ours())?;
    let slot = [Slot::A, Slot::B]
        .into_iter()
        .find(|slot| slot.partition().to_string() == number.trim())
        .ok_or_else(|| not_ours().found(number.trim()))?;
    let disk = folder.parent().and_then(Path::file_name).ok_or_else(not_ours)?;
    Ok((Path::new("/dev").join(disk), slot))
}

fn regions(disk: &mut File, path: &Path) -> Result<[Region; 2]> {
    let mut table = [0; SECTOR_BYTES as usize];
    let size = disk
        .read_exact_at(&mut table, 0)
        .and_then(|()| disk.seek(SeekFrom::End(0)))
        .map_err(|error| Error::io(path, &error))?;
    let word = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().expect("four bytes"));
    if word(440) != SIGNATURE || table[510..] != [0x55, 0xaa] {
        return Err(bad_input("not one of our cards")
            .field("disk signature")
            .expected(format!("{SIGNATURE:#x}"))
            .found(format!("{:#x}", word(440))));
    }
    let region = |slot: Slot| {
        let entry = 446 + 16 * (slot.partition() - 1);
        let offset = SECTOR_BYTES * u64::from(word(entry + 8));
        let bytes = SECTOR_BYTES * u64::from(word(entry + 12));
        let fault = |what: &str| bad_input(what).field(format!("partition {} (slot {slot})", slot.partition()));
        if table[entry + 4] != LINUX || bytes == 0 {
            return Err(
                fault("not there: a card with one system, from before there were two").hint("write the card anew")
            );
        }
        if offset + bytes > size {
            return Err(fault("reaches beyond the end of the card")
                .expected(offset + bytes)
                .found(size));
        }
        Ok(Region {
            disk: path.into(),
            offset,
            bytes,
        })
    };
    Ok([region(Slot::A)?, region(Slot::B)?])
}
