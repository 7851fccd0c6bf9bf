// 5. Every process of a node's agent dies at once, while packets pass through the node: nothing is lost, nothing changes.

import { spawn } from 'node:child_process';
import { forwardingState } from '../fib.ts';
import { labDirectory, labMark } from '../journal.ts';
import { agentOf, type Lab, podOf } from '../lab.ts';
import { startPing } from '../ping.ts';
import { kill } from '../processes.ts';
import { establishedNeighbors, learnedRoutes } from '../routers.ts';
import { inside, poll, sleep, waitFor } from '../shell.ts';
import { nodes, torA } from '../topology.ts';
import type { Check, CheckGroup, Seen } from './check.ts';
import { blocksOf } from './routes.ts';

const victim = 'node-a1';

interface Story {
  readonly killed: number;
  readonly backMs: number | undefined;
  readonly establishedMs: number | undefined;
  readonly pings: readonly { readonly path: string; readonly sent: number; readonly received: number }[];
  readonly before: { readonly routes: string; readonly rules: string };
  readonly after: { readonly routes: string; readonly rules: string };
  /** Changes that the kernel reported between the kill and the end. */
  readonly events: readonly string[];
  /** How often the router was asked, and how often a block of the node was missing then. */
  readonly asked: number;
  readonly missing: number;
}

/** One event, seen from several sides: the first check makes it happen. */
export function agentDeathChecks(lab: Lab): CheckGroup {
  let story: Promise<Story> | undefined;
  const told = (): Promise<Story> => {
    story ??= killAndWatch(lab);
    return story;
  };
  const check = (name: string, expected: string, judge: (story: Story) => Seen): Check => ({
    name,
    expected,
    run: async () => judge(await told()),
  });
  return {
    title: `kill -9 of twill-node, felix and bgp on ${victim}`,
    checks: [
      check('pings through the node', 'none lost', ({ pings }) => {
        const lost = pings.reduce((sum, ping) => sum + ping.sent - ping.received, 0);
        const sent = pings.reduce((sum, ping) => sum + ping.sent, 0);
        return {
          passed: lost === 0 && pings.every((ping) => ping.sent > 50),
          seen: `${lost} of ${sent} lost`,
          details: pings.map((ping) => `${ping.path}: ${ping.received} of ${ping.sent} came back`),
        };
      }),
      check('the agent comes back', 'ready, session up', ({ killed, backMs, establishedMs }) => ({
        passed: backMs !== undefined && establishedMs !== undefined,
        seen:
          backMs === undefined || establishedMs === undefined
            ? 'not within 20 s'
            : `${killed} killed; ready in ${seconds(backMs)}, BGP in ${seconds(establishedMs)}`,
      })),
      check(`${torA.name} keeps its routes`, 'blocks there all the while', ({ asked, missing }) => ({
        passed: missing === 0 && asked > 5,
        seen: missing === 0 ? `there each of ${asked} times` : `missing ${missing} of ${asked} times`,
      })),
      check('its FIB and rules', 'the same, no change meanwhile', ({ before, after, events }) => {
        const same = before.routes === after.routes && before.rules === after.rules;
        return {
          passed: same && events.length === 0,
          seen: `${same ? 'the same' : 'differ'}, ${events.length === 0 ? 'no change' : `${events.length} changes`} meanwhile`,
          details: [
            ...difference(before.routes, after.routes),
            ...difference(before.rules, after.rules),
            ...events,
          ].slice(0, 20),
        };
      }),
    ],
  };
}

async function killAndWatch(lab: Lab): Promise<Story> {
  const agent = agentOf(lab, victim);
  const node = nodes.find((candidate) => candidate.name === victim);
  const blocks = node ? blocksOf(lab, node) : [];
  const target = podOf(lab, 'tester').address;
  const paths = [
    { path: 'outside → tester', ping: startPing(lab.outside.name, target, 10) },
    { path: 'runner → tester', ping: startPing('pod-runner', target, 10) },
  ];
  const before = await forwardingState(victim);
  const changes = watchKernel(victim);
  await sleep(300);

  const began = performance.now();
  const pids = agent.processes();
  kill(pids);
  let asked = 0;
  let missing = 0;
  const router = setInterval(async () => {
    const prefixes = (await learnedRoutes(torA)).map(({ prefix }) => prefix);
    asked++;
    if (!blocks.every((block) => prefixes.includes(block))) missing++;
  }, 150);

  const sessionDown = await waitFor(async () => !(await establishedNeighbors(torA)).includes(victim), {
    timeoutMs: 3000,
    everyMs: 20,
  });
  const elapsed = (): number => performance.now() - began;
  const backMs = await poll(async () => ((await agent.ready()) ? elapsed() : undefined), { timeoutMs: 20_000 });
  const establishedMs = sessionDown
    ? await poll(async () => ((await establishedNeighbors(torA)).includes(victim) ? elapsed() : undefined), {
        timeoutMs: 20_000,
      })
    : undefined;
  // Past the end-of-RIB, when the router drops what was not announced again.
  await sleep(1500);
  clearInterval(router);
  const pings = await Promise.all(paths.map(async ({ path, ping }) => ({ path, ...(await ping.stop()) })));
  const events = await changes.stop();
  const after = await forwardingState(victim);
  return { killed: pids.length, backMs, establishedMs, pings, before, after, events, asked, missing };
}

/** What `ip monitor route` and `nft monitor` print from now on. */
function watchKernel(machine: string): { stop(): Promise<readonly string[]> } {
  const lines: string[] = [];
  const children = [
    ['ip', 'monitor', 'route'],
    ['nft', 'monitor', 'ruleset'],
  ].map((command) => {
    const [program = '', ...rest] = inside(machine, command);
    const child = spawn(program, rest, {
      env: { ...process.env, [labMark]: labDirectory },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    child.stdout.on('data', (chunk: Buffer) =>
      lines.push(
        ...chunk
          .toString()
          .split('\n')
          .filter((line) => line.trim() !== ''),
      ),
    );
    return child;
  });
  return {
    stop: async () => {
      await Promise.all(
        children.map(
          (child) =>
            new Promise<void>((resolve) => {
              child.on('close', () => resolve());
              child.kill('SIGTERM');
            }),
        ),
      );
      return lines;
    },
  };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function difference(before: string, after: string): string[] {
  const [old, young] = [before.split('\n'), after.split('\n')];
  return [
    ...old.filter((line) => !young.includes(line)).map((line) => `- ${line.trim()}`),
    ...young.filter((line) => !old.includes(line)).map((line) => `+ ${line.trim()}`),
  ];
}
