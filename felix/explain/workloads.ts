// The workload endpoints of a cluster, read when they are asked about: of a quarter of a million a question is about two.

import type { Fault, WorkloadEndpoint } from '../../datastore/model/index.ts';
import { resourcePrefix } from '../../datastore/model/index.ts';
import { type Address, familyOf, formatAddress, widthOf } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';
import { decode, type RawUpdate } from '../calc/decode.ts';
import { networkTexts, workloadSource } from '../calc/inputs.ts';
import type { SourceInput } from '../calc/ip-sets.ts';
import { RemoteSources } from '../calc/remote-sources.ts';

const keyPrefix = resourcePrefix('WorkloadEndpoint');
const nobodyIsLocal = (): boolean => false;

/** Is told how far it is, in words. */
export type OnProgress = (text: string) => void;
const nobodyWaits: OnProgress = () => {};
const progressEvery = 1000;

const MAX_FORMS = 4096;
const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
/**
 * Values that every endpoint has for itself, of a form that is right for their field wherever it stands, also as the name of
 * a label or of a port. All others are left in place, and make a form of their own.
 */
const plainOwnValue = ((): RegExp => {
  const values = [
    ['(?:name|node|pod)', '[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?'],
    ['containerID', '[a-z0-9]{1,63}'],
    ['interfaceName', '[a-z][a-z0-9]{0,14}'],
    ['uid', '[0-9a-f-]{36}'],
    ['creationTimestamp', '[0-9TZ:.+-]{20,40}'],
    ['mac', '(?:[0-9a-f]{2}:){5}[0-9a-f]{2}'],
    // Names that only a label can have.
    [
      '(?:statefulset\\.kubernetes\\.io/pod-name|pod-template-hash|controller-revision-hash)',
      '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?',
    ],
  ].map(([field, value]) => `"${field}":(?="${value}")`);
  const networks = `"ipNetworks":\\[(?="(?:${octet}\\.){3}${octet}/32"\\])`;
  return new RegExp(`(${[...values, networks].join('|')})"[^"]*"`, 'g');
})();

export const isWorkloadKey = (key: string): boolean => key.startsWith(keyPrefix);

export class Workloads {
  readonly #entries: RawUpdate[] = [];
  /** Those of pods that do not exist. */
  readonly #extra: WorkloadEndpoint[] = [];
  readonly #decoded = new Map<RawUpdate, WorkloadEndpoint | undefined>();
  #byNamespace: Map<string, RawUpdate[]> | undefined;

  addEntry(entry: RawUpdate): void {
    this.#entries.push(entry);
    this.#byNamespace = undefined;
  }

  add(workload: WorkloadEndpoint): void {
    this.#extra.push(workload);
  }

