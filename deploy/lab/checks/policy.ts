// 3. Who may talk to whom: the full matrix, a deny of an earlier tier, and how soon a changed policy is on the wire.

import { type Lab, manifest, podOf } from '../lab.ts';
import { twillctl, twillctlOutcome } from '../nodes.ts';
import type { Probe } from '../probe/client.ts';
import type { Target } from '../probe/protocol.ts';
import { sleep, waitFor } from '../shell.ts';
import { pods, ports } from '../topology.ts';
import type { Check, CheckGroup, Seen } from './check.ts';

export const policyChecks = (lab: Lab): CheckGroup => ({
  title: 'Policy',
  checks: [matrixCheck(lab), earlierTierCheck(lab), whyCheck(), openCheck(lab), closeCheck(lab)],
});

/**
 * Ports that the row may connect to on the column: "8" is 8080, "9" is 9090, "b" both, "." none.
 * Written by hand from 30-policies.yaml: a second opinion, not a second implementation.
 */
const allowed: Readonly<Record<string, string>> = {
  //        web api db tester runner crawler
  web: '    b   8   .   .      .      .    ',
  api: '    .   b   9   .      .      .    ',
  db: '     .   .   b   .      .      .    ',
  tester: ' 8   .   .   b      b      b    ',
  runner: ' 8   .   .   b      b      b    ',
  crawler: '.   .   .   .      .      b    ',
};

export function mayConnect(from: string, to: string, port: number): boolean {
  const column = pods.findIndex((pod) => pod.name === to);
  const cell = allowed[from]?.trim().split(/\s+/)[column];
  return cell === 'b' || cell === String(port).charAt(0);
}

function matrixCheck(lab: Lab): Check {
  const cells = pods.flatMap((from) => pods.flatMap((to) => ports.map((port) => ({ from, to, port }))));
  const open = cells.filter(({ from, to, port }) => mayConnect(from.name, to.name, port)).length;
  return {
    name: `${pods.length} × ${pods.length} pods × ${ports.length} ports`,
    expected: `${open} connect, ${cells.length - open} do not`,
    run: async () => {
      const rows = await Promise.all(
        pods.map(async (from) => {
          const wanted = cells.filter((cell) => cell.from === from);
          const results = await podOf(lab, from.name).probe.connect(
            wanted.map(({ to, port }) => ({ address: podOf(lab, to.name).address, port })),
          );
          return wanted.map((cell, i) => ({ ...cell, connected: results[i]?.connected === true }));
        }),
      );
      const seen = rows.flat();
      const wrong = seen.filter(({ from, to, port, connected }) => connected !== mayConnect(from.name, to.name, port));
      const connected = seen.filter((cell) => cell.connected).length;
      return {
        passed: wrong.length === 0,
        seen: `${connected} connect, ${seen.length - connected} do not${wrong.length > 0 ? `, ${wrong.length} wrong` : ''}`,
        details: wrong.map(
          ({ from, to, port, connected }) =>
            `${from.name} → ${to.name}:${port} ${connected ? 'connects and must not' : 'does not connect'}`,
        ),
      };
    },
  };
}

/** 30-policies.yaml: shop/web admits the whole dev namespace, the tier before it denies what is marked as a risk. */
function earlierTierCheck(lab: Lab): Check {
  return {
    name: 'deny in an earlier tier wins',
    expected: 'tester → web connects, crawler not',
    run: async () => {
      const target = { address: podOf(lab, 'web').address, port: 8080 };
      const [tester, crawler] = await Promise.all(
        ['tester', 'crawler'].map(
          async (name) => (await podOf(lab, name).probe.connect([target]))[0]?.connected === true,
        ),
      );
      return {
        passed: tester === true && crawler === false,
        seen: `tester ${tester ? 'connects' : 'does not'}, crawler ${crawler ? 'connects' : 'not'}`,
      };
    },
  };
}

/** The answer to "why not" names what the wire has just shown. */
const whyCheck = (): Check => ({
  name: 'twillctl policy why crawler → web',
  expected: 'denied by quarantine, tier security',
  run: async () => {
    const { code, stdout, stderr } = await twillctlOutcome(['policy', 'why', 'dev/crawler', 'shop/web', 'tcp/8080']);
    const passed = /^DENIED/.test(stdout) && /quarantine ingress\[0\] denies it, in tier security/.test(stdout);
    return {
      passed,
      seen: passed ? 'denied by quarantine, tier security' : `exit code ${code}`,
      details: `${stdout}${stderr}`.split('\n'),
    };
  },
});

const openCheck = (lab: Lab): Check => ({
  name: 'twillctl apply opens web:9090',
  expected: 'runner connects',
  run: () => timeOfTurn(lab, ['apply', '-f', manifest('40-open-web.yaml')], true),
});

const closeCheck = (lab: Lab): Check => ({
  name: 'twillctl delete closes it again',
  expected: 'runner does not',
  run: () => timeOfTurn(lab, ['delete', '-f', manifest('40-open-web.yaml')], false),
});

/** Knocks all the while; the time is that of the first attempt that fared otherwise, counted from twillctl's start and end. */
async function timeOfTurn(lab: Lab, command: readonly string[], wanted: boolean): Promise<Seen> {
  const { probe } = podOf(lab, 'runner');
  const target = { address: podOf(lab, 'web').address, port: 9090 };
  const how = wanted ? 'connects' : 'refused';
  if (!(await connectsWithin(probe, target, !wanted, 2000))) return { passed: false, seen: `${how} before the change` };
  await probe.watch(target, 4, 300);
  const began = Date.now();
  await twillctl(command);
  const ended = Date.now();
  await connectsWithin(probe, target, wanted, 5000);
  // An attempt that fails is known to have failed only after its timeout.
  await sleep(400);
  const { turns } = await probe.stopWatch();
  const turn = turns.at(-1);
  if (turn?.connected !== wanted) return { passed: false, seen: `never ${how} within 5 s` };
  const sinceStart = Math.round(turn.at - began);
  const sinceEnd = Math.round(turn.at - ended);
  const relative = sinceEnd < 0 ? `${-sinceEnd} ms before it ended` : `${sinceEnd} ms after it ended`;
  return { passed: sinceStart > 0, seen: `${how} ${sinceStart} ms after twillctl began, ${relative}` };
}

/** Tries until an attempt fares as wanted; false when none did in time. */
export const connectsWithin = (probe: Probe, target: Target, wanted: boolean, timeoutMs: number): Promise<boolean> =>
  waitFor(async () => ((await probe.connect([target], 300))[0]?.connected === true) === wanted, {
    timeoutMs,
    everyMs: 10,
  });
