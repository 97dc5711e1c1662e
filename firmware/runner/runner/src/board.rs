//! The card that this program runs from, as an update sees it: its models, its name, the keys of those who may change it.
use crate::{
    args::ComputeArgs,
    cli::CardArgs,
    error::{Error, Result, bad_input},
    keys::Keys,
    places::DataArgs,
    slots::Slots,
    store::Store,
};
use clap::Args;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct BoardArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    #[command(flatten)]
    pub system: SystemArgs,
}

#[derive(Args, Clone)]
pub struct SystemArgs {
    /// Folder of lightmamba-release and lightmamba/update.pub
    #[arg(long, value_name = "DIR", default_value = "/etc")]
    pub etc: PathBuf,
    #[command(flatten)]
    pub card: CardArgs,
}

pub struct Board {
    pub store: Store,
    system: SystemArgs,
    /// Options of a child that tests a model here.
    pub test_words: Vec<OsString>,
}

impl Board {
    pub fn of(args: &BoardArgs) -> Result<Self> {
        Self::open(&args.data, &args.compute, &args.system)
    }

    pub fn open(data: &DataArgs, compute: &ComputeArgs, system: &SystemArgs) -> Result<Self> {
        let mut words = compute.words();
        let (folder, runtime) = (data.data.clone().into_os_string(), data.runtime().into_os_string());
        words.extend(["--data".into(), folder, "--runtime".into(), runtime]);
        Ok(Self {
            store: data.store()?,
            system: system.clone(),
            test_words: words,
        })
    }

    pub fn keys(&self) -> Result<Keys> {
        Keys::read(&self.system.etc.join("lightmamba/update.pub"))
    }

    /// As boards/ has it.
    pub fn name(&self) -> Result<String> {
        board_name(&self.system.etc.join("lightmamba-release"))
    }

    pub fn slots(&self) -> Result<Slots> {
        Slots::open(&self.system.card)
    }
}

/// The system's first line is `LightMamba <version>, <board>`.
fn board_name(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|error| Error::io(path, &error))?;
    let line = text.lines().next().unwrap_or_default();
    let name = line.strip_prefix("LightMamba ").and_then(|rest| rest.split_once(", "));
    let error = || {
        bad_input("not a release")
            .file(path)
            .expected("LightMamba <version>, <board>")
            .found(line)
    };
    name.map(|(_, board)| board.trim().into()).ok_or_else(error)
}
