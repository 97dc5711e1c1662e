//! A conversation: recurrent state and sampler, both of constant size. host/runtime/session.ts.
use crate::{
    error::{Result, bad_input},
    heartbeat,
    model::Model,
    setup::Sampler,
};

/// Addresses in linear memory.
#[derive(Clone, Copy)]
pub struct SessionMemory {
    pub state: u32,
    pub sampler: u32,
}

pub struct Session {
    pub memory: SessionMemory,
}

impl Session {
    /// With an empty state. Close it when it is over.
    pub fn new(model: &mut Model, rules: &Sampler) -> Result<Self> {
        let runtime = &mut model.runtime;
        let (state_bytes, sampler_bytes) = (runtime.state_bytes()?, runtime.sampler_bytes()?);
        let memory = match model.free.pop() {
            Some(memory) => memory,
            None => SessionMemory {
                state: runtime.reserve(state_bytes, "the state")?,
                sampler: runtime.reserve(sampler_bytes, "the sampler")?,
            },
        };
        let session = Self { memory };
        session.reset(model)?;
        session.set_sampler(model, rules)?;
        session.seed(model, 0)?;
        Ok(session)
    }

    /// Gives the memory to the next one.
    pub fn close(self, model: &mut Model) {
        model.free.push(self.memory);
    }

    /// Nothing read, nothing seen; random numbers and rules are to be set anew.
    pub fn reset(&self, model: &mut Model) -> Result<()> {
        model.runtime.reset_state(self.memory.state)?;
        let bytes = model.runtime.sampler_bytes()?;
        model.runtime.write(self.memory.sampler, &vec![0; bytes as usize])
    }

    /// What the sampler has seen and its random numbers go on.
    pub fn set_sampler(&self, model: &mut Model, rules: &Sampler) -> Result<()> {
        model.runtime.set_sampler(
            self.memory.sampler,
            rules.temperature,
            rules.top_k,
            rules.top_p,
            rules.min_p,
            rules.repetition_penalty,
            rules.presence_penalty,
            rules.frequency_penalty,
            model.setup.model.vocab_used,
        )
    }

    pub fn seed(&self, model: &mut Model, seed: u64) -> Result<()> {
        model.runtime.seed_sampler(self.memory.sampler, seed)
    }

    /// Tokens consumed since the state was empty.
    pub fn tokens(&self, model: &Model) -> Result<u32> {
        let bytes = model.runtime.read(self.memory.state, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
    }

    /// Consumes one token. Where a device fails, the session is what it was before.
    pub fn feed(&self, model: &mut Model, token: u32) -> Result<()> {
        heartbeat::step();
        model.runtime.forward(self.memory.state, token)?;
        model.runtime.observe(self.memory.sampler, token)
    }

    /// Consumes many tokens, several for each pass over the weights: the same bits as feeding them one by one.
    pub fn prefill(&self, model: &mut Model, tokens: &[u32]) -> Result<()> {
        let size = model.setup.model.vocab_size;
        if let Some(wrong) = tokens.iter().find(|token| **token >= size) {
            return Err(bad_input("token id outside the vocabulary")
                .expected(format!("0 to {}", size - 1))
                .found(wrong));
        }
        let most = model.runtime.pass_tokens()? as usize;
        let mut passes = tokens.chunks(most).peekable();
        while let Some(pass) = passes.next() {
            self.pass(model, pass, passes.peek().is_none())?;
        }
        Ok(())
    }

    fn pass(&self, model: &mut Model, tokens: &[u32], logits: bool) -> Result<()> {
        heartbeat::step();
        let ids: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        let at = model.runtime.tokens_at()?;
        model.runtime.write(at, &ids)?;
        let before = self.tokens(model)?;
        let result = model
            .runtime
            .forward_all(self.memory.state, tokens.len() as u32, logits.into());
        // A device that fails has consumed some of them.
        let consumed = self.consumed_since(model, before)?;
        for token in &tokens[..consumed.min(tokens.len())] {
            model.runtime.observe(self.memory.sampler, *token)?;
        }
        result
    }

    fn consumed_since(&self, model: &Model, before: u32) -> Result<usize> {
        let modulus = u64::from(model.setup.model.token_modulus);
        let now = u64::from(self.tokens(model)?);
        Ok(((now + modulus - u64::from(before)) % modulus) as usize)
    }

    /// Draws the next token from the logits of the token fed last, whichever session fed it.
    pub fn sample(&self, model: &mut Model) -> Result<u32> {
        let logits = model.runtime.logits_at()?;
        model.runtime.sample(self.memory.sampler, logits)
    }
}
