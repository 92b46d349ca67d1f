/** Random numbers that a seed fixes. */
export interface Random {
  /** At least `low`, below `high`, whole. */
  between(low: number, high: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** One of several. @throws when there is none. */
  pick<T>(choices: readonly T[]): T;
}

/** A generator of its own for a seed (splitmix32); the same seed gives the same numbers in every version of Node. */
export const seededRandom = (seed: number): Random => {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  };
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low));
  return {
    between,
    chance: (probability) => next() < probability,
    pick: (choices) => {
      if (choices.length === 0) throw new RangeError("There is nothing to pick from.");
      return choices[between(0, choices.length)] as (typeof choices)[number];
    },
  };
};
