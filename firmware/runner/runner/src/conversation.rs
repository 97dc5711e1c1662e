//! What `serve` makes of one user's lines: text goes on with the conversation, a slash begins a command.
use crate::{
    error::{Error, Result, bad_input, usage},
    generate::{Options, generate},
    interrupt,
    lines::{MOST_SHOWN, shown},
    model::Model,
    session::Session,
    setup::Sampler,
    state::Saved,
};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

const MOST_NAME_BYTES: usize = 64;
const MOST_TOKENS: u32 = 1 << 24;
const HELP: &str = "a line       text to continue; an empty one goes on
/reset       forget the conversation; the seed begins anew
/seed N      of what is drawn from here on
/tokens N    how many at most for each line
/save NAME   write the conversation to the states folder
/load NAME   go on from there
/fork NAME   save, and go on with what was here
/states      those that are saved
/update      what `lightmamba update` on another machine sends: docs/update.md
/help
/quit
";

/// What all users of a server have in common.
pub struct Rules {
    pub sampler: Sampler,
    pub seed: u32,
    pub tokens: u32,
    pub stop: Vec<String>,
    /// Folder of /save and /load.
    pub states: PathBuf,
}

pub struct Conversation<'a> {
    rules: &'a Rules,
    session: Session,
    /// The last that was given: /reset begins with it anew.
    seed: u32,
    tokens: u32,
    /// Drawn last, and not fed.
    pending: Option<u32>,
    fed: bool,
}

/// After a line.
#[derive(PartialEq, Debug)]
pub enum Next {
    Go,
    Quit,
}

/// A fault of the line, which is told; or a user who does not listen any more.
enum Fault {
    Line(Error),
    Gone(io::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Line(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Gone(error)
    }
}

impl<'a> Conversation<'a> {
    pub fn new(model: &mut Model, rules: &'a Rules) -> Result<Self> {
        let session = Session::new(model, &rules.sampler)?;
        session.seed(model, rules.seed.into())?;
        Ok(Self {
            rules,
            session,
            seed: rules.seed,
            tokens: rules.tokens,
            pending: None,
            fed: false,
        })
    }

    pub fn close(self, model: &mut Model) {
        self.session.close(model);
    }

    /// Errors of a line are told, and the next one may come.
    pub fn line(&mut self, model: &mut Model, line: &str, into: &mut dyn Write) -> io::Result<Next> {
        let result = match line.strip_prefix('/') {
            Some("quit") => return Ok(Next::Quit),
            Some(command) => self.command(model, command, into),
            None => self.text(model, line, into),
        };
        match result {
            Err(Fault::Gone(error)) => return Err(error),
            Err(Fault::Line(error)) => writeln!(into, "error: {error}")?,
            Ok(()) => {}
        }
        into.flush()?;
        Ok(Next::Go)
    }

    fn text(&mut self, model: &mut Model, line: &str, into: &mut dyn Write) -> std::result::Result<(), Fault> {
        let ids = match (self.pending, self.fed) {
            (None, false) => model.prompt_ids(line)?,
            (pending, _) => pending.into_iter().chain(model.text.encode(line)?).collect(),
        };
        if ids.is_empty() {
            return Err(bad_input("nothing to go on from: a line of text").into());
        }
        let options = Options {
            tokens: self.tokens,
            stop: &self.rules.stop,
        };
        let mut gone = None;
        // Where it fails, some of them may have been consumed
        (self.pending, self.fed) = (None, true);
        interrupt::pressed();
        let summary = generate(model, &self.session, &ids, &options, &mut |_, token| {
            gone = into.write_all(token.text.as_bytes()).and_then(|()| into.flush()).err();
            Ok(gone.is_none() && !interrupt::pressed())
        })?;
        self.pending = summary.pending;
        gone.map_or(Ok(()), Err)?;
        Ok(writeln!(into)?)
    }

    fn command(&mut self, model: &mut Model, line: &str, into: &mut dyn Write) -> std::result::Result<(), Fault> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "help" => into.write_all(HELP.as_bytes())?,
            "states" => into.write_all(self.names()?.as_bytes())?,
            _ => {
                self.change(model, name, rest)?;
                writeln!(into, "ok")?;
            }
        }
        Ok(())
    }

    fn change(&mut self, model: &mut Model, name: &str, rest: &str) -> Result<()> {
        match name {
            "reset" => {
                self.session.reset(model)?;
                self.session.set_sampler(model, &self.rules.sampler)?;
                self.session.seed(model, self.seed.into())?;
                (self.pending, self.fed) = (None, false);
                Ok(())
            }
            "seed" => {
                self.seed = number(rest, u32::MAX)?;
                self.session.seed(model, self.seed.into())
            }
            "tokens" => {
                self.tokens = number(rest, MOST_TOKENS)?;
                Ok(())
            }
            // The conversation here is the fork: what is written is what it was
            "save" | "fork" => {
                let path = self.place(rest)?;
                let states = &self.rules.states;
                fs::create_dir_all(states).map_err(|error| Error::io(states, &error))?;
                self.session.saved(model, self.pending)?.write(&path)
            }
            "load" => {
                let path = self.place(rest)?;
                let saved = Saved::read(&path)?;
                self.pending = self.session.restore(model, &saved).map_err(|error| error.file(&path))?;
                self.fed = true;
                Ok(())
            }
            _ => Err(usage(format!("no command /{}: /help", shown(name, MOST_SHOWN)))),
        }
    }

    /// A name is no path: states stay in their folder.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > MOST_NAME_BYTES || name.starts_with('.') || !name.chars().all(plain) {
            let error = usage("not a name").expected("letters, digits, - _ . and no . in front");
            return Err(error.found(shown(name, MOST_SHOWN)));
        }
        Ok(self.rules.states.join(format!("{name}.state")))
    }

    fn names(&self) -> Result<String> {
        let folder = &self.rules.states;
        let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, &error))?;
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                Path::new(&name).to_str()?.strip_suffix(".state").map(str::to_string)
            })
            .collect();
        names.sort();
        Ok(names.iter().map(|name| format!("{name}\n")).collect())
    }
}

fn number(text: &str, most: u32) -> Result<u32> {
    let found = text.parse().ok().filter(|number| *number <= most);
    found.ok_or_else(|| {
        usage("not a number")
            .expected(format!("0 to {most}"))
            .found(shown(text, MOST_SHOWN))
    })
}
