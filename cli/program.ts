// The command line as a whole. Which commands and flags there are is in definitions/; each command's code is loaded only
// when it runs.

import { Command, CommanderError, Option } from 'commander';
import { version } from '../runtime/version.ts';
import { defineBgpCommands } from './definitions/bgp.ts';
import { defineDatastoreCommands } from './definitions/datastore.ts';
import { defineIpamCommands } from './definitions/ipam.ts';
import { defineNodeCommands } from './definitions/node.ts';
import { definePolicyCommands } from './definitions/policy.ts';
import { defineChanging, defineComparing, defineReading, defineWriting } from './definitions/resources.ts';
import { withConnection, withGlobals, withLogLevel } from './definitions/shared.ts';
import { examplesOf } from './examples.ts';
import { CommandError, type World } from './world.ts';

/** Runs one command line; returns the exit code. */
export async function runProgram(argv: readonly string[], world: World): Promise<number> {
  try {
    await buildProgram(world, argv[0]).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (!(error instanceof CommandError)) throw error;
    if (error.message !== '') world.err(`${error.message}\n`);
    return error.exitCode;
  }
}

/**
 * With all commands, or, as defining them takes as long as running one, only with the part that has the named one.
 */
export function buildProgram(world: World, only?: string): Command {
  const program = new Command('twillctl')
    .description('Manages the resources of a Twill (or Calico) datastore. Works as calicoctl does, and then some.')
    .showHelpAfterError('Use flag --help to read about a specific subcommand.')
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .version(`v${version}`, '--version', 'show the version of this program')
    .enablePositionalOptions();
  withLogLevel(withConnection(program)).hook('preAction', inheritOptions);
  const parts = definitions.filter(({ commands }) => only !== undefined && commands.includes(only));
  for (const { define } of parts.length > 0 ? parts : definitions) define(program, world);
  addExamples(program);
  return program;
}

interface Definition {
  /** What it defines. */
  readonly commands: readonly string[];
  readonly define: (program: Command, world: World) => void;
}

/** In the order of `--help`. */
const definitions: readonly Definition[] = [
  { commands: ['create', 'apply', 'replace', 'delete', 'validate'], define: defineWriting },
  { commands: ['patch', 'edit', 'label'], define: defineChanging },
  { commands: ['get', 'explain'], define: defineReading },
  { commands: ['diff'], define: defineComparing },
  { commands: ['ipam'], define: defineIpamCommands },
  { commands: ['node'], define: defineNodeCommands },
  { commands: ['bgp'], define: defineBgpCommands },
  { commands: ['datastore'], define: defineDatastoreCommands },
  { commands: ['policy'], define: definePolicyCommands },
  { commands: ['version'], define: defineVersion },
  { commands: ['cluster'], define: defineClusterCommands },
  { commands: ['completion', '__complete'], define: defineCompletion },
];

function defineVersion(program: Command, world: World): void {
  withGlobals(program.command('version'))
    .description('Show the version of this program and of the cluster.')
    .option('--client', 'only this program')
    .option('--poll <duration>', 'look again every so often (1s, 10m, 2h), and show what has changed')
    .action(async (options) => (await import('./commands/version.ts')).runVersion(options, world));
}

function defineCompletion(program: Command, world: World): void {
  program
    .command('completion')
    .description('Print the script that completes command lines in a shell.')
    .argument('<shell>', 'bash, zsh or fish')
    .action(async (shell: string) => (await import('./commands/completion.ts')).runCompletion(shell, world));
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: readonly string[]) =>
      (await import('./commands/completion.ts')).runComplete(buildProgram(world), words, world),
    );
}

/** calicoctl takes its global options before the command too: `calicoctl --allow-version-mismatch get nodes`. */
function inheritOptions(program: Command, command: Command): void {
  for (const name of ['config', 'etcdEndpoints']) {
    const given: unknown = program.getOptionValue(name);
    if (given !== undefined && command.getOptionValue(name) === undefined) command.setOptionValue(name, given);
  }
}

function defineClusterCommands(program: Command, world: World): void {
  const cluster = program.command('cluster').description('The cluster as a whole.');
  const unused = (flags: string): Option => new Option(flags, 'accepted for scripts').hideHelp();
  withGlobals(cluster.command('diags'))
    .description('Collect the datastore’s contents and the state of all nodes into one file.')
    .option('--output-dir <directory>', 'where to put it; the directory for temporary files when absent')
    .option('--skip-temp-dir-cleanup', 'keep the single files beside the archive')
    .addOption(unused('--max-logs <number>'))
    .addOption(unused('--max-parallelism <number>'))
    .addOption(unused('--since <duration>'))
    .addOption(unused('--command-timeout <duration>'))
    .addOption(unused('--overall-timeout <duration>'))
    .addOption(unused('--focus-nodes <names>'))
    .addOption(unused('--problem-nodes <names>'))
    .addOption(unused('--problem-pods <names>'))
    .addOption(unused('--comparison-nodes <names>'))
    .addOption(unused('--sample-nodes <number>'))
    .action(async (options) =>
      (await import('./commands/cluster-diags.ts')).runClusterDiags(options, world, runProgram),
    );
}

function addExamples(command: Command): void {
  const examples = examplesOf(command);
  if (examples.length > 0) {
    const lines = examples.map(({ does, line }) => `  # ${does}\n  ${line}\n`);
    command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`.trimEnd());
  }
  for (const child of command.commands) addExamples(child);
}
