// A cluster's policies as something to ask: may this end talk to that one, who decides it, and what would change it?
//
//   entries of the datastore ─► calculation graph, for the ends in question ─► picture ─► verdict at each end
//
// A verdict asks whether the packet's two addresses are in sets, and nothing else: of the endpoints, the graph gets those
// that have such an address.
//
// It knows what the datastore knows and touches neither kernel nor network: it works before anything is deployed.

import {
  encodeResource,
  type Fault,
  type HostEndpoint,
  keyOf,
  type Node,
  type Profile,
  type Resource,
} from '../../datastore/model/index.ts';
import { type Address, type Family, familyOf } from '../../net/address.ts';
import { parsePrefixOrAddress, prefixContains } from '../../net/prefix.ts';
import { decode } from '../calc/decode.ts';
import { type CalcGraph, createCalcGraph, type RawUpdate } from '../calc/graph.ts';
import { type AnyPolicy, hostEndpointSource, networkSetSource, policyInput } from '../calc/inputs.ts';
import type { SourceInput } from '../calc/ip-sets.ts';
import type { CalcHostEndpoint, CalcRule, CalcTier } from '../calc/output.ts';
import type { PlacedPolicy } from '../calc/tiers.ts';
import { commonAddresses, type End, type EndResult, findEnd, labelsOf } from './ends.ts';
import { type Packet, protocolName, type Traffic } from './packet.ts';
import { Picture } from './picture.ts';
import { type Direction, type EvaluateOptions, evaluate, type Subject, type Verdict } from './verdict.ts';
import { isWorkloadKey, type OnProgress, Workloads } from './workloads.ts';

/** What happens at one end. */
export type Side =
  | { readonly kind: 'policy'; readonly subject: Subject; readonly verdict: Verdict }
  /** No policy of that end is asked. */
  | { readonly kind: 'exempt'; readonly allowed: boolean; readonly reason: string };

/** A host endpoint that the packet is forwarded through, on its way from or to a workload. */
export interface Crossing {
  readonly node: string;
  readonly hostEndpoint: string;
  /** Into the node, or out of it. */
  readonly direction: Direction;
  readonly allowed: boolean;
  readonly verdict: Verdict;
}

export interface Flow {
  readonly source: End;
  readonly destination: End;
  readonly packet: Packet;
  readonly allowed: boolean;
  readonly egress: Side;
  readonly ingress: Side;
  /** Only those with policies for forwarded packets. */
  readonly crossings: readonly Crossing[];
}

export type FlowResult =
  | { readonly kind: 'flow'; readonly flow: Flow }
  | { readonly kind: 'problem'; readonly problem: string };

/** A policy that says nothing about an endpoint in a direction, and why. */
export interface NotApplying {
  readonly policy: string;
  readonly reason: string;
}

/** Something with labels: an endpoint, or a network set. */
export interface LabelledSource extends SourceInput {
  readonly isEndpoint: boolean;
}

export class PolicyWorld {
  /** All but those of workload endpoints. */
  readonly #otherEntries: RawUpdate[] = [];
  readonly #otherFaults = new Map<string, readonly Fault[]>();
  readonly #workloads = new Workloads();
  readonly #hostEndpoints: HostEndpoint[] = [];
  readonly #nodes: Node[] = [];
  readonly #profiles = new Map<string, Profile>();
  readonly #policies: { readonly policy: AnyPolicy; readonly place: PlacedPolicy }[] = [];
  readonly #otherSources: LabelledSource[] = [];
  readonly #tiers = new Set<string>();
  readonly #extra: RawUpdate[] = [];
  /** Endpoints that the graph is run for, and the addresses that are asked about. */
  readonly #focus = new Set<string>();
  readonly #workloadIds = new Set<string>();
  readonly #addresses = new Set<Address>();
  #graph: CalcGraph | undefined;
  #picture = new Picture();

