// twill-datastore: the embedded store, serving the etcd v3 API from one local directory.

import { statfsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { createLogger, type LogLevel } from '../../runtime/log.ts';
import { logLevelOption } from '../../runtime/log-option.ts';
import { flag, helpText, integer, type OptionValues, optionalText, parseOptions, text } from '../../runtime/options.ts';
import { version } from '../../runtime/version.ts';
import { readAccess } from './access.ts';
import { Engine } from './engine.ts';
import { lockDirectory } from './lock.ts';
import { restoreSnapshot } from './restore.ts';
import { startServer } from './server.ts';

const options = {
  dataDir: text({
    flag: 'data-dir',
    environment: 'TWILL_DATA_DIR',
    default: '/var/lib/twill/datastore',
    value: 'dir',
    help: 'Where the data are kept; made when missing.',
  }),
  listen: text({
    flag: 'listen',
    environment: 'TWILL_DATASTORE_LISTEN',
    default: 'unix:/run/twill/datastore.sock',
    value: 'address',
    help: 'unix:/path, or host:port for TCP.',
  }),
  certFile: optionalText({
    flag: 'cert-file',
    environment: 'TWILL_DATASTORE_CERT_FILE',
    value: 'file',
    help: 'Our certificate, for TLS on TCP.',
  }),
  keyFile: optionalText({
    flag: 'key-file',
    environment: 'TWILL_DATASTORE_KEY_FILE',
    value: 'file',
    help: 'Key of that certificate.',
  }),
  trustedCaFile: optionalText({
    flag: 'trusted-ca-file',
    environment: 'TWILL_DATASTORE_TRUSTED_CA_FILE',
    value: 'file',
    help: 'Clients must show a certificate signed by these authorities.',
  }),
  passwordFile: optionalText({
    flag: 'password-file',
    environment: 'TWILL_DATASTORE_PASSWORD_FILE',
    value: 'file',
    help: 'Clients must log in: one line user:password, readable by its owner only.',
  }),
  allowInsecure: flag({
    flag: 'allow-insecure',
    environment: 'TWILL_DATASTORE_ALLOW_INSECURE',
    default: false,
    help: 'Listen on an address of the network without TLS and without asking who is there.',
  }),
  restore: optionalText({
    flag: 'restore',
    value: 'file',
    help: 'Make the data directory from a snapshot first; it must hold no store yet.',
  }),
  historyMinutes: integer({
    flag: 'history-minutes',
    environment: 'TWILL_HISTORY_MINUTES',
    default: 10,
    min: 0,
    max: 525_600,
    value: 'minutes',
    help: 'How long past revisions are kept for watches that were away; 0 keeps them until somebody compacts.',
  }),
  historyMib: integer({
    flag: 'history-mib',
    environment: 'TWILL_HISTORY_MIB',
    default: 256,
    min: 1,
    max: 65_536,
    value: 'MiB',
    help: 'How much memory past revisions may take; the older half goes when it is more.',
  }),
  logLevel: logLevelOption,
} as const;

const usage = `twill-datastore: a key-value store with etcd's v3 API for one machine, durable in one directory.
Any etcd client works on it, also etcdctl:
ETCDCTL_API=3 etcdctl --endpoints unix:///run/twill/datastore.sock get --prefix /

Usage: twill-datastore [options]`;

const TICK_MS = 500;

async function main(): Promise<void> {
  const parsed = parseOptions(options, { argv: process.argv.slice(2), environment: process.env });
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(helpText(usage, options));
      return;
    case 'version':
      process.stdout.write(`twill-datastore ${version}\n`);
      return;
    case 'problem':
      process.stderr.write(`twill-datastore: ${parsed.message}\n`);
      process.exitCode = 2;
      return;
    case 'values':
      await run(parsed.values);
  }
}

async function run(settings: OptionValues<typeof options>): Promise<void> {
  const level: LogLevel = settings.logLevel;
  const log = createLogger('datastore', level);
  const access = readAccess(settings);
  const lock = lockDirectory(settings.dataDir);
  if (settings.restore !== undefined) await restoreSnapshot(settings.restore, settings.dataDir);
  const engine = new Engine({
    directory: settings.dataDir,
    now: () => performance.now(),
    onSnapshotFailure: (error) => log.warn({ error: error.message }, 'a snapshot could not be written'),
    freeBytes: () => {
      const { bavail, bsize } = statfsSync(settings.dataDir);
      return bavail * bsize;
    },
    history: { ageMs: settings.historyMinutes * 60_000, bytes: settings.historyMib * 1024 * 1024 },
    onFailure: (error) => {
      // Nothing that was not acknowledged is lost by this, and the next start repairs the end of the log.
      log.fatal({ error: error.message, directory: settings.dataDir }, 'the disk failed');
      lock.release();
      process.exit(1);
    },
  });
  if (engine.tornBytes > 0) log.warn({ bytes: engine.tornBytes }, 'removed the unacknowledged end of the log');
  const server = await startServer({
    engine,
    directory: settings.dataDir,
    listen: settings.listen,
    access,
    now: () => performance.now(),
  });
  const ticks = setInterval(() => {
    const wasFull = engine.full;
    engine.tick();
    if (engine.full && !wasFull) log.error({ directory: settings.dataDir }, 'nearly no space left: writes are refused');
    if (!engine.full && wasFull) log.info({ directory: settings.dataDir }, 'there is space again: writes are taken');
  }, TICK_MS);
  const facts = { listen: settings.listen, directory: settings.dataDir, revision: engine.mvcc.revision };
  log.info({ ...facts, clusterId: engine.clusterId }, 'serving');

  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ signal, revision: engine.mvcc.revision }, 'stopping');
    clearInterval(ticks);
    await server.close();
    await engine.close();
    lock.release();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
}

main().catch((error: unknown) => {
  process.stderr.write(`twill-datastore: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
