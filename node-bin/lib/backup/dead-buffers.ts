import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const everyBytes = 16 * 1024 * 1024;

/**
 * Passes the chunks of a large stream on and has the dead ones collected every 16 MiB. They are not in V8's own heap, so it lets 64 MB,
 * and on a busy machine much more, of them gather before it looks, and the memory of a node is MySQL's. Costs about 2 % of the time.
 */
export const collectingDeadBuffers = (): ((source: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>) => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: { type: "minor" }) => void;
  return async function* (source) {
    let passed = 0;
    for await (const chunk of source) {
      passed += chunk.byteLength;
      if (passed >= everyBytes) {
        passed = 0;
        collect({ type: "minor" });
      }
      yield chunk;
    }
  };
};
