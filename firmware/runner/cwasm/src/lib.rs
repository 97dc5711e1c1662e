//! The file of a runtime that was compiled ahead of time: what it is and its checksum, then wasmtime's own bytes.
//!
//! wasmtime runs whatever such bytes say: nothing may be handed to it that was not checked first. What this cannot exclude is somebody who
//! writes such a file on purpose: whoever may do that may replace the program as well.
//!
//! ```text
//! "LMCWASM1"   u32 bytes of the header   the header, JSON   the code
//! ```
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"LMCWASM1";
const MOST_HEADER_BYTES: usize = 4096;

/// That compiles, and that runs what was compiled: only the same takes it.
pub const WASMTIME: &str = env!("WASMTIME_VERSION");

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub wasmtime: String,
    /// As Rust names it.
    pub target: String,
    /// Of the WebAssembly module that it was compiled from.
    pub runtime_sha256: String,
    pub bytes: usize,
    pub sha256: String,
}

/// What does not fit. The file's name is the caller's to add.
#[derive(Debug, PartialEq)]
pub struct Mismatch {
    pub field: &'static str,
    pub expected: String,
    pub found: String,
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file for `code`, compiled from `module`.
pub fn seal(target: &str, module: &[u8], code: &[u8]) -> Vec<u8> {
    let header = Header {
        wasmtime: WASMTIME.into(),
        target: target.into(),
        runtime_sha256: sha256(module),
        bytes: code.len(),
        sha256: sha256(code),
    };
    let header = serde_json::to_vec(&header).expect("text");
    [MAGIC, &(header.len() as u32).to_le_bytes()[..], &header, code].concat()
}

/// The code in `file`, if it is whole and for this target.
pub fn open<'a>(file: &'a [u8], target: &str) -> Result<(Header, &'a [u8]), Mismatch> {
    let (header, code) = split(file)?;
    let checks = [
        ("wasmtime", WASMTIME.to_string(), header.wasmtime.clone()),
        ("target", target.to_string(), header.target.clone()),
        ("bytes", header.bytes.to_string(), code.len().to_string()),
        ("sha256", header.sha256.clone(), sha256(code)),
    ];
    for (field, expected, found) in checks {
        if expected != found {
            return Err(Mismatch { field, expected, found });
        }
    }
    Ok((header, code))
}

fn split(file: &[u8]) -> Result<(Header, &[u8]), Mismatch> {
    let foreign = |expected: &str, found: String| Mismatch {
        field: "header",
        expected: expected.into(),
        found,
    };
    let (magic, rest) = file.split_at_checked(MAGIC.len()).unwrap_or((file, &[]));
    if magic != MAGIC {
        return Err(foreign(
            "a compiled runtime of lightmamba",
            format!("{:?}", String::from_utf8_lossy(magic)),
        ));
    }
    let truncated = || foreign("a whole file", format!("{} bytes", file.len()));
    let (size, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > MOST_HEADER_BYTES {
        return Err(foreign(&format!("at most {MOST_HEADER_BYTES} bytes"), size.to_string()));
    }
    let (header, code) = rest.split_at_checked(size).ok_or_else(truncated)?;
    let header =
        serde_json::from_slice(header).map_err(|error| foreign("JSON of its five fields", error.to_string()))?;
    Ok((header, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn what_was_sealed_opens() {
        let file = seal(TARGET, b"module", b"code");
        let (header, code) = open(&file, TARGET).unwrap();
        assert_eq!(code, b"code");
        assert_eq!(header.runtime_sha256, sha256(b"module"));
    }

    #[test]
    fn every_byte_counts() {
        let file = seal(TARGET, b"module", b"code");
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            match open(&changed, TARGET) {
                Err(_) => {}
                // The hash of the module is compared by whoever knows the right one.
                Ok((header, _)) => assert_ne!(header.runtime_sha256, sha256(b"module"), "byte {at}"),
            }
            assert!(open(&file[..at], TARGET).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn another_target_is_refused() {
        let file = seal(TARGET, b"module", b"code");
        assert_eq!(open(&file, "x86_64-unknown-linux-gnu").unwrap_err().field, "target");
    }
}
