//! `lightmamba supervise`: a program that is started again when it crashes or is stuck, and counted. docs/runner.md.
use crate::{
    cli::SuperviseArgs,
    crashes::{Crashes, reason},
    error::{Error, Exit, Result, usage},
    interrupt,
    output::Output,
    watch::{Ended, Watched},
    watchdog::Watchdog,
};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::{
    collections::VecDeque,
    env, io, process,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// So many crashes within this time are not a matter of luck.
const MOST_CRASHES: usize = 5;
const WITHIN: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// As Rust ends a program that fails an assertion.
const PANIC: i32 = 101;

struct Supervisor<'a> {
    args: &'a SuperviseArgs,
    output: Output,
    crashes: Crashes,
    watchdog: Option<Watchdog>,
    recent: VecDeque<Instant>,
}

pub fn run(args: &SuperviseArgs, output: Output) -> Result<()> {
    if args.clear {
        Crashes::default().write(&args.data)?;
        return output.line("counters are 0");
    }
    if args.command.is_empty() {
        return Err(usage("nothing to supervise").hint("lightmamba supervise -- serve"));
    }
    let crashes = Crashes::read(&args.data).unwrap_or_else(|error| {
        output.note(&format!("{error}: counters begin anew"));
        Crashes::default()
    });
    let watchdog = Watchdog::open(&args.watchdog).unwrap_or_else(|error| {
        output.note(&format!(
            "{}: {error}: nobody restarts a board that is stuck",
            args.watchdog.display()
        ));
        None
    });
    let recent = VecDeque::new();
    let mut supervisor = Supervisor {
        args,
        output,
        crashes,
        watchdog,
        recent,
    };
    match supervisor.supervise()? {
        0 => Ok(()),
        // It has told why
        code => {
            drop(supervisor);
            process::exit(code)
        }
    }
}

impl Supervisor<'_> {
    /// Returns the exit code of a program that ended by its own decision.
    fn supervise(&mut self) -> Result<i32> {
        interrupt::listen();
        interrupt::listen_to_the_end();
        let terminal = tcgetattr(io::stdin()).ok();
        loop {
            self.crashes.starts += 1;
            self.write();
            let ended = self.run_once()?;
            if let Some(terminal) = terminal.as_ref().filter(|_| in_foreground()) {
                // As it was, whatever the program was about
                let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
            }
            match ended {
                Ended::Exit(code) if ![Exit::Bug as i32, PANIC].contains(&code) => return Ok(code),
                _ if interrupt::ended() => return Ok(Exit::Bug as i32),
                _ => self.crashed(ended)?,
            }
        }
    }

    fn run_once(&mut self) -> Result<Ended> {
        let fails = |error: io::Error| Error::new(Exit::Prerequisite, format!("cannot be started: {error}"));
        let mut command = Command::new(env::current_exe().map_err(fails)?);
        command.args(&self.args.command);
        let mut child = Watched::spawn(command).map_err(fails)?;
        let watchdog = &mut self.watchdog;
        let silence = Duration::from_secs(self.args.silence);
        let ended = child.wait(silence, &mut || {
            watchdog.iter_mut().for_each(Watchdog::pet);
            !interrupt::ended()
        });
        ended.map_err(|error| Error::new(Exit::Bug, format!("cannot be waited for: {error}")))
    }

    /// Counts it, and waits until it is time for the next start.
    fn crashed(&mut self, ended: Ended) -> Result<()> {
        self.crashes.add(ended);
        self.recent.push_back(Instant::now());
        self.recent.retain(|moment| moment.elapsed() < WITHIN);
        let what = match ended {
            Ended::Silent => format!("gave no sign of life for {} s, and was killed", self.args.silence),
            _ => format!("crashed ({})", reason(ended)),
        };
        let name = self.args.command[0].display();
        if self.recent.len() >= MOST_CRASHES {
            self.crashes.given_up += 1;
            self.write();
            let error = Error::new(
                Exit::Bug,
                format!(
                    "{name} {what}: {MOST_CRASHES} times within {} minutes, it is not started again",
                    WITHIN.as_secs() / 60
                ),
            );
            return Err(error.hint("lightmamba doctor shows the counters"));
        }
        self.write();
        let pause = FIRST_PAUSE * (1 << (self.recent.len() - 1));
        self.output
            .note(&format!("{name} {what}; it starts again in {} s", pause.as_secs()));
        let until = Instant::now() + pause;
        while Instant::now() < until && !interrupt::ended() {
            self.watchdog.iter_mut().for_each(Watchdog::pet);
            thread::sleep(FIRST_PAUSE.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// A card that cannot be written is no reason not to serve.
    fn write(&self) {
        if let Err(error) = self.crashes.write(&self.args.data) {
            self.output.note(&format!("counters: {error}"));
        }
    }
}

/// Who is not would be stopped for touching the terminal.
fn in_foreground() -> bool {
    // SAFETY: neither touches memory.
    unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() }
}
