/**
 * Byte-level BPE writes each byte as one visible character: printable Latin-1 bytes as themselves, the others as
 * U+0100 onwards in order (GPT-2's table). Index = byte.
 */
export const BYTE_SYMBOLS: readonly string[] = makeSymbols();

function makeSymbols(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(visible ? byte : next++);
  });
}

const SYMBOL_BYTES = new Map(BYTE_SYMBOLS.map((symbol, byte) => [symbol, byte]));

/** The bytes that a vocabulary entry stands for. */
export function tokenBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = SYMBOL_BYTES.get(token.charAt(i));
    // No byte symbols, such as a space: then the entry means its own text.
    if (byte === undefined) return new TextEncoder().encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
