// Commands about the node that twillctl runs on.

import { type Command, Option } from 'commander';
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
  withGlobals(node.command('checksystem'))
    .description('Check whether this machine can be a node.')
    .addOption(new Option('-f, --kernel-config <file>', 'accepted for scripts: the kernel itself is asked').hideHelp())
    .action(async () => (await import('../commands/node-system.ts')).runCheckSystem(world));
  withGlobals(node.command('diags'))
    .description('Collect what helps to find a fault of this node into one file.')
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('--log-dir <directory>', 'directory with logs, to collect them too', '/var/log/calico')
    .option('--output-dir <directory>', 'where to put the file; the directory for temporary files when absent')
    .action(async (options) => (await import('../commands/node-system.ts')).runDiags(options, world));
  defineNodeRun(node, world);
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

const methods =
  'how to find it: first-found, can-reach=HOST, interface=REGEX,…, skip-interface=REGEX,…, cidr=CIDR,… or kubernetes-internal-ip';

/** calicoctl's options; those about containers say nothing to a process. */
function defineNodeRun(node: Command, world: World): void {
  const unused = (flags: string): Option => new Option(flags, 'accepted for scripts: there is no container').hideHelp();
  withGlobals(node.command('run'))
    .description('Run the agent, twill-node, in the foreground, as a service manager or a container wants it.')
    .option('--name <name>', 'name of the Node; the host’s name when absent')
    .option('--ip <address>', 'IPv4 address of the node for BGP; autodetect: found anew at each start')
    .option('--ip6 <address>', 'the same for IPv6; none: no IPv6')
    .option('--as <number>', 'AS number of the node')
    .option('--ip-autodetection-method <method>', methods, 'first-found')
    .option('--ip6-autodetection-method <method>', 'the same for IPv6', 'first-found')
    .option('--backend <bird|none>', 'none: policy only, without BGP', 'bird')
    .option('--no-default-ippools', 'make no IP pool when there is none')
    .option('--felix-config <file>', 'file with settings of felix, as felix.cfg')
    .option('--dryrun', 'print the command line of twill-node instead')
    .addOption(unused('--init-system'))
    .addOption(unused('--node-image <image>'))
    .addOption(unused('--log-dir <directory>'))
    .addOption(unused('--disable-docker-networking'))
    .addOption(unused('--docker-networking-ifprefix <prefix>'))
    .addOption(unused('--use-docker-networking-container-labels'))
    .action(async (options) => (await import('../commands/node-run.ts')).runNode(options, world));
}
