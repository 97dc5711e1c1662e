//! Options that several commands have: which model and device, how to write text. Named as the host's (docs/cli.md).
use crate::{
    accelerate::Partition,
    choose::{Chosen, Wish, choose},
    device::{Memory, Place},
    error::Result,
    model::Parts,
    output::Output,
    places::PlaceArgs,
    setup::Sampler,
};
use clap::Args;
use std::{ffi::OsString, path::PathBuf};

#[derive(Args)]
pub struct ModelArgs {
    #[command(flatten)]
    pub places: PlaceArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args)]
pub struct ComputeArgs {
    /// Threads to compute with, without a device; the text is the same [default: all cores, 1 for a small model]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// Where to compute; auto takes the accelerator if this machine has one
    #[arg(long, value_name = "NAME", default_value = "auto", env = "LIGHTMAMBA_DEVICE")]
    pub device: Wish,
    /// UIO node of the accelerator
    #[arg(long, value_name = "NODE")]
    pub uio: Option<PathBuf>,
    /// Memory of the accelerator, as file,address,bytes[,offset]; again for each further one [default: maps of the node]
    #[arg(long, value_name = "PLACE", value_parser = memory)]
    pub memory: Vec<Memory>,
    /// With a device: fused, all of a token on it, or split, its matrices and SSM alone [default: fused]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<Partition>,
}

#[derive(Args)]
pub struct TextArgs {
    /// How many tokens to generate at most
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 24))]
    pub tokens: u32,
    /// Seed of the sampler; the same seed gives the same text
    #[arg(long, value_name = "NUMBER", conflicts_with = "greedy")]
    pub seed: Option<u32>,
    /// 0 is greedy; higher is wilder [default: the model's, as of all of these]
    #[arg(long, value_name = "NUMBER", value_parser = between::<0, 100, true>, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Sample from the k likeliest tokens; 0 = all
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(0..=1 << 24))]
    pub top_k: Option<i32>,
    /// Sample from the likeliest tokens that make up p
    #[arg(long, value_name = "NUMBER", value_parser = between::<0, 1, false>, allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Drop tokens less likely than p times the likeliest
    #[arg(long, value_name = "NUMBER", value_parser = between::<0, 1, true>, allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Divide the logits of seen tokens; 1 = off
    #[arg(long, value_name = "NUMBER", value_parser = between::<0, 10, false>, allow_negative_numbers = true)]
    pub repetition_penalty: Option<f64>,
    /// Subtract from the logits of seen tokens; 0 = off
    #[arg(long, value_name = "NUMBER", value_parser = between::<{ -10 }, 10, true>, allow_negative_numbers = true)]
    pub presence_penalty: Option<f64>,
    /// The same for each time it was seen; 0 = off
    #[arg(long, value_name = "NUMBER", value_parser = between::<{ -10 }, 10, true>, allow_negative_numbers = true)]
    pub frequency_penalty: Option<f64>,
    /// Always take the likeliest token
    #[arg(long)]
    pub greedy: bool,
    /// End when the model has written this text; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,
}

impl ModelArgs {
    pub fn parts(&self) -> Result<Parts> {
        Ok(Parts {
            model: self.places.model()?,
            runtime: self.places.data.runtime(),
            threads: self.compute.threads,
        })
    }
}

impl ComputeArgs {
    /// Says what was chosen, where the user left it open.
    pub fn choose(&self, output: Output) -> Result<Chosen> {
        let (chosen, why) = self.chosen()?;
        if let Some(why) = why {
            output.note(&format!("device: {why}"));
        }
        Ok(chosen)
    }

    /// And why, where the user left it open.
    pub fn chosen(&self) -> Result<(Chosen, Option<String>)> {
        let place = self.uio.clone().map(|uio| Place {
            uio,
            memories: self.memory.clone(),
        });
        choose(self.device, place, !self.memory.is_empty(), self.partition)
    }

    /// The same options, for a child of this program.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--device".into(), self.device.name().into()];
        let mut add = |name: &str, value: Option<OsString>| {
            words.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        add("--threads", self.threads.map(|count| count.to_string().into()));
        add("--uio", self.uio.clone().map(OsString::from));
        add("--partition", self.partition.map(|partition| partition.name().into()));
        for memory in &self.memory {
            let numbers = format!(",{},{},{}", memory.address, memory.bytes, memory.offset);
            let mut place = memory.path.clone().into_os_string();
            place.push(numbers);
            add("--memory", Some(place));
        }
        words
    }
}

impl TextArgs {
    pub fn sampler(&self, defaults: &Sampler) -> Sampler {
        let temperature = if self.greedy { Some(0.0) } else { self.temperature };
        Sampler {
            temperature: temperature.unwrap_or(defaults.temperature),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
        }
    }
}

/// A number in a range; INCLUSIVE: its low end too.
fn between<const LOW: i32, const HIGH: i32, const INCLUSIVE: bool>(text: &str) -> std::result::Result<f64, String> {
    let (low, high) = (f64::from(LOW), f64::from(HIGH));
    let fits = |value: &f64| *value <= high && if INCLUSIVE { *value >= low } else { *value > low };
    let range = if INCLUSIVE {
        format!("{low} to {high}")
    } else {
        format!("above {low}, at most {high}")
    };
    text.parse()
        .ok()
        .filter(fits)
        .ok_or(format!("expected a number, {range}"))
}

/// file,address,bytes[,offset]; in /dev/mem offsets are addresses.
fn memory(text: &str) -> std::result::Result<Memory, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let place = || {
        let (path, numbers) = parts.split_first()?;
        let numbers: Option<Vec<u64>> = numbers.iter().map(|text| number(text)).collect();
        let (address, bytes, offset) = match numbers?[..] {
            [address, bytes] => (address, bytes, address),
            [address, bytes, offset] => (address, bytes, offset),
            _ => return None,
        };
        (!path.is_empty()).then(|| Memory {
            path: path.into(),
            address,
            bytes,
            offset,
        })
    };
    place().ok_or("expected file,address,bytes[,offset]".into())
}
