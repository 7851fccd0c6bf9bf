// Commands about the node that twillctl runs on.

import type { Command } from 'commander';
import type { World } from '../world.ts';
import { withGlobals } from './shared.ts';

export function defineNodeCommands(program: Command, world: World): void {
  const node = program.command('node').description('The node that this runs on.');
  withGlobals(node.command('status'))
    .description('Show the BGP sessions of the agent on this node.')
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('-o, --output <format>', 'table, json or yaml')
    .action(async (options) => (await import('../commands/node-status.ts')).runNodeStatus(options, world));
  withGlobals(node.command('list'))
    .description('Show every node with what it last said of itself: ready, sessions, endpoints.')
    .option('-o, --output <format>', 'ps, yaml or json', 'ps')
    .option('--redis-url <url>', 'where nodes report, when that is not the datastore (or REDIS_URL)')
    .action(async (options) => (await import('../commands/node-list.ts')).runNodeList(options, world));
  node
    .command('checksystem')
    .description('Check whether this machine can be a node.')
    .action(async () => (await import('../commands/node-system.ts')).runCheckSystem(world));
  node
    .command('diags')
    .description('Collect what helps to find a fault of this node into one file.')
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('--log-dir <directory>', 'where to put it; the directory for temporary files when absent')
    .action(async (options) => (await import('../commands/node-system.ts')).runDiags(options, world));
  node
    .command('run')
    .description('Run the agent, twill-node, in the foreground.')
    .option('--name <name>', 'name of the Node; the host’s name when absent')
    .option('--ip <address>', 'IPv4 address of the node for BGP, or autodetect')
    .option('--ip6 <address>', 'the same for IPv6')
    .option('--as <number>', 'AS number of the node')
    .option('--etcd-endpoints <urls>', 'where the datastore is (or ETCD_ENDPOINTS)')
    .option('--dryrun', 'print the command line of twill-node instead')
    .action(async (options) => (await import('../commands/node-run.ts')).runNode(options, world));
  withGlobals(node.command('drain-bgp'))
    .description(
      'Move traffic away from a node before maintenance: its routes are announced as about to go (RFC 8326).',
    )
    .argument('<node>', 'name of the Node')
    .action(async (name: string, options) =>
      (await import('../commands/node-drain.ts')).runNodeDrain(name, true, options, world),
    );
  withGlobals(node.command('undrain-bgp'))
    .description('End what drain-bgp began.')
    .argument('<node>', 'name of the Node')
    .action(async (name: string, options) =>
      (await import('../commands/node-drain.ts')).runNodeDrain(name, false, options, world),
    );
}
