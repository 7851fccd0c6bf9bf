// Commands about the datastore itself.

import type { Command } from 'commander';
import { CommandError, type World } from '../world.ts';
import { withGlobals } from './shared.ts';

export function defineDatastoreCommands(program: Command, world: World): void {
  const datastore = program.command('datastore').description('The datastore itself.');
  withGlobals(datastore.command('status'))
    .description('Show the server, its size, whether it is locked, and how many resources it has.')
    .action(async (options) => (await import('../commands/datastore.ts')).runDatastoreStatus(options, world));
  withGlobals(datastore.command('backup'))
    .description('Write everything below /calico, as of one revision, to a file or standard output.')
    .argument('[file]', 'must not exist yet; "-" for standard output')
    .action(async (file: string | undefined, options) =>
      (await import('../commands/datastore.ts')).runBackup(file, options, world),
    );
  withGlobals(datastore.command('restore'))
    .description('Write a backup into an empty datastore.')
    .argument('<file>', '"-" for standard input')
    .option('--force', 'although the datastore is not empty: make it equal')
    .action(async (file: string, options) =>
      (await import('../commands/datastore.ts')).runRestore(file, options, world),
    );
  defineMigration(datastore, world);
  withGlobals(datastore.command('migrate-policy-names'))
    .description('Give policies that are stored under names of before Calico 3.32 (“default.NAME”) their own names.')
    .option('--dry-run', 'say what would be renamed, and change nothing')
    .action(async (options) => (await import('../commands/datastore-policy-names.ts')).runPolicyNames(options, world));
}

function defineMigration(datastore: Command, world: World): void {
  const migrate = datastore.command('migrate').description('Move the data to another datastore.');
  withGlobals(migrate.command('lock'))
    .description('Lock the datastore: agents leave the kernel as it is, and no addresses are assigned.')
    .action(async (options) => (await import('../commands/datastore-lock.ts')).runLock(true, options, world));
  withGlobals(migrate.command('unlock'))
    .description('Unlock the datastore.')
    .action(async (options) => (await import('../commands/datastore-lock.ts')).runLock(false, options, world));
  withGlobals(migrate.command('export'))
    .description('Write a locked datastore to standard output in calicoctl’s form, for import.')
    .action(async (options) => (await import('../commands/datastore-export.ts')).runExport(options, world));
  withGlobals(migrate.command('import'))
    .description('Read what export wrote, calicoctl’s too, into an empty datastore, which is locked then.')
    .option('-f, --filename <file>', 'the file, or "-" for standard input')
    .option('--force', 'although the datastore is not empty: write over what is there')
    .action(async (options) => {
      if (!options.filename) throw new CommandError('import needs a file: -f FILE');
      await (await import('../commands/datastore-import.ts')).runImport(options, world);
    });
  withGlobals(migrate.command('copy'))
    .description('Lock this datastore, copy everything to another one, compare, and unlock that one.')
    .requiredOption('--to <urls>', 'endpoints of the other datastore')
    .option('--force', 'although the other datastore is not empty: make it equal')
    .action(async (options) => (await import('../commands/datastore.ts')).runCopy(options, world));
}
