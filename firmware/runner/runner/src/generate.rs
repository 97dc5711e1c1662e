//! Text generation: the loop around a session. host/generate.ts.
use crate::{
    error::{Result, usage},
    model::Model,
    session::Session,
    stop::StopFilter,
    text::Decoder,
};
use serde::Serialize;
use std::time::Instant;

pub struct Options<'a> {
    /// At most.
    pub tokens: u32,
    /// The text ends before the first of these.
    pub stop: &'a [String],
}

#[derive(Serialize)]
pub struct Token {
    pub id: u32,
    /// Text that is certain by now.
    pub text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub prompt_tokens: usize,
    pub tokens: u32,
    pub finish: &'static str,
    pub prompt_seconds: f64,
    pub seconds: f64,
    /// The first left out: it belongs to the prompt.
    pub tokens_per_second: f64,
    /// Drawn last, and not fed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
}

/// Whether to go on.
pub type Go = bool;

/// Feeds the prompt and draws tokens until the count, an end-of-text token, a stop text, or `see` says stop.
pub fn generate(
    model: &mut Model,
    session: &Session,
    prompt: &[u32],
    options: &Options,
    see: &mut dyn FnMut(&mut Model, &Token) -> Result<Go>,
) -> Result<Summary> {
    if prompt.is_empty() {
        return Err(usage("nothing to go on from").hint("give a prompt"));
    }
    let start = Instant::now();
    session.prefill(model, prompt)?;
    let mut decoder = Decoder::default();
    let mut filter = StopFilter::new(options.stop);
    let mut first = Instant::now();
    let prompt_seconds = (first - start).as_secs_f64();
    let (mut finish, mut count, mut pending) = ("length", 0, None);
    while count < options.tokens {
        let id = session.sample(model)?;
        if count == 0 {
            first = Instant::now();
        }
        pending = Some(id);
        if model.setup.text.end_ids.contains(&id) {
            finish = "eos";
            break;
        }
        count += 1;
        let mut text = filter.push(&decoder.push(&model.text, id));
        if filter.stopped {
            finish = "stop";
        } else if count == options.tokens {
            text += &(filter.push(&decoder.flush()) + &filter.flush());
        }
        let go = see(model, &Token { id, text })?;
        if filter.stopped {
            break;
        }
        if !go {
            finish = "interrupted";
            break;
        }
        if count < options.tokens {
            session.feed(model, id)?;
        }
    }
    if let ("eos", Some(id)) = (finish, pending) {
        let text = filter.push(&decoder.flush()) + &filter.flush();
        if !text.is_empty() {
            see(model, &Token { id, text })?;
        }
    }
    let seconds = first.elapsed().as_secs_f64();
    let tokens_per_second = if count > 1 && seconds > 0.0 {
        f64::from(count - 1) / seconds
    } else {
        0.0
    };
    let prompt_tokens = prompt.len();
    Ok(Summary {
        prompt_tokens,
        tokens: count,
        finish,
        prompt_seconds,
        seconds,
        tokens_per_second,
        pending,
    })
}
