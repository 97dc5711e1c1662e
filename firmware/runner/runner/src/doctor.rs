//! `lightmamba doctor`: what this machine has, and what is wrong with it. Looks only; `selftest` tries.
use crate::{
    board::Board,
    choose::Chosen,
    cli::DoctorArgs,
    crashes::Crashes,
    device::{Device, Place},
    error::{Error, Exit, Result},
    load::open_checked,
    output::Output,
    runtime::{check_compiled, compiled_path},
    setup::{Setup, TOKENIZER, WEIGHTS},
};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Room that saved states need.
const LEAST_FREE_BYTES: u64 = 1 << 20;

struct Report {
    output: Output,
    failed: bool,
}

pub fn run(args: &DoctorArgs, output: Output) -> Result<()> {
    let mut report = Report { output, failed: false };
    let version = env!("CARGO_PKG_VERSION");
    report.tell("program", Ok(format!("{version} with wasmtime {}", cwasm::WASMTIME)))?;
    tell_model(args, &mut report)?;
    report.tell("device", device(args))?;
    report.tell("memory", memory())?;
    report.tell("room for states", args.model.places.room().and_then(room))?;
    tell_card(args, &mut report)?;
    if report.failed {
        return Err(Error::new(Exit::Prerequisite, "something is missing: see above"));
    }
    Ok(())
}

impl Report {
    fn tell(&mut self, name: &str, found: Result<String>) -> Result<()> {
        self.tell_more(name, found, json!({}))
    }

    /// With what only JSON has.
    fn tell_more(&mut self, name: &str, found: Result<String>, mut more: Value) -> Result<()> {
        self.failed |= found.is_err();
        let (state, text) = match &found {
            Ok(text) => ("ok", text.clone()),
            Err(error) => ("fail", error.to_string()),
        };
        if !self.output.json {
            return self.output.line(&format!("{state:<5} {name}: {text}"));
        }
        more["name"] = name.into();
        more["ok"] = found.is_ok().into();
        more["text"] = text.into();
        self.output.record(&more)
    }
}

fn tell_model(args: &DoctorArgs, report: &mut Report) -> Result<()> {
    let places = &args.model.places;
    let model = places.model();
    let setup = model.as_ref().map_err(Error::clone).and_then(|dir| Setup::read(dir));
    report.tell("model", setup.as_ref().map(describe).map_err(Error::clone))?;
    let (Ok(model), Ok(setup)) = (&model, &setup) else {
        return Ok(());
    };
    for name in [WEIGHTS, TOKENIZER] {
        report.tell(name, open_checked(model, setup, name).map(|_| "whole".into()))?;
    }
    let path = compiled_path(&places.data.runtime(), setup.runtime.variant);
    let compiled = check_compiled(&path, &setup.runtime);
    report.tell("runtime", compiled.map(|()| path.display().to_string()))
}

/// What updates and crashes have left.
fn tell_card(args: &DoctorArgs, report: &mut Report) -> Result<()> {
    let places = &args.model.places;
    let board = Board::open(&places.data, &args.model.compute, &args.system);
    if let Ok(board) = &board {
        report.tell("updates", updates(board))?;
        report.tell("slots", slots(board))?;
    }
    let crashes = Crashes::read(&places.data.data);
    let counters = crashes.as_ref().map_or(Value::Null, |crashes| json!(crashes));
    let text = crashes.as_ref().map(Crashes::summary).map_err(Error::clone);
    report.tell_more("crashes", text, json!({ "counters": counters }))
}

fn describe(setup: &Setup) -> String {
    let model = &setup.model;
    let mb = model.weight_bytes_per_token as f64 / 1e6;
    format!(
        "{} layers of {}, {mb:.1} MB a token, for {}, by {}",
        model.layers, model.d_model, setup.device.board, setup.generator
    )
}

fn device(args: &DoctorArgs) -> Result<String> {
    let (chosen, why) = args.model.compute.chosen()?;
    let why = why.unwrap_or_else(|| "as --device says".into());
    match chosen {
        Chosen::Wasm => Ok(why),
        Chosen::Board(place, _) => opened(&place).map(|found| format!("{why}: {found}")),
    }
}

/// Sets up its ring, and nothing else. Whoever uses it is not disturbed.
fn opened(place: &Place) -> Result<String> {
    let device = match Device::open(place) {
        Err(error) if error.to_string().contains("in use by process") => return Ok(error.to_string()),
        other => other?,
    };
    let ((major, minor), mb) = (device.version(), device.memory_bytes() / 1_000_000);
    Ok(format!(
        "version {major}.{minor}, {} ports, {mb} MB",
        device.build().ports
    ))
}

fn memory() -> Result<String> {
    let path = Path::new("/proc/meminfo");
    let text = fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    Ok(format!("{} available", line.unwrap_or("an unknown amount").trim()))
}

fn room(free: u64) -> Result<String> {
    if free >= LEAST_FREE_BYTES {
        return Ok(format!("{} MB", free / 1_000_000));
    }
    let error = Error::new(Exit::Prerequisite, "the partition is full");
    Err(error.expected(format!("{LEAST_FREE_BYTES} bytes")).found(free))
}

fn updates(board: &Board) -> Result<String> {
    let store = &board.store;
    let state = match (store.candidate(&store.runtime)?, store.interrupted()?) {
        (Some(id), _) => format!("model {id} is not tested yet: lightmamba update finish"),
        (None, Some(id)) => format!("model {id} is being tested, or the machine stopped in its test"),
        (None, None) => "none under way".into(),
    };
    match board.keys() {
        Ok(keys) => Ok(format!("{state}; keys: {}", keys.names().join(", "))),
        Err(error) if error.exit == Exit::Prerequisite => Ok(format!("{state}; without a key there are none")),
        Err(error) => Err(error),
    }
}

fn slots(board: &Board) -> Result<String> {
    match board.slots() {
        Err(error) if error.exit == Exit::Prerequisite => Ok("none: not one of our cards".into()),
        Err(error) => Err(error),
        Ok(slots) => {
            let (running, other) = (slots.running(), slots.running().other());
            let trial = match slots.trial() {
                Some(slot) if slot == running => ", on trial".into(),
                Some(slot) => format!("; {slot} is to be tried by a reboot"),
                None => String::new(),
            };
            let system = if slots.other_partition().has_system()? {
                "a system"
            } else {
                "no system"
            };
            Ok(format!("{running} runs{trial}; {other} holds {system}"))
        }
    }
}
