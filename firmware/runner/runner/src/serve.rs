//! `lightmamba serve`: conversations over the console, or over a socket when asked.
use crate::{
    board::Board,
    candidate::settle_at_start,
    cli::ServeArgs,
    conversation::{Conversation, Next, Rules},
    error::{Error, Exit, Result, usage},
    heartbeat::{self, Patient},
    install::Done,
    interrupt,
    lines::{Line, Lines},
    model::Model,
    output::Output,
    raw::Raw,
    receive::{UPDATE, receive},
};
use std::{
    env,
    fs::{self, Permissions},
    io::{self, IsTerminal, Read, Write},
    net::{TcpListener, TcpStream},
    ops::{Deref, DerefMut},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::Path,
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const UNIX: &str = "unix:";
const ANEW: &str = "serve begins anew when nobody talks to it, and tests the model";
const NOT_ITS: &str =
    "serve has another model, by --model: this one is tested by `lightmamba update finish`, or at the next start";
const MOST_USERS: usize = 8;
/// A user who says nothing for so long, or does not read, makes room for another.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);
const LONGEST_WRITE: Duration = Duration::from_secs(10);

pub fn run(args: &ServeArgs, output: Output) -> Result<()> {
    let (places, compute) = (&args.model.places, &args.model.compute);
    let board = Board::open(&places.data, compute, &args.system);
    let follows = places.model.is_none();
    if let (Ok(board), true) = (&board, follows) {
        settle_at_start(board, output);
    }
    let chosen = compute.choose(output)?;
    let model = Model::load(&args.model.parts()?, &chosen)?;
    let states = || places.states();
    let rules = Rules {
        sampler: args.text.sampler(&model.setup.sampler),
        seed: args.text.seed.unwrap_or(0),
        tokens: args.text.tokens,
        stop: args.text.stop.clone(),
        states: args.states.clone().unwrap_or_else(states),
    };
    let server = Server {
        rules,
        model: Mutex::new(model),
        users: AtomicUsize::new(0),
        board,
        follows,
        installed: AtomicBool::new(false),
    };
    // Who has the model works, everybody else waits for somebody
    heartbeat::pause(|| match &args.listen {
        None => server.console(),
        Some(place) => match place.strip_prefix(UNIX) {
            Some(path) => server.unix(Path::new(path), output),
            None => server.tcp(place, output),
        },
    })
}

struct Server {
    rules: Rules,
    model: Mutex<Model>,
    users: AtomicUsize,
    board: Result<Board>,
    /// Takes the card's model, whichever that is.
    follows: bool,
    /// Such a model has come meanwhile.
    installed: AtomicBool,
}

/// The model, which answers nobody else meanwhile.
struct Busy<'a> {
    model: MutexGuard<'a, Model>,
    _work: heartbeat::Work,
}

impl Deref for Busy<'_> {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.model
    }
}

impl DerefMut for Busy<'_> {
    fn deref_mut(&mut self) -> &mut Model {
        &mut self.model
    }
}

/// How a conversation ended.
#[derive(PartialEq)]
enum Over {
    Quit,
    /// After an update: there is a model to begin anew with.
    Updated,
}

/// What both kinds of sockets can.
trait User: Read + Write + Send + Sized {
    fn prepared(self) -> io::Result<(Self, Self)>;
}

impl User for UnixStream {
    fn prepared(self) -> io::Result<(Self, Self)> {
        self.set_read_timeout(Some(LONGEST_SILENCE))?;
        self.set_write_timeout(Some(LONGEST_WRITE))?;
        Ok((self.try_clone()?, self))
    }
}

impl User for TcpStream {
    fn prepared(self) -> io::Result<(Self, Self)> {
        self.set_read_timeout(Some(LONGEST_SILENCE))?;
        self.set_write_timeout(Some(LONGEST_WRITE))?;
        self.set_nodelay(true)?;
        Ok((self.try_clone()?, self))
    }
}

impl Server {
    /// Ctrl-C ends an answer here, Ctrl-D the conversation.
    fn console(&self) -> Result<()> {
        interrupt::listen();
        let ended = self.converse(io::stdin().lock(), &mut io::stdout().lock(), true);
        match ended.map_err(|error| Error::new(Exit::Prerequisite, format!("the console: {error}")))? {
            Over::Quit => Ok(()),
            Over::Updated => Err(begin_anew()),
        }
    }

