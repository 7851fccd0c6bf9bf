// Random but valid policy resources around fixed pods: labels, named ports, tiers, policies, network sets and profiles that
// change from round to round. On request with what real connections can not be judged by: untracked policies, whose answers
// need rules of their own, and protocols that nobody answers.

import { entry } from '../../felix/calc/world.ts';
import { randomInt, seededRandom } from '../../net/random.ts';

export interface WorldPod {
  readonly namespace: string;
  readonly name: string;
  readonly interfaceName: string;
  readonly addresses: readonly string[];
}

export const ports = [80, 81, 8080, 8443];

export interface WorldOptions {
  /** For single packets: protocols without answers, and policies that are not about flows. */
  readonly singlePackets?: boolean;
}

const selectors = [
  "a == '1'",
  "b == '2'",
  "a in {'1', '2'}",
  'has(b)',
  '!has(b)',
  'all()',
  "a == '1' && b == '2'",
  "a != '1'",
];
const subjects = ['has(host)', "a == '1'", "a == '2'", "b == '1'", "a == '3' && has(b)", '!has(a)', 'all()'];
const namespaceSelectors = ['all()', 'global()', "n == '1'", '!has(n)'];
const nets4 = ['10.65.0.0/30', '10.65.0.2/32', '10.65.0.0/16', '0.0.0.0/0', '192.0.2.0/24', '192.0.2.9/32'];
const nets6 = ['fd00:65::/126', 'fd00:65::2/128', '::/0', '2001:db8::/64', 'fd00:65::/64'];

const accounts = ['n1/x', 'n1/y', 'n2/x'];

type Json = Record<string, unknown>;

export class RandomWorld {
  readonly entries = new Map<string, string>();
  readonly #random: () => number;
  readonly #pods: readonly WorldPod[];
  readonly #outside: readonly string[];
  readonly #singlePackets: boolean;

  constructor(
    seed: number,
    pods: readonly WorldPod[],
    outside: readonly string[],
    { singlePackets = false }: WorldOptions = {},
  ) {
    this.#singlePackets = singlePackets;
    this.#random = seededRandom(seed);
    this.#pods = pods;
    this.#outside = outside;
    for (const pod of pods) this.#put(this.#endpoint(pod));
    for (const namespace of ['n1', 'n2']) this.#put(this.#namespace(namespace));
    for (const account of accounts) this.#put(this.#account(account));
    for (let i = 0; i < 12; i++) this.#change();
  }

  below(limit: number): number {
    return randomInt(this.#random, limit);
  }
  chance(part: number): boolean {
    return this.#random() < part;
  }
  pick<T>(values: readonly T[]): T {
    const [value] = values.slice(this.below(values.length));
    return value as T;
  }

  /** A few changes, as people make between two looks. */
  step(): void {
    for (let i = 1 + this.below(4); i > 0; i--) this.#change();
  }

  #put([key, value]: readonly [string, string]): void {
    this.entries.set(key, value);
  }

