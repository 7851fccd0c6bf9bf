// Commands about the BGP speaker of the node that twillctl runs on.

import { type Command, Option } from 'commander';
import type { World } from '../world.ts';
import { withGlobals } from './shared.ts';

export function defineBgpCommands(program: Command, world: World): void {
  const bgp = program.command('bgp').description('The BGP speaker of the node that this runs on.');
  withAgent(bgp.command('peers'), 'table, wide, json or yaml')
    .description('Show the sessions, and what keeps those down that are down.')
    .action(async (options) => (await import('../commands/bgp.ts')).runBgpPeers(options, world));
  withAgent(bgp.command('routes'))
    .description(
      'Show routes: the best ones, or what a peer sent or was sent. * marks the best one of its prefix, S a stale one.',
    )
    .argument('[prefix]', 'only this prefix, or the one that an address is routed by')
    .addOption(new Option('--best', 'the best route of each prefix; the default').conflicts(['received', 'advertised']))
    .addOption(new Option('--received <peer>', 'what this peer sent, by name or address').conflicts('advertised'))
    .option('--advertised <peer>', 'what this peer was sent')
    .option('--limit <number>', 'at most so many', '1000')
    .action(async (prefix: string | undefined, options) =>
      (await import('../commands/bgp.ts')).runBgpRoutes(prefix, options, world),
    );
  withAgent(bgp.command('why'))
    .description(
      'Explain a route: every path with the step at which it lost, the kernel’s route, and who gets it or not.',
    )
    .argument('<prefix>', 'a prefix, or an address: the prefix that it is routed by')
    .action(async (prefix: string, options) => (await import('../commands/bgp.ts')).runBgpWhy(prefix, options, world));
  withAgent(bgp.command('dump-mrt'))
    .description('Write all routes of all peers to a file in MRT format (RFC 6396), for other programs to read.')
    .argument('<file>', 'where to; written by the agent')
    .action(async (file: string, options) => (await import('../commands/bgp.ts')).runBgpDumpMrt(file, options, world));
}

const withAgent = (command: Command, formats = 'table, json or yaml'): Command =>
  withGlobals(command)
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('-o, --output <format>', formats);
