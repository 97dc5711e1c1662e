//! `lightmamba bench`: how fast this machine reads a prompt and generates.
use crate::{cli::BenchArgs, error::Result, model::Model, output::Output, run::BusyCycles, session::Session};
use serde_json::json;
use std::time::Instant;

pub fn run(args: &BenchArgs, output: Output) -> Result<()> {
    let chosen = args.model.compute.choose(output)?;
    let mut model = Model::load(&args.model.parts()?, &chosen)?;
    let rules = crate::setup::Sampler {
        temperature: 0.0,
        ..model.setup.sampler.clone()
    };
    let session = Session::new(&mut model, &rules)?;
    let ids: Vec<u32> = (0..args.prefill)
        .map(|i| (i * 733 + 11) % model.setup.model.vocab_used)
        .collect();
    // The first pass finds nothing in the caches, and pages of weights that were not read yet
    session.prefill(&mut model, &ids)?;
    let start = Instant::now();
    session.prefill(&mut model, &ids)?;
    let prefill = f64::from(args.prefill) / start.elapsed().as_secs_f64();
    let mut busy = BusyCycles::default();
    busy.begin(&mut model, &session)?;
    let start = Instant::now();
    for _ in 0..args.tokens {
        let id = session.sample(&mut model)?;
        session.feed(&mut model, id)?;
    }
    let decode = f64::from(args.tokens) / start.elapsed().as_secs_f64();
    let cycles = busy.per_token(&mut model, &session)?;
    let bytes_per_second = decode * model.setup.model.weight_bytes_per_token as f64;
    if output.json {
        return output.record(&json!({
            "decodeTokensPerSecond": decode,
            "prefillTokensPerSecond": prefill,
            "weightBytesPerSecond": bytes_per_second,
            "threads": model.runtime.threads,
            "cyclesPerToken": cycles,
        }));
    }
    output.line(&format!(
        "decode   {decode:.1} tok/s, {:.3} GB/s of weights",
        bytes_per_second / 1e9
    ))?;
    output.line(&format!("prefill  {prefill:.1} tok/s, {} tokens", args.prefill))?;
    match cycles {
        Some(cycles) => {
            let clock = model.setup.device.clock_mhz;
            let rate = clock * 1e6 / cycles as f64;
            output.line(&format!(
                "device   {cycles} cycles a token: {rate:.1} tok/s at {clock} MHz"
            ))
        }
        None => output.line(&format!("threads  {}", model.runtime.threads)),
    }
}
