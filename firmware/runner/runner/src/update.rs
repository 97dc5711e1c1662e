//! `lightmamba update`: what a signed bundle brings onto this card. docs/update.md.
use crate::{
    board::Board,
    bundle::{self, ALIGNMENT, Entry, FIXED_BYTES, Manifest},
    candidate::{self, Outcome},
    cli::UpdateCommand,
    error::{Error, Exit, Result, bad_input},
    install::{Done, Installation},
    keys::Keys,
    lines::Lines,
    output::Output,
    raw::Raw,
    receive::receive,
};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

const PIECE_BYTES: u64 = 1 << 20;

pub fn run(command: &UpdateCommand, output: Output) -> Result<()> {
    match command {
        UpdateCommand::Install { file, board } => install(file, &Board::of(board)?, output),
        UpdateCommand::Receive { board } => from_console(&Board::of(board)?),
        UpdateCommand::Finish { board } => finish(&Board::of(board)?, output),
        UpdateCommand::Status { board } => status(&Board::of(board)?, output),
    }
}

fn install(path: &Path, board: &Board, output: Output) -> Result<()> {
    let mut note = |text: &str| output.note(text);
    let done = install_file(path, board, &mut note).map_err(|error| error.file_if_none(path))?;
    test(board, &done, &mut note)?;
    match done {
        Done::Model { id } => tell(
            output,
            "model",
            &id,
            &format!("model {id} is used from the next start on"),
        ),
        Done::System { slot } => {
            let slot = slot.to_string();
            tell(
                output,
                "system",
                &slot,
                &format!("a system is in slot {slot}: reboot to try it"),
            )
        }
    }
}

/// A model that comes with a system is that system's to test.
fn test(board: &Board, done: &Done, note: &mut dyn FnMut(&str)) -> Result<()> {
    match done {
        Done::Model { .. } => candidate::settle(board, note).map(|_| ()),
        Done::System { .. } => Ok(()),
    }
}

fn from_console(board: &Board) -> Result<()> {
    let _raw = Raw::enter();
    let mut lines = Lines::new(io::stdin().lock());
    let ended = receive(board, &mut lines, &mut io::stdout(), &mut |done, note| {
        test(board, done, note)
    });
    let ended = ended.map_err(|error| Error::new(Exit::Prerequisite, format!("the console: {error}")))?;
    ended.map(|_| ())
}

/// Until the switch.
pub fn install_file(path: &Path, board: &Board, note: &mut dyn FnMut(&str)) -> Result<Done> {
    let fails = |error| Error::io(path, &error);
    let mut file = File::open(path).map_err(fails)?;
    let size = file.metadata().map_err(fails)?.len();
    let keys = board.keys()?;
    let (manifest, begin) = read_head(&mut file, &keys)?;
    note(&manifest.title);
    let places = places(&manifest, begin, size)?;
    let mut installation = Installation::begin(board, manifest, note)?;
    for (entry, start) in places {
        if installation.missing().contains(&entry.path) {
            copy(&file, start, &entry, &mut installation)?;
        }
    }
    installation.commit()
}

/// And where the files begin.
fn read_head(file: &mut File, keys: &Keys) -> Result<(Manifest, u64)> {
    let cut = |error: io::Error| bad_input(format!("the head cannot be read: {error}"));
    let mut head = vec![0; FIXED_BYTES];
    file.read_exact(&mut head).map_err(cut)?;
    let bytes = bundle::head_bytes(head.first_chunk().expect("as many"))?;
    head.resize(bytes, 0);
    file.read_exact(&mut head[FIXED_BYTES..]).map_err(cut)?;
    let manifest = bundle::open(&head, keys)?;
    let begin = (bytes as u64).next_multiple_of(ALIGNMENT);
    check_zeros(file, bytes as u64, begin)?;
    Ok((manifest, begin))
}

/// Where each file lies in a bundle of this size.
fn places(manifest: &Manifest, begin: u64, size: u64) -> Result<Vec<(Entry, u64)>> {
    let ends = manifest.ends()?;
    let last = ends.last().map_or(0, |(_, end)| end.next_multiple_of(ALIGNMENT));
    if size != begin + last {
        let error =
            bad_input("the bundle has another size than its manifest says: it was cut, or has something behind");
        return Err(error.expected(format!("{} bytes", begin + last)).found(size));
    }
    let starts = ends.iter().map(|(start, _)| begin + start);
    Ok(manifest.files.iter().cloned().zip(starts).collect())
}

fn copy(file: &File, start: u64, entry: &Entry, installation: &mut Installation) -> Result<()> {
    let mut incoming = installation.open(&entry.path)?;
    let mut piece = vec![0; PIECE_BYTES as usize];
    while incoming.at < entry.bytes {
        let count = PIECE_BYTES.min(entry.bytes - incoming.at) as usize;
        let read = file.read_exact_at(&mut piece[..count], start + incoming.at);
        read.map_err(|error| bad_input(format!("cannot be read: {error}")).field(&entry.path))?;
        incoming.write(&piece[..count])?;
    }
    installation.close(incoming)?;
    let end = start + entry.bytes;
    check_zeros(file, end, end.next_multiple_of(ALIGNMENT))
}

/// Between files.
fn check_zeros(file: &File, from: u64, to: u64) -> Result<()> {
    let mut bytes = vec![0; (to - from) as usize];
    let read = file.read_exact_at(&mut bytes, from);
    read.map_err(|error| bad_input(format!("cannot be read: {error}")))?;
    match bytes.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => {
            let error = bad_input("not padded with zeros").field(format!("byte {}", from + at as u64));
            Err(error.expected(0).found(bytes[at]))
        }
    }
}

fn finish(board: &Board, output: Output) -> Result<()> {
    match candidate::settle(board, &mut |text| output.note(text))? {
        Outcome::Nothing => Ok(()),
        Outcome::Accepted(id) => tell(
            output,
            "model",
            &id,
            &format!("model {id} has passed its test: it is used from now on"),
        ),
    }
}

fn status(board: &Board, output: Output) -> Result<()> {
    let (name, store) = (board.name()?, &board.store);
    let (current, next) = (store.current(&store.runtime)?, store.candidate(&store.runtime)?);
    if output.json {
        let record = json!({ "board": name, "runtime": store.runtime, "model": current, "candidate": next });
        return output.record(&record);
    }
    let none = || "none".to_string();
    output.line(&format!("board     {name}"))?;
    output.line(&format!("runtime   {}", store.runtime))?;
    output.line(&format!("model     {}", current.unwrap_or_else(none)))?;
    output.line(&format!("candidate {}", next.unwrap_or_else(none)))
}

fn tell(output: Output, kind: &str, name: &str, text: &str) -> Result<()> {
    if output.json {
        return output.record(&json!({ "done": kind, "name": name }));
    }
    output.line(text)
}
