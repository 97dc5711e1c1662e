//! The board's watchdog: once it is open, it restarts the machine unless it is written to. Closed in order, it is off.
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// What linux' drivers take for an orderly end.
const OFF: &[u8] = b"V";

pub struct Watchdog(File);

impl Watchdog {
    /// None where this machine has none.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        match OpenOptions::new().write(true).open(path) {
            Ok(file) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn pet(&mut self) {
        let _ = self.0.write(&[0]);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.0.write(OFF);
    }
}
