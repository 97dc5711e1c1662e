//! A conversation in a file: the format of the host, byte for byte (docs/format.md, Saved state).
use crate::{
    cli::StateCommand,
    durable,
    error::{Error, Exit, Result, bad_input},
    model::Model,
    output::Output,
    session::Session,
    setup::read_limited,
};
use serde::Deserialize;
use serde_json::Map;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, path::Path};

const FORMAT: &str = "lightmamba-state";
const VERSION: &str = "1";
const MOST_HEADER_BYTES: usize = 64 << 10;
/// States are some tens of megabytes, and 4 GiB is all that linear memory has.
const MOST_BYTES: u64 = 4 << 30;

/// What a file holds.
pub struct Saved {
    model: String,
    /// The token that was drawn but not fed yet.
    last_token: String,
    state: Vec<u8>,
    sampler: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    state: Tensor,
    sampler: Tensor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Saved {
    /// Reads a file and checks all that can be checked without its model.
    pub fn read(path: &Path) -> Result<Self> {
        let file = read_limited(path, MOST_BYTES)?;
        let saved = parse(&file).map_err(|error| error.file(path))?;
        Ok(saved)
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let header = self.header();
        durable::write(
            path,
            &[
                &(header.len() as u64).to_le_bytes(),
                &header,
                &self.state,
                &self.sampler,
            ],
        )
    }

    fn header(&self) -> Vec<u8> {
        let metadata: Map<_, _> = [
            ("format", FORMAT),
            ("version", VERSION),
            ("model", &self.model),
            ("last_token", &self.last_token),
            ("sha256", &self.checksum()),
        ]
        .map(|(name, value)| (name.to_string(), value.into()))
        .into_iter()
        .collect();
        let (first, all) = (self.state.len(), self.state.len() + self.sampler.len());
        let tensor = |bytes: usize, begin: usize, end: usize| {
            format!(r#"{{"dtype":"U8","shape":[{bytes}],"data_offsets":[{begin},{end}]}}"#)
        };
        let metadata = serde_json::to_string(&metadata).expect("text");
        let (state, sampler) = (tensor(first, 0, first), tensor(all - first, first, all));
        let mut header = format!(r#"{{"__metadata__":{metadata},"state":{state},"sampler":{sampler}}}"#).into_bytes();
        // Behind its length the header is filled up, so that tensors start on a multiple of 8.
        header.resize((8 + header.len()).next_multiple_of(8) - 8, b' ');
        header
    }

    fn checksum(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.state);
        hash.update(&self.sampler);
        hash.update(&self.last_token);
        cwasm::hex(&hash.finalize())
    }
}

fn parse(file: &[u8]) -> Result<Saved> {
    let truncated = || bad_input("not a whole safetensors file").found(format!("{} bytes", file.len()));
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(truncated)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MOST_HEADER_BYTES {
        return Err(bad_input("not a saved state: the header is too long")
            .expected(MOST_HEADER_BYTES)
            .found(length));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let Header {
        metadata,
        state,
        sampler,
    } = serde_json::from_slice(header).map_err(|error| bad_input(format!("not a saved state: {error}")))?;
    let entry = |name: &str| metadata.get(name).cloned().unwrap_or_default();
    for (field, expected) in [("format", FORMAT), ("version", VERSION)] {
        if entry(field) != expected {
            return Err(bad_input("not a saved state")
                .field(field)
                .expected(expected)
                .found(entry(field)));
        }
    }
    let first = part(data, "state", &state, 0)?;
    let second = part(data, "sampler", &sampler, first.len())?;
    if data.len() != first.len() + second.len() {
        return Err(truncated().expected(format!("{} bytes", 8 + length + first.len() + second.len())));
    }
    let saved = Saved {
        model: entry("model"),
        last_token: entry("last_token"),
        state: first.to_vec(),
        sampler: second.to_vec(),
    };
    if saved.checksum() != entry("sha256") {
        return Err(Error::new(
            Exit::Verification,
            "the checksum does not hold: the file is damaged",
        ));
    }
    Ok(saved)
}

/// A tensor of bytes that begins where the one before ended.
fn part<'a>(data: &'a [u8], name: &str, tensor: &Tensor, begin: usize) -> Result<&'a [u8]> {
    let (from, to) = tensor.data_offsets;
    let fits = tensor.dtype == "U8" && from == begin && to >= from && tensor.shape == [to - from];
    let bytes = fits.then(|| data.get(from..to)).flatten();
    bytes.ok_or_else(|| {
        bad_input("not the bytes of a saved state")
            .field(name)
            .found(format!("{from} to {to}"))
    })
}

/// `lightmamba state`.
pub fn run(command: &StateCommand, output: Output) -> Result<()> {
    match command {
        StateCommand::Fork { from, to } => Saved::read(from)?.write(to),
        StateCommand::Show { file } => {
            let Saved {
                model,
                last_token,
                state,
                sampler,
            } = Saved::read(file)?;
            let bytes = state.len() + sampler.len();
            if output.json {
                return output.record(&serde_json::json!({ "model": model, "bytes": bytes, "lastToken": last_token }));
            }
            output.line(&format!("{}: {bytes} bytes, of model {model}", file.display()))
        }
    }
}

impl Session {
    /// The whole conversation, so that it goes on with the same tokens.
    pub fn saved(&self, model: &mut Model, pending: Option<u32>) -> Result<Saved> {
        model.runtime.settle(self.memory.state)?;
        let (at, bytes) = self.sampler_memory(model)?;
        Ok(Saved {
            model: model.setup.model.id.clone(),
            last_token: pending.map_or(String::new(), |token| token.to_string()),
            state: self.state(model)?,
            sampler: model.runtime.read(at, bytes)?,
        })
    }

