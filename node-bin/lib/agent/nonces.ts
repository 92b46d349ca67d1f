/** Nonces that this agent gave out: each is good for one command, for a short time. */
export interface Nonces {
  give(): string;
  /** Whether the nonce was given, not used before, and not too long ago. It is used up by asking. */
  take(nonce: string): boolean;
}

/** Keeps at most `limit` unused nonces; a nonce lives for `lifeMs` on the monotonic clock. */
export const makeNonces = (options: {
  readonly now: () => number;
  readonly random: () => string;
  readonly lifeMs: number;
  readonly limit: number;
}): Nonces => {
  const given = new Map<string, number>();
  const forgetOld = (): void => {
    for (const [nonce, at] of given) {
      if (options.now() - at <= options.lifeMs && given.size <= options.limit) break;
      given.delete(nonce);
    }
  };
  return {
    give: () => {
      const nonce = options.random();
      given.set(nonce, options.now());
      forgetOld();
      return nonce;
    },
    take: (nonce) => {
      forgetOld();
      return given.delete(nonce);
    },
  };
};
