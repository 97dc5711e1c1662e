//! The card that this program runs from, as an update sees it: its models, its name, the keys of those who may change it.
use crate::{
    args::ComputeArgs,
    error::{Error, Result, bad_input},
    keys::Keys,
    places::DataArgs,
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
    /// Folder of lightmamba-release and lightmamba/update.pub
    #[arg(long, value_name = "DIR", default_value = "/etc")]
    pub etc: PathBuf,
}

pub struct Board {
    pub store: Store,
    /// As boards/ names it.
    pub name: String,
    keys: PathBuf,
    /// Options of a child that tests a model here.
    pub test_words: Vec<OsString>,
}

impl Board {
    pub fn open(args: &BoardArgs) -> Result<Self> {
        let mut words = args.compute.words();
        let runtime = args.data.runtime().into_os_string();
        let data = args.data.data.clone().into_os_string();
        words.extend(["--data".into(), data, "--runtime".into(), runtime]);
        Ok(Self {
            store: args.data.store()?,
            name: board_name(&args.etc.join("lightmamba-release"))?,
            keys: args.etc.join("lightmamba/update.pub"),
            test_words: words,
        })
    }

    pub fn keys(&self) -> Result<Keys> {
        Keys::read(&self.keys)
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
