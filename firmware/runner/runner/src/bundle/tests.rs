//! Heads that are whole, damaged, and signed but wrong.
use super::*;
use crate::keys::tests::{keys, sign};
use serde_json::{Value, json};

const SEED: u64 = 17;
const ROUNDS: u32 = 2000;

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        for shift in [13, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        (self.0 >> 8) as usize % limit
    }
}

fn head(manifest: &[u8]) -> Vec<u8> {
    let mut fixed = [0; FIXED_BYTES];
    fixed[..8].copy_from_slice(MAGIC);
    fixed[8..12].copy_from_slice(&VERSION.to_le_bytes());
    fixed[12..16].copy_from_slice(&(manifest.len() as u32).to_le_bytes());
    sign(&mut fixed, KEY_ID_AT, SIGNATURE_AT, manifest);
    [&fixed[..], manifest].concat()
}

fn manifest() -> Value {
    let file = |name: &str| json!({ "path": name, "bytes": 5000, "sha256": "a".repeat(64) });
    let sum = "a".repeat(64);
    json!({
        "format": FORMAT, "version": 1, "board": "qemu", "title": "Löwe",
        "model": { "id": model_id([&sum, &sum, &sum]), "runtime": "0".repeat(16) },
        "files": MODEL_FILES.map(|name| file(&format!("model/{name}"))),
    })
}

#[test]
fn what_was_signed_opens() {
    let opened = open(&head(manifest().to_string().as_bytes()), &keys()).unwrap();
    assert_eq!(opened.ends().unwrap(), [(0, 5000), (8192, 13192), (16384, 21384)]);
}

#[test]
fn every_byte_of_the_head_counts() {
    let good = head(manifest().to_string().as_bytes());
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(open(&changed, &keys()).is_err(), "byte {at}");
    }
    for bytes in 0..good.len() {
        assert!(open(&good[..bytes], &keys()).is_err(), "{bytes} bytes");
    }
}

/// Whoever has the key may still be wrong: what opens has the paths that it must have, and sizes that add up.
#[test]
fn manifests_of_any_kind_end_well() {
    let mut random = Random(SEED);
    let good = manifest().to_string().into_bytes();
    let mut opened = 0;
    for _ in 0..ROUNDS {
        let mut text = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len());
            match random.below(4) {
                0 => text[at] = random.below(256) as u8,
                1 => text.truncate(at.max(1)),
                2 => text.insert(at, b"0123456789{}[],:\"e-"[random.below(19)]),
                _ => text[at] ^= 1 << random.below(8),
            }
        }
        if let Ok(found) = open(&head(&text), &keys()) {
            opened += 1;
            assert_eq!((found.files.len(), found.ends().unwrap().len()), (3, 3));
            assert!(
                found
                    .files
                    .iter()
                    .all(|file| MODEL_FILES.contains(&file.model_file().unwrap()))
            );
        }
    }
    assert!(opened > 0 && opened < ROUNDS, "{opened} opened");
}