  in(namespace: string): readonly WorkloadEndpoint[] {
    const stored = (this.#namespaces().get(namespace) ?? []).flatMap((entry) => this.#read(entry) ?? []);
    return [...stored, ...this.#extra.filter(({ metadata }) => metadata.namespace === namespace)];
  }

  /** `<namespace>/<name>`. */
  get(id: string): WorkloadEndpoint | undefined {
    const [namespace = '', name = ''] = id.split('/');
    return this.in(namespace).find(({ metadata }) => metadata.name === name);
  }

  /** The first that has this very address. */
  withAddress(address: Address): WorkloadEndpoint | undefined {
    const has = (workload: WorkloadEndpoint | undefined): workload is WorkloadEndpoint =>
      workload !== undefined && networkTexts(workload.spec.ipNetworks).some((network) => network.address === address);
    for (const entry of this.#entries) {
      if (!mayMention(entry, address)) continue;
      const workload = this.#read(entry);
      if (has(workload)) return workload;
    }
    return this.#extra.find(has);
  }

  /** The entries of those that have one of these ids, one of these addresses, or a whole network. */
  *entriesFor(ids: ReadonlySet<string>, addresses: ReadonlySet<Address>): Iterable<RawUpdate> {
    const sources = new RemoteSources(nobodyIsLocal);
    const isHost = (prefix: Prefix): boolean => prefix.length === widthOf(familyOf(prefix.address));
    const texts = new Set([...addresses].map(formatAddress));
    for (const entry of this.#entries) {
      const only = onlyAddress(entry.value);
      const isMeant =
        ids.has(entry.key.slice(keyPrefix.length)) ||
        (only === undefined
          ? this.#source(sources, entry)?.prefixes.some((prefix) => !isHost(prefix) || addresses.has(prefix.address))
          : texts.has(only));
      if (isMeant) yield entry;
    }
  }

  /** What selectors see of all of them. */
  *sources(onProgress: OnProgress = nobodyWaits): Iterable<SourceInput> {
    const sources = new RemoteSources(nobodyIsLocal);
    for (const [i, entry] of this.#entries.entries()) {
      if (i % progressEvery === 0) onProgress(`labels of ${i} of ${this.#entries.length} endpoints read`);
      const source = this.#source(sources, entry);
      if (source) yield source;
    }
    yield* this.#extra.map(workloadSource);
  }

  /** Those that are not valid: each is read completely for this, but for those that differ from one before in names only. */
  *faults(onProgress: OnProgress = nobodyWaits): Iterable<readonly [string, readonly Fault[]]> {
    const valid = new Set<string>();
    for (const [i, entry] of this.#entries.entries()) {
      if (i % progressEvery === 0) onProgress(`${i} of ${this.#entries.length} endpoints checked`);
      const form = entry.value?.replace(plainOwnValue, '$1"*"');
      if (form !== undefined && valid.has(form)) continue;
      const faults = decode(entry, () => true)?.faults ?? [];
      if (faults.length > 0) yield [entry.key, faults];
      else if (form !== undefined) {
        if (valid.size >= MAX_FORMS) valid.clear();
        valid.add(form);
      }
    }
  }

  #source(sources: RemoteSources, entry: RawUpdate): SourceInput | undefined {
    if (entry.value === undefined) return undefined;
    const source = sources.read(entry.key, entry.value);
    if (source) return source;
    const workload = this.#read(entry);
    return workload && workloadSource(workload);
  }

  #read(entry: RawUpdate): WorkloadEndpoint | undefined {
    if (this.#decoded.has(entry)) return this.#decoded.get(entry);
    const resource = decode(entry, nobodyIsLocal)?.resource;
    const workload = resource?.kind === 'WorkloadEndpoint' ? resource : undefined;
    this.#decoded.set(entry, workload);
    return workload;
  }

  #namespaces(): Map<string, RawUpdate[]> {
    if (this.#byNamespace) return this.#byNamespace;
    const byNamespace = new Map<string, RawUpdate[]>();
    for (const entry of this.#entries) {
      const namespace = entry.key.slice(keyPrefix.length, entry.key.indexOf('/', keyPrefix.length));
      const inNamespace = byNamespace.get(namespace);
      if (inNamespace) inNamespace.push(entry);
      else byNamespace.set(namespace, [entry]);
    }
    this.#byNamespace = byNamespace;
    return byNamespace;
  }
}

const ipNetworks = '"ipNetworks":';
const oneIpv4Address = new RegExp(`${ipNetworks}\\["((?:${octet}\\.){3}${octet})/32"\\]`);

/** The address of an endpoint that plainly has this one and no other: seen without reading the rest. */
function onlyAddress(text: string | undefined): string | undefined {
  // Without escapes a name is written in one way only.
  if (text === undefined || text.includes('\\') || text.indexOf(ipNetworks) !== text.lastIndexOf(ipNetworks)) {
    return undefined;
  }
  return oneIpv4Address.exec(text)?.[1];
}

/** IPv6 has many spellings: only for IPv4 does the text tell. */
const mayMention = ({ value = '' }: RawUpdate, address: Address): boolean =>
  typeof address !== 'number' || value.includes(formatAddress(address));
