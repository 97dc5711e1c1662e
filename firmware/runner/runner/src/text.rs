//! Text to token ids and back, with the bytes of the host (host/tokenizer): every id stands for fixed bytes, and the bytes joined are UTF-8.
use crate::{
    error::{Error, Exit, Result, bad_input},
    load::open_checked,
    setup::{Setup, TOKENIZER},
};
use std::{collections::HashMap, io::Read, path::Path, str};
use tokenizers::Tokenizer;

pub struct Text {
    tokenizer: Tokenizer,
    /// Of the characters with which byte-level BPE writes bytes.
    byte_of: HashMap<char, u8>,
}

impl Text {
    pub fn load(dir: &Path, setup: &Setup) -> Result<Self> {
        let path = &dir.join(TOKENIZER);
        let mut bytes = Vec::new();
        open_checked(dir, setup, TOKENIZER)?
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io(path, &error))?;
        let tokenizer =
            Tokenizer::from_bytes(&bytes).map_err(|error| bad_input(format!("cannot be used: {error}")).file(path))?;
        let size = tokenizer.get_vocab_size(true);
        if size > setup.model.vocab_used as usize {
            let error = bad_input("has more tokens than the model has embeddings").file(path);
            return Err(error
                .expected(format!("at most {}", setup.model.vocab_used))
                .found(size));
        }
        Ok(Self {
            tokenizer,
            byte_of: byte_symbols(),
        })
    }

    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, true);
        let encoding = encoding.map_err(|error| Error::new(Exit::Bug, format!("the tokenizer failed: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// What an id stands for; one without a token, padding of the model, stands for nothing.
    fn bytes(&self, id: u32) -> Vec<u8> {
        let added = self
            .tokenizer
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .contains_key(&id);
        let token = self.tokenizer.id_to_token(id).unwrap_or_default();
        // An added token is text as it stands, and so is one with characters that are no bytes.
        let bytes = || token.chars().map(|symbol| self.byte_of.get(&symbol).copied()).collect();
        if added { None } else { bytes() }.unwrap_or_else(|| token.into_bytes())
    }
}

/// Printable Latin-1 bytes are written as themselves, the others as U+0100 onwards in order: GPT-2's table.
fn byte_symbols() -> HashMap<char, u8> {
    let mut others = (0x100..).filter_map(char::from_u32);
    let symbol = |byte: u8| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => others.next().expect("some thousand follow"),
    };
    let mut symbol = symbol;
    (0..=255).map(|byte| (symbol(byte), byte)).collect()
}

/// Ids to text while they are generated: holds back the beginning of a character.
#[derive(Default)]
pub struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    /// The text that is certain once `id` is known.
    pub fn push(&mut self, text: &Text, id: u32) -> String {
        self.held.extend(text.bytes(id));
        let certain = certain_bytes(&self.held);
        let rest = self.held.split_off(certain);
        String::from_utf8_lossy(&std::mem::replace(&mut self.held, rest)).into_owned()
    }

    /// The rest: an incomplete character at the end becomes U+FFFD.
    pub fn flush(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// All but the beginning of a character at the end.
fn certain_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Err(error) = str::from_utf8(&bytes[at..]) {
        match error.error_len() {
            Some(wrong) => at += error.valid_up_to() + wrong,
            None => return at + error.valid_up_to(),
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_whole() {
        let euro = "€".as_bytes();
        assert_eq!(certain_bytes(b"abc"), 3);
        assert_eq!(certain_bytes(&euro[..2]), 0);
        assert_eq!(certain_bytes(&[b"a", &euro[..1]].concat()), 1);
        // A byte that nothing can follow is certain, and so is what came before it.
        assert_eq!(certain_bytes(&[&euro[..2], b"x"].concat()), 3);
        assert_eq!(certain_bytes(&[0xff, 0xe2]), 1);
    }

    #[test]
    fn every_byte_has_a_symbol() {
        let table = byte_symbols();
        assert_eq!(table.len(), 256);
        assert_eq!(table[&'Ġ'], b' ');
        assert_eq!(table[&'Ċ'], b'\n');
        assert_eq!(table[&'A'], b'A');
    }
}
