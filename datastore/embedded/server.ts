// The gRPC server of twill-datastore: binds the address and hands the services their engine.

import { chmodSync, existsSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { connect, createServer, type Server as NetServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, type ServerCredentials } from '@grpc/grpc-js';
import { type AnyDefinition, loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { type Access, authService, requireToken, Tokens } from './access.ts';
import { withPlainAuthority } from './authority.ts';
import { encodeRangeAnswer } from './encode.ts';
import type { Engine } from './engine.ts';
import { clusterService, type HeaderOf, kvService, leaseService, maintenanceService } from './services.ts';
import { watchService } from './watch-service.ts';

export interface ServerSettings {
  readonly engine: Engine;
  readonly directory: string;
  /** unix:/path or host:port. */
  readonly listen: string;
  readonly access: Access;
  readonly now: () => number;
  /** How often quiet watches are told the revision. */
  readonly progressMs?: number;
}

export interface RunningServer {
  /** The port, when it listens on TCP. */
  readonly port: number;
  close(): Promise<void>;
}

/** etcd's limit of a request plus what gRPC adds. */
const MAX_REQUEST_BYTES = 2 * 1024 * 1024;
const PROGRESS_MS = 60_000;

/** Rejects with an Error whose message is for the operator. */
export async function startServer(settings: ServerSettings): Promise<RunningServer> {
  const { engine, listen, access } = settings;
  // One member: its id is the cluster's.
  const header: HeaderOf = (revision) => ({
    cluster_id: engine.clusterId,
    member_id: engine.clusterId,
    revision,
    raft_term: 1,
  });
  const facts = {
    memberId: engine.clusterId,
    name: 'twill-datastore',
    clientUrls: [listen.startsWith('unix:') ? listen : `${access.secure ? 'https' : 'http'}://${listen}`],
    diskBytes: () => directoryBytes(settings.directory),
  };
  const tokens = access.user && new Tokens(access.user, settings.now);
  const server = new Server({
    'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': 10_000,
    // Statistics that nobody asks for, kept at every call.
    'grpc.enable_channelz': 0,
    ...(tokens ? { interceptors: [requireToken(tokens)] } : {}),
  });
  const services = loadServices();
  server.addService(services('KV'), kvService(engine, header));
  server.addService(services('Watch'), watchService(engine, header, settings.progressMs ?? PROGRESS_MS));
  server.addService(services('Lease'), leaseService(engine, header));
  server.addService(services('Cluster'), clusterService(engine, header, facts));
  server.addService(services('Maintenance'), maintenanceService(engine, header, facts));
  server.addService(
    services('Auth'),
    authService(tokens, () => header(engine.durableRevision)),
  );
  const socketPath = /^unix:(?:\/\/)?(.+)$/.exec(listen)?.[1];
  if (socketPath === undefined) {
    const port = await bind(server, listen, access.credentials);
    return { port, close: () => shutDown(server) };
  }
  await freeSocket(socketPath);
  const door = await openDoor(server, socketPath, access.credentials);
  return {
    port: 0,
    close: async () => {
      door.close();
      await shutDown(server);
      if (existsSync(socketPath)) unlinkSync(socketPath);
    },
  };
}

function loadServices(): (name: string) => ServiceDefinition {
  const definitions = loadSync(fileURLToPath(new URL('./rpc.proto', import.meta.url)), {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return (name) => {
    const definition = definitions[`etcdserverpb.${name}`];
    if (!definition || !isService(definition)) throw new Error(`rpc.proto has no service ${name}`);
    const range = definition['Range'];
    return range ? { ...definition, Range: { ...range, responseSerialize: encodeRangeAnswer } } : definition;
  };
}

const isService = (definition: AnyDefinition): definition is ServiceDefinition => !('format' in definition);

/** Removes the socket of a server that is gone; a living one keeps its place. */
async function freeSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > 107) throw new Error(`${path}: the path of a unix socket has at most 107 bytes`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket()) throw new Error(`${path} is there and is not a socket`);
  if (await answers(path)) throw new Error(`${path}: another server listens there already`);
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function bind(server: Server, listen: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, credentials, (error, port) => {
      if (error) reject(new Error(`can not listen on ${listen}: ${error.message}`));
      else resolve(port);
    });
  });
}

/** Listens on a unix socket by ourselves, for the sake of clients whose words Node's HTTP/2 would refuse. */
function openDoor(server: Server, path: string, credentials: ServerCredentials): Promise<NetServer> {
  const injector = server.createConnectionInjector(credentials);
  const door = createServer((socket) =>
    withPlainAuthority(socket, (connection) => injector.injectConnection(connection)),
  );
  return new Promise((resolve, reject) => {
    door.once('error', (error) => reject(new Error(`can not listen on unix:${path}: ${error.message}`)));
    door.listen(path, () => {
      // Who may open the socket may do everything.
      chmodSync(path, 0o600);
      resolve(door);
    });
  });
}

const SHUT_DOWN_MS = 500;

/** Lets running calls finish; watches are cut, their clients know how to come back. */
async function shutDown(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, SHUT_DOWN_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function directoryBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory)) {
    // A log may be deleted between the two calls.
    const found = await stat(join(directory, name)).catch(() => undefined);
    bytes += found?.size ?? 0;
  }
  return bytes;
}
