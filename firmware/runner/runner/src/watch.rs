//! A child of this program that must give signs of life: heartbeat.rs.
use crate::heartbeat::VARIABLE;
use std::{
    io::{self, PipeReader, Read, pipe},
    os::{
        fd::AsRawFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, ChildStdout, Command, ExitStatus},
    time::{Duration, Instant},
};

/// How often somebody looks after it.
const EVERY_MS: libc::c_int = 1000;

pub struct Watched {
    child: Child,
    beats: PipeReader,
    heard: Instant,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
    /// Killed, since it was stuck.
    Silent,
}

impl Watched {
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let (beats, pipe) = pipe()?;
        let number = pipe.as_raw_fd();
        command.env(VARIABLE, number.to_string());
        // SAFETY: both calls are allowed between fork and exec. The pipe stays open there, and whoever is not looked after any more ends.
        unsafe {
            command.pre_exec(move || {
                if libc::fcntl(number, libc::F_SETFD, 0) != 0 || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
                {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        Ok(Self {
            child,
            beats,
            heard: Instant::now(),
        })
    }

    /// Of a command whose output is piped.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Calls `tick` every second, as long as the child is there; kills it where it is silent for longer than this, or `tick` says so.
    pub fn wait(&mut self, silence: Duration, tick: &mut dyn FnMut() -> bool) -> io::Result<Ended> {
        let mut silent = false;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(if silent { Ended::Silent } else { ended(status) });
            }
            if !tick() {
                self.child.kill()?;
            }
            self.listen()?;
            if !silent && self.heard.elapsed() > silence {
                silent = true;
                self.child.kill()?;
            }
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut wanted = libc::pollfd {
            fd: self.beats.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, which is there for the call.
        match unsafe { libc::poll(&mut wanted, 1, EVERY_MS) } {
            0 => return Ok(()),
            count if count > 0 => {}
            _ => {
                let error = io::Error::last_os_error();
                let interrupted = error.kind() == io::ErrorKind::Interrupted;
                return if interrupted { Ok(()) } else { Err(error) };
            }
        }
        // At the end of the pipe the child is about to end: not heard of, and no reason to hurry
        match self.beats.read(&mut [0; 64])? {
            0 => std::thread::sleep(Duration::from_millis(20)),
            _ => self.heard = Instant::now(),
        }
        Ok(())
    }
}

fn ended(status: ExitStatus) -> Ended {
    match status.code() {
        Some(code) => Ended::Exit(code),
        None => Ended::Signal(status.signal().unwrap_or_default()),
    }
}
