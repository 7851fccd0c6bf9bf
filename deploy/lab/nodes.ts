// The datastore and the nodes' agents, started as a host would start them, and kept running as systemd would.

import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callControl, somebodyListens } from '../../runtime/control.ts';
import { labDirectory } from './journal.ts';
import { familyOf, Kept, kill, logTail, type Running, type Service, start } from './processes.ts';
import { must, type Outcome, run, waitFor } from './shell.ts';
import { type LabNode, nodes, store } from './topology.ts';

/** The built executables: beside the lab's own bundle, or found from the sources. */
const binDirectory = ['../bin', '../../dist/bin']
  .map((path) => join(dirname(fileURLToPath(import.meta.url)), path))
  .find((directory) => existsSync(join(directory, 'twill-node')));

export function executable(name: string): string {
  if (binDirectory === undefined) throw new Error('dist/bin is empty: run `npm run build`');
  return join(binDirectory, name);
}

export const datastoreSocket = join(labDirectory, 'datastore.sock');
export const datastoreEndpoint = `unix:${datastoreSocket}`;
export const runDirectoryOf = (node: string): string => join(labDirectory, node);

/** systemd's default, RestartSec=. */
export const restartAfterMs = 100;

export class Datastore {
  readonly #service: Service = {
    name: 'datastore',
    inside: store.name,
    command: [
      executable('twill-datastore'),
      ...['--listen', datastoreEndpoint, '--data-dir', join(labDirectory, 'datastore')],
    ],
  };
  #running: Running | undefined;

  /** Returns when it accepts connections. */
  async start(): Promise<void> {
    this.#running = start(this.#service);
    if (!(await waitFor(() => somebodyListens(datastoreSocket), { timeoutMs: 10_000, everyMs: 20 }))) {
      throw new Error(`twill-datastore does not serve ${datastoreSocket}: ${logTail(this.#service)}`);
    }
  }

  async kill(): Promise<void> {
    if (!this.#running) return;
    kill([this.#running.pid]);
    await this.#running.ended;
  }
}

const towardsDatastore = { environment: { ETCD_ENDPOINTS: datastoreEndpoint } };

/** `twillctl …` against the lab's datastore; throws with its words when it fails. */
export const twillctl = (words: readonly string[]): Promise<string> =>
  must([executable('twillctl'), ...words], towardsDatastore);

/** The same, for those whose exit code says something. */
export const twillctlOutcome = (words: readonly string[]): Promise<Outcome> =>
  run([executable('twillctl'), ...words], towardsDatastore);

export class NodeAgent {
  readonly node: LabNode;
  readonly #kept: Kept;

  constructor(node: LabNode) {
    this.node = node;
    mkdirSync(runDirectoryOf(node.name), { recursive: true });
    this.#kept = new Kept(
      {
        name: node.name,
        inside: node.name,
        command: [executable('twill-node')],
        environment: {
          NODENAME: node.name,
          TWILL_RUN_DIR: runDirectoryOf(node.name),
          TWILL_STATE_DIR: join(runDirectoryOf(node.name), 'state'),
          ETCD_ENDPOINTS: datastoreEndpoint,
        },
      },
      restartAfterMs,
    );
  }

  /** The supervisor and its children, right now. */
  processes(): number[] {
    return familyOf(this.#kept.pid);
  }

  /** Leaves it running for good when the lab ends: nobody starts it again. */
  release(): void {
    this.#kept.release();
  }

  /** True when felix has written the policy it knows, BGP is configured, and the CNI socket answers. */
  async ready(): Promise<boolean> {
    const directory = runDirectoryOf(this.node.name);
    const children = await Promise.all(
      ['felix.sock', 'bgp.sock'].map((socket) =>
        callControl(join(directory, socket), '/v1/status', { timeoutMs: 2000 }),
      ),
    );
    const said = children.every((status) => (status as { readonly ready?: boolean }).ready === true);
    return said && (await somebodyListens(join(directory, 'cni.sock')));
  }

  logTail(): string {
    return logTail(this.#kept.service, 8);
  }
}

export async function startAgents(): Promise<readonly NodeAgent[]> {
  const agents = nodes.map((node) => new NodeAgent(node));
  for (const agent of agents) {
    if (!(await waitFor(() => agent.ready(), { timeoutMs: 20_000, everyMs: 200 }))) {
      throw new Error(`twill-node on ${agent.node.name} does not become ready: ${agent.logTail()}`);
    }
  }
  return agents;
}
