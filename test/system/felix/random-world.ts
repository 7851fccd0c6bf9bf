// Random but valid policy resources around fixed pods: labels, named ports, tiers, policies, network sets and profiles that
// change from round to round.

import { entry } from '../../felix/calc/world.ts';
import { randomInt, seededRandom } from '../../net/random.ts';

export interface WorldPod {
  readonly namespace: string;
  readonly name: string;
  readonly interfaceName: string;
  readonly addresses: readonly string[];
}

export const ports = [80, 81, 8080, 8443];

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

type Json = Record<string, unknown>;

export class RandomWorld {
  readonly entries = new Map<string, string>();
  readonly #random: () => number;
  readonly #pods: readonly WorldPod[];
  readonly #outside: readonly string[];

  constructor(seed: number, pods: readonly WorldPod[], outside: readonly string[]) {
    this.#random = seededRandom(seed);
    this.#pods = pods;
    this.#outside = outside;
    for (const pod of pods) this.#put(this.#endpoint(pod));
    for (const namespace of ['n1', 'n2']) this.#put(this.#namespace(namespace));
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
    switch (this.below(11)) {
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
            spec: { node: 'here', interfaceName: '*', profiles: this.pick([[], ['kns.n1']]) },
          }),
        );
        return;
      case 6:
      case 10:
        this.#putOrDrop(entry('GlobalNetworkPolicy', `g${this.below(4)}`, { spec: this.#policy(true) }));
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

  #endpoint({ namespace, name, interfaceName, addresses }: WorldPod): [string, string] {
    return entry('WorkloadEndpoint', `${namespace}/here-k8s-${name}-eth0`, {
      labels: this.#labels(),
      spec: {
        ...this.#place('here', name),
        interfaceName,
        ipNetworks: addresses,
        profiles: [`kns.${namespace}`],
        ports: this.chance(0.6) ? [{ name: 'web', protocol: this.pick(['TCP', 'UDP']), port: this.pick(ports) }] : [],
      },
    });
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
    return {
      ...(forward && { applyOnForward: true }),
      ...(preDnat && { preDNAT: true }),
      tier: this.pick(['default', 'default', 't1', 't2']),
      ...(this.chance(0.8) && { order: this.below(5) }),
      selector: this.pick(subjects),
      ...(global && this.chance(0.3) && { namespaceSelector: "n == '1'" }),
      types: preDnat ? ['Ingress'] : this.pick([['Ingress'], ['Egress'], ['Ingress', 'Egress']]),
      ingress: rules('ingress'),
      egress: preDnat ? [] : rules('egress'),
    };
  }

  #rule(direction: 'ingress' | 'egress'): Json {
    const protocol = this.pick(['TCP', 'TCP', 'UDP', 'ICMP', undefined, undefined]);
    const hasPorts = protocol === 'TCP' || protocol === 'UDP';
    const family = this.chance(0.75) ? 4 : 6;
    const [peer, own] = direction === 'ingress' ? ['source', 'destination'] : ['destination', 'source'];
    return {
      action: this.pick(['Allow', 'Allow', 'Allow', 'Allow', 'Allow', 'Deny', 'Deny', 'Pass', 'Pass', 'Log']),
      ...(protocol && { protocol }),
      ...(!protocol && this.chance(0.15) && { notProtocol: 'UDP' }),
      ...(protocol !== 'ICMP' && this.chance(0.1) && { ipVersion: family }),
      [peer ?? '']: this.#entity(hasPorts, protocol === 'ICMP' ? 4 : family),
      ...(this.chance(0.2) && { [own ?? '']: this.#entity(hasPorts, protocol === 'ICMP' ? 4 : family) }),
    };
  }

  #entity(hasPorts: boolean, family: 4 | 6): Json {
    const nets = family === 4 ? nets4 : nets6;
    const port = (): unknown => this.pick([80, 81, '8000:8100', 'web', '1:65535', 20_000, '30000:65535']);
    return {
      ...(this.chance(0.3) && { selector: this.pick(selectors) }),
      ...(this.chance(0.1) && { notSelector: this.pick(selectors) }),
      ...(this.chance(0.15) && { namespaceSelector: this.pick(namespaceSelectors) }),
      ...(this.chance(0.2) && { nets: [this.pick(nets), this.pick(nets)] }),
      ...(this.chance(0.1) && { notNets: [this.pick(nets)] }),
      ...(hasPorts && this.chance(0.5) && { ports: [port(), port()] }),
      ...(hasPorts && this.chance(0.1) && { notPorts: [this.pick([80, '8000:9000', 'web'])] }),
    };
  }
}
