import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
import { EMBEDDED_MODEL, modelDir } from "../../package.ts";
import { loadTokenizer, type Tokenizer } from "../../tokenizer/index.ts";
import { defineCommand } from "../command.ts";
import { textInput } from "../input.ts";
import { idList } from "../options.ts";
import type { Output } from "../output.ts";

interface TokenizeOptions {
  model: string;
  file?: string;
  decode?: number[];
  ids?: boolean;
}

export function define(output: Output): Command {
  return defineCommand("tokenize", "Turn text into token ids, or ids into text.", [
    ["every token of a text on a line", 'tokenize "Once upon a time"'],
    ["the ids only, as other commands take them", 'tokenize --ids "Once upon a time"'],
    ["back to text", "tokenize --decode 47,1307,586,259,567"],
    ["how many tokens a file has", "tokenize --file prose.txt --json | jq .count"],
  ])
    .argument("[text...]", "text; several words are joined by spaces; - reads standard input")
    .option("-m, --model <dir>", "directory with tokenizer.json", EMBEDDED_MODEL)
    .option("--file <file>", "read the text from a file")
    .addOption(new Option("--decode <ids>", "turn ids into text").argParser(idList).conflicts(["file", "ids"]))
    .option("--ids", "print only the ids, separated by commas")
    .action((words: string[], options: TokenizeOptions) => tokenize(words, options, output));
}

async function tokenize(words: string[], options: TokenizeOptions, output: Output): Promise<void> {
  const argument = words.length > 0 ? words.join(" ") : undefined;
  if (options.decode !== undefined && argument !== undefined) {
    throw new LightMambaError("usage", "give either a text or --decode, not both");
  }
  const dir = modelDir(options.model);
  if (options.decode !== undefined) return writeText(loadTokenizer(dir), options.decode, output);
  const text = await textInput(argument, options.file);
  if (text === undefined) {
    throw new LightMambaError("usage", "no text given", { hint: "give a text, --file <file>, - or --decode <ids>" });
  }
  writeTokens(loadTokenizer(dir), text, options.ids === true, output);
}

function writeText(tokenizer: Tokenizer, ids: number[], output: Output): void {
  const text = tokenizer.decode(ids);
  if (output.json) output.record({ text, ids, count: ids.length });
  else output.line(text);
}

function writeTokens(tokenizer: Tokenizer, text: string, idsOnly: boolean, output: Output): void {
  const ids = tokenizer.encode(text);
  const tokens = () => ids.map((id) => tokenizer.decode([id]));
  if (output.json) output.record({ ids, tokens: tokens(), count: ids.length });
  else if (idsOnly) output.line(ids.join(","));
  // As JSON strings, so that spaces and line ends can be seen.
  else
    tokens().forEach((token, index) => void output.line(`${String(ids[index]).padStart(7)}  ${JSON.stringify(token)}`));
}
