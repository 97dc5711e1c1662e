//! `lightmamba` on a board: the same tokens as the host's program, from a model that the host prepared. docs/runner.md.
mod accelerate;
mod args;
mod bench;
mod board;
mod bundle;
mod candidate;
mod card;
mod choose;
mod cli;
mod conversation;
mod crashes;
mod device;
mod doctor;
mod durable;
mod environment;
mod error;
mod generate;
mod heartbeat;
mod hwmon;
mod incoming;
mod input;
mod install;
mod interrupt;
mod keys;
mod lines;
mod link;
mod load;
mod model;
mod output;
mod places;
mod power;
mod raw;
mod receive;
mod run;
mod runtime;
mod selftest;
mod serve;
mod session;
mod setup;
mod slots;
mod state;
mod stop;
mod store;
mod supervise;
mod text;
mod tokenize;
mod update;
mod watch;
mod watchdog;

use clap::{Parser, error::ErrorKind};
use cli::{Cli, Command};
use error::{Error, Exit};
use output::Output;
use std::{env, process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let start = Instant::now();
    // Before the arguments are parsed, since a fault in them is reported in the form that they ask for.
    let flag = |names: &[&str]| {
        env::args()
            .take_while(|arg| arg != "--")
            .any(|arg| names.contains(&arg.as_str()))
    };
    let output = Output {
        json: flag(&["--json"]),
        quiet: flag(&["-q", "--quiet"]),
    };
    let result = match Cli::try_parse() {
        Ok(cli) => execute(&cli.command, output, start),
        Err(error) if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()) => {
            output.data(&error.to_string())
        }
        Err(error) => Err(usage_error(&error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit as u8)
        }
    }
}

fn execute(command: &Command, output: Output, start: Instant) -> error::Result<()> {
    heartbeat::start();
    let _work = heartbeat::work();
    match command {
        Command::Run(args) => run::run(args, output, start),
        Command::Serve(args) => serve::run(args, output),
        Command::Bench(args) => bench::run(args, output),
        Command::Selftest(args) => selftest::run(args, output),
        Command::Doctor(args) => doctor::run(args, output),
        Command::Tokenize(args) => tokenize::run(args, output),
        Command::State(args) => state::run(args, output),
        Command::Slot(command) => slots::run(command, output),
        Command::Update(args) => update::run(args, output),
        Command::Supervise(args) => supervise::run(args, output),
    }
}

/// clap's text is `error: what`, then more on lines of its own.
fn usage_error(error: &clap::Error) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    Error::new(Exit::Usage, first.trim_start_matches("error: ")).hint("add --help for help")
}