  #putOrDrop([key, value]: readonly [string, string]): void {
    if (this.entries.has(key) && this.chance(0.5)) this.entries.delete(key);
    else this.entries.set(key, value);
  }

  #change(): void {
    const namespace = this.pick(['n1', 'n2']);
    switch (this.below(12)) {
      case 0:
        this.#put(this.#endpoint(this.pick(this.#pods)));
        return;
      case 1:
        this.#put(this.#namespace(namespace));
        return;
      case 2:
        this.#putOrDrop(
          entry('Tier', this.pick(['t1', 't2']), {
            spec: { order: this.below(4), defaultAction: this.pick(['Deny', 'Pass']) },
          }),
        );
        return;
      case 3:
        this.#putOrDrop(
          entry('GlobalNetworkSet', `s${this.below(2)}`, { labels: this.#labels(), spec: { nets: this.#nets() } }),
        );
        return;
      case 4:
        // The outside host as a pod of another node.
        this.#putOrDrop(
          entry('WorkloadEndpoint', `${namespace}/there-k8s-far-eth0`, {
            labels: this.#labels(),
            spec: { ...this.#place('there', 'far'), ipNetworks: this.#outside, profiles: [`kns.${namespace}`] },
          }),
        );
        return;
      case 5:
        // The node itself.
        this.#putOrDrop(
          entry('HostEndpoint', 'here', {
            labels: { host: '', ...this.#labels() },
            spec: { node: 'here', ...this.#interface(), profiles: this.pick([[], ['kns.n1']]) },
          }),
        );
        return;
      case 6:
      case 10:
        this.#putOrDrop(entry('GlobalNetworkPolicy', `g${this.below(4)}`, { spec: this.#policy(true) }));
        return;
      case 11:
        this.#put(this.#account(this.pick(accounts)));
        return;
      case 7:
        this.#putOrDrop(entry('StagedNetworkPolicy', `${namespace}/s`, { spec: this.#policy(false) }));
        return;
      default:
        this.#putOrDrop(entry('NetworkPolicy', `${namespace}/p${this.below(4)}`, { spec: this.#policy(false) }));
    }
  }

  #place(node: string, pod: string): Json {
    return { orchestrator: 'k8s', node, pod, endpoint: 'eth0', interfaceName: `cali${pod}` };
  }

  #interface(): Json {
    return this.pick([
      { interfaceName: '*' },
      { interfaceName: 'eth0' },
      { expectedIPs: ['192.0.2.1', '2001:db8::1'] },
      { expectedIPs: ['192.0.2.1'] },
    ]);
  }

  #account(path: string): [string, string] {
    const [namespace, name = ''] = path.split('/');
    const labelsToApply = {
      'pcsa.projectcalico.org/name': name,
      ...(this.chance(0.7) && { 'pcsa.role': this.pick(['1', '2']) }),
    };
    return entry('Profile', `ksa.${namespace}.${name}`, { spec: { labelsToApply } });
  }

  #endpoint({ namespace, name, interfaceName, addresses }: WorldPod): [string, string] {
    return entry('WorkloadEndpoint', `${namespace}/here-k8s-${name}-eth0`, {
      labels: this.#labels(),
      spec: {
        ...this.#place('here', name),
        interfaceName,
        ipNetworks: addresses,
        ...this.#accountOf(namespace),
        ports: this.chance(0.6)
          ? [{ name: 'web', protocol: this.pick(this.#portProtocols()), port: this.pick(ports) }]
          : [],
      },
    });
  }

  #accountOf(namespace: string): Json {
    const profiles = [`kns.${namespace}`];
    if (this.chance(0.4)) return { profiles };
    const serviceAccountName = this.pick(['x', 'y']);
    return { serviceAccountName, profiles: [...profiles, `ksa.${namespace}.${serviceAccountName}`] };
  }

  /** Those that endpoints can give a name to. */
  #portProtocols(): string[] {
    return this.#singlePackets ? ['TCP', 'UDP', 'SCTP'] : ['TCP', 'UDP'];
  }

  #namespace(name: string): [string, string] {
    const allow = [{ action: 'Allow' }];
    const spec = {
      ingress: this.chance(0.9) ? allow : [this.#rule('ingress')],
      egress: allow,
      labelsToApply: {
        'pcns.projectcalico.org/name': name,
        ...(this.chance(0.7) && { 'pcns.n': this.pick(['1', '2']) }),
      },
    };
    return entry('Profile', `kns.${name}`, { spec });
  }

  #labels(): Record<string, string> {
    const labels: Record<string, string> = {};
    for (const name of ['a', 'b']) if (this.chance(0.6)) labels[name] = this.pick(['1', '2', '3']);
    return labels;
  }

  #nets(): string[] {
    return Array.from({ length: 1 + this.below(3) }, () => this.pick(this.chance(0.7) ? nets4 : nets6));
  }

  #policy(global: boolean): Json {
    const rules = (direction: 'ingress' | 'egress'): Json[] =>
      Array.from({ length: 1 + this.below(4) }, () => this.#rule(direction));
    const forward = global && this.chance(0.4);
    const preDnat = forward && this.chance(0.3);
    const untracked = this.#singlePackets && forward && !preDnat && this.chance(0.4);
    return {
      ...(untracked && { doNotTrack: true }),
      ...(forward && { applyOnForward: true }),
      ...(preDnat && { preDNAT: true }),
      tier: this.pick(['default', 'default', 't1', 't2']),
      ...(this.chance(0.8) && { order: this.below(5) }),
      selector: this.pick(subjects),
      ...(global && this.chance(0.3) && { namespaceSelector: "n == '1'" }),
      ...(this.chance(0.15) && { serviceAccountSelector: this.pick(["role == '1'", "role != '2'"]) }),
      types: preDnat ? ['Ingress'] : this.pick([['Ingress'], ['Egress'], ['Ingress', 'Egress']]),
      ingress: rules('ingress'),
      egress: preDnat ? [] : rules('egress'),
    };
  }

  #rule(direction: 'ingress' | 'egress'): Json {
    const protocol = this.pick<string | number | undefined>([
      ...['TCP', 'TCP', 'UDP', 'ICMP', undefined, undefined],
      ...(this.#singlePackets ? ['SCTP', 'UDPLite', 'ICMPv6', 89, 6, undefined] : []),
    ]);
    const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
    const hasPorts = protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP' || protocol === 6;
    const family = protocol === 'ICMP' ? 4 : protocol === 'ICMPv6' ? 6 : this.chance(0.75) ? 4 : 6;
    const [peer, own] = direction === 'ingress' ? ['source', 'destination'] : ['destination', 'source'];
    return {
      action: this.pick(['Allow', 'Allow', 'Allow', 'Allow', 'Allow', 'Deny', 'Deny', 'Pass', 'Pass', 'Log']),
      ...(protocol && { protocol }),
      ...(!protocol &&
        this.chance(0.15) && { notProtocol: this.pick(['UDP', ...(this.#singlePackets ? ['SCTP', 89] : [])]) }),
      ...(isIcmp && this.chance(0.4) && { icmp: this.#icmp(family) }),
      ...(isIcmp && this.chance(0.3) && { notICMP: this.#icmp(family) }),
      ...(!isIcmp && this.chance(0.1) && { ipVersion: family }),
      [peer ?? '']: this.#entity(hasPorts, family),
      ...(this.chance(0.2) && { [own ?? '']: this.#entity(hasPorts, family) }),
    };
  }

  #icmp(family: 4 | 6): Json {
    const [request, other] = family === 4 ? [8, 13] : [128, 139];
    return { type: this.chance(0.8) ? request : other, ...(this.chance(0.6) && { code: this.below(3) }) };
  }

  #serviceAccounts(): Json {
    return this.pick<Json>([
      { names: ['x'] },
      { names: ['x', 'y'] },
      { selector: "role == '1'" },
      { names: ['y'], selector: "role != '1'" },
    ]);
  }

  #entity(hasPorts: boolean, family: 4 | 6): Json {
    const nets = family === 4 ? nets4 : nets6;
    const port = (): unknown => this.pick([80, 81, '8000:8100', 'web', '1:65535', 20_000, '30000:65535']);
    return {
      ...(this.chance(0.3) && { selector: this.pick(selectors) }),
      ...(this.chance(0.1) && { notSelector: this.pick(selectors) }),
      ...(this.chance(0.15) && { namespaceSelector: this.pick(namespaceSelectors) }),
      ...(this.chance(0.1) && { serviceAccounts: this.#serviceAccounts() }),
      ...(this.chance(0.2) && { nets: [this.pick(nets), this.pick(nets)] }),
      ...(this.chance(0.1) && { notNets: [this.pick(nets)] }),
      ...(hasPorts && this.chance(0.5) && { ports: [port(), port()] }),
      ...(hasPorts && this.chance(0.1) && { notPorts: [this.pick([80, '8000:9000', 'web'])] }),
    };
  }
}
