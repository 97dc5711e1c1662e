//! A model into the runtime: files are compared with their checksums, then what the host's loader did is done again (host/board/recording.ts).
use crate::{
    error::{Error, Exit, Result, bad_input},
    heartbeat,
    runtime::Runtime,
    setup::{Arg, Call, FileRange, SETUP, Setup, WEIGHTS},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
    path::Path,
};
use wasmtime::{Val, ValType};

const PIECE_BYTES: usize = 1 << 20;

/// Opens a file of the model once it is what the setup says.
pub fn open_checked(dir: &Path, setup: &Setup, name: &str) -> Result<File> {
    let path = &dir.join(name);
    let want = &setup.files[name];
    let fails = |what: &str| {
        Error::new(Exit::Verification, what)
            .file(path)
            .hint("copy the model again")
    };
    let mut file = File::open(path).map_err(|error| Error::io(path, &error))?;
    let found = file.metadata().map_err(|error| Error::io(path, &error))?.len();
    if found != want.bytes {
        return Err(fails("the file has another size")
            .expected(format!("{} bytes", want.bytes))
            .found(found));
    }
    let found = sha256_of(&file).map_err(|error| Error::io(path, &error))?;
    if found == want.sha256 {
        file.rewind().map_err(|error| Error::io(path, &error))?;
        return Ok(file);
    }
    Err(fails("the file was changed")
        .expected(format!("sha256 {}", want.sha256))
        .found(found))
}

pub fn file_sha256(path: &Path) -> Result<String> {
    let hash = File::open(path).and_then(sha256_of);
    hash.map_err(|error| Error::io(path, &error))
}

/// To its end, in hexadecimal.
pub fn sha256_of(mut source: impl Read) -> io::Result<String> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(cwasm::hex(&hash.finalize())),
            count => hash.update(&piece[..count]),
        }
        heartbeat::step();
    }
}

/// Where the weights lie in linear memory, mapped from their file.
#[derive(Clone, Copy, Default)]
pub struct Weights {
    at: u32,
    mapped: usize,
}

impl Weights {
    /// They are not needed for a while: gives their pages back, to be read from the file again when they are.
    pub fn release(self, runtime: &Runtime) -> Result<()> {
        if self.mapped == 0 {
            return Ok(());
        }
        let at = runtime.span(self.at, self.mapped)?;
        // SAFETY: a private mapping of a file that nobody has written to: what is read next is the same again.
        unsafe { madvise(at.cast(), self.mapped, Advice::LinuxDontNeed) }
            .map_err(|error| Error::new(Exit::Bug, format!("madvise: {error}")))
    }
}

/// Sets up a fresh runtime.
pub fn load(runtime: &mut Runtime, setup: &Setup, dir: &Path) -> Result<Weights> {
    let weights = open_checked(dir, setup, WEIGHTS)?;
    let mut placed = Weights::default();
    for (i, call) in setup.calls.iter().enumerate() {
        let mapped = replay(runtime, call, &weights);
        let named = |error: Error| error.file(&dir.join(SETUP)).field(format!("calls[{i}], {}", call.call));
        if let Some(found) = mapped.map_err(named)? {
            placed = found;
        }
    }
    if runtime.state_bytes()? != setup.model.state_bytes {
        let error = Error::new(Exit::Verification, "the runtime has another state than the host's");
        return Err(error.expected(setup.model.state_bytes).found(runtime.state_bytes()?));
    }
    Ok(placed)
}

fn replay(runtime: &mut Runtime, call: &Call, weights: &File) -> Result<Option<Weights>> {
    let result = invoke(runtime, call)?;
    if call.bytes.is_none() && call.file.is_none() {
        return Ok(None);
    }
    let [Arg::I32(size)] = call.args[..] else {
        return Err(bad_input("only what was allocated has contents"));
    };
    let (start, end) = (u64::from(result), u64::from(result) + size as u64);
    if let Some(text) = &call.bytes {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| bad_input(format!("not base64: {error}")))?;
        check_inside(start, end, start, bytes.len() as u64)?;
        runtime.write(result, &bytes)?;
    }
    let Some(range) = call.file else {
        return Ok(None);
    };
    check_inside(start, end, range.at.into(), range.bytes)?;
    Ok(Some(place(runtime, range, weights)?))
}

