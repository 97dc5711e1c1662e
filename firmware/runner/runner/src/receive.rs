//! An update that comes line by line, over a console or a socket. The protocol: docs/update.md.
use crate::{
    board::Board,
    bundle::{self, FIXED_BYTES, MOST_MANIFEST_BYTES},
    error::{Result, bad_input},
    incoming::Incoming,
    install::{Done, Installation},
    lines::{Line, Lines, MOST_SHOWN, shown},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::io::{self, Read, Write};

const VERSION: u32 = 1;
/// In `serve`, a line that begins an update instead of going on with the text.
pub const UPDATE: &str = "/update";
/// How a sender begins, at the prompt of `serve` and of the console; and what erases there what somebody has typed.
const BEGINS: [&str; 2] = [UPDATE, "update receive"];
const ERASE: char = '\x15';
/// Lines that a bad connection may spoil, one after the other.
const MOST_NOISE: u32 = 1000;

/// What is to be done with a model that has come. It has a place to say what goes on.
pub type Settle<'a> = dyn FnMut(&Done, &mut dyn FnMut(&str)) -> Result<()> + 'a;

/// What a line is answered with.
enum Answer {
    Say(String),
    Again(u64),
    Quit,
}

struct Receiver<'a> {
    board: &'a Board,
    head: Vec<u8>,
    installation: Option<Installation<'a>>,
    incoming: Option<Incoming>,
    /// Lines that could not be read since the last that could.
    noise: u32,
}

/// Until `quit`, the end of the input, or an error, which has been told: then nothing has changed. Returns whether something was installed.
pub fn receive<R: Read>(
    board: &Board,
    lines: &mut Lines<R>,
    into: &mut dyn Write,
    settle: &mut Settle,
) -> io::Result<Result<bool>> {
    let mut installed = false;
    let result = loop_lines(board, lines, into, settle, &mut installed)?;
    if let Err(error) = &result {
        writeln!(into, "error {error}")?;
        into.flush()?;
    }
    Ok(result.map(|()| installed))
}

fn loop_lines<R: Read>(
    board: &Board,
    lines: &mut Lines<R>,
    into: &mut dyn Write,
    settle: &mut Settle,
    installed: &mut bool,
) -> io::Result<Result<()>> {
    let mut receiver = Receiver::new(board);
    let mut answer = receiver.begin();
    loop {
        match answer {
            Err(error) => return Ok(Err(error)),
            Ok(Answer::Quit) => return Ok(Ok(())),
            Ok(Answer::Say(text)) => writeln!(into, "{text}")?,
            Ok(Answer::Again(at)) => writeln!(into, "again {at}")?,
        }
        into.flush()?;
        answer = match lines.next()? {
            None => Err(bad_input("the connection ended, or was silent for too long")),
            Some(Line::Bad(what)) => receiver.noise(&what),
            Some(Line::Text(line)) if line == "install" && receiver.incoming.is_none() => {
                receiver.install(into, settle).inspect(|_| *installed = true)
            }
            Some(Line::Text(line)) => receiver.line(&line, into),
        };
    }
}

impl<'a> Receiver<'a> {
    fn new(board: &'a Board) -> Self {
        Self {
            board,
            head: Vec::new(),
            installation: None,
            incoming: None,
            noise: 0,
        }
    }

    /// From here on, whatever has come before.
    fn begin(&mut self) -> Result<Answer> {
        let (board, name) = (self.board, self.board.name()?);
        *self = Self::new(board);
        let slot = board.slots().map_or("-".into(), |slots| slots.running().to_string());
        let runtime = &board.store.runtime;
        Ok(Answer::Say(format!("update {VERSION} ready {runtime} {name} {slot}")))
    }

