// The command line: which commands and flags there are. Each command's code is loaded only when it runs.

import { Command, CommanderError, Option } from 'commander';
import { CommandError, type World } from './world.ts';

/** Runs one command line; returns the exit code. */
export async function runProgram(argv: readonly string[], world: World): Promise<number> {
  const program = buildProgram(world);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (!(error instanceof CommandError)) throw error;
    world.err(`${error.message}\n`);
    return 1;
  }
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

const fileOption = new Option(
  '-f, --filename <file>',
  'file, directory, or "-" for standard input; repeatable',
).argParser(collect);

function buildProgram(world: World): Command {
  const program = new Command('twillctl')
    .description('Manages the resources of a Twill (or Calico) datastore. Works as calicoctl does, and then some.')
    .showHelpAfterError('Use flag --help to read about a specific subcommand.')
    .exitOverride()
    .configureOutput({ writeOut: world.out, writeErr: world.err })
    .enablePositionalOptions();
  addWriteCommands(program, world);
  addChangeCommands(program, world);
  addReadCommands(program, world);
  addNodeCommands(program, world);
  addIpamCommands(program, world);
  withGlobals(program.command('version'))
    .description('Show the version of this program and of the cluster.')
    .option('--client', 'only this program')
    .action(async (options) => (await import('./commands/version.ts')).runVersion(options, world));
  return program;
}

/** The options that calicoctl accepts with every command. */
function withGlobals(command: Command): Command {
  return command
    .option('-c, --config <file>', 'file with the connection to the datastore (CalicoAPIConfig)')
    .option('--etcd-endpoints <urls>', 'where the datastore is, separated by commas (or ETCD_ENDPOINTS)')
    .option('--context <context>', 'accepted for scripts; kubeconfig is not used')
    .option('--allow-version-mismatch', 'accepted for scripts; versions are not compared')
    .addOption(new Option('-l, --log-level <level>', 'accepted for scripts').hideHelp());
}

function withFiles(command: Command): Command {
  return command
    .addOption(fileOption)
    .option('-R, --recursive', 'process the directory given with -f recursively')
    .option('--skip-empty', 'files and directories without resources are no error')
    .option('-n, --namespace <namespace>', 'namespace of the resources, for namespaced kinds');
}

function addWriteCommands(program: Command, world: World): void {
  const verbs = {
    create: 'Create resources by filename or standard input.',
    apply: 'Create resources, or replace those that exist.',
    replace: 'Replace resources that exist.',
  } as const;
  for (const verb of ['create', 'apply', 'replace'] as const) {
    const command = withGlobals(withFiles(program.command(verb).description(verbs[verb])));
    if (verb === 'create') command.option('--skip-exists', 'resources that exist already are no error');
    command.action(async (options) => {
      if (!options.filename) throw new CommandError(`${verb} needs a file: -f FILE, or -f - for standard input`);
      await (await import('./commands/write.ts')).runWrite(verb, options, world);
    });
  }
  withGlobals(withFiles(program.command('delete')))
    .description('Delete resources by filename or standard input, or by kind and name.')
    .argument('[kind]')
    .argument('[name...]')
    .option('-s, --skip-not-exists', 'resources that do not exist are no error')
    .action(async (kind: string | undefined, names: readonly string[], options) =>
      (await import('./commands/write.ts')).runDelete(kind, names, options, world),
    );
}

function addChangeCommands(program: Command, world: World): void {
  withGlobals(program.command('patch'))
    .description('Change some fields of a resource.')
    .argument('<kind>')
    .argument('<name>')
    .requiredOption('-p, --patch <patch>', 'the patch, as JSON or YAML')
    .option('-t, --type <type>', 'strategic, merge or json', 'strategic')
    .option('-n, --namespace <namespace>', 'namespace of the resource, for namespaced kinds')
    .action(async (kind: string, name: string, options) =>
      (await import('./commands/change.ts')).runPatch(kind, name, options, world),
    );
  withGlobals(program.command('label'))
    .description('Set or remove labels of a resource.')
    .argument('<kind>')
    .argument('<name>')
    .argument('<labels...>', 'key=value, or with --remove key')
    .option('--overwrite', 'set the label although it has another value')
    .option('--remove', 'remove the label')
    .option('-n, --namespace <namespace>', 'namespace of the resource, for namespaced kinds')
    .action(async (kind: string, name: string, labels: readonly string[], options) =>
      (await import('./commands/change.ts')).runLabel(kind, name, labels, options, world),
    );
  withGlobals(withFiles(program.command('validate')))
    .description('Check manifests without a datastore.')
    .action(async (options) => {
      if (!options.filename) throw new CommandError('validate needs a file: -f FILE, or -f - for standard input');
      await (await import('./commands/validate.ts')).runValidate(options, world);
    });
}

function addReadCommands(program: Command, world: World): void {
  withGlobals(withFiles(program.command('get')))
    .description('Show resources by kind and name, or those that a file names.')
    .argument('[kind]')
    .argument('[name...]')
    .option(
      '-o, --output <format>',
      'ps, wide, yaml, json, custom-columns=A,B, go-template=…, go-template-file=FILE',
      'ps',
    )
    .option('-A, --all-namespaces', 'resources of every namespace')
    .addOption(new Option('-a').hideHelp())
    .option('--export', 'without what belongs to this cluster: uid, version, creation time, namespace')
    .action(async (kind: string | undefined, names: readonly string[], { a, ...options }) =>
      (await import('./commands/get.ts')).runGet(kind, names, { ...options, ...(a && { allNamespaces: true }) }, world),
    );
}

function addNodeCommands(program: Command, world: World): void {
  const node = program.command('node').description('The node that this runs on.');
  withGlobals(node.command('status'))
    .description('Show the BGP sessions of the agent on this node.')
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('-o, --output <format>', 'table, json or yaml')
    .action(async (options) => (await import('./commands/node-status.ts')).runNodeStatus(options, world));
}

function addIpamCommands(program: Command, world: World): void {
  const ipam = program.command('ipam').description('Addresses and blocks.');
  withGlobals(ipam.command('show'))
    .description('Show how full the pools are, or who has an address.')
    .option('--ip <address>', 'only this address')
    .option('--show-blocks', 'the blocks of each pool too')
    .option('--show-borrowed', 'addresses that a node has from another node’s block')
    .option('--show-configuration', 'the settings of IPAM')
    .action(async (options) => (await import('./commands/ipam-show.ts')).runIpamShow(options, world));
}
