//! Files that are there whole or not at all, whatever ends this program or its power.
use crate::error::{Error, Exit, Result};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

/// Writes beside the file, then takes its name.
pub fn write(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let temporary = PathBuf::from(format!("{}.{}.tmp", path.display(), process::id()));
    let result = write_synced(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = result.and_then(|()| sync_folder(path)) {
        let _ = fs::remove_file(&temporary);
        return Err(Error::new(Exit::Usage, format!("cannot be written: {error}")).file(path));
    }
    Ok(())
}

fn write_synced(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    // What a power cut left under this name is of a process that had the same number.
    let mut file = File::create(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

/// Makes the new name durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
