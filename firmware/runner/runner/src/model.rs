//! A model that is loaded and ready.
use crate::{
    accelerate::{self, Accelerator},
    choose::Chosen,
    error::{Result, usage},
    load::load,
    runtime::{Runtime, compiled_path},
    session::SessionMemory,
    setup::Setup,
    text::Text,
};
use std::path::PathBuf;

/// A model that streams fewer weights per token gains less from a second thread than it takes to start.
const WORTH_THREADS_BYTES: u64 = 16_000_000;

pub struct Model {
    pub setup: Setup,
    pub runtime: Runtime,
    pub text: Text,
    /// Where tokens are computed, if not in WebAssembly.
    pub accelerator: Option<Accelerator>,
    /// Memory of closed sessions, for the next ones: linear memory is never given back.
    pub free: Vec<SessionMemory>,
}

/// Where the parts of a model are.
#[derive(Clone)]
pub struct Parts {
    pub model: PathBuf,
    /// Folder of the compiled runtimes.
    pub runtime: PathBuf,
    pub threads: Option<u32>,
}

impl Model {
    pub fn load(parts: &Parts, device: &Chosen) -> Result<Self> {
        let setup = Setup::read(&parts.model)?;
        let threads = match (device.is_board(), parts.threads) {
            (true, Some(found)) if found > 1 => {
                let error = usage("threads have nothing to do where a device computes").field("--threads");
                return Err(error.expected(1).found(found).hint("leave --threads out"));
            }
            (true, _) => 1,
            (false, threads) => threads.unwrap_or_else(|| useful_threads(&setup)),
        };
        let path = compiled_path(&parts.runtime, setup.runtime.variant);
        let mut runtime = Runtime::load(&path, &setup.runtime, threads)?;
        let weights = load(&mut runtime, &setup, &parts.model)?;
        let text = Text::load(&parts.model, &setup)?;
        let accelerator = match device {
            Chosen::Wasm => None,
            Chosen::Board(place, partition) => Some(accelerate::bring(&mut runtime, &setup, place, *partition)?),
        };
        if accelerator.is_some() {
            weights.release(&runtime)?;
        }
        Ok(Self {
            setup,
            runtime,
            text,
            accelerator,
            free: Vec::new(),
        })
    }

    /// Ids to start a conversation with: the text's, or the token that begins a text.
    pub fn prompt_ids(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.text.encode(text)?;
        Ok(if ids.is_empty() {
            vec![self.setup.text.begin_id]
        } else {
            ids
        })
    }
}

fn useful_threads(setup: &Setup) -> u32 {
    if setup.model.weight_bytes_per_token < WORTH_THREADS_BYTES {
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    cores.min(crate::runtime::MOST_THREADS)
}
