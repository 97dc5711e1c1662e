//! A bundle's head: what it brings, for whom, and that whoever may update this card made it. The format: docs/update.md.
use crate::{
    error::{Error, Exit, Result, bad_input},
    keys::{KEY_ID_BYTES, Keys},
    lines::shown,
    setup::{SETUP, TOKENIZER, WEIGHTS},
    store::{is_hex, is_id, model_id},
};
use serde::Deserialize;

/// Before the manifest.
pub const FIXED_BYTES: usize = 88;
pub const MOST_MANIFEST_BYTES: usize = 1 << 20;
/// Files begin at multiples of it.
pub const ALIGNMENT: u64 = 4096;
const MAGIC: &[u8; 8] = b"LMBUNDLE";
const VERSION: u32 = 1;
const KEY_ID_AT: usize = 16;
const SIGNATURE_AT: usize = 24;
const FORMAT: &str = "lightmamba-bundle";
/// Of titles and versions, which are shown.
const MOST_TEXT: usize = 200;
pub const SYSTEM: &str = "system.squashfs";
const MODEL_FILES: [&str; 3] = [WEIGHTS, TOKENIZER, SETUP];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    pub board: String,
    pub title: String,
    pub system: Option<System>,
    pub model: Option<Model>,
    pub files: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    pub version: String,
    pub runtime: String,
    file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub id: String,
    pub runtime: String,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Entry {
    /// Its name in the model's folder. None: it is the system.
    pub fn model_file(&self) -> Option<&str> {
        self.path.strip_prefix("model/")
    }
}

/// Bytes of the whole head, by its first ones.
pub fn head_bytes(fixed: &[u8; FIXED_BYTES]) -> Result<usize> {
    let word = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("4 bytes"));
    if &fixed[..8] != MAGIC {
        let found = String::from_utf8_lossy(&fixed[..8]).escape_default().to_string();
        return Err(bad_input("not a bundle")
            .field("magic")
            .expected("LMBUNDLE")
            .found(found));
    }
    if word(8) != VERSION {
        let error = Error::new(Exit::Unsupported, "a bundle of another version").field("version");
        return Err(error.expected(VERSION).found(word(8)));
    }
    match word(12) as usize {
        bytes @ 1..=MOST_MANIFEST_BYTES => Ok(FIXED_BYTES + bytes),
        bytes => {
            let error = bad_input("not a size that a manifest has").field("manifest bytes");
            Err(error.expected(format!("1 to {MOST_MANIFEST_BYTES}")).found(bytes))
        }
    }
}

/// The manifest of a whole head, once its signature holds.
pub fn open(head: &[u8], keys: &Keys) -> Result<Manifest> {
    let Some((fixed, text)) = head.split_first_chunk::<FIXED_BYTES>() else {
        return Err(bad_input("the head was cut")
            .expected(format!("{FIXED_BYTES} bytes"))
            .found(head.len()));
    };
    let expected = head_bytes(fixed)?;
    if head.len() != expected {
        return Err(bad_input("the head has another size")
            .expected(format!("{expected} bytes"))
            .found(head.len()));
    }
    let id: [u8; KEY_ID_BYTES] = fixed[KEY_ID_AT..SIGNATURE_AT].try_into().expect("8 bytes");
    let signature = fixed[SIGNATURE_AT..].try_into().expect("64 bytes");
    keys.verify(id, &[&fixed[..SIGNATURE_AT], text].concat(), signature)?;
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|error| bad_input(format!("not as it must be: {error}")).field("manifest"))?;
    manifest.check().map_err(|error| error.within("manifest"))?;
    Ok(manifest)
}

impl Manifest {
    fn check(&self) -> Result<()> {
        for (field, expected, found) in [
            ("format", FORMAT.to_string(), self.format.clone()),
            ("version", VERSION.to_string(), self.version.to_string()),
        ] {
            if expected != found {
                let error = Error::new(Exit::Unsupported, "of another version").field(field);
                return Err(error.expected(expected).found(found));
            }
        }
        text("board", &self.board)?;
        text("title", &self.title)?;
        self.check_files()?;
        if let Some(system) = &self.system {
            text("system.version", &system.version)?;
            id("system.runtime", &system.runtime)?;
            same("system.file", SYSTEM, &system.file)?;
        }
        if let Some(model) = &self.model {
            id("model.runtime", &model.runtime)?;
            let sums = MODEL_FILES.map(|name| self.model_file(name).sha256.as_str());
            same("model.id", &model_id(sums), &model.id)?;
        }
        match (&self.system, &self.model) {
            (Some(system), Some(model)) => same("model.runtime", &system.runtime, &model.runtime),
            (None, None) => Err(bad_input("it brings nothing").expected("a system, a model or both")),
            _ => Ok(()),
        }
    }

    /// Exactly the files of what it brings, so no other path is ever written.
    fn check_files(&self) -> Result<()> {
        let model = self
            .model
            .iter()
            .flat_map(|_| MODEL_FILES)
            .map(|name| format!("model/{name}"));
        let mut expected: Vec<String> = self.system.iter().map(|_| SYSTEM.into()).chain(model).collect();
        let mut found: Vec<String> = self.files.iter().map(|file| file.path.clone()).collect();
        expected.sort();
        found.sort();
        same("files", &expected.join(", "), &found.join(", "))?;
        for file in &self.files {
            if !is_hex(&file.sha256, 64) {
                return Err(wrong("sha256", "64 hexadecimal digits", &file.sha256).within(&file.path));
            }
            if file.bytes == 0 {
                return Err(wrong("bytes", "at least 1", "0").within(&file.path));
            }
        }
        self.ends().map(|_| ())
    }

    /// Of a file of the model, which is there.
    pub fn model_file(&self, name: &str) -> &Entry {
        let found = self.files.iter().find(|file| file.model_file() == Some(name));
        found.expect("checked")
    }

    /// Where each file lies in the bundle's, from the end of the head on: start and end, without padding.
    pub fn ends(&self) -> Result<Vec<(u64, u64)>> {
        let mut at = 0u64;
        let mut all = Vec::new();
        for file in &self.files {
            let end = at.checked_add(file.bytes).filter(|end| *end <= i64::MAX as u64 / 2);
            let end = end.ok_or_else(|| {
                wrong("bytes", "a size that a file can have", &file.bytes.to_string()).within(&file.path)
            })?;
            all.push((at, end));
            at = end.next_multiple_of(ALIGNMENT);
        }
        Ok(all)
    }
}

fn wrong(field: &str, expected: &str, found: &str) -> Error {
    bad_input("not as it must be")
        .field(field)
        .expected(expected)
        .found(shown(found, MOST_TEXT))
}

fn same(field: &str, expected: &str, found: &str) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(wrong(field, expected, found))
    }
}

fn id(field: &str, found: &str) -> Result<()> {
    if is_id(found) {
        Ok(())
    } else {
        Err(wrong(field, "16 hexadecimal digits", found))
    }
}

/// It is shown on a console.
fn text(field: &str, found: &str) -> Result<()> {
    if !found.is_empty() && found.len() <= MOST_TEXT && !found.chars().any(char::is_control) {
        return Ok(());
    }
    Err(wrong(field, &format!("1 to {MOST_TEXT} bytes of text"), found))
}

#[cfg(test)]
mod tests;
