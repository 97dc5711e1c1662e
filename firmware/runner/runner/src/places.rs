//! Where a board has its things: models and states on the data partition, compiled runtimes beside the program.
use crate::{
    error::{Error, Result, bad_input},
    runtime::own_runtime,
    store::Store,
};
use clap::Args;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Where the data partition is mounted.
pub const DATA: &str = "/data";
const STATES: &str = "states";

#[derive(Args)]
pub struct PlaceArgs {
    /// Directory that `lightmamba image build` prepared [default: the data partition's model for this program's runtime]
    #[arg(short, long, value_name = "DIR", env = "LIGHTMAMBA_MODEL")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataArgs,
}

#[derive(Args)]
pub struct DataArgs {
    /// Where the data partition is: models, states, counters
    #[arg(long, value_name = "DIR", default_value = DATA, env = "LIGHTMAMBA_DATA")]
    pub data: PathBuf,
    /// Folder of the compiled runtimes [default: ../lib/lightmamba beside this program's]
    #[arg(long, value_name = "DIR", env = "LIGHTMAMBA_RUNTIME")]
    pub runtime: Option<PathBuf>,
}

impl PlaceArgs {
    pub fn model(&self) -> Result<PathBuf> {
        match &self.model {
            Some(model) => Ok(model.clone()),
            None => self.data.model(),
        }
    }

    pub fn states(&self) -> PathBuf {
        self.around_states().join(STATES)
    }

    /// For states, whose folder may not be there yet.
    pub fn room(&self) -> Result<u64> {
        free_bytes(&self.around_states())
    }

    fn around_states(&self) -> PathBuf {
        match &self.model {
            Some(model) => model.join(".."),
            None => self.data.data.clone(),
        }
    }
}

impl DataArgs {
    pub fn runtime(&self) -> PathBuf {
        self.runtime.clone().unwrap_or_else(|| {
            let program = env::current_exe().unwrap_or_default();
            program.parent().unwrap_or(&program).join("../lib/lightmamba")
        })
    }

    pub fn store(&self) -> Result<Store> {
        Ok(Store::new(&self.data, &own_runtime(&self.runtime())?))
    }

    /// Of the store, for this program's runtime.
    fn model(&self) -> Result<PathBuf> {
        let store = self.store()?;
        match store.current(&store.runtime)? {
            Some(id) => Ok(store.model(&id)),
            None => Err(bad_input("the card has no model for this runtime")
                .file(&store.pointer(&store.runtime))
                .hint("lightmamba flash --model, lightmamba update, or --model DIR")),
        }
    }
}

/// Of the file system that a folder is in.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(folder).map_err(|error| Error::io(folder, &error.into()))?;
    Ok(found.f_bavail * found.f_frsize)
}
