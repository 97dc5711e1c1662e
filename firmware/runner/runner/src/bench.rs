//! `lightmamba bench`: how fast this machine reads a prompt and generates, what share of the memory's bound that is, and what it draws.
use crate::{
    accelerate::Partition, cli::BenchArgs, error::Result, model::Model, output::Output, power::PowerMeter,
    power::PowerUse, run::BusyCycles, session::Session,
};
use serde_json::json;
use std::{path::Path, time::Instant};

struct Found {
    decode: f64,
    prefill: f64,
    cycles: Option<u64>,
    power: Option<PowerUse>,
}

pub fn run(args: &BenchArgs, output: Output) -> Result<()> {
    let chosen = args.model.compute.choose(output)?;
    let mut model = Model::load(&args.model.parts()?, &chosen)?;
    let found = measure(&mut model, args)?;
    let bytes_per_second = found.decode * model.setup.model.weight_bytes_per_token as f64;
    let bound = bound(&model);
    if output.json {
        return output.record(&json!({
            "decodeTokensPerSecond": found.decode,
            "prefillTokensPerSecond": found.prefill,
            "weightBytesPerSecond": bytes_per_second,
            "threads": model.runtime.threads,
            "cyclesPerToken": found.cycles,
            "boundTokensPerSecond": bound,
            "shareOfBound": bound.map(|bound| found.decode / bound),
            "hwmon": args.hwmon,
            "power": found.power,
        }));
    }
    output.line(&format!(
        "decode   {:.1} tok/s, {:.3} GB/s of weights",
        found.decode,
        bytes_per_second / 1e9
    ))?;
    if let Some(bound) = bound {
        let share = 100.0 * found.decode / bound;
        output.line(&format!(
            "bound    {share:.1} % of {bound:.1} tok/s, what the board's memories allow"
        ))?;
    }
    output.line(&format!("prefill  {:.1} tok/s, {} tokens", found.prefill, args.prefill))?;
    tell_device(&model, found.cycles, output)?;
    tell_power(found.power.as_ref(), &args.hwmon, output)
}

fn measure(model: &mut Model, args: &BenchArgs) -> Result<Found> {
    let rules = crate::setup::Sampler {
        temperature: 0.0,
        ..model.setup.sampler.clone()
    };
    let session = Session::new(model, &rules)?;
    let ids: Vec<u32> = (0..args.prefill)
        .map(|i| (i * 733 + 11) % model.setup.model.vocab_used)
        .collect();
    // The first pass finds nothing in the caches, and pages of weights that were not read yet
    session.prefill(model, &ids)?;
    let start = Instant::now();
    session.prefill(model, &ids)?;
    let prefill = f64::from(args.prefill) / start.elapsed().as_secs_f64();
    let mut busy = BusyCycles::default();
    busy.begin(model, &session)?;
    let meter = PowerMeter::open(&args.hwmon);
    let begin = meter.as_ref().map(PowerMeter::now);
    let start = Instant::now();
    for _ in 0..args.tokens {
        let id = session.sample(model)?;
        session.feed(model, id)?;
    }
    let decode = f64::from(args.tokens) / start.elapsed().as_secs_f64();
    let power = meter.zip(begin).map(|(meter, begin)| {
        let span = (begin, meter.now());
        meter.stop(span, args.tokens)
    });
    let cycles = busy.per_token(model, &session)?;
    Ok(Found {
        decode,
        prefill,
        cycles,
        power,
    })
}

/// Tokens a second that the board's memories and ports allow the device, as the host computed it; not where the processor has a part.
fn bound(model: &Model) -> Option<f64> {
    let accelerator = model.accelerator.filter(|one| one.partition == Partition::Fused)?;
    let ports = accelerator.ports as usize;
    let device = &model.setup.device;
    let cycles = device.ports.get(ports.checked_sub(1)?)?.bound_cycles;
    Some(device.clock_mhz * 1e6 / cycles as f64)
}

fn tell_device(model: &Model, cycles: Option<u64>, output: Output) -> Result<()> {
    let Some(cycles) = cycles else {
        return output.line(&format!("threads  {}", model.runtime.threads));
    };
    let clock = model.setup.device.clock_mhz;
    let rate = clock * 1e6 / cycles as f64;
    output.line(&format!(
        "device   {cycles} cycles a token: {rate:.1} tok/s at {clock} MHz"
    ))
}

fn tell_power(power: Option<&PowerUse>, hwmon: &Path, output: Output) -> Result<()> {
    let Some(power) = power else {
        return output.line(&format!("power    no power monitor in {}", hwmon.display()));
    };
    let rails: Vec<&str> = power
        .rails
        .iter()
        .filter(|rail| rail.joules.is_some())
        .map(|rail| rail.rail.as_str())
        .collect();
    match power.joules_per_token.zip(power.watts) {
        Some((joules, watts)) => output.line(&format!(
            "power    {} J/token, {watts:.2} W of {}",
            three_digits(joules),
            rails.join(", ")
        ))?,
        None => output.line("power    of no rail")?,
    }
    for note in &power.notes {
        output.note(&format!("remark: {note}"));
    }
    Ok(())
}

/// As the host shows it.
fn three_digits(value: f64) -> String {
    let digits = if value > 0.0 { 2.0 - value.log10().floor() } else { 2.0 };
    format!("{value:.*}", digits.max(0.0) as usize)
}
