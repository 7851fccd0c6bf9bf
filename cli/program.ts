// The command line as a whole. Which commands and flags there are is in definitions/; each command's code is loaded only
// when it runs.

import { Command, CommanderError } from 'commander';
import { defineBgpCommands } from './definitions/bgp.ts';
import { defineDatastoreCommands } from './definitions/datastore.ts';
import { defineIpamCommands } from './definitions/ipam.ts';
import { defineNodeCommands } from './definitions/node.ts';
import { definePolicyCommands } from './definitions/policy.ts';
import { defineResourceCommands } from './definitions/resources.ts';
import { withGlobals } from './definitions/shared.ts';
import { CommandError, type World } from './world.ts';

/** Runs one command line; returns the exit code. */
export async function runProgram(argv: readonly string[], world: World): Promise<number> {
  try {
    await buildProgram(world).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (!(error instanceof CommandError)) throw error;
    if (error.message !== '') world.err(`${error.message}\n`);
    return error.exitCode;
  }
}

export function buildProgram(world: World): Command {
  const program = new Command('twillctl')
    .description('Manages the resources of a Twill (or Calico) datastore. Works as calicoctl does, and then some.')
    .showHelpAfterError('Use flag --help to read about a specific subcommand.')
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .enablePositionalOptions();
  defineResourceCommands(program, world);
  defineIpamCommands(program, world);
  defineNodeCommands(program, world);
  defineBgpCommands(program, world);
  defineDatastoreCommands(program, world);
  definePolicyCommands(program, world);
  withGlobals(program.command('version'))
    .description('Show the version of this program and of the cluster.')
    .option('--client', 'only this program')
    .option('--poll <duration>', 'accepted for scripts')
    .action(async (options) => (await import('./commands/version.ts')).runVersion(options, world));
  const cluster = program.command('cluster').description('The cluster as a whole.');
  withGlobals(cluster.command('diags'))
    .description('Collect the datastore’s contents and the state of all nodes into one file.')
    .option('--log-dir <directory>', 'where to put it; the directory for temporary files when absent')
    .action(async (options) =>
      (await import('./commands/cluster-diags.ts')).runClusterDiags(options, world, runProgram),
    );
  program
    .command('completion')
    .description('Print the script that completes command lines in a shell.')
    .argument('<shell>', 'bash, zsh or fish')
    .action(async (shell: string) => (await import('./commands/completion.ts')).runCompletion(shell, world));
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: readonly string[]) =>
      (await import('./commands/completion.ts')).runComplete(program, words, world),
    );
  return program;
}
