//! Files, links and names that are there whole or not at all, whatever ends this program or its power.
use crate::error::{Error, Exit, Result};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
};

/// Writes beside the file, then takes its name.
pub fn write(path: &Path, parts: &[&[u8]]) -> Result<()> {
    replace(path, |temporary| write_synced(temporary, parts))
}

/// A symbolic link, in the place of what had its name.
pub fn link(target: &Path, path: &Path) -> Result<()> {
    replace(path, |temporary| {
        let _ = fs::remove_file(temporary);
        symlink(target, temporary)
    })
}

fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let temporary = PathBuf::from(format!("{}.{}.tmp", path.display(), process::id()));
    let result = make(&temporary).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = result.and_then(|()| sync_folder(path)) {
        let _ = fs::remove_file(&temporary);
        return Err(Error::new(Exit::Usage, format!("cannot be written: {error}")).file(path));
    }
    Ok(())
}

/// Another name in the same folder.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let renamed = fs::rename(from, to).and_then(|()| sync_folder(to));
    renamed.map_err(|error| Error::io(to, &error))
}

pub fn remove_file(path: &Path) -> Result<()> {
    let removed = fs::remove_file(path).and_then(|()| sync_folder(path));
    removed.map_err(|error| Error::io(path, &error))
}

/// Removes what processes left in a folder that were ended in the middle of it, or lost their power.
pub fn clean(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let writer = name
            .to_str()
            .and_then(|name| name.strip_suffix(".tmp")?.rsplit_once('.'));
        let writer = writer.and_then(|(_, number)| number.parse::<u32>().ok());
        if writer.is_some_and(|number| !Path::new("/proc").join(number.to_string()).exists()) {
            fs::remove_file(entry.path())?;
        }
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

/// Makes a new name in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
