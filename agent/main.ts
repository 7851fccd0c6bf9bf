// twill-node: the supervisor, or with a first word one of its children.

import { mkdirSync } from 'node:fs';
import { createLogger, type Logger } from '../runtime/log.ts';
import { helpText, parseOptions } from '../runtime/options.ts';
import { version } from '../runtime/version.ts';
import type { NodeServices } from './node.ts';
import { bgpSocket, felixSocket, type NodeOptions, nodeOptions } from './options.ts';

const usage = `twill-node: the Twill agent of one node.

Usage: twill-node [options]         supervise felix and bgp, serve the CNI socket
       twill-node felix [options]   only the policy engine (started by the supervisor)
       twill-node bgp [options]     only the BGP speaker (started by the supervisor)
       twill-node bfd [options]     only BFD for it (started by the supervisor when a peer is to be watched)

It runs in the network namespace that it finds itself in, as root. Ending it leaves routes and policy as they are.`;

async function main(): Promise<number> {
  const parsed = parseOptions(nodeOptions, { argv: process.argv.slice(2), environment: process.env });
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(helpText(usage, nodeOptions));
      return 0;
    case 'version':
      process.stdout.write(`twill-node ${version}\n`);
      return 0;
    case 'problem':
      process.stderr.write(`twill-node: ${parsed.message}\n`);
      return 2;
    case 'values':
      return await run(parsed.rest, parsed.values);
  }
}

async function run(words: readonly string[], options: NodeOptions): Promise<number> {
  const [role, ...more] = words;
  if (more.length > 0 || (role !== undefined && role !== 'felix' && role !== 'bgp' && role !== 'bfd')) {
    process.stderr.write(`twill-node: "${words.join(' ')}" is not understood; there are felix, bgp, bfd, or nothing\n`);
    return 2;
  }
  if (role === undefined) {
    const { missingRequirements, netAdmin, nftables, veth } = await import('../linux/requirements.ts');
    const missing = await missingRequirements([netAdmin, nftables, veth]);
    for (const complaint of missing) process.stderr.write(`twill-node: ${complaint}\n`);
    if (missing.length > 0) return 1;
  }
  mkdirSync(options.runDir, { recursive: true, mode: 0o755 });
  if (role === 'felix') await (await import('./felix.ts')).runFelix(options);
  else if (role === 'bgp') await (await import('./bgp.ts')).runBgp(options);
  else if (role === 'bfd') await (await import('./bfd.ts')).runBfd(options);
  else await supervise(options, createLogger('node', options.logLevel));
  return 0;
}

async function supervise(options: NodeOptions, log: Logger): Promise<void> {
  const { superviseChildren } = await import('./supervisor.ts');
  const { readiness, serveHealth } = await import('./health.ts');
  const { runNodeServices } = await import('./node.ts');
  const always = options.backend === 'none' ? (['felix'] as const) : (['felix', 'bgp'] as const);
  const children = superviseChildren({ always, onDemand: ['bfd'] }, process.argv.slice(2), log);
  let services: NodeServices | undefined;
  const sources = {
    children: () => children.status(),
    felixSocket: felixSocket(options),
    bgpSocket: bgpSocket(options),
    cniServing: () => services?.cniServing() ?? false,
  };
  services = await runNodeServices(options, () => readiness(sources), log);
  const health = options.healthPort === 0 ? undefined : await serveHealth(options.healthPort, sources);
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
  log.info({ signal }, 'stopping; routes and policy stay as they are');
  health?.close();
  await services.stop();
  await children.stop(5000);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`twill-node: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
