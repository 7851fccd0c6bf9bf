// A node's agent for the CNI tests, to be run inside a network namespace: the real server, allocator and store in memory,
// and in Felix's place just what a pod needs from it, a host route.
//
//     node --import tsx agent.ts <run directory>
//
// control.sock: GET /v1/dump gives the store, POST /v1/felix {mode} sets how Felix behaves.

import { serveCni } from '../../../cni/server.ts';
import { createMemoryStore } from '../../../datastore/memory.ts';
import { decodeResource, defaultIpamConfig, resourceKey } from '../../../datastore/model/index.ts';
import { Allocator, type IpamView } from '../../../ipam/allocator.ts';
import type { Pool } from '../../../ipam/pools.ts';
import { addRoute } from '../../../linux/netlink/route.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { type Prefix, parsePrefix } from '../../../net/prefix.ts';
import { serveControl } from '../../../runtime/control.ts';
import { createLogger } from '../../../runtime/log.ts';

const [runDir = '.', nodeName = 'node-1'] = process.argv.slice(2);

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed) throw new TypeError(text);
  return parsed;
}

const pool = (name: string, cidr: string, blockLength: number): Pool => ({
  name,
  prefix: prefix(cidr),
  blockLength,
  disabled: false,
  automatic: name !== 'tiny',
  servesWorkloads: true,
  selectsNode: () => true,
  selectsNamespace: () => true,
});

const view: IpamView = {
  pools: () => [
    pool('ipv4', '10.65.0.0/16', 26),
    pool('ipv6', 'fd65::/64', 122),
    // Four addresses in all.
    pool('tiny', '10.66.0.0/30', 30),
  ],
  config: () => defaultIpamConfig,
  nodeLabels: () => ({}),
  isReserved: () => false,
};

const store = createMemoryStore();
const links = new Rtnetlink();
/** Felix programs a change once; CHECK must find out about the loss itself. */
const programmed = new Set<string>();
let felix: 'well' | 'dead' | 'not-ready' | 'slow' = 'well';

async function awaitEndpoint(id: string, revision: number): Promise<void> {
  while (felix === 'slow') await new Promise((resolve) => setTimeout(resolve, 5));
  if (felix !== 'well') throw new Error('felix does not answer');
  const [namespace = '', name = ''] = id.split('/');
  const entry = await store.get(resourceKey({ kind: 'WorkloadEndpoint', namespace, name }));
  const endpoint = entry && decodeResource('WorkloadEndpoint', entry);
  if (entry?.modRevision !== revision || endpoint?.kind !== 'valid')
    throw new Error(`no ${id} at revision ${revision}`);
  const { interfaceName = '', ipNetworks = [] } = endpoint.resource.spec;
  const link = links.link(interfaceName);
  if (!link) throw new Error(`no link ${interfaceName}`);
  for (const network of ipNetworks) {
    const route = { prefix: prefix(network), protocol: 80, nextHops: [{ interfaceIndex: link.index }] };
    if (!programmed.has(`${id} ${entry.createRevision}`)) links.runUnless(addRoute(route), 'EEXIST');
  }
  programmed.add(`${id} ${entry.createRevision}`);
}

const server = await serveCni({
  store,
  allocator: new Allocator({ store, node: nodeName, view, now: Date.now }),
  nodeName,
  socketPath: `${runDir}/cni.sock`,
  awaitEndpoint,
  ready: () => (felix === 'not-ready' ? 'felix is not in sync' : undefined),
  policyStatus: async () => (felix === 'well' ? undefined : 'felix does not answer'),
  log: createLogger('agent', 'error'),
});

const control = await serveControl(`${runDir}/control.sock`, {
  'GET /v1/dump': async () => (await store.list('')).entries.map(({ key, value }) => ({ key, value })),
  'POST /v1/delete': async ({ body }) => {
    if (typeof body === 'string') await store.transact({ compare: [], then: [{ kind: 'delete', key: body }] });
  },
  'POST /v1/felix': ({ body }) => {
    if (body === 'well' || body === 'dead' || body === 'not-ready' || body === 'slow') felix = body;
    return {};
  },
});

process.on('SIGTERM', () => {
  control.close();
  links.close();
  void server.close().then(() => process.exit(0));
});
process.stdout.write('ready\n');
