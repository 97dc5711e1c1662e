//! Who may update this card: public keys, put into the system when it was built.
use crate::{
    error::{Error, Exit, Result, bad_input},
    setup::read_limited,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use std::path::Path;

pub const KEY_ID_BYTES: usize = 8;
const MOST_FILE_BYTES: u64 = 65536;

pub struct Keys(Vec<VerifyingKey>);

impl Keys {
    /// A raw key in base64 on each line; `#` begins a comment.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            let error = Error::new(
                Exit::Prerequisite,
                "this system takes no updates: it was built without a key",
            );
            return Err(error
                .file(path)
                .hint("lightmamba image build --update-key FILE, on a card written anew"));
        }
        let text = String::from_utf8(read_limited(path, MOST_FILE_BYTES)?)
            .map_err(|_| bad_input("not UTF-8 text").file(path))?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let wrong = || bad_input("not a key").file(path).field(format!("line {number}"));
                keys.push(key(line).ok_or_else(|| wrong().expected("32 bytes of Ed25519 in base64"))?);
            }
        }
        if keys.is_empty() {
            return Err(Error::new(Exit::Prerequisite, "this system takes no updates: it has no key").file(path));
        }
        Ok(Self(keys))
    }

    /// As bundles name them.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|key| cwasm::hex(&key_id(key))).collect()
    }

    /// Whether one of them signed the message.
    pub fn verify(&self, id: [u8; KEY_ID_BYTES], message: &[u8], signature: &[u8; 64]) -> Result<()> {
        let fails = |what: &str| Error::new(Exit::Verification, what);
        let named = self.0.iter().find(|key| key_id(key) == id);
        let key = named.ok_or_else(|| {
            let error = fails("signed with a key that this system does not know").field("key id");
            error.expected(self.names().join(" or ")).found(cwasm::hex(&id))
        })?;
        let verified = key.verify_strict(message, &Signature::from_bytes(signature));
        verified.map_err(|_| {
            fails("the signature does not hold: the head was changed, or another key made it").field("signature")
        })
    }
}

fn key(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

/// How a bundle names the key.
fn key_id(key: &VerifyingKey) -> [u8; KEY_ID_BYTES] {
    let hash = Sha256::digest(key.as_bytes());
    hash[..KEY_ID_BYTES].try_into().expect("8 of 32 bytes")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    pub fn keys() -> Keys {
        Keys(vec![signer().verifying_key()])
    }

    /// Puts the key's name and the signature of a bundle into its head.
    pub fn sign(fixed: &mut [u8], id_at: usize, signature_at: usize, manifest: &[u8]) {
        fixed[id_at..signature_at].copy_from_slice(&key_id(&signer().verifying_key()));
        let signature = signer().sign(&[&fixed[..signature_at], manifest].concat());
        fixed[signature_at..].copy_from_slice(&signature.to_bytes());
    }

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let public = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let bytes: Vec<u8> = (0..64)
            .map(|i| u8::from_str_radix(&signature[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let keys = Keys(vec![key(public).unwrap()]);
        let id = key_id(&keys.0[0]);
        assert!(keys.verify(id, &[0x72], bytes[..].try_into().unwrap()).is_ok());
        assert!(keys.verify(id, &[0x73], bytes[..].try_into().unwrap()).is_err());
    }
}
