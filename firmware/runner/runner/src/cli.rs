//! The command line. Options are named as the host's (docs/cli.md).
use crate::{
    args::{ModelArgs, TextArgs},
    board::{BoardArgs, SystemArgs},
    card::Slot,
    heartbeat::LONGEST_SILENCE,
    hwmon::HWMON,
    places::{DATA, PlaceArgs},
};
use clap::{Args, Parser, Subcommand};
use std::{ffi::OsString, path::PathBuf};

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
    /// How fast this machine reads and generates, and what it draws
    #[command(after_help = "Examples:
  lightmamba bench -n 256
  lightmamba bench --hwmon /mnt/monitors --json")]
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
    /// Install what a signed bundle brings, safe against a loss of power
    #[command(subcommand)]
    Update(UpdateCommand),
    /// Run a command of this program, and start it again when it crashes or is stuck
    #[command(after_help = "Examples:
  lightmamba supervise -- serve
  lightmamba supervise --silence 300 -- serve --listen 127.0.0.1:4000
  lightmamba supervise --clear")]
    Supervise(SuperviseArgs),
}

#[derive(Args)]
pub struct SuperviseArgs {
    /// Seconds without a sign of life after which it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = LONGEST_SILENCE.as_secs(), value_parser = clap::value_parser!(u64).range(2..=86400))]
    pub silence: u64,
    /// Where crashes are counted
    #[arg(long, value_name = "DIR", default_value = DATA, env = "LIGHTMAMBA_DATA")]
    pub data: PathBuf,
    /// What restarts a board that is stuck, if there is one
    #[arg(long, value_name = "NODE", default_value = "/dev/watchdog")]
    pub watchdog: PathBuf,
    /// Set the counters to 0
    #[arg(long, conflicts_with = "command")]
    pub clear: bool,
    /// The command and its options
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

#[derive(Subcommand)]
pub enum UpdateCommand {
    /// Install a bundle that is a file here
    #[command(after_help = "Example:
  lightmamba update install /tmp/new-model.lmb")]
    Install {
        /// Made by `lightmamba bundle create` on the host
        file: PathBuf,
        #[command(flatten)]
        board: BoardArgs,
    },
    /// Install a bundle that comes line by line, from `lightmamba update` on the host
    Receive {
        #[command(flatten)]
        board: BoardArgs,
    },
    /// Test a model that was installed and not tested yet; remove what is half written
    Finish {
        #[command(flatten)]
        board: BoardArgs,
    },
    /// Which models this card has
    Status {
        #[command(flatten)]
        board: BoardArgs,
    },
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
    /// Folder of saved conversations [default: states, on the data partition, or beside the model that is named]
    #[arg(long, value_name = "DIR")]
    pub states: Option<PathBuf>,
    #[command(flatten)]
    pub system: SystemArgs,
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
    /// Where Linux shows power monitors
    #[arg(long, value_name = "DIR", default_value = HWMON)]
    pub hwmon: PathBuf,
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
    #[command(flatten)]
    pub system: SystemArgs,
}

#[derive(Args)]
pub struct TokenizeArgs {
    /// Text; - reads standard input
    pub text: Option<String>,
    #[command(flatten)]
    pub places: PlaceArgs,
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

#[derive(Args, Clone)]
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
