// 6. The cable between a rack and the spine goes out and comes back: so do the routes over it.

import { setLink } from '../fabric.ts';
import { fibRoutes } from '../fib.ts';
import { type Lab, podOf } from '../lab.ts';
import { learnedRoutes } from '../routers.ts';
import { poll } from '../shell.ts';
import { nodes, torA } from '../topology.ts';
import type { Check, CheckGroup } from './check.ts';
import { blocksOf } from './routes.ts';

export function linkLossChecks(lab: Lab): CheckGroup {
  const far = nodes.find((node) => node.rack === 'b');
  const blocks = far ? blocksOf(lab, far) : [];
  return {
    title: 'The cable between tor-b and the spine',
    checks: [
      {
        name: 'goes out',
        expected: `${blocks.length} blocks go: tor-a, node-a1`,
        run: () => timeOf(blocks, 'down'),
      },
      {
        name: 'comes back',
        expected: `${blocks.length} blocks return: tor-a, node-a1`,
        run: () => timeOf(blocks, 'up'),
      },
      reachAgain(lab),
    ],
  };
}

/** Milliseconds until the router and the node behind it have all of the blocks, or none. */
async function timeOf(blocks: readonly string[], state: 'up' | 'down') {
  const settled = (prefixes: readonly string[]): boolean =>
    state === 'up'
      ? blocks.every((block) => prefixes.includes(block))
      : !blocks.some((block) => prefixes.includes(block));
  const look = {
    'tor-a': async () => (await learnedRoutes(torA)).map(({ prefix }) => prefix),
    'node-a1': async () => (await fibRoutes('node-a1')).map(({ prefix }) => prefix),
  };
  const began = performance.now();
  await setLink('tor-b', 'uplink', state);
  const times = await Promise.all(
    Object.entries(look).map(async ([where, ask]) => {
      const ms = await poll(async () => (settled(await ask()) ? performance.now() - began : undefined), {
        timeoutMs: 15_000,
        everyMs: 20,
      });
      return { where, ms };
    }),
  );
  const verb = state === 'up' ? 'return' : 'go';
  const texts = times.map(({ where, ms }) =>
    ms === undefined ? `not on ${where} in 15 s` : `${where} in ${ms.toFixed(0)} ms`,
  );
  return { passed: times.every(({ ms }) => ms !== undefined), seen: `${verb}: ${texts.join(', ')}` };
}

const reachAgain = (lab: Lab): Check => ({
  name: 'pods talk over it again',
  expected: 'tester → crawler connects',
  run: async () => {
    const target = { address: podOf(lab, 'crawler').address, port: 8080 };
    const connected = await poll(
      async () => ((await podOf(lab, 'tester').probe.connect([target], 300))[0]?.connected ? true : undefined),
      { timeoutMs: 5000 },
    );
    return { passed: connected === true, seen: connected ? 'tester → crawler connects' : 'no connection in 5 s' };
  },
});
