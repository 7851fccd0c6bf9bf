// 3. Who may talk to whom: the full matrix, a deny of an earlier tier, and how soon a changed policy is on the wire.

import { type Lab, manifest, podOf } from '../lab.ts';
import { twillctl } from '../nodes.ts';
import { poll } from '../shell.ts';
import { pods, ports } from '../topology.ts';
import type { Check, CheckGroup } from './check.ts';

export const policyChecks = (lab: Lab): CheckGroup => ({
  title: 'Policy',
  checks: [matrixCheck(lab), earlierTierCheck(lab), openCheck(lab), closeCheck(lab)],
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
async function timeOfTurn(lab: Lab, command: readonly string[], wanted: boolean) {
  const { probe } = podOf(lab, 'runner');
  await probe.watch({ address: podOf(lab, 'web').address, port: 9090 }, 4, 300);
  const before = await poll(
    async () =>
      (await probe.connect([{ address: podOf(lab, 'web').address, port: 9090 }], 300))[0]?.connected !== wanted
        ? true
        : undefined,
    { timeoutMs: 2000 },
  );
  const began = Date.now();
  await twillctl(command);
  const ended = Date.now();
  await poll(
    async () =>
      (await probe.connect([{ address: podOf(lab, 'web').address, port: 9090 }], 300))[0]?.connected === wanted
        ? true
        : undefined,
    { timeoutMs: 5000 },
  );
  // An attempt that is to fail is known to have failed only after its timeout.
  await new Promise((resolve) => setTimeout(resolve, 400));
  const { turns } = await probe.stopWatch();
  const turn = turns.findLast((candidate) => candidate.connected === wanted);
  const passed = before === true && turn !== undefined && turn.at > began && turns.at(-1) === turn;
  const how = wanted ? 'connects' : 'refused';
  return {
    passed,
    seen: passed
      ? `${how} ${(turn.at - began).toFixed(0)} ms after twillctl began, ${(turn.at - ended).toFixed(0)} after it ended`
      : before !== true
        ? `it ${wanted ? 'connected' : 'did not connect'} before`
        : `never ${how} within 5 s`,
  };
}
