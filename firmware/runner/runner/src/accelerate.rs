//! Brings a model onto a device: whether its build holds the model, where everything lies. host/runtime/accelerator.ts.
use crate::{
    device::{Build, Device, Place},
    error::{Error, Exit, Result},
    runtime::Runtime,
    setup::Setup,
};

/// fused: the device does everything from the embedding to the logits. split: matrices and SSM alone. The same bits.
#[derive(Clone, Copy, PartialEq, Debug, clap::ValueEnum)]
pub enum Partition {
    Fused,
    Split,
}

impl Partition {
    pub fn name(self) -> &'static str {
        if self == Partition::Fused { "fused" } else { "split" }
    }
}

/// A model's device.
#[derive(Clone, Copy)]
pub struct Accelerator {
    pub partition: Partition,
    pub ports: u32,
}

/// Of misfit: assembly/accel-build.ts.
const UNITS: u32 = 1;

pub fn bring(runtime: &mut Runtime, setup: &Setup, place: &Place, partition: Partition) -> Result<Accelerator> {
    let mut device = Device::open(place)?;
    let build = device.build();
    let (data, weights) = plan(runtime, setup, &build, partition)?;
    device.reserve_weights(weights[0])?;
    let layout = device.layout();
    check_room(0, data + weights[0], layout.data_bytes + weights[0])?;
    let mut places = vec![layout.weights];
    for (memory, bytes) in (1..).zip(&weights[1..]) {
        let (address, room) = device.memory(memory).unwrap_or_default();
        check_room(memory, *bytes, room)?;
        places.push(address);
    }
    device.place_ports(&setup.device.ports[build.ports as usize - 1].memories)?;
    runtime.link().device = Some(device);
    for (memory, address) in (0..).zip(places) {
        runtime.set_device_weights(memory, address)?;
    }
    runtime.open_device(layout.data)?;
    Ok(Accelerator {
        partition,
        ports: build.ports,
    })
}

fn check_room(memory: u32, need: u64, room: u64) -> Result<()> {
    if need <= room {
        return Ok(());
    }
    let error = Error::new(Exit::Device, "the device's memory is too small for the model");
    Err(error
        .field(format!("memory {memory}"))
        .expected(format!("{need} bytes"))
        .found(room))
}

/// Bytes that the model needs on a build: written by the device, and only read in each memory.
fn plan(runtime: &mut Runtime, setup: &Setup, b: &Build, partition: Partition) -> Result<(u64, Vec<u64>)> {
    let limits = [
        [b.ports, b.tokens, b.act_bits, b.max_inputs, b.max_rows],
        [b.max_heads, b.max_head_dim, b.max_state, b.max_groups, b.units],
        [b.max_words, b.max_taps, b.max_norm_group, b.max_order, b.max_log2],
    ];
    runtime.set_build(&[limits.as_flattened(), &[b.state_ports]].concat())?;
    let ports = setup
        .device
        .ports
        .get((b.ports as usize).wrapping_sub(1))
        .ok_or_else(|| {
            let error = Error::new(Exit::Unsupported, "the model was not prepared for so many ports").field("ports");
            error
                .expected(format!("1 to {}", setup.device.ports.len()))
                .found(b.ports)
        })?;
    let in_proj = place_pattern(runtime, &ports.in_proj)?;
    let others = place_pattern(runtime, &ports.others)?;
    let memories = place_bytes(runtime, &ports.memories)?;
    let split = u32::from(partition == Partition::Split);
    match runtime.plan_device(in_proj, others, memories, split, 0)? {
        0 => {
            let last = u32::from(ports.memories.iter().copied().max().unwrap_or_default());
            let weights = (0..=last)
                .map(|memory| runtime.device_weight_bytes(memory))
                .collect::<Result<_>>()?;
            Ok((runtime.device_data_bytes()?, weights))
        }
        misfit => Err(misfit_error(runtime, setup, b, misfit)?),
    }
}

/// A byte with its length, then the ports.
fn place_pattern(runtime: &mut Runtime, pattern: &[u8]) -> Result<u32> {
    place_bytes(runtime, &[&[pattern.len() as u8], pattern].concat())
}

fn place_bytes(runtime: &mut Runtime, bytes: &[u8]) -> Result<u32> {
    let at = runtime.reserve(bytes.len() as u32, "what ports have")?;
    runtime.write(at, bytes)?;
    Ok(at)
}

fn misfit_error(runtime: &mut Runtime, setup: &Setup, build: &Build, misfit: u32) -> Result<Error> {
    let unknown = || Error::new(Exit::Bug, format!("no text for misfit {misfit}"));
    let (field, what) = setup.device.limits.get(misfit as usize - 1).ok_or_else(unknown)?;
    let (found, limit) = (runtime.misfit_found()?, runtime.misfit_limit()?);
    let error = Error::new(Exit::Unsupported, what).field(field);
    if misfit == UNITS {
        let names = |bits: u32| unit_names(setup, bits);
        return Ok(error
            .expected(names(found as u32 | build.units))
            .found(names(build.units)));
    }
    let error = error.expected(format!("at most {limit}")).found(found);
    // The last one is about the transform.
    let transform = misfit as usize == setup.device.limits.len();
    Ok(if transform {
        error.hint("--partition split leaves the transform to WebAssembly")
    } else {
        error
    })
}

pub fn unit_names(setup: &Setup, bits: u32) -> String {
    let names = setup
        .device
        .units
        .iter()
        .enumerate()
        .filter(|(unit, _)| bits >> unit & 1 == 1);
    names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
}
