// Repeatable random values for property tests.

import type { Address, Family } from '../../net/address.ts';
import { type Prefix, prefixOf } from '../../net/prefix.ts';

/** 0 ≤ x < 1, always the same for one seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const randomInt = (random: () => number, below: number): number => Math.floor(random() * below);

/** Often with long runs of zeros, which is where printing goes wrong. */
export function randomAddress(random: () => number, family: Family): Address {
  if (family === 4) return randomInt(random, 2 ** 32);
  let value = 0n;
  for (let group = 0; group < 8; group++) {
    value = (value << 16n) | BigInt(random() < 0.4 ? 0 : randomInt(random, 65536));
  }
  return value;
}

/** Of a small part of the address space, so that prefixes often cover each other. */
export function crowdedPrefix(random: () => number, family: Family): Prefix {
  const bits = 6;
  const length = randomInt(random, bits + 1) + (family === 4 ? 16 : 60);
  const part = randomInt(random, 2 ** bits);
  return family === 4
    ? prefixOf((0x0a000000 | (part << 10)) >>> 0, length)
    : prefixOf((0xfd00n << 112n) | (BigInt(part) << 62n), length);
}
