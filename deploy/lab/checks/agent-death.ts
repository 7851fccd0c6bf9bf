// 5. A node's agent dies under traffic: all of its processes at once, or felix alone. Nothing is lost, nothing changes, and
//    it comes back: by the lab, which restarts twill-node as systemd would, or by twill-node, which restarts its children.

import { readFileSync } from 'node:fs';
import { isAlive } from '../journal.ts';
import { agentOf, type Lab } from '../lab.ts';
import { kill } from '../processes.ts';
import { establishedNeighbors, learnedRoutes } from '../routers.ts';
import { poll, sleep, waitFor } from '../shell.ts';
import { nodes, torA } from '../topology.ts';
import { type CheckGroup, type Seen, story } from './check.ts';
import { blocksOf } from './routes.ts';
import { noneLost, type Observation, unchanged, watchNode } from './traffic.ts';

const victim = 'node-a1';

interface Death extends Observation {
  readonly killed: number;
  readonly readyMs: number | undefined;
  /** Until the router had a session with the node (again). */
  readonly establishedMs: number | undefined;
  /** How often the router was asked, and how often a block of the node was missing then. */
  readonly asked: number;
  readonly missing: number;
}

export function agentDeathChecks(lab: Lab): CheckGroup {
  const check = story(() => killAndWatch(lab, agentOf(lab, victim).processes(), { sessionFalls: true }));
  return {
    title: `kill -9 of twill-node, felix and bgp on ${victim}`,
    checks: [
      check('pings through the node', 'none lost', noneLost),
      check('the agent comes back', 'ready, session up', comesBack),
      check(`${torA.name} keeps its routes`, 'blocks there all the while', routesStay),
      check('its FIB and rules', 'the same, no change meanwhile', unchanged),
    ],
  };
}

export function felixDeathChecks(lab: Lab): CheckGroup {
  const felix = (): number[] =>
    agentOf(lab, victim)
      .processes()
      .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes('felix'));
  const check = story(() => killAndWatch(lab, felix(), { sessionFalls: false }));
  return {
    title: `kill -9 of felix alone on ${victim}`,
    checks: [
      check('pings through the node', 'none lost', noneLost),
      check('the supervisor restarts it', 'ready, session never down', comesBack),
      check('its FIB and rules', 'the same, no change meanwhile', unchanged),
    ],
  };
}

const comesBack = ({ killed, readyMs, establishedMs }: Death): Seen => ({
  passed: killed > 0 && readyMs !== undefined && establishedMs !== undefined,
  seen:
    readyMs === undefined || establishedMs === undefined
      ? 'not within 20 s'
      : `${killed} killed; ready in ${seconds(readyMs)}, BGP in ${seconds(establishedMs)}`,
});

const routesStay = ({ asked, missing }: Death): Seen => ({
  passed: missing === 0 && asked > 5,
  seen: missing === 0 ? `there each of ${asked} times` : `missing ${missing} of ${asked} times`,
});

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

async function killAndWatch(
  lab: Lab,
  pids: readonly number[],
  { sessionFalls }: { readonly sessionFalls: boolean },
): Promise<Death> {
  const agent = agentOf(lab, victim);
  const watched = await watchNode(lab, victim);
  const began = performance.now();
  const elapsed = (): number => performance.now() - began;
  const established = async (): Promise<boolean> => (await establishedNeighbors(torA)).includes(victim);

  kill(pids);
  const routes = watchBlocks(lab);
  await waitFor(async () => !pids.some(isAlive), { timeoutMs: 3000, everyMs: 5 });
  const fell = await waitFor(async () => !(await established()), { timeoutMs: sessionFalls ? 3000 : 0, everyMs: 20 });
  const readyMs = await poll(async () => ((await agent.ready()) ? elapsed() : undefined), { timeoutMs: 20_000 });
  const establishedMs =
    fell === sessionFalls
      ? await poll(async () => ((await established()) ? elapsed() : undefined), { timeoutMs: 20_000 })
      : undefined;
  // Past the end-of-RIB, when the router drops what was not announced again.
  await sleep(1500);
  return { killed: pids.length, readyMs, establishedMs, ...routes.stop(), ...(await watched.finish()) };
}

/** Asks the router again and again whether it still has the node's blocks. */
function watchBlocks(lab: Lab): { stop(): { asked: number; missing: number } } {
  const node = nodes.find((candidate) => candidate.name === victim);
  const blocks = node ? blocksOf(lab, node) : [];
  let asked = 0;
  let missing = 0;
  const timer = setInterval(async () => {
    const prefixes = (await learnedRoutes(torA)).map(({ prefix }) => prefix);
    asked++;
    if (!blocks.every((block) => prefixes.includes(block))) missing++;
  }, 150);
  return {
    stop: () => {
      clearInterval(timer);
      return { asked, missing };
    },
  };
}
