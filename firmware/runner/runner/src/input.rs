//! The one text that a command works on: an argument, standard input or a file.
use crate::{
    error::{Error, Result, bad_input},
    setup::read_limited,
};
use std::{
    io::{self, Read},
    path::Path,
};

/// A prompt beyond this is a mistake in the file's name.
const MOST_BYTES: u64 = 64 << 20;

/// `-` is standard input. None where there is neither argument nor file.
pub fn text_input(argument: Option<&str>, file: Option<&Path>) -> Result<Option<String>> {
    match (argument, file) {
        (Some("-"), _) => read_stdin().map(Some),
        (Some(text), _) => Ok(Some(text.into())),
        (None, Some(file)) if file == Path::new("-") => read_stdin().map(Some),
        (None, Some(file)) => decode(read_limited(file, MOST_BYTES)?, file).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_stdin() -> Result<String> {
    let name = Path::new("standard input");
    let mut bytes = Vec::new();
    let read = io::stdin().take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(name, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(bad_input("text is too large")
            .file(name)
            .expected(format!("at most {MOST_BYTES} bytes")));
    }
    decode(bytes, name)
}

fn decode(bytes: Vec<u8>, file: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| bad_input("not UTF-8 text").file(file))
}
