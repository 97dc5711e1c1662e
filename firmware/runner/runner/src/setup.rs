//! setup.json, which the host writes (host/board/prepare.ts): how to set up the runtime for a model, and what must be the same here.
use crate::error::{Error, Exit, Result, bad_input};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

pub const SETUP: &str = "setup.json";
pub const WEIGHTS: &str = "model.safetensors";
pub const TOKENIZER: &str = "tokenizer.json";
const FORMAT: &str = "lightmamba-board-model";
const VERSION: u64 = 2;
/// The largest models have some hundred kilobytes.
const MOST_BYTES: u64 = 64 << 20;
const MOST_PATTERN: usize = 63;
const MOST_SELFTEST_TOKENS: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "format_version")]
    _version: u64,
    pub generator: String,
    pub runtime: RuntimeId,
    pub files: BTreeMap<String, Checksum>,
    pub model: ModelId,
    pub text: TextIds,
    pub sampler: Sampler,
    pub device: Device,
    pub selftest: Selftest,
    pub calls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeId {
    pub version: i32,
    pub variant: Variant,
    pub sha256: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    Relaxed,
    Plain,
}

impl Variant {
    pub fn name(self) -> &'static str {
        match self {
            Variant::Relaxed => "relaxed",
            Variant::Plain => "plain",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelId {
    pub id: String,
    pub layers: u32,
    pub d_model: u32,
    pub vocab_size: u32,
    pub vocab_used: u32,
    pub weight_bytes_per_token: u64,
    pub state_bytes: u32,
    /// A state counts its tokens modulo this.
    pub token_modulus: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextIds {
    pub end_ids: Vec<u32>,
    pub begin_id: u32,
}

/// In the order of the runtime's setSampler.
#[derive(Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Sampler {
    pub temperature: f64,
    pub top_k: i32,
    pub top_p: f64,
    pub min_p: f64,
    pub repetition_penalty: f64,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub board: String,
    pub clock_mhz: f64,
    /// Of planDevice, for 1, 2, … ports.
    pub ports: Vec<Ports>,
    /// What misfit 1, 2, … is about: a field, and what to say.
    pub limits: Vec<(String, String)>,
    pub units: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    pub in_proj: Vec<u8>,
    pub others: Vec<u8>,
    /// In which memory each port has its weights.
    pub memories: Vec<u8>,
    /// In which memories and ports could move the bytes of a token at best.
    pub bound_cycles: u64,
}

/// Greedy tokens after a prompt, as the SHA-256 of their ids as little-endian int32.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selftest {
    pub prompt: Vec<u32>,
    pub tokens: usize,
    pub sha256: String,
}

/// A call of the runtime, and what it allocated is to hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub call: String,
    pub args: Vec<Arg>,
    pub result: Option<i64>,
    /// Base64.
    pub bytes: Option<String>,
    pub file: Option<FileRange>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Arg {
    I32(i64),
    I64(String),
}

/// Of the weights' file, from a page boundary on, and where it lies in linear memory.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub struct FileRange {
    pub at: u32,
    pub offset: u64,
    pub bytes: u64,
}

/// What must be known before anything else is read.
#[derive(Deserialize)]
struct Form {
    format: String,
    format_version: u64,
}

impl Setup {
    pub fn read(dir: &Path) -> Result<Self> {
        let path = &dir.join(SETUP);
        let bytes = read_limited(path, MOST_BYTES)
            .map_err(|error| error.hint("a model for the board is made by `lightmamba image build`"))?;
        let invalid = |error: serde_json::Error| bad_input(format!("not as it must be: {error}")).file(path);
        let form: Form = serde_json::from_slice(&bytes).map_err(invalid)?;
        for (field, expected, found) in [
            ("format", FORMAT.to_string(), form.format),
            ("format_version", VERSION.to_string(), form.format_version.to_string()),
        ] {
            if expected != found {
                let error = Error::new(Exit::Unsupported, "a model of another version");
                return Err(error.file(path).field(field).expected(expected).found(found));
            }
        }
        let setup: Setup = serde_json::from_slice(&bytes).map_err(invalid)?;
        setup.check().map_err(|error| error.file(path))?;
        Ok(setup)
    }

    /// What the rest of this program relies on.
    fn check(&self) -> Result<()> {
        let fails = |field: &str, expected: &str, found: String| {
            Err(bad_input("not as it must be")
                .field(field)
                .expected(expected)
                .found(found))
        };
        let names: Vec<&str> = self.files.keys().map(String::as_str).collect();
        if names != [WEIGHTS, TOKENIZER] {
            return fails("files", &format!("{WEIGHTS} and {TOKENIZER}"), names.join(", "));
        }
        let ids = self
            .selftest
            .prompt
            .iter()
            .chain(&self.text.end_ids)
            .chain([&self.text.begin_id]);
        if let Some(id) = ids.into_iter().find(|id| **id >= self.model.vocab_size) {
            return fails("token id", &format!("below {}", self.model.vocab_size), id.to_string());
        }
        if self.model.vocab_used == 0 || self.model.vocab_used > self.model.vocab_size {
            return fails(
                "vocab_used",
                &format!("1 to {}", self.model.vocab_size),
                self.model.vocab_used.to_string(),
            );
        }
        if self.model.token_modulus == 0 {
            return fails("token_modulus", "above 0", "0".into());
        }
        if self.selftest.prompt.is_empty() || self.selftest.tokens > MOST_SELFTEST_TOKENS {
            return fails(
                "selftest",
                "a prompt, and some tokens",
                self.selftest.tokens.to_string(),
            );
        }
        for (
            i,
            Ports {
                in_proj,
                others,
                memories,
                bound_cycles,
            },
        ) in self.device.ports.iter().enumerate()
        {
            for pattern in [in_proj, others] {
                if pattern.is_empty() || pattern.len() > MOST_PATTERN || pattern.iter().any(|port| *port as usize > i) {
                    return fails("device.ports", &format!("ports 0 to {i}"), format!("{pattern:?}"));
                }
            }
            if *bound_cycles == 0 {
                return fails("bound_cycles", "above 0", "0".into());
            }
            if memories.len() != i + 1 || memories[0] != 0 || memories.iter().any(|memory| *memory as usize > i) {
                return fails(
                    "device.ports",
                    &format!("memories of ports 0 to {i}"),
                    format!("{memories:?}"),
                );
            }
        }
        Ok(())
    }
}

/// A whole file that must not be large.
pub fn read_limited(path: &Path, most: u64) -> Result<Vec<u8>> {
    let found = fs::metadata(path).map_err(|error| Error::io(path, &error))?;
    if !found.is_file() {
        return Err(bad_input("not a regular file").file(path));
    }
    if found.len() > most {
        return Err(bad_input("too large")
            .file(path)
            .expected(format!("at most {most} bytes"))
            .found(found.len()));
    }
    fs::read(path).map_err(|error| Error::io(path, &error))
}
