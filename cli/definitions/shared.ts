// Options that many commands share.

import { type Command, Option } from 'commander';

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

/** An option that may be given several times. */
export const repeatable = (flags: string, description: string): Option =>
  new Option(flags, description).argParser(collect);

/** The options that calicoctl accepts with every command. */
export const withGlobals = (command: Command): Command => withLogLevel(withConnection(command));

export const withLogLevel = (command: Command): Command =>
  command.addOption(new Option('-l, --log-level <level>', 'accepted for scripts').hideHelp());

/** The same without -l, where that means labels. */
export const withConnection = (command: Command): Command =>
  command
    .option('-c, --config <file>', 'file with the connection to the datastore (CalicoAPIConfig)')
    .option('--etcd-endpoints <urls>', 'where the datastore is, separated by commas (or ETCD_ENDPOINTS)')
    .option('--context <context>', 'accepted for scripts; kubeconfig is not used')
    .option('--allow-version-mismatch', 'accepted for scripts; versions are not compared');

export const withFiles = (command: Command): Command =>
  withNamespace(
    command
      .addOption(repeatable('-f, --filename <file>', 'file, directory, or "-" for standard input; repeatable'))
      .option('-R, --recursive', 'process the directory given with -f recursively')
      .option('--skip-empty', 'files and directories without resources are no error'),
  );

export const withNamespace = (command: Command): Command =>
  command.option('-n, --namespace <namespace>', 'namespace of the resources, for namespaced kinds');