fn check_inside(start: u64, end: u64, at: u64, bytes: u64) -> Result<()> {
    if at >= start && at.checked_add(bytes).is_some_and(|last| last <= end) {
        return Ok(());
    }
    Err(bad_input("not where memory was allocated")
        .expected(format!("within {start} to {end}"))
        .found(format!("{bytes} bytes at {at}")))
}

/// Calls what was called, and holds the result against the host's.
fn invoke(runtime: &mut Runtime, call: &Call) -> Result<u32> {
    let recorded = call.call.starts_with("set") || ["allocate", "configure", "finish"].contains(&call.call.as_str());
    let (function, store) = runtime
        .function(&call.call)
        .filter(|_| recorded)
        .ok_or_else(|| bad_input("not a call that sets up a model"))?;
    let kind = function.ty(&*store);
    let args: Option<Vec<Val>> = kind
        .params()
        .zip(&call.args)
        .map(|(kind, arg)| value(&kind, arg))
        .collect();
    let args = args.filter(|args| args.len() == kind.params().len() && call.args.len() == args.len());
    let args = args.ok_or_else(|| bad_input("not the arguments that it takes").expected(format!("{kind}")))?;
    let mut results = vec![Val::I32(0); kind.results().len()];
    function
        .call(&mut *store, &args, &mut results)
        .map_err(|error| Error::new(Exit::Prerequisite, format!("failed: {error:#}")))?;
    let found = results.first().and_then(Val::i32);
    match (found, call.result) {
        (None, None) => Ok(0),
        // A pointer may be recorded with either sign.
        (Some(found), Some(expected)) if found == expected as i32 => Ok(found as u32),
        _ => Err(Error::new(Exit::Verification, "another result than the host's")
            .expected(format!("{:?}", call.result))
            .found(format!("{found:?}"))),
    }
}

fn value(kind: &ValType, arg: &Arg) -> Option<Val> {
    match (kind, arg) {
        (ValType::I32, Arg::I32(value)) => Some(Val::I32(
            i32::try_from(*value)
                .or_else(|_| u32::try_from(*value).map(|value| value as i32))
                .ok()?,
        )),
        (ValType::I64, Arg::I64(text)) => Some(Val::I64(
            text.parse()
                .or_else(|_| text.parse().map(|value: u64| value as i64))
                .ok()?,
        )),
        _ => None,
    }
}

/// Whole pages are mapped, so that weights take no memory twice; the rest, and what lies on no page of this machine, is read.
fn place(runtime: &mut Runtime, range: FileRange, file: &File) -> Result<Weights> {
    let page = rustix::param::page_size();
    let fits = range.at as usize % page == 0 && range.offset as usize % page == 0;
    let mapped = if fits { range.bytes as usize / page * page } else { 0 };
    let to = runtime.span(range.at, range.bytes as usize)?;
    let wrong = |error: std::io::Error| bad_input(format!("the weights cannot be read: {error}"));
    if mapped > 0 {
        // SAFETY: span checked that the range is linear memory of this runtime, which nobody uses now; wasmtime keeps the address for good.
        // Read-only, since nothing writes weights; private, since a file that changes would change them.
        unsafe {
            mmap(
                to.cast(),
                mapped,
                ProtFlags::READ,
                MapFlags::PRIVATE | MapFlags::FIXED,
                file,
                range.offset,
            )
        }
        .map_err(|error| wrong(error.into()))?;
    }
    // SAFETY: the same range; and no reference into it is there but this one.
    let rest = unsafe { std::slice::from_raw_parts_mut(to.add(mapped), range.bytes as usize - mapped) };
    file.read_exact_at(rest, range.offset + mapped as u64).map_err(wrong)?;
    Ok(Weights { at: range.at, mapped })
}