    /// For whoever runs this program, and for root.
    fn unix(&self, path: &Path, output: Output) -> Result<()> {
        let failed = |error: io::Error| usage(format!("{UNIX}{}: {error}", path.display())).field("--listen");
        // What a server left that was killed, or that lost its power
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && UnixStream::connect(path).is_err()
        {
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        output.note(&format!("listening on {UNIX}{}", path.display()));
        self.listen(listener.incoming(), output);
        Ok(())
    }

    fn tcp(&self, place: &str, output: Output) -> Result<()> {
        let failed = |error: io::Error| usage(format!("{place}: {error}")).field("--listen");
        let listener = TcpListener::bind(place).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        output.note(&format!(
            "listening on {address}; nobody who comes there is asked who he is"
        ));
        self.listen(listener.incoming(), output);
        Ok(())
    }

    /// Everybody has a conversation; the model answers one line at a time. Whoever hangs up ends nothing but his own.
    fn listen<S: User>(&self, users: impl Iterator<Item = io::Result<S>>, output: Output) {
        thread::scope(|scope| {
            for user in users {
                let (input, mut into) = match user.and_then(User::prepared) {
                    Ok(both) => both,
                    Err(_) => {
                        // A user who is gone again; or no room for more files, until others go
                        thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                };
                if self.users.fetch_add(1, Ordering::AcqRel) >= MOST_USERS {
                    let _ = writeln!(into, "error: too many users (expected at most {MOST_USERS})");
                    self.users.fetch_sub(1, Ordering::AcqRel);
                    continue;
                }
                scope.spawn(move || {
                    let _ = self.converse(input, &mut into, false);
                    let last = self.users.fetch_sub(1, Ordering::AcqRel) == 1;
                    if last && self.installed.swap(false, Ordering::AcqRel) {
                        output.error(&begin_anew());
                    }
                });
            }
        });
    }

    fn model(&self) -> Busy<'_> {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        Busy {
            model,
            _work: heartbeat::work(),
        }
    }

    /// Until the input ends, or /quit.
    fn converse(&self, input: impl Read, into: &mut dyn Write, console: bool) -> io::Result<Over> {
        let mut talk = match Conversation::new(&mut self.model(), &self.rules) {
            Ok(talk) => talk,
            Err(error) => return writeln!(into, "error: {error}").map(|()| Over::Quit),
        };
        let result = self.read_lines(&mut talk, input, into, console);
        talk.close(&mut self.model());
        result
    }

    fn read_lines(
        &self,
        talk: &mut Conversation,
        input: impl Read,
        into: &mut dyn Write,
        console: bool,
    ) -> io::Result<Over> {
        let mut lines = Lines::new(input);
        let sign = if console && io::stdin().is_terminal() { "> " } else { "" };
        loop {
            into.write_all(sign.as_bytes())?;
            into.flush()?;
            match lines.next()? {
                None => return Ok(Over::Quit),
                Some(Line::Bad(what)) => writeln!(into, "error: {what}")?,
                Some(Line::Text(line)) if line == UPDATE => {
                    if self.update(&mut lines, into, console)? && console {
                        return Ok(Over::Updated);
                    }
                }
                Some(Line::Text(line)) => {
                    if talk.line(&mut self.model(), &line, &mut Patient(into))? == Next::Quit {
                        return Ok(Over::Quit);
                    }
                }
            }
        }
    }

    /// The model goes on answering others. Whether to begin anew.
    fn update(&self, lines: &mut Lines<impl Read>, into: &mut dyn Write, console: bool) -> io::Result<bool> {
        let board = match &self.board {
            Ok(board) => board,
            Err(error) => return writeln!(into, "error {error}").map(|()| false),
        };
        let _raw = console.then(Raw::enter);
        let mut model = false;
        // An error has been told, and has changed nothing
        let _ = receive(board, lines, into, &mut |done, note| {
            model |= matches!(done, Done::Model { .. });
            if model {
                note(if self.follows { ANEW } else { NOT_ITS });
            }
            Ok(())
        })?;
        model &= self.follows;
        self.installed.fetch_or(model, Ordering::AcqRel);
        Ok(model)
    }
}

/// This program from its start, with the same arguments: it tests the model that has come. Returns only where that fails.
fn begin_anew() -> Error {
    let program = env::current_exe().unwrap_or_else(|_| "lightmamba".into());
    let error = Command::new(program).args(env::args_os().skip(1)).exec();
    Error::new(Exit::Prerequisite, format!("cannot begin anew: {error}"))
}