  constructor(entries: readonly RawUpdate[]) {
    for (const entry of entries) {
      if (isWorkloadKey(entry.key)) {
        this.#workloads.addEntry(entry);
        continue;
      }
      const decoded = decode(entry, () => true);
      if (!decoded) continue;
      this.#otherEntries.push(entry);
      if (decoded.faults.length > 0) this.#otherFaults.set(entry.key, decoded.faults);
      if (decoded.resource) this.#take(decoded.resource);
    }
  }

  /** Of resources as they are written in files. */
  static of(resources: readonly Resource[]): PolicyWorld {
    return new PolicyWorld(resources.map(entryOf));
  }

  #take(resource: Resource): void {
    switch (resource.kind) {
      case 'HostEndpoint':
        this.#hostEndpoints.push(resource);
        this.#otherSources.push({ ...hostEndpointSource(resource), isEndpoint: true });
        return;
      case 'NetworkSet':
      case 'GlobalNetworkSet':
        this.#otherSources.push({ ...networkSetSource(resource), isEndpoint: false });
        return;
      case 'Tier':
        this.#tiers.add(resource.metadata.name);
        return;
      case 'Node':
        this.#nodes.push(resource);
        return;
      case 'Profile':
        this.#profiles.set(resource.metadata.name, resource);
        return;
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'StagedNetworkPolicy':
      case 'StagedGlobalNetworkPolicy':
      case 'StagedKubernetesNetworkPolicy': {
        const input = policyInput(resource);
        if (input) this.#policies.push({ policy: resource, place: input.place });
        return;
      }
      default:
    }
  }

  get policies(): readonly { readonly policy: AnyPolicy; readonly place: PlacedPolicy }[] {
    return this.#policies;
  }

  /** Everything that selectors can select. */
  *sources(onProgress?: OnProgress): Iterable<LabelledSource> {
    for (const source of this.#workloads.sources(onProgress)) yield { ...source, isEndpoint: true };
    yield* this.#otherSources;
  }

  get tiers(): ReadonlySet<string> {
    return this.#tiers;
  }

  /** Resources that are not valid, by key. Endpoints are read completely for this, and take their time. */
  *faults(onProgress?: OnProgress): Iterable<readonly [string, readonly Fault[]]> {
    yield* this.#otherFaults;
    yield* this.#workloads.faults(onProgress);
  }

  get profiles(): ReadonlyMap<string, Profile> {
    return this.#profiles;
  }

  /** What a person means by "prod/web", "10.0.0.7", "node:a" or "prod:app=web"; see ends.ts. */
  end(text: string, defaultNamespace = 'default'): EndResult {
    const inventory = {
      workloads: this.#workloads,
      hostEndpoints: this.#hostEndpoints,
      nodes: this.#nodes,
      profiles: this.#profiles,
    };
    const result = findEnd(text, inventory, defaultNamespace, this.#extra.length + 1);
    if (result.kind === 'hypothetical') {
      this.#workloads.add(result.endpoint);
      this.#extra.push(entryOf(result.endpoint));
      this.#graph = undefined;
    }
    return result;
  }

  flow(source: End, destination: End, traffic: Traffic, options: EvaluateOptions = {}): FlowResult {
    const addresses = commonAddresses(source, destination);
    if (!addresses) {
      const problem = `${source.name} and ${destination.name} have no addresses of the same IP version`;
      return { kind: 'problem', problem };
    }
    const [from, to] = addresses;
    const packet: Packet = { ...inFamily(traffic, familyOf(from)), source: from, destination: to };
    return { kind: 'flow', flow: this.#flow(source, destination, packet, options) };
  }

  #flow(source: End, destination: End, packet: Packet, options: EvaluateOptions): Flow {
    this.#prepare([source, destination]);
    const egress = this.#side('egress', source, destination, packet, options);
    const ingress = this.#side('ingress', destination, source, packet, options);
    const crossings = this.#crossings(source, destination, packet, options);
    const passes = (side: Side): boolean => (side.kind === 'policy' ? side.verdict.allowed : side.allowed);
    const allowed = passes(egress) && passes(ingress) && crossings.every((crossing) => crossing.allowed);
    return { source, destination, packet, allowed, egress, ingress, crossings };
  }

  /** Out of the source's node, and into the destination's. */
  #crossings(source: End, destination: End, packet: Packet, options: EvaluateOptions): readonly Crossing[] {
    const nodeOf = (end: End): string | undefined => (end.kind === 'outside' ? undefined : end.node);
    if (packet.source === packet.destination || nodeOf(source) === nodeOf(destination)) return [];
    const ways = [
      { end: source, direction: 'egress' },
      { end: destination, direction: 'ingress' },
    ] as const;
    // From and to the node itself, the normal policies of the host endpoint decide.
    return ways.flatMap(({ end, direction }) =>
      end.kind === 'workload' ? (this.#crossing(end.node, direction, packet, options) ?? []) : [],
    );
  }

  #crossing(node: string, direction: Direction, packet: Packet, options: EvaluateOptions): Crossing | undefined {
    const ofNode = this.#hostEndpoints.filter(({ spec }) => spec.node === node);
    const subjects = ofNode.flatMap(({ metadata }) => this.#picture.hostEndpoints.get(metadata.name) ?? []);
    // Resources do not say which interface a packet takes: one for all interfaces, or the only one.
    const subject =
      subjects.find(({ interfaceName }) => interfaceName === '*') ?? (subjects.length === 1 ? subjects[0] : undefined);
    if (!subject) return undefined;
    const of = (verdict: Verdict): Crossing => {
      // What no rule decides is forwarded.
      const allowed = verdict.allowed || verdict.decidedBy.kind === 'no-profile';
      return { node, hostEndpoint: subject.id, direction, allowed, verdict };
    };
    // A failsafe port of the node is open on the way to others as well, as far as these early policies go.
    const isFailsafe = failsafePort(this.#picture.parameters, direction, packet) !== undefined;
    const early =
      direction === 'ingress' && !isFailsafe ? this.#earlyVerdict(subject, direction, packet, options) : undefined;
    // Untracked packets do not meet the forward policies; those that a pre-DNAT policy lets in do.
    if (early && (!early.allowed || early.stage === 'untracked')) return of(early);
    const isConcerned = subject.forwardTiers.some((tier) => tier[direction].length > 0);
    return isConcerned
      ? of(this.#evaluate({ tiers: subject.forwardTiers, profiles: [] }, direction, packet, options))
      : undefined;
  }

  #side(direction: Direction, end: End, other: End, packet: Packet, options: EvaluateOptions): Side {
    if (end.kind === 'outside')
      return { kind: 'exempt', allowed: true, reason: `${end.name} is outside: it has no policy here` };
    if (packet.source === packet.destination) {
      return { kind: 'exempt', allowed: true, reason: 'a packet to the own address does not leave the endpoint' };
    }
    if (end.kind === 'host') return this.#hostSide(direction, end, other, packet, options);
    if (direction === 'ingress' && other.kind === 'host' && other.node === end.node) {
      return { kind: 'exempt', allowed: true, reason: 'a node always reaches the workloads that it hosts' };
    }
    const subject = this.#picture.workloads.get(end.id);
    if (!subject) {
      return { kind: 'exempt', allowed: false, reason: 'its endpoint is not valid or has no interface: it is cut off' };
    }
    if (direction === 'egress' && isEncapsulated(this.#picture.parameters, packet)) {
      const reason = 'workloads may not send encapsulated packets (AllowIPIP-, AllowVXLANPacketsFromWorkloads)';
      return { kind: 'exempt', allowed: false, reason };
    }
    return { kind: 'policy', subject, verdict: this.#evaluate(subject, direction, packet, options) };
  }

  #hostSide(
    direction: Direction,
    end: Extract<End, { kind: 'host' }>,
    other: End,
    packet: Packet,
    options: EvaluateOptions,
  ): Side {
    if (other.kind === 'workload' && other.node === end.node) return this.#besideWorkload(direction);
    const address = direction === 'ingress' ? packet.destination : packet.source;
    const ofNode = this.#hostEndpoints.filter(({ spec }) => spec.node === end.node);
    const subjects = ofNode.flatMap(({ metadata }) => this.#picture.hostEndpoints.get(metadata.name) ?? []);
    const subject =
      subjects.find(({ id }) => id === end.hostEndpoint) ??
      subjects.find(({ expectedAddresses }) => expectedAddresses.includes(address)) ??
      subjects.find(({ interfaceName }) => interfaceName === '*') ??
      onlySubject(subjects, familyOf(address));
    if (!subject) return { kind: 'exempt', allowed: true, reason: `no host endpoint protects ${end.name}` };
    const failsafe = failsafePort(this.#picture.parameters, direction, packet);
    if (failsafe) return { kind: 'exempt', allowed: true, reason: `${failsafe} is a failsafe port` };
    const verdict = this.#earlyVerdict(subject, direction, packet, options);
    return { kind: 'policy', subject, verdict: verdict ?? this.#evaluate(subject, direction, packet, options) };
  }

  /** Between a node and its own workloads no host interface is crossed. */
  #besideWorkload(direction: Direction): Side {
    if (direction === 'egress') {
      return { kind: 'exempt', allowed: true, reason: 'host endpoints are not about the interfaces of workloads' };
    }
    const action = this.#picture.parameters['DefaultEndpointToHostAction'] ?? 'Drop';
    const reason = `DefaultEndpointToHostAction is ${action}: what workloads send to their own node`;
    return { kind: 'exempt', allowed: action !== 'Drop', reason };
  }

  /** Of policies before connection tracking and before destination NAT; what none of their rules decides goes on. */
  #earlyVerdict(
    { untrackedTiers, preDnatTiers }: CalcHostEndpoint,
    direction: Direction,
    packet: Packet,
    options: EvaluateOptions,
  ): (Verdict & { readonly stage: 'untracked' | 'pre-dnat' }) | undefined {
    const stages = [
      { stage: 'untracked', tiers: untrackedTiers },
      { stage: 'pre-dnat', tiers: preDnatTiers },
    ] as const;
    for (const { stage, tiers } of direction === 'ingress' ? stages : stages.slice(0, 1)) {
      const undecided = tiers.map((tier): CalcTier => ({ ...tier, defaultAction: 'pass' }));
      const verdict = this.#evaluate({ tiers: undecided, profiles: [] }, direction, packet, options);
      if (verdict.decidedBy.kind === 'rule') return { ...verdict, stage };
    }
    return undefined;
  }

  #evaluate(subject: Subject, direction: Direction, packet: Packet, options: EvaluateOptions): Verdict {
    const describe = (id: string): string | undefined => this.#graph?.describeIpSet(id);
    return evaluate(this.#picture, subject, direction, packet, { describe, ...options });
  }

  /** Runs the graph for these ends too. Ends add up: asking again about the same costs nothing. */
  #prepare(ends: readonly End[]): void {
    const before = this.#focus.size + this.#addresses.size;
    for (const end of ends) {
      for (const address of end.addresses) this.#addresses.add(address);
      if (end.kind === 'workload') {
        this.#focus.add(`WorkloadEndpoint ${end.id}`);
        this.#workloadIds.add(end.id);
      }
      if (end.kind === 'outside') continue;
      for (const { metadata, spec } of this.#hostEndpoints) {
        if (spec.node === end.node) this.#focus.add(`HostEndpoint /${metadata.name}`);
      }
    }
    if (this.#graph && this.#focus.size + this.#addresses.size === before) return;
    const graph = createCalcGraph({
      nodeName: '',
      isLocal: ({ kind, namespace = '', name }) => this.#focus.has(`${kind} ${namespace}/${name}`),
    });
    graph.onUpdates(this.#otherEntries);
    graph.onUpdates([...this.#workloads.entriesFor(this.#workloadIds, this.#addresses)]);
    graph.onUpdates(this.#extra);
    graph.onInSync();
    this.#picture = new Picture();
    this.#picture.apply(graph.flush());
    this.#graph = graph;
  }

  /** All rules that a packet may meet at an end. */
  rulesAt(end: End, direction: Direction): readonly CalcRule[] {
    if (end.kind === 'outside') return [];
    this.#prepare([end]);
    const workload = end.kind === 'workload' ? this.#picture.workloads.get(end.id) : undefined;
    const subjects: readonly Subject[] = workload ? [workload] : [...this.#picture.hostEndpoints.values()];
    return subjects.flatMap(({ tiers, profiles }) => [
      ...tiers.flatMap((tier) => tier[direction]).flatMap((id) => this.#picture.policies.get(id)?.[direction] ?? []),
      ...profiles.flatMap((name) => this.#picture.profiles.get(name)?.[direction] ?? []),
    ]);
  }

  /** Numbers of the ports that have a name at an end. */
  portsOf(end: End): readonly number[] {
    if (end.kind !== 'workload') return [];
    const workload = this.#workloads.get(end.id);
    return (workload?.spec.ports ?? []).map(({ port }) => port);
  }

  /** Policies of its namespace and global ones that say nothing about a workload in a direction. */
  notApplying(end: End, direction: Direction): readonly NotApplying[] {
    if (end.kind !== 'workload') return [];
    const workload = this.#workloads.get(end.id);
    if (!workload) return [];
    const labels = labelsOf(workload, this.#profiles);
    const silent: NotApplying[] = [];
    for (const { policy, place } of this.#policies) {
      const { namespace } = policy.metadata;
      if (namespace !== undefined && namespace !== workload.metadata.namespace) continue;
      const { selector, id } = place;
      if (!selector.matches(labels)) silent.push({ policy: id, reason: `does not select it: ${selector.text}` });
      else if (!place[direction]) silent.push({ policy: id, reason: `is not about ${direction}` });
      else if (place.stage === 'pre-dnat' || place.stage === 'untracked') {
        silent.push({ policy: id, reason: 'is for host endpoints only' });
      }
    }
    return silent;
  }
}

function isEncapsulated(parameters: Readonly<Record<string, string>>, packet: Packet): boolean {
  const isVxlan = packet.protocol === 17 && packet.destinationPort === Number(parameters['VXLANPort'] ?? 4789);
  return (
    (packet.protocol === 4 && parameters['AllowIPIPPacketsFromWorkloads'] !== 'true') ||
    (isVxlan && parameters['AllowVXLANPacketsFromWorkloads'] !== 'true')
  );
}

/** The only one of a node is that of its only interface, as far as resources tell; unless it names other addresses. */
function onlySubject(subjects: readonly CalcHostEndpoint[], family: Family): CalcHostEndpoint | undefined {
  const [only, ...more] = subjects;
  const namesOthers = only?.expectedAddresses.some((address) => familyOf(address) === family);
  return more.length === 0 && !namesOthers ? only : undefined;
}

const entryOf = (resource: Resource): RawUpdate => ({
  key: keyOf(resource),
  value: encodeResource(resource),
  revision: 0,
});

/** "icmp" means the ICMP of the packet's IP version. */
function inFamily(traffic: Traffic, family: 4 | 6): Traffic {
  if (family === 6 && traffic.protocol === 1) {
    return { ...traffic, protocol: 58, icmpType: traffic.icmpType === 8 ? 128 : (traffic.icmpType ?? 128) };
  }
  return traffic;
}

/** The failsafe port that the packet goes to, as text: "tcp:22", or "tcp:10.0.0.0/8:22" for addresses of a network. */
function failsafePort(
  parameters: Readonly<Record<string, string>>,
  direction: Direction,
  packet: Packet,
): string | undefined {
  const list = parameters[direction === 'ingress' ? 'FailsafeInboundHostPorts' : 'FailsafeOutboundHostPorts'] ?? '';
  const peer = direction === 'ingress' ? packet.source : packet.destination;
  return list.split(',').find((text) => {
    const [, protocol, net, port] = /^(\w+):(?:(.+):)?(\d+)$/.exec(text) ?? [];
    const network = net === undefined ? undefined : parsePrefixOrAddress(net);
    if (net !== undefined && !(network && prefixContains(network, peer))) return false;
    return protocol === protocolName(packet.protocol) && Number(port) === packet.destinationPort;
  });
}
