//! `lightmamba selftest`: from small things to text, so that the first step that fails says what is wrong.
use crate::{
    choose::Chosen,
    cli::SelftestArgs,
    device::{Device, Place},
    error::{Error, Exit, Result},
    model::Model,
    output::Output,
    session::Session,
};
use serde_json::json;

/// A beat, a page, and more than any buffer on the way.
const COPIES: [usize; 3] = [64, 4096, 65536];

pub fn run(args: &SelftestArgs, output: Output) -> Result<()> {
    let chosen = args.model.compute.choose(output)?;
    if let Chosen::Board(place, _) = &chosen {
        test_device(place, output)?;
    }
    let mut model = Model::load(&args.model.parts()?, &chosen)?;
    let files = model.setup.files.len();
    tell(
        output,
        "model",
        &format!("{files} files and the runtime are those of {}", model.setup.generator),
    )?;
    test_text(&mut model, output)
}

fn tell(output: Output, name: &str, text: &str) -> Result<()> {
    if output.json {
        return output.record(&json!({ "name": name, "text": text }));
    }
    output.line(&format!("ok    {name}: {text}"))
}

fn test_device(place: &Place, output: Output) -> Result<()> {
    let mut device = Device::open(place)?;
    let (major, minor) = device.version();
    let ports = device.build().ports;
    let waits = if device.has_interrupts() {
        "interrupts"
    } else {
        "no interrupts"
    };
    tell(
        output,
        "identity",
        &format!(
            "version {major}.{minor}, {ports} ports, {waits}, {} MB",
            device.memory_bytes() / 1_000_000
        ),
    )?;
    for bytes in COPIES {
        test_copy(&mut device, bytes)?;
    }
    let sizes = COPIES.map(|bytes| bytes.to_string()).join(", ");
    tell(output, "copy", &format!("{sizes} bytes there and back"))
}

fn test_copy(device: &mut Device, bytes: usize) -> Result<()> {
    let (from, to) = (device.layout().data, device.layout().data + bytes as u64);
    let sent: Vec<u8> = (0..bytes).map(|i| (i * 167 + i / 256 + bytes) as u8).collect();
    let mut found = vec![0; bytes];
    device.write(from, sent.as_ptr(), bytes)?;
    device.copy(from, to, bytes as u32)?;
    device.read(to, found.as_mut_ptr(), bytes)?;
    match sent.iter().zip(&found).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => Err(Error::new(Exit::Verification, "the accelerator copied something else")
            .field(format!("byte {at} of {bytes}"))
            .expected(sent[at])
            .found(found[at])),
    }
}

/// Greedy tokens, against those that the host computed.
fn test_text(model: &mut Model, output: Output) -> Result<()> {
    let rules = crate::setup::Sampler {
        temperature: 0.0,
        ..model.setup.sampler.clone()
    };
    let session = Session::new(model, &rules)?;
    let prompt = model.setup.selftest.prompt.clone();
    session.prefill(model, &prompt)?;
    let (mut ids, count) = (Vec::new(), model.setup.selftest.tokens);
    for _ in 0..count {
        let id = session.sample(model)?;
        ids.extend(id.to_le_bytes());
        session.feed(model, id)?;
    }
    session.close(model);
    let (expected, found) = (&model.setup.selftest.sha256, cwasm::sha256(&ids));
    if *expected != found {
        let error = Error::new(Exit::Verification, "other tokens than the host's").field("selftest");
        return Err(error.expected(format!("sha256 {expected}")).found(found));
    }
    let place = if model.accelerator.is_some() {
        "the accelerator"
    } else {
        "the processor"
    };
    tell(output, "text", &format!("{count} tokens on {place}: those of the host"))
}