    /// Replaces state and sampler; returns the token that was drawn but not fed yet. The session stays as it was where they do not fit.
    pub fn restore(&self, model: &mut Model, saved: &Saved) -> Result<Option<u32>> {
        let (at, bytes) = self.sampler_memory(model)?;
        if saved.model != model.setup.model.id {
            let error = bad_input("not a state of this model").field("model");
            return Err(error.expected(&model.setup.model.id).found(&saved.model));
        }
        let sizes = [
            ("state", &saved.state, model.setup.model.state_bytes as usize),
            ("sampler", &saved.sampler, bytes),
        ];
        for (field, found, expected) in sizes {
            if found.len() != expected {
                let error = bad_input("another size than this model's").field(field);
                return Err(error.expected(format!("{expected} bytes")).found(found.len()));
            }
        }
        let last = last_token(&saved.last_token, model.setup.model.vocab_size)?;
        model.runtime.settle(self.memory.state)?;
        let before = self.state(model)?;
        model.runtime.write(self.memory.state, &saved.state)?;
        if model.runtime.check_state(self.memory.state)? == 0 {
            model.runtime.write(self.memory.state, &before)?;
            return Err(bad_input("holds values that no model produces").field("state"));
        }
        model.runtime.write(at, &saved.sampler)?;
        Ok(last)
    }

    fn state(&self, model: &Model) -> Result<Vec<u8>> {
        model
            .runtime
            .read(self.memory.state, model.setup.model.state_bytes as usize)
    }

    /// The part of the sampler that is saved: random numbers and counts, not the rules.
    fn sampler_memory(&self, model: &mut Model) -> Result<(u32, usize)> {
        let begin = model.runtime.sampler_memory()?;
        let bytes = model.runtime.sampler_bytes()?;
        Ok((self.memory.sampler + begin, (bytes - begin) as usize))
    }
}

fn last_token(text: &str, vocabulary: u32) -> Result<Option<u32>> {
    if text.is_empty() {
        return Ok(None);
    }
    let token = text.parse().ok().filter(|token| *token < vocabulary);
    let error = || {
        bad_input("not a token id")
            .field("last_token")
            .expected(format!("below {vocabulary}"))
            .found(text)
    };
    token.map(Some).ok_or_else(error)
}
