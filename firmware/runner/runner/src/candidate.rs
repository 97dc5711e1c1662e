//! A model that was installed and not tested yet: it takes the place of the old one once its self-test has passed here, and goes if it has not.
use crate::{
    board::Board,
    crashes::reason,
    error::{Error, Exit, Result},
    heartbeat::{self, LONGEST_SILENCE},
    output::Output,
    watch::{Ended, Watched},
};
use std::{
    env,
    io::{BufRead, BufReader},
    process::{ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
};

/// What became of it.
pub enum Outcome {
    /// There was none.
    Nothing,
    Accepted(String),
}

/// Before a program takes the model that it is given by default. What goes wrong is told: the old model is there.
pub fn settle_at_start(board: &Board, output: Output) {
    let untested = board.store.untested();
    let settled = untested.and_then(|untested| match untested {
        true => settle(board, &mut |text| output.note(text)).map(|_| ()),
        false => Ok(()),
    });
    if let Err(error) = settled {
        output.note(&error.to_string());
    }
}

/// Nobody else may be at the device. The store is left with no candidate, whatever happens, unless the machine stops.
pub fn settle(board: &Board, note: &mut dyn FnMut(&str)) -> Result<Outcome> {
    let store = &board.store;
    let _lock = store.lock()?;
    let interrupted = store.interrupted()?;
    if interrupted.is_some() {
        store.reject()?;
    }
    let next = store.candidate(&store.runtime)?;
    let result = match &next {
        Some(id) => try_candidate(board, id, note),
        None => Ok(()),
    };
    store.clean()?;
    match (result, next, interrupted) {
        (Err(error), ..) => Err(error),
        (Ok(()), Some(id), _) => Ok(Outcome::Accepted(id)),
        (Ok(()), None, Some(id)) => {
            let error = Error::new(
                Exit::Verification,
                "the machine stopped while this model was tested: the old one stays",
            );
            Err(error.file(&store.model(&id)))
        }
        (Ok(()), None, None) => Ok(Outcome::Nothing),
    }
}

fn try_candidate(board: &Board, id: &str, note: &mut dyn FnMut(&str)) -> Result<()> {
    let store = &board.store;
    note(&format!("testing model {id}"));
    store.begin_test()?;
    match selftest(board, id, note) {
        Ok(()) => store.accept(),
        Err(error) => {
            store.reject()?;
            Err(error)
        }
    }
}

/// In a process of its own: one that crashes, or takes all memory, is a failed test.
fn selftest(board: &Board, id: &str, note: &mut dyn FnMut(&str)) -> Result<()> {
    let model = board.store.model(id);
    let failed = |what: String| {
        let error = Error::new(Exit::Verification, what).file(&model);
        error.hint("the model that was here before is used")
    };
    let program = env::current_exe().map_err(|error| failed(format!("no program to test it with: {error}")))?;
    let mut command = Command::new(program);
    command
        .arg("selftest")
        .arg("--model")
        .arg(&model)
        .args(&board.test_words);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child =
        Watched::spawn(command).map_err(|error| failed(format!("its self-test cannot be started: {error}")))?;
    let said = lines_of(child.stdout());
    let ended = child.wait(LONGEST_SILENCE, &mut || {
        heartbeat::step();
        said.try_iter().for_each(|line| note(&line));
        true
    });
    said.iter().for_each(|line| note(&line));
    match ended.map_err(|error| failed(format!("its self-test: {error}")))? {
        Ended::Exit(0) => Ok(()),
        ended => Err(failed(format!("its self-test failed: {}", reason(ended)))),
    }
}

/// As they come, until its end.
fn lines_of(stdout: Option<ChildStdout>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = stdout.into_iter().flat_map(|pipe| BufReader::new(pipe).lines());
        lines.map_while(|line| line.ok()).try_for_each(|line| sender.send(line))
    });
    receiver
}
