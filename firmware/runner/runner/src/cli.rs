//! The command line. Options are named as the host's (docs/cli.md).
use crate::{
    accelerate::Partition,
    card::Slot,
    choose::{Chosen, Wish, choose},
    device::{Memory, Place},
    error::Result,
    model::Parts,
    output::Output,
    setup::Sampler,
};
use clap::{Args, Parser, Subcommand};
use std::{env, path::PathBuf};

/// Where the image has its model.
const MODEL: &str = "/data/model";

/// Generates text with a quantized model, on the processor or on the accelerator.
#[derive(Parser)]
#[command(name = "lightmamba", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Results as JSON on standard output, one object a line; errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// No remarks
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Generate text
    #[command(after_help = "Examples:
  lightmamba run \"Once upon a time\" --seed 3 -n 40
  lightmamba run \"It was\" --save-state story.state
  lightmamba run --load-state story.state -n 10
  lightmamba run \"Once\" -n 4 --device board --partition split")]
    Run(RunArgs),
    /// A conversation on the console, or on a socket
    #[command(after_help = "Examples:
  lightmamba serve
  lightmamba serve --listen unix:/run/lightmamba
  lightmamba serve --listen 127.0.0.1:4000")]
    Serve(ServeArgs),
    /// How fast this machine reads and generates
    Bench(BenchArgs),
    /// Check device, model and text, from small things to large ones
    Selftest(SelftestArgs),
    /// What this machine has, and what is wrong with it
    Doctor(DoctorArgs),
    /// Turn text into token ids, or ids into text
    #[command(after_help = "Examples:
  lightmamba tokenize \"Once upon a time\"
  lightmamba tokenize --decode 47,1307,586,259,567")]
    Tokenize(TokenizeArgs),
    /// Saved conversations
    #[command(subcommand)]
    State(StateCommand),
    /// The card's two systems: which runs, which boots next
    #[command(subcommand)]
    Slot(SlotCommand),
}

#[derive(Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
    /// Serve on a socket: unix:PATH or ADDRESS:PORT. Nobody is asked who he is
    #[arg(long, value_name = "PLACE")]
    pub listen: Option<String>,
    /// Folder of saved conversations [default: states, beside the model's]
    #[arg(long, value_name = "DIR")]
    pub states: Option<PathBuf>,
}

#[derive(Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tokens to generate
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub tokens: u32,
    /// Tokens of the prompt
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub prefill: u32,
}

#[derive(Args)]
pub struct SelftestArgs {
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Args)]
pub struct TokenizeArgs {
    /// Text; - reads standard input
    pub text: Option<String>,
    /// Directory that `lightmamba image build` prepared
    #[arg(short, long, value_name = "DIR", default_value = MODEL, env = "LIGHTMAMBA_MODEL")]
    pub model: PathBuf,
    /// Read the text from a file
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Turn ids into text
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with_all = ["text", "file"])]
    pub decode: Vec<u32>,
}

#[derive(Subcommand)]
pub enum StateCommand {
    /// Copy a saved conversation, once it is known to be whole
    Fork { from: PathBuf, to: PathBuf },
    /// Whether a file holds a whole conversation, and whose
    Show { file: PathBuf },
}

#[derive(Subcommand)]
pub enum SlotCommand {
    /// Both slots, in the order in which they boot
    Show(CardArgs),
    /// Userland is up: a slot that is not on trial is confirmed. Says whether the other one did not start
    Started(CardArgs),
    /// The slot that runs is good
    Confirm(CardArgs),
    /// The slot that runs is on trial, and not good: the other one boots next
    Fail(CardArgs),
    /// The slot to boot next: the other one on trial, or the running one to stay
    #[command(after_help = "Examples:
  lightmamba slot use B")]
    Use {
        #[arg(value_enum)]
        slot: Slot,
        #[command(flatten)]
        card: CardArgs,
    },
}

#[derive(Args)]
pub struct CardArgs {
    /// The card, or a file with what is on one [default: where the root is]
    #[arg(long, value_name = "FILE", env = "LIGHTMAMBA_DISK")]
    pub disk: Option<PathBuf>,
    /// The slot that runs, where --disk says another card
    #[arg(long, value_name = "SLOT", env = "LIGHTMAMBA_SLOT")]
    pub running: Option<Slot>,
}

#[derive(Args)]
pub struct RunArgs {
    /// Text to continue; - reads standard input
    pub prompt: Option<String>,
    /// Read the prompt from a file
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub prompt_file: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub text: TextArgs,
    /// Write the conversation after the last token
    #[arg(long, value_name = "FILE")]
    pub save_state: Option<PathBuf>,
    /// Go on from a saved conversation
    #[arg(long, value_name = "FILE")]
    pub load_state: Option<PathBuf>,
}

#[derive(Args)]
pub struct ModelArgs {
    /// Directory that `lightmamba image build` prepared
    #[arg(short, long, value_name = "DIR", default_value = MODEL, env = "LIGHTMAMBA_MODEL")]
    pub model: PathBuf,
    /// Folder of the compiled runtimes [default: ../lib/lightmamba beside this program's]
    #[arg(long, value_name = "DIR", env = "LIGHTMAMBA_RUNTIME")]
    pub runtime: Option<PathBuf>,
    /// Threads to compute with, without a device; the text is the same [default: all cores, 1 for a small model]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// Where to compute; auto takes the accelerator if this machine has one
    #[arg(long, value_name = "NAME", default_value = "auto")]
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
    pub fn parts(&self) -> Parts {
        let runtime = self.runtime.clone().unwrap_or_else(installed_runtime);
        Parts {
            model: self.model.clone(),
            runtime,
            threads: self.threads,
        }
    }

    /// Says what was chosen, where the user left it open.
    pub fn choose(&self, output: Output) -> Result<Chosen> {
        let place = self.uio.clone().map(|uio| Place {
            uio,
            memories: self.memory.clone(),
        });
        let (chosen, why) = choose(self.device, place, !self.memory.is_empty(), self.partition)?;
        if let Some(why) = why {
            output.note(&format!("device: {why}"));
        }
        Ok(chosen)
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

fn installed_runtime() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.parent().unwrap_or(&program).join("../lib/lightmamba")
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
