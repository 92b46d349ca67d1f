/**
 * Cuts a stream into pieces of at most `size` bytes without holding more than one chunk. Each piece must be read to its end before
 * the next is asked for. A stream without bytes has no piece.
 */
export async function* pieces(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const chunks = source[Symbol.asyncIterator]();
  let rest: Uint8Array | undefined;
  const more = async (): Promise<boolean> => {
    while (rest === undefined || rest.byteLength === 0) {
      const next = await chunks.next();
      if (next.done) return false;
      rest = next.value;
    }
    return true;
  };
  async function* piece(): AsyncGenerator<Uint8Array> {
    let left = size;
    while (left > 0 && (await more())) {
      const whole = rest as Uint8Array;
      const taken = whole.subarray(0, left);
      rest = whole.subarray(taken.byteLength);
      left -= taken.byteLength;
      yield taken;
    }
  }
  try {
    while (await more()) yield piece();
  } finally {
    await chunks.return?.();
  }
}
