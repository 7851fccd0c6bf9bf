// How far long work is, on one line of the terminal that is written again and again. Nothing when nobody looks.

import type { World } from '../world.ts';

const everyMs = 1000;

/** The returned function shows its text, from the second second on and once a second. */
export function progressOf(world: World): (text: string) => void {
  if (!world.progress) return () => {};
  let next = Date.now() + everyMs;
  return (text) => {
    if (Date.now() < next) return;
    next = Date.now() + everyMs;
    world.err(`\r\u001b[K… ${text}\r`);
  };
}
