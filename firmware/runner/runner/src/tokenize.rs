//! `lightmamba tokenize`.
use crate::{
    cli::TokenizeArgs,
    error::{Result, usage},
    input::text_input,
    output::Output,
    setup::Setup,
    text::{Decoder, Text},
};
use serde_json::json;

pub fn run(args: &TokenizeArgs, output: Output) -> Result<()> {
    let model = args.places.model()?;
    let setup = Setup::read(&model)?;
    let text = Text::load(&model, &setup)?;
    if !args.decode.is_empty() {
        let found = decode(&text, &args.decode);
        if output.json {
            return output.record(&json!({ "text": found, "ids": args.decode, "count": args.decode.len() }));
        }
        return output.line(&found);
    }
    let given = text_input(args.text.as_deref(), args.file.as_deref())?;
    let given = given.ok_or_else(|| usage("no text given").hint("give a text, --file <file>, - or --decode <ids>"))?;
    let ids = text.encode(&given)?;
    let tokens: Vec<String> = ids.iter().map(|id| decode(&text, &[*id])).collect();
    if output.json {
        return output.record(&json!({ "ids": ids, "tokens": tokens, "count": ids.len() }));
    }
    // As JSON strings, so that spaces and line ends can be seen
    let lines = ids
        .iter()
        .zip(tokens)
        .map(|(id, token)| format!("{id:7}  {}\n", json!(token)));
    output.data(&lines.collect::<String>())
}

fn decode(text: &Text, ids: &[u32]) -> String {
    let mut decoder = Decoder::default();
    let pieces: String = ids.iter().map(|id| decoder.push(text, *id)).collect();
    pieces + &decoder.flush()
}
