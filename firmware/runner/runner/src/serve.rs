//! `lightmamba serve`: a conversation over the serial console, or over a socket when asked. A line is a prompt; a line with / is a command.
use crate::{
    cli::ServeArgs,
    error::{Error, Exit, Result, bad_input, usage},
    generate::{Options, generate},
    model::Model,
    output::Output,
    session::Session,
    setup::Sampler,
    state::Saved,
};
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

const MOST_LINE_BYTES: u64 = 65536;
const MOST_NAME_BYTES: usize = 64;
const UNIX: &str = "unix:";
const HELP: &str = "a line       text to continue; an empty one goes on
/reset       forget the conversation; the seed begins anew
/seed N      of what is drawn from here on
/tokens N    how many at most for each line
/save NAME   write the conversation to the states folder
/load NAME   go on from there
/fork NAME   save, and go on with what was here
/states      those that are saved
/help
/quit
";

pub fn run(args: &ServeArgs, output: Output) -> Result<()> {
    let chosen = args.model.choose(output)?;
    let mut model = Model::load(&args.model.parts(), &chosen)?;
    let states = args
        .states
        .clone()
        .unwrap_or_else(|| args.model.model.join("../states"));
    let mut server = Server::new(&mut model, args, states)?;
    match &args.listen {
        None => server.converse(&mut model, io::stdin().lock(), io::stdout().lock(), "> "),
        Some(place) => server.listen(&mut model, place, output),
    }
}

struct Server {
    session: Session,
    rules: Sampler,
    /// The last that was given: /reset begins with it anew.
    seed: u32,
    tokens: u32,
    stop: Vec<String>,
    states: PathBuf,
    /// Drawn last, and not fed.
    pending: Option<u32>,
    fed: bool,
}

impl Server {
    fn new(model: &mut Model, args: &ServeArgs, states: PathBuf) -> Result<Self> {
        let rules = args.text.sampler(&model.setup.sampler);
        let seed = args.text.seed.unwrap_or(0);
        let session = Session::new(model, &rules)?;
        session.seed(model, seed.into())?;
        Ok(Self {
            session,
            rules,
            seed,
            tokens: args.text.tokens,
            stop: args.text.stop.clone(),
            states,
            pending: None,
            fed: false,
        })
    }

    /// One connection at a time, and the conversation goes on with the next one.
    fn listen(&mut self, model: &mut Model, place: &str, output: Output) -> Result<()> {
        let failed = |error: io::Error| usage(format!("{place}: {error}")).field("--listen");
        if let Some(path) = place.strip_prefix(UNIX) {
            let listener = UnixListener::bind(path).map_err(failed)?;
            output.note(&format!("listening on {place}"));
            for stream in listener.incoming() {
                let stream = stream.map_err(failed)?;
                self.connection(model, &stream, &stream, output);
            }
            return Ok(());
        }
        let listener = TcpListener::bind(place).map_err(failed)?;
        output.note(&format!("listening on {}", listener.local_addr().map_err(failed)?));
        for stream in listener.incoming() {
            let stream = stream.map_err(failed)?;
            self.connection(model, &stream, &stream, output);
        }
        Ok(())
    }

    /// Whoever hangs up ends a connection and nothing else.
    fn connection(&mut self, model: &mut Model, input: impl Read, into: impl Write, output: Output) {
        if let Err(error) = self.converse(model, BufReader::new(input), into, "") {
            output.note(&format!("connection: {error}"));
        }
    }

