// A large cluster as updates from the syncer, the same for one seed: for benchmarks of everything behind the syncer.

import type { RawUpdate } from '../../../felix/calc/graph.ts';
import { formatIpv4 } from '../../../net/address.ts';
import { randomInt, seededRandom } from '../../net/random.ts';
import { entry, namespace } from './world.ts';

export interface ClusterSize {
  readonly endpoints: number;
  /** Of them, those on the node "here". */
  readonly localEndpoints: number;
  readonly policies: number;
  readonly networkSets: number;
  readonly namespaces: number;
  readonly nodes: number;
}

export const largeCluster: ClusterSize = {
  endpoints: 250_000,
  localEndpoints: 200,
  policies: 10_000,
  networkSets: 10_000,
  namespaces: 2500,
  nodes: 5000,
};

const APPS_PER_NAMESPACE = 8;
const ROLES = ['frontend', 'backend', 'cache', 'database'];
const POD_NETWORK = 0x0a000000;

export class Cluster {
  readonly #size: ClusterSize;
  readonly #random: () => number;

  constructor(size: ClusterSize, seed: number) {
    this.#size = size;
    this.#random = seededRandom(seed);
  }

  /** Everything, in pages as the syncer delivers them. */
  *pages(pageSize = 2000): Iterable<readonly RawUpdate[]> {
    let page: RawUpdate[] = [];
    for (const [key, value] of this.#entries()) {
      page.push({ key, value, revision: 1 });
      if (page.length < pageSize) continue;
      yield page;
      page = [];
    }
    yield page;
  }

  *#entries(): Iterable<[string, string]> {
    const { endpoints, policies, networkSets, namespaces, nodes } = this.#size;
    for (let i = 0; i < 100; i++) yield this.globalPolicy(i);
    for (let i = 0; i < networkSets; i++) yield this.networkSet(i);
    for (let i = 0; i < policies - 100; i++) yield this.policy(i);
    for (let i = 0; i < nodes; i++) yield this.#node(i);
    for (let i = 0; i < namespaces; i++)
      yield namespace(`ns-${i}`, { team: `team-${i % 40}`, stage: i % 3 === 0 ? 'prod' : 'test' });
    yield entry('IPPool', 'pods', { spec: { cidr: '10.0.0.0/8', natOutgoing: true } });
    // Namespace by namespace, as the store lists them.
    for (let ns = 0; ns < namespaces; ns++) for (let i = ns; i < endpoints; i += namespaces) yield this.endpoint(i);
  }

  #pick<T>(values: readonly T[]): T | undefined {
    return values[randomInt(this.#random, values.length)];
  }

  #nets(count: number): string[] {
    return Array.from(
      { length: count },
      () => `${formatIpv4((0xc0000000 + randomInt(this.#random, 2 ** 28)) & 0xffffff00)}/24`,
    );
  }

  #node(i: number): [string, string] {
    return entry('Node', `node-${i}`, { spec: { bgp: { ipv4Address: `${formatIpv4(0xac100000 + i)}/16` } } });
  }

  /** Pods of one namespace are spread over nodes; equal apps have equal labels, one pod in ten has labels of its own. */
  endpoint(i: number, relabelled = false): [string, string] {
    const { localEndpoints, namespaces, nodes } = this.#size;
    const isLocal = i < localEndpoints;
    const node = isLocal ? 'here' : `node-${i % nodes}`;
    const ns = i % namespaces;
    const app = Math.floor(i / namespaces) % APPS_PER_NAMESPACE;
    const pod = `app-${app}-${i.toString(36)}`;
    const labels: Record<string, string> = {
      app: `app-${app}`,
      role: ROLES[app % ROLES.length] ?? '',
      'pod-template-hash': `${ns}x${app}`,
      'app.kubernetes.io/managed-by': 'helm',
      ...(relabelled && { role: 'changed' }),
      ...(i % 10 === 0 && { 'statefulset.kubernetes.io/pod-name': pod }),
    };
    const doubled = node.replaceAll('-', '--');
    return entry('WorkloadEndpoint', `ns-${ns}/${doubled}-k8s-${pod.replaceAll('-', '--')}-eth0`, {
      labels,
      spec: {
        orchestrator: 'k8s',
        node,
        pod,
        endpoint: 'eth0',
        containerID: `${i.toString(16).padStart(16, '0')}`,
        serviceAccountName: 'default',
        ipNetworks: [`${formatIpv4(POD_NETWORK + i)}/32`],
        profiles: [`kns.ns-${ns}`, `ksa.ns-${ns}.default`],
        interfaceName: `cali${i.toString(16).padStart(11, '0')}`,
        mac: 'ee:ee:ee:ee:ee:ee',
        ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      },
    });
  }

  policy(i: number, port = 8000 + (i % 100)): [string, string] {
    const ns = i % this.#size.namespaces;
    const app = Math.floor(i / this.#size.namespaces) % APPS_PER_NAMESPACE;
    return entry('NetworkPolicy', `ns-${ns}/policy-${i}`, {
      spec: {
        order: i % 7,
        selector: `app == 'app-${app}'`,
        types: ['Ingress', 'Egress'],
        ingress: [
          {
            action: 'Allow',
            protocol: 'TCP',
            source: { selector: `app == 'app-${(app + 1) % APPS_PER_NAMESPACE}'` },
            destination: { ports: [port, 'http'] },
          },
          {
            action: 'Allow',
            source: { namespaceSelector: `team == 'team-${i % 40}'`, selector: "role == 'frontend'" },
          },
          { action: 'Allow', protocol: 'TCP', source: { nets: this.#nets(4) }, destination: { ports: [443] } },
        ],
        egress: [
          { action: 'Allow', protocol: 'UDP', destination: { ports: [53] } },
          { action: 'Allow', destination: { selector: `set == 'set-${i % 500}'`, namespaceSelector: 'all()' } },
        ],
      },
    });
  }

  globalPolicy(i: number): [string, string] {
    return entry('GlobalNetworkPolicy', `global-${i}`, {
      spec: {
        order: i,
        selector: i % 20 === 0 ? 'all()' : `role == '${ROLES[i % ROLES.length]}' && !has(exempt)`,
        namespaceSelector: `stage == '${i % 2 === 0 ? 'prod' : 'test'}'`,
        ingress: [{ action: 'Deny', source: { selector: `list == 'list-${i}'` } }],
        egress: [{ action: 'Deny', destination: { selector: `list == 'list-${i}'` } }],
      },
    });
  }

  networkSet(i: number): [string, string] {
    const labels = { set: `set-${i % 500}`, list: `list-${i % 100}` };
    const spec = { nets: this.#nets(10) };
    return i % 2 === 0
      ? entry('GlobalNetworkSet', `set-${i}`, { labels, spec })
      : entry('NetworkSet', `ns-${i % this.#size.namespaces}/set-${i}`, { labels, spec });
  }

  anyEndpoint(): number {
    return randomInt(this.#random, this.#size.endpoints);
  }

  anyOf<T>(values: readonly T[]): T | undefined {
    return this.#pick(values);
  }
}
