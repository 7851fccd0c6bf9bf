// 5b. The datastore dies and stays away for some seconds: packets pass, nothing changes, a new pod is refused with "try again",
//     and after its return a policy takes effect as before.

import { type Lab, manifest, podOf } from '../lab.ts';
import { twillctl } from '../nodes.ts';
import { refusedPod } from '../pods.ts';
import { sleep } from '../shell.ts';
import { earlyPod } from '../topology.ts';
import { type CheckGroup, story } from './check.ts';
import { connectsWithin } from './policy.ts';
import { noneLost, type Observation, unchanged, watchNode } from './traffic.ts';

const awayMs = 3000;

interface Outage extends Observation {
  /** What CNI ADD said meanwhile: the code of its error, or undefined for success. */
  readonly code: number | undefined;
  readonly addMs: number;
  /** From the restart until a policy applied then was on the wire. */
  readonly openMs: number | undefined;
  readonly closed: boolean;
}

export function datastoreDeathChecks(lab: Lab): CheckGroup {
  const check = story(() => killAndReturn(lab));
  return {
    title: `kill -9 of twill-datastore, away for ${awayMs / 1000} s`,
    checks: [
      check('pings through node-a1', 'none lost', noneLost),
      check('CNI ADD meanwhile', 'code 11, try again later', ({ code, addMs }) => ({
        passed: code === 11,
        seen: code === undefined ? 'it succeeded' : `code ${code} after ${(addMs / 1000).toFixed(1)} s`,
      })),
      check('FIB and rules of node-a1', 'the same, no change meanwhile', unchanged),
      check('a policy applied after its return', 'web:9090 opens, and closes again', ({ openMs, closed }) => ({
        passed: openMs !== undefined && closed,
        seen:
          openMs === undefined
            ? 'not open within 10 s'
            : `open ${(openMs / 1000).toFixed(1)} s after the restart, ${closed ? 'closed again' : 'not closed'}`,
      })),
    ],
  };
}

async function killAndReturn(lab: Lab): Promise<Outage> {
  const watched = await watchNode(lab, 'node-a1');
  await lab.datastore.kill();
  const [refusal] = await Promise.all([refusedPod(earlyPod), sleep(awayMs)]);
  const observation = await watched.finish();

  const began = performance.now();
  await lab.datastore.start();
  const target = { address: podOf(lab, 'web').address, port: 9090 };
  await twillctl(['apply', '-f', manifest('40-open-web.yaml')]);
  const open = await connectsWithin(podOf(lab, 'runner').probe, target, true, 10_000);
  const openMs = open ? performance.now() - began : undefined;
  await twillctl(['delete', '-f', manifest('40-open-web.yaml')]);
  const closed = await connectsWithin(podOf(lab, 'runner').probe, target, false, 5000);
  return { ...observation, ...refusal, openMs, closed };
}
