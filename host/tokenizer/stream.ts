/** Turns ids into text while they are still being generated. */
export interface StreamDecoder {
  /** The text that is certain once `id` is known; empty while a character is incomplete. */
  push(id: number): string;
  /** The rest: an incomplete character at the end becomes U+FFFD. The decoder can be used again afterwards. */
  flush(): string;
}

/**
 * The bytes of the tokens, joined, are UTF-8, and no token changes what came before it; so all that must be held back
 * is the beginning of a character, which is just what TextDecoder does.
 */
export function makeStreamDecoder(bytesOf: (id: number) => Uint8Array): StreamDecoder {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(bytesOf(id), { stream: true }),
    flush: () => decoder.decode(),
  };
}
