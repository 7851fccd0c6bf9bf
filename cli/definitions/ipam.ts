// Commands about addresses and blocks.

import type { Command } from 'commander';
import type { World } from '../world.ts';
import { repeatable, withGlobals } from './shared.ts';

export function defineIpamCommands(program: Command, world: World): void {
  const ipam = program.command('ipam').description('Addresses and blocks.');
  withGlobals(ipam.command('show'))
    .description('Show how full the pools are, or who has an address.')
    .option('--ip <address>', 'only this address')
    .option('--show-blocks', 'the blocks of each pool too')
    .option('--show-borrowed', 'addresses that a node has from another node’s block')
    .option('--show-configuration', 'the settings of IPAM')
    .action(async (options) => (await import('../commands/ipam-show.ts')).runIpamShow(options, world));
  withGlobals(ipam.command('check'))
    .description('Look for addresses that are assigned and not used, used and not assigned, and for contradictions.')
    .option('--show-all-ips', 'list every assigned address')
    .option('--show-problem-ips', 'list what is wrong')
    .option('-o, --output <file>', 'write a report for ipam release')
    .option('--kubeconfig <file>', 'accepted for scripts')
    .action(async (options) => (await import('../commands/ipam-check.ts')).runIpamCheck(options, world));
  withGlobals(ipam.command('release'))
    .description('Give an address back, or all that reports of ipam check call not in use.')
    .option('--ip <address>', 'the address')
    .addOption(repeatable('--from-report <file>', 'a report; with several, only what all of them list'))
    .option('--force', 'although the datastore is not locked')
    .action(async (options) => (await import('../commands/ipam-check.ts')).runIpamRelease(options, world));
  withGlobals(ipam.command('split'))
    .description('Split a pool into smaller ones of equal size.')
    .argument('<number>', 'how many: a power of two')
    .option('--cidr <cidr>', 'the pool with this range')
    .option('--name <name>', 'the pool of this name')
    .action(async (number: string, options) =>
      (await import('../commands/ipam-change.ts')).runIpamSplit(number, options, world),
    );
  withGlobals(ipam.command('configure'))
    .description('Change the settings of IPAM.')
    .option('--strictaffinity <true|false>', 'never borrow addresses from another node’s block')
    .option('--max-blocks-per-host <number>', 'blocks that one node may have')
    .option('--kubevirt-ip-persistence <Enabled|Disabled>', 'keep the addresses of KubeVirt machines')
    .option('--ip-cooldown-seconds <number>', 'how long a released address is not assigned again')
    .action(async (options) => (await import('../commands/ipam-change.ts')).runIpamConfigure(options, world));
}