    fn line(&mut self, line: &str, into: &mut dyn Write) -> Result<Answer> {
        let line = line.trim_start_matches(ERASE);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, &mut self.installation, &self.incoming) {
            ("quit", ..) => Ok(Answer::Quit),
            // Of a sender that does not know of one before it
            _ if BEGINS.contains(&line) => self.begin(),
            ("head+", None, None) => {
                self.add_head(rest)?;
                Ok(Answer::Say(format!("ok {}", self.head.len())))
            }
            ("head", None, None) => {
                self.add_head(rest)?;
                self.begin_installation(into)
            }
            ("file", Some(installation), None) => {
                self.incoming = Some(installation.open(rest)?);
                Ok(Answer::Say("ok 0".into()))
            }
            ("data", Some(_), Some(_)) => self.data(rest),
            ("end", Some(installation), Some(_)) => {
                let incoming = self.incoming.take().expect("a file comes");
                Ok(Answer::Say(format!("ok {}", installation.close(incoming)?)))
            }
            _ => self.noise(&format!(
                "not a line that is expected here: {}",
                shown(line, MOST_SHOWN)
            )),
        }
    }

    /// While a file comes, the line may have been spoilt on its way, and is asked for again.
    fn noise(&mut self, what: &str) -> Result<Answer> {
        self.noise += 1;
        match &self.incoming {
            Some(incoming) if self.noise <= MOST_NOISE => Ok(Answer::Again(incoming.at)),
            _ => Err(bad_input(what)),
        }
    }

    fn add_head(&mut self, text: &str) -> Result<()> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| bad_input(format!("not base64: {error}")).field("head"))?;
        self.head.extend(bytes);
        let most = FIXED_BYTES + MOST_MANIFEST_BYTES;
        if self.head.len() > most {
            let error = bad_input("too large").field("head");
            return Err(error.expected(format!("at most {most} bytes")).found(self.head.len()));
        }
        Ok(())
    }

    fn begin_installation(&mut self, into: &mut dyn Write) -> Result<Answer> {
        let manifest = bundle::open(&self.head, &self.board.keys()?)?;
        let mut note = notes(into);
        note(&manifest.title);
        let installation = Installation::begin(self.board, manifest, &mut note)?;
        let wanted = installation.missing().join(" ");
        self.installation = Some(installation);
        Ok(Answer::Say(format!("want {wanted}").trim_end().into()))
    }

    /// `<offset> <crc32> <base64>`
    fn data(&mut self, line: &str) -> Result<Answer> {
        let incoming = self.incoming.as_mut().expect("a file comes");
        let Some(bytes) = piece(line, incoming.at) else {
            return self.noise("too many lines were spoilt on their way");
        };
        incoming.write(&bytes)?;
        let answer = Answer::Say(format!("ok {}", incoming.at));
        self.noise = 0;
        Ok(answer)
    }

    fn install(&mut self, into: &mut dyn Write, settle: &mut Settle) -> Result<Answer> {
        let installation = self.installation.take();
        let installation = installation.ok_or_else(|| bad_input("nothing has come that could be installed"))?;
        *self = Self::new(self.board);
        let mut note = notes(into);
        let done = installation.commit()?;
        settle(&done, &mut note)?;
        Ok(Answer::Say(match done {
            Done::Model { id } => format!("done model {id}"),
            Done::System { slot } => format!("done system {slot}, reboot to try it"),
        }))
    }
}

/// Of a line that is whole, and the next one.
fn piece(line: &str, at: u64) -> Option<Vec<u8>> {
    let mut words = line.split(' ');
    let (offset, crc, text) = (words.next()?, words.next()?, words.next()?);
    let bytes = STANDARD.decode(text).ok()?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    let whole = words.next().is_none() && offset.parse() == Ok(at) && crc32fast::hash(&bytes) == crc;
    whole.then_some(bytes)
}

/// What somebody should know who does not listen is no fault.
fn notes(into: &mut dyn Write) -> impl FnMut(&str) {
    move |text| {
        let line = text.replace(['\n', '\r'], " ");
        let _ = writeln!(into, "note {line}").and_then(|()| into.flush());
    }
}
