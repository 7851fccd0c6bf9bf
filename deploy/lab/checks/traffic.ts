// Packets through a node, and its kernel, watched while something dies: what was lost and what changed.

import { spawn } from 'node:child_process';
import { flowMemory, forwardingState } from '../fib.ts';
import { labDirectory, labMark } from '../journal.ts';
import { type Lab, podOf } from '../lab.ts';
import { type PingResult, startPing } from '../ping.ts';
import { inside, sleep } from '../shell.ts';
import type { Seen } from './check.ts';

export interface Observation {
  readonly pings: readonly (PingResult & { readonly path: string })[];
  readonly before: ForwardingState;
  readonly after: ForwardingState;
  /** Changes that the kernel reported meanwhile. */
  readonly events: readonly string[];
}

interface ForwardingState {
  readonly routes: string;
  readonly rules: string;
}

/** Pings the tester pod, on this node, from outside and from another node, until finish() is called. */
export async function watchNode(lab: Lab, node: string): Promise<{ finish(): Promise<Observation> }> {
  const target = podOf(lab, 'tester').address;
  const paths = [
    { path: 'outside → tester', ping: startPing(lab.outside.name, target, 10) },
    { path: 'runner → tester', ping: startPing('pod-runner', target, 10) },
  ];
  const before = await forwardingState(node);
  const changes = watchKernel(node);
  await sleep(300);
  return {
    finish: async () => {
      const pings = await Promise.all(paths.map(async ({ path, ping }) => ({ path, ...(await ping.stop()) })));
      const events = await changes.stop();
      return { pings, before, after: await forwardingState(node), events };
    },
  };
}

export function noneLost({ pings }: Observation): Seen {
  const sent = pings.reduce((sum, ping) => sum + ping.sent, 0);
  const lost = pings.reduce((sum, ping) => sum + ping.sent - ping.received, 0);
  return {
    passed: lost === 0 && pings.every((ping) => ping.sent > 50),
    seen: `${lost} of ${sent} lost`,
    details: pings.map((ping) => `${ping.path}: ${ping.received} of ${ping.sent} came back`),
  };
}

export function unchanged({ before, after, events }: Observation): Seen {
  const same = before.routes === after.routes && before.rules === after.rules;
  const changes = events.length === 0 ? 'no change' : `${events.length} changes`;
  return {
    passed: same && events.length === 0,
    seen: `${same ? 'the same' : 'differ'}, ${changes} meanwhile`,
    details: [...difference(before.routes, after.routes), ...difference(before.rules, after.rules), ...events],
  };
}

/**
 * The table stays when felix dies, without an owner, and the next felix takes it over. The kernel tells of a new owner in
 * these words; had it been another table, a "delete table" would stand before them, and its chains after them.
 */
const adoption = 'add table inet twill';

/** What `ip monitor route` and `nft monitor` print from now on. */
function watchKernel(machine: string): { stop(): Promise<readonly string[]> } {
  const texts: string[] = [];
  const children = ['ip monitor route', 'nft monitor ruleset'].map((command) => {
    const [program = '', ...rest] = inside(machine, command.split(' '));
    const child = spawn(program, rest, {
      env: { ...process.env, [labMark]: labDirectory },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    child.stdout.on('data', (chunk: Buffer) => texts.push(chunk.toString()));
    const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
    return { child, ended };
  });
  return {
    stop: async () => {
      for (const { child } of children) child.kill('SIGTERM');
      await Promise.all(children.map(({ ended }) => ended));
      return texts
        .join('')
        .split('\n')
        .filter((line) => line.trim() !== '' && !line.startsWith('# new generation') && !line.includes(flowMemory))
        .filter((line) => line !== adoption);
    },
  };
}

function difference(before: string, after: string): string[] {
  const [old, young] = [before.split('\n'), after.split('\n')];
  return [
    ...old.filter((line) => !young.includes(line)).map((line) => `- ${line.trim()}`),
    ...young.filter((line) => !old.includes(line)).map((line) => `+ ${line.trim()}`),
  ];
}
