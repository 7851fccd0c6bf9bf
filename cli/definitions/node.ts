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
