//! `lightmamba run`.
use crate::{
    cli::RunArgs,
    error::{Error, Result},
    generate::{Options, Summary, generate},
    input::text_input,
    model::Model,
    output::Output,
    session::Session,
    state::Saved,
};
use serde_json::{Value, json};
use std::{fs, io::Read, path::Path, time::Instant};

const DEFAULT_PROMPT: &str = "Once upon a time";

pub fn run(args: &RunArgs, output: Output, start: Instant) -> Result<()> {
    let text = text_input(args.prompt.as_deref(), args.prompt_file.as_deref())?;
    let chosen = args.model.compute.choose(output)?;
    let mut model = Model::load(&args.model.parts()?, &chosen)?;
    let rules = args.text.sampler(&model.setup.sampler);
    let session = Session::new(&mut model, &rules)?;
    let pending = args
        .load_state
        .as_deref()
        .map(|path| restore(&mut model, &session, path))
        .transpose()?;
    let seed = match (args.text.seed, &args.load_state) {
        (None, None) => Some(random_seed()?),
        // A restored conversation goes on with its own numbers.
        (given, _) => given,
    };
    if let Some(seed) = seed {
        session.seed(&mut model, seed.into())?;
    }
    let (ids, shown) = prompt(&model, text.as_deref(), pending)?;
    if !output.json && !shown.is_empty() {
        output.data(&shown)?;
    }
    let mut first = None;
    let mut busy = BusyCycles::default();
    let options = Options {
        tokens: args.text.tokens,
        stop: &args.text.stop,
    };
    let summary = generate(&mut model, &session, &ids, &options, &mut |model, token| {
        busy.begin(model, &session)?;
        first.get_or_insert_with(|| start.elapsed().as_secs_f64());
        if output.json {
            output.record(token)?
        } else {
            output.data(&token.text)?
        }
        Ok(true)
    })?;
    if !output.json {
        output.data("\n")?;
    }
    if let Some(path) = &args.save_state {
        session.saved(&mut model, summary.pending)?.write(path)?;
    }
    let first = first.unwrap_or_else(|| start.elapsed().as_secs_f64());
    let cycles = busy.per_token(&mut model, &session)?;
    tell(&model, &summary, first, cycles, seed, output)
}

fn restore(model: &mut Model, session: &Session, path: &Path) -> Result<Option<u32>> {
    let saved = Saved::read(path)?;
    session.restore(model, &saved).map_err(|error| error.file(path))
}

/// What to feed, and the text to show before the model's own.
fn prompt(model: &Model, text: Option<&str>, restored: Option<Option<u32>>) -> Result<(Vec<u32>, String)> {
    let Some(pending) = restored else {
        let text = text.unwrap_or(DEFAULT_PROMPT);
        return Ok((model.prompt_ids(text)?, text.into()));
    };
    let more = text.map_or(Ok(Vec::new()), |text| model.text.encode(text))?;
    Ok((
        pending.into_iter().chain(more).collect(),
        text.unwrap_or_default().into(),
    ))
}

fn random_seed() -> Result<u32> {
    let mut bytes = [0; 4];
    let path = Path::new("/dev/urandom");
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Error::io(path, &error).hint("give a --seed"))?;
    Ok(u32::from_le_bytes(bytes))
}

/// Cycles of a device for each token that follows the first.
#[derive(Default)]
pub struct BusyCycles {
    first: Option<(u64, u32)>,
}

impl BusyCycles {
    fn now(model: &mut Model, session: &Session) -> Result<Option<(u64, u32)>> {
        let tokens = session.tokens(model)?;
        Ok(model
            .runtime
            .link()
            .device
            .as_ref()
            .map(|device| (device.busy_cycles(), tokens)))
    }

    /// The first token is there, so the prompt has been read.
    pub fn begin(&mut self, model: &mut Model, session: &Session) -> Result<()> {
        if self.first.is_none() {
            self.first = Self::now(model, session)?;
        }
        Ok(())
    }

    pub fn per_token(&self, model: &mut Model, session: &Session) -> Result<Option<u64>> {
        let (Some((from, before)), Some((to, tokens))) = (self.first, Self::now(model, session)?) else {
            return Ok(None);
        };
        Ok((tokens > before).then(|| ((to - from) as f64 / f64::from(tokens - before)).round() as u64))
    }
}

/// How it went, in the words of the host's `run`.
fn tell(
    model: &Model,
    summary: &Summary,
    first: f64,
    cycles: Option<u64>,
    seed: Option<u32>,
    output: Output,
) -> Result<()> {
    let bytes = model.setup.model.weight_bytes_per_token;
    let threads = model.runtime.threads;
    if output.json {
        let mut all = serde_json::to_value(summary).expect("JSON");
        let more = json!({
            "timeToFirstToken": first,
            "seed": seed,
            "weightBytesPerToken": bytes,
            "stateBytes": model.setup.model.state_bytes,
            "variant": model.setup.runtime.variant.name(),
            "threads": threads,
        });
        for part in [more, device_summary(model, cycles)] {
            let Value::Object(part) = part else { continue };
            let known = part.into_iter().filter(|(_, value)| !value.is_null());
            all.as_object_mut().expect("an object").extend(known);
        }
        return output.record(&json!({ "summary": all }));
    }
    let digits = if model.accelerator.is_some() { 2 } else { 0 };
    let mut parts = vec![
        format!("{} tokens", summary.tokens),
        format!("{:.digits$} tok/s", summary.tokens_per_second),
        format!("first token after {first:.2} s"),
        format!("{:.2} MB of weights a token", bytes as f64 / 1e6),
    ];
    if threads > 1 {
        parts.push(format!("{threads} threads"));
    }
    parts.extend(seed.map(|seed| format!("seed {seed}")));
    if summary.finish != "length" {
        parts.push(format!("ended by {}", summary.finish));
    }
    output.note(&format!("[{}]", parts.join(", ")));
    if let (Some(accelerator), Some(cycles)) = (model.accelerator, cycles) {
        let ports = accelerator.ports;
        let plural = if ports == 1 { "port" } else { "ports" };
        output.note(&format!(
            "[board, {}, {ports} {plural}: {cycles} cycles a token]",
            accelerator.partition.name()
        ));
    }
    Ok(())
}

/// In the split partition these are the device's cycles alone.
fn device_summary(model: &Model, cycles: Option<u64>) -> Value {
    match model.accelerator {
        None => json!({ "device": "wasm" }),
        Some(accelerator) => json!({
            "device": "board",
            "partition": accelerator.partition.name(),
            "ports": accelerator.ports,
            "cyclesPerToken": cycles,
        }),
    }
}