    /// Until the input ends, or /quit. Errors of a line are told, and the next one is read.
    fn converse(&mut self, model: &mut Model, mut input: impl BufRead, mut into: impl Write, sign: &str) -> Result<()> {
        let written =
            |result: io::Result<()>| result.map_err(|error| Error::new(Exit::Prerequisite, error.to_string()));
        loop {
            written(into.write_all(sign.as_bytes()).and_then(|()| into.flush()))?;
            let line = match read_line(&mut input) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(error) => {
                    written(writeln!(into, "error: {error}"))?;
                    continue;
                }
            };
            if line == "/quit" {
                return Ok(());
            }
            let result = match line.strip_prefix('/') {
                Some(command) => self.command(model, command, &mut into),
                None => self.text(model, &line, &mut into),
            };
            if let Err(error) = result {
                written(writeln!(into, "error: {error}"))?;
            }
        }
    }

    fn text(&mut self, model: &mut Model, line: &str, into: &mut impl Write) -> Result<()> {
        let ids = match (self.pending, self.fed) {
            (None, false) => model.prompt_ids(line)?,
            (pending, _) => pending.into_iter().chain(model.text.encode(line)?).collect(),
        };
        if ids.is_empty() {
            return Err(bad_input("nothing to go on from: a line of text"));
        }
        let options = Options {
            tokens: self.tokens,
            stop: &self.stop,
        };
        let mut gone = None;
        let summary = generate(model, &self.session, &ids, &options, &mut |_, token| {
            gone = into.write_all(token.text.as_bytes()).and_then(|()| into.flush()).err();
            Ok(gone.is_none())
        })?;
        self.pending = summary.pending;
        self.fed = true;
        match gone {
            Some(error) => Err(Error::new(Exit::Prerequisite, error.to_string())),
            None => say(into, "\n"),
        }
    }

    fn command(&mut self, model: &mut Model, command: &str, into: &mut impl Write) -> Result<()> {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        match name {
            "help" => say(into, HELP),
            "reset" => {
                self.session.reset(model)?;
                self.session.set_sampler(model, &self.rules)?;
                self.session.seed(model, self.seed.into())?;
                (self.pending, self.fed) = (None, false);
                say(into, "ok\n")
            }
            "seed" => {
                self.seed = number(rest)?;
                self.session.seed(model, self.seed.into())?;
                say(into, "ok\n")
            }
            "tokens" => {
                self.tokens = number(rest)?;
                say(into, "ok\n")
            }
            // The conversation here is the fork: what is written is what it was
            "save" | "fork" => {
                let path = self.place(rest)?;
                fs::create_dir_all(&self.states).map_err(|error| Error::io(&self.states, &error))?;
                self.session.saved(model, self.pending)?.write(&path)?;
                say(into, "ok\n")
            }
            "load" => {
                let path = self.place(rest)?;
                let saved = Saved::read(&path)?;
                self.pending = self.session.restore(model, &saved).map_err(|error| error.file(&path))?;
                self.fed = true;
                say(into, "ok\n")
            }
            "states" => say(into, &self.names()?),
            _ => Err(usage(format!("no command /{name}: /help"))),
        }
    }

    /// A name is no path: states stay in their folder.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > MOST_NAME_BYTES || name.starts_with('.') || !name.chars().all(plain) {
            let error = usage("not a name").expected("letters, digits, - _ . and no . in front");
            return Err(error.found(name.chars().take(MOST_NAME_BYTES).collect::<String>()));
        }
        Ok(self.states.join(format!("{name}.state")))
    }

    fn names(&self) -> Result<String> {
        let entries = fs::read_dir(&self.states).map_err(|error| Error::io(&self.states, &error))?;
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                Path::new(&entry.file_name())
                    .to_str()?
                    .strip_suffix(".state")
                    .map(str::to_string)
            })
            .collect();
        names.sort();
        Ok(names.iter().map(|name| format!("{name}\n")).collect())
    }
}

fn say(into: &mut impl Write, text: &str) -> Result<()> {
    let written = into.write_all(text.as_bytes()).and_then(|()| into.flush());
    written.map_err(|error| Error::new(Exit::Prerequisite, error.to_string()))
}

fn number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| {
        usage("not a number")
            .expected("0 to 4294967295")
            .found(text.chars().take(20).collect::<String>())
    })
}

/// Without its end; None at the end of the input. A line that is too long, or no text, is read to its end and refused.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>> {
    let failed = |error: io::Error| Error::new(Exit::Prerequisite, error.to_string());
    let mut bytes = Vec::new();
    if input
        .take(MOST_LINE_BYTES)
        .read_until(b'\n', &mut bytes)
        .map_err(failed)?
        == 0
    {
        return Ok(None);
    }
    if bytes.len() as u64 == MOST_LINE_BYTES && bytes.last() != Some(&b'\n') {
        skip_line(input).map_err(failed)?;
        return Err(bad_input("the line is too long").expected(format!("less than {MOST_LINE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad_input("the line is not UTF-8"))?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_string()))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<std::result::Result<String, String>> {
        let mut input = BufReader::with_capacity(7, bytes);
        std::iter::from_fn(|| read_line(&mut input).map_err(|error| error.to_string()).transpose()).collect()
    }

    #[test]
    fn lines_are_read_and_bad_ones_passed_by() {
        assert_eq!(lines(b"a\r\n\nb"), [Ok("a".into()), Ok("".into()), Ok("b".into())]);
        assert_eq!(
            lines(b"\xff\nb\n"),
            [Err("the line is not UTF-8".into()), Ok("b".into())]
        );
        let long = [&vec![b'x'; 3 * MOST_LINE_BYTES as usize][..], b"\nb"].concat();
        let found = lines(&long);
        assert!(found[0].as_ref().unwrap_err().starts_with("the line is too long"));
        assert_eq!(found[1..], [Ok("b".into())]);
    }
}
