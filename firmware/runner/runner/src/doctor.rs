//! `lightmamba doctor`: what this machine has, and what is wrong with it. Looks only; `selftest` tries.
use crate::{
    choose::{Wish, choose},
    cli::DoctorArgs,
    error::{Error, Exit, Result},
    load::open_checked,
    model::compiled_path,
    output::Output,
    runtime::check_compiled,
    setup::{Setup, TOKENIZER, WEIGHTS},
};
use serde_json::json;
use std::{fs, path::Path};

/// Room that saved states need.
const LEAST_FREE_BYTES: u64 = 1 << 20;

pub fn run(args: &DoctorArgs, output: Output) -> Result<()> {
    let places = &args.model.places;
    let mut failed = false;
    let mut tell = |name: &str, found: Result<String>| {
        failed |= found.is_err();
        let (state, text) = match &found {
            Ok(text) => ("ok", text.clone()),
            Err(error) => ("fail", error.to_string()),
        };
        if output.json {
            return output.record(&json!({ "name": name, "ok": found.is_ok(), "text": text }));
        }
        output.line(&format!("{state:<5} {name}: {text}"))
    };
    tell(
        "program",
        Ok(format!(
            "{} with wasmtime {}",
            env!("CARGO_PKG_VERSION"),
            cwasm::WASMTIME
        )),
    )?;
    let model = places.model();
    let setup = model.as_ref().map_err(Error::same).and_then(|dir| Setup::read(dir));
    tell("model", setup.as_ref().map(describe).map_err(Error::same))?;
    if let (Ok(model), Ok(setup)) = (&model, &setup) {
        for name in [WEIGHTS, TOKENIZER] {
            tell(name, open_checked(model, setup, name).map(|_| "whole".into()))?;
        }
        let path = compiled_path(&places.data.runtime(), setup);
        tell(
            "runtime",
            check_compiled(&path, &setup.runtime).map(|()| path.display().to_string()),
        )?;
    }
    tell(
        "device",
        choose(Wish::Auto, None, false, None).map(|(_, why)| why.unwrap_or_default()),
    )?;
    tell("memory", memory())?;
    tell("room for states", places.room().and_then(room))?;
    if failed {
        return Err(Error::new(Exit::Prerequisite, "something is missing: see above"));
    }
    Ok(())
}

fn describe(setup: &Setup) -> String {
    let model = &setup.model;
    let mb = model.weight_bytes_per_token as f64 / 1e6;
    format!(
        "{} layers of {}, {mb:.1} MB a token, for {}, by {}",
        model.layers, model.d_model, setup.device.board, setup.generator
    )
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
