// node run: becomes twill-node, with calicoctl's options in twill-node's words.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CommandError, type World } from '../world.ts';

export interface NodeRunOptions {
  readonly name?: string;
  readonly ip?: string;
  readonly ip6?: string;
  readonly as?: string;
  readonly etcdEndpoints?: string;
  readonly dryrun?: boolean;
}

export function nodeRunWords(options: NodeRunOptions): readonly string[] {
  const words = [
    ['--node-name', options.name],
    // "autodetect" is what twill-node does by itself.
    ['--ip', options.ip === 'autodetect' ? undefined : options.ip],
    ['--ip6', options.ip6 === 'autodetect' ? undefined : options.ip6],
    ['--as', options.as],
    ['--etcd-endpoints', options.etcdEndpoints],
  ] as const;
  return words.flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]));
}

export async function runNode(options: NodeRunOptions, world: World): Promise<void> {
  const words = nodeRunWords(options);
  if (options.dryrun) {
    world.out(`${['twill-node', ...words].join(' ')}\n`);
    return;
  }
  const places = [dirname(process.argv[1] ?? ''), ...(world.environment['PATH'] ?? '').split(':')];
  const program = places.map((place) => join(place, 'twill-node')).find((file) => existsSync(file));
  if (program === undefined) throw new CommandError('twill-node is neither beside twillctl nor in PATH');
  const status = await world.runForeground(program, words);
  if (status !== 0) throw new CommandError(`twill-node ended with status ${status}`, status);
}
