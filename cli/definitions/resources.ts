// Commands that write, change and show resources.

import { type Command, Option } from 'commander';
import type { GetOptions } from '../commands/get.ts';
import { CommandError, type World } from '../world.ts';
import { withConnection, withFiles, withGlobals, withNamespace } from './shared.ts';

const needsFile = (verb: string): CommandError =>
  new CommandError(`${verb} needs a file: -f FILE, or -f - for standard input`);

export function defineWriting(program: Command, world: World): void {
  const verbs = {
    create: 'Create resources by filename or standard input.',
    apply: 'Create resources, or replace those that exist.',
    replace: 'Replace resources that exist.',
  } as const;
  for (const verb of ['create', 'apply', 'replace'] as const) {
    const command = (verb === 'apply' ? withConnection : withGlobals)(
      withFiles(program.command(verb).description(verbs[verb])),
    );
    command.option('--dry-run', 'say what would happen, and store nothing');
    if (verb === 'create') command.option('--skip-exists', 'resources that exist already are no error');
    if (verb === 'apply') {
      command
        .option('--prune', 'afterwards delete resources of the same kinds that the files do not have; needs -l')
        .option('-l, --selector <selector>', 'with --prune: only resources with such labels');
    }
    command.action(async (options) => {
      if (!options.filename) throw needsFile(verb);
      await (await import('../commands/write.ts')).runWrite(verb, options, world);
    });
  }
  withGlobals(withFiles(program.command('delete')))
    .description('Delete resources by filename or standard input, or by kind and name.')
    .argument('[kind]')
    .argument('[name...]')
    .option('-s, --skip-not-exists', 'resources that do not exist are no error')
    .option('--dry-run', 'say what would happen, and delete nothing')
    .action(async (kind: string | undefined, names: readonly string[], options) =>
      (await import('../commands/delete.ts')).runDelete(kind, names, options, world),
    );
  withGlobals(withFiles(program.command('validate')))
    .description('Check manifests without a datastore.')
    .action(async (options) => {
      if (!options.filename) throw needsFile('validate');
      await (await import('../commands/validate.ts')).runValidate(options, world);
    });
}

export function defineComparing(program: Command, world: World): void {
  withGlobals(withFiles(program.command('diff')))
    .description('Show what applying files would change. Exit code 0: nothing, 1: something, 2: trouble.')
    .action(async (options) => {
      if (!options.filename) throw needsFile('diff');
      await (await import('../commands/diff.ts')).runDiff(options, world);
    });
}

export function defineChanging(program: Command, world: World): void {
  withGlobals(withNamespace(program.command('patch')))
    .description('Change some fields of a resource.')
    .argument('<kind>')
    .argument('<name>')
    .requiredOption('-p, --patch <patch>', 'the patch, as JSON or YAML')
    .option('-t, --type <type>', 'strategic, merge or json', 'strategic')
    .action(async (kind: string, name: string, options) =>
      (await import('../commands/change.ts')).runPatch(kind, name, options, world),
    );
  withGlobals(withNamespace(program.command('edit')))
    .description('Change a resource in your editor (EDITOR).')
    .argument('<kind>')
    .argument('<name>')
    .action(async (kind: string, name: string, options) =>
      (await import('../commands/edit.ts')).runEdit(kind, name, options, world),
    );
  withGlobals(withNamespace(program.command('label')))
    .description('Set or remove labels of a resource.')
    .argument('<kind>')
    .argument('<name>')
    .argument('<labels...>', 'key=value, or with --remove key')
    .option('--overwrite', 'set the label although it has another value')
    .option('--remove', 'remove the label')
    .action(async (kind: string, name: string, labels: readonly string[], options) =>
      (await import('../commands/change.ts')).runLabel(kind, name, labels, options, world),
    );
}

export function defineReading(program: Command, world: World): void {
  withGlobals(withFiles(program.command('get')))
    .description('Show resources by kind and name, or those that a file names.')
    .argument('[kind]', 'as ippool, ippools or pool; several with commas')
    .argument('[name...]')
    .option(
      '-o, --output <format>',
      'ps, wide, yaml, json, custom-columns=A,B, go-template=TEMPLATE, go-template-file=FILE',
      'ps',
    )
    .option('-A, --all-namespaces', 'resources of every namespace')
    .addOption(new Option('-a').hideHelp())
    .option('-w, --watch', 'then show every change, until interrupted')
    .option('--output-schema', 'show the JSON schema of the kind instead')
    .option('--export', 'without what belongs to this cluster: uid, version, creation time, namespace')
    .action(async (kind: string | undefined, names: readonly string[], { a, ...options }) =>
      runReading(kind, names, { ...options, ...(a && { allNamespaces: true }) }, world),
    );
  program
    .command('explain')
    .description('Say what a kind or one of its fields is, as in: explain ippool.spec.blockSize')
    .argument('[path]', 'kind, or kind and field')
    .option('--recursive', 'all fields below')
    .option('--output-schema', 'show the JSON schema of the kind instead')
    .action(async (path: string | undefined, options) =>
      (await import('../commands/explain.ts')).runExplain(path, options, world),
    );
}

interface ReadingOptions extends GetOptions {
  readonly watch?: boolean;
  readonly outputSchema?: boolean;
}

async function runReading(
  kind: string | undefined,
  names: readonly string[],
  options: ReadingOptions,
  world: World,
): Promise<void> {
  if (kind !== undefined && options.outputSchema) {
    await (await import('../commands/explain.ts')).runExplain(kind, { outputSchema: true }, world);
  } else if (options.watch) {
    if (kind === undefined) throw new CommandError('-w needs a kind of resource');
    await (await import('../commands/watch.ts')).runWatch(kind, names, options, world);
  } else await (await import('../commands/get.ts')).runGet(kind, names, options, world);
}
