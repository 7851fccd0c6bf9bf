// twill-bgp's configuration file: strict JSON, read into SpeakerSettings. Pure; every problem names the field and says what
// would be right. The fields are listed in bgp/README.md.

import { type Address, familyOf, formatAddress, type Ipv4, parseAddress, parseIpv4 } from '../net/address.ts';
import { formatPrefix, type Prefix, parsePrefix } from '../net/prefix.ts';
import { defaultLocalAsMode, parseLocalAsMode } from './local-as.ts';
import { md5KeyProblem } from './md5-key.ts';
import type {
  AddressFamily,
  AdjRibOutView,
  BmpSettings,
  DynamicPeerSettings,
  FibSettings,
  ListenSettings,
  LocalAsSettings,
  OriginatedRoute,
  PeerSettings,
  SpeakerSettings,
} from './settings.ts';
import { acceptAll, adjRibOutViews, defaultBestPath } from './settings.ts';

export type FileConfigResult =
  | { readonly kind: 'settings'; readonly settings: SpeakerSettings }
  | { readonly kind: 'problems'; readonly problems: readonly string[] };

const BGP_PORT = 179;
const FIB_TABLE = 254;
const FIB_PROTOCOL = 81;
const FIB_PRIORITY = 1024;

export function settingsFromJson(text: string): FileConfigResult {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: 'problems', problems: [`not JSON: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const reader = new Reader();
  const settings = readSettings(reader.object(value, 'the file'));
  return reader.problems.length > 0 ? { kind: 'problems', problems: reader.problems } : { kind: 'settings', settings };
}

/** Collects problems instead of stopping at the first. */
class Reader {
  readonly problems: string[] = [];

  object(value: unknown, path: string): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.problems.push(`${path}: must be an object`);
      return new Fields(this, path, {});
    }
    return new Fields(this, path, Object.fromEntries(Object.entries(value)));
  }
}

/** The fields of one object; each is asked for once, and finish() reports those that nobody asked for. */
class Fields {
  readonly #reader: Reader;
  readonly #path: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();

  constructor(reader: Reader, path: string, values: Readonly<Record<string, unknown>>) {
    this.#reader = reader;
    this.#path = path;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  problem(name: string, text: string): void {
    this.#reader.problems.push(`${this.#path === 'the file' ? '' : `${this.#path}.`}${name}: ${text}`);
  }

  #take(name: string): unknown {
    this.#asked.add(name);
    return this.#values[name];
  }

  /** `parse` gives undefined for what is wrong; without `fallback` the field must be there. */
  get<T>(name: string, expected: string, parse: (value: unknown) => T | undefined, fallback?: T): T | undefined {
    const value = this.#take(name);
    if (value === undefined) {
      if (fallback === undefined) this.problem(name, `is missing; it must be ${expected}`);
      return fallback;
    }
    const parsed = parse(value);
    if (parsed === undefined) this.problem(name, `${JSON.stringify(value)} is not ${expected}`);
    return parsed ?? fallback;
  }

  optional<T>(name: string, expected: string, parse: (value: unknown) => T | undefined): T | undefined {
    return this.has(name) ? this.get(name, expected, parse) : void this.#take(name);
  }

  flag(name: string, fallback: boolean): boolean {
    return (
      this.get(name, 'true or false', (value) => (typeof value === 'boolean' ? value : undefined), fallback) ?? fallback
    );
  }

  integer(name: string, min: number, max: number, fallback?: number): number {
    const parse = (value: unknown): number | undefined =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
    return this.get(name, `a whole number from ${min} to ${max}`, parse, fallback) ?? min;
  }

  /** Objects of a list, each with its own path. */
  list(name: string): Fields[] {
    const value = this.#take(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) {
      this.problem(name, 'must be a list');
      return [];
    }
    return value.map((item: unknown, i) => this.#reader.object(item, `${name}[${i}]`));
  }

  finish(): void {
    for (const name of Object.keys(this.#values)) if (!this.#asked.has(name)) this.problem(name, 'no such field');
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const addressOf = (value: unknown): Address | undefined =>
  typeof value === 'string' ? parseAddress(value) : undefined;
const ipv4Of = (value: unknown): Ipv4 | undefined => (typeof value === 'string' ? parseIpv4(value) : undefined);
const prefixOf = (value: unknown): Prefix | undefined => (typeof value === 'string' ? parsePrefix(value) : undefined);

function oneOf<const C extends readonly string[]>(choices: C): (value: unknown) => C[number] | undefined {
  return (value) => choices.find((choice) => choice === value);
}

function readSettings(file: Fields): SpeakerSettings {
  const routerId = file.get('routerId', 'an IPv4 address', ipv4Of) ?? 1;
  const asn = file.integer('asn', 1, 0xffffffff);
  const clusterId = file.optional('clusterId', 'an IPv4 address', ipv4Of);
  const holdTimeSec = file.integer('holdTime', 0, 65535, 90);
  const restartTimeSec = file.integer('restartTime', 0, 4095, 120);
  const listen = file.list('listen').map(readListen);
  const policy = file.optional('policy', 'an object of "import" and "export"', (value) => value);
  checkPolicy(policy, file);
  const peers = file.list('neighbors').map((neighbor) => readPeer(neighbor, asn, holdTimeSec));
  const settings: SpeakerSettings = {
    routerId,
    asn,
    ...(clusterId === undefined ? {} : { clusterId }),
    listen,
    peers,
    dynamicPeers: file.list('dynamicNeighbors').map((range) => readRange(range, asn, holdTimeSec)),
    originate: file.list('originate').map(readOriginated),
    fib: readFib(file),
    maxPaths: file.integer('maxPaths', 1, 256, 1),
    bestPath: {
      alwaysCompareMed: file.flag('alwaysCompareMed', defaultBestPath.alwaysCompareMed),
      ignoreAsPathLength: file.flag('ignoreAsPathLength', defaultBestPath.ignoreAsPathLength),
      multipathRelax: file.flag('multipathRelax', defaultBestPath.multipathRelax),
      preferOldest: file.flag('preferOldest', defaultBestPath.preferOldest),
    },
    gracefulRestart: restartTimeSec === 0 ? undefined : { restartTimeSec },
    bmp: file.list('bmp').map(readStation),
  };
  file.finish();
  return settings;
}

/** Policies of the file are all or nothing; filters come with resources. */
function checkPolicy(policy: unknown, file: Fields): void {
  if (policy === undefined) return;
  const isAccept =
    typeof policy === 'object' && policy !== null && Object.values(policy).every((way) => way === 'accept');
  if (!isAccept) file.problem('policy', 'only {"import": "accept", "export": "accept"} is possible in a file');
}

function readListen(listen: Fields): ListenSettings {
  const address = listen.get('address', 'an IP address', addressOf) ?? 0;
  const port = listen.integer('port', 1, 65535, BGP_PORT);
  listen.finish();
  return { address, port };
}

function readStation(station: Fields): BmpSettings {
  const address = station.get('address', 'an IP address', addressOf) ?? 0;
  const port = station.integer('port', 1, 65535);
  const locRib = station.flag('locRib', false);
  const adjRibOut = station.get('adjRibOut', `a list of ${adjRibOutViews.join(', ')}`, viewsOf, []) ?? [];
  station.finish();
  return { address, port, ...(locRib ? { locRib } : {}), ...(adjRibOut.length > 0 ? { adjRibOut } : {}) };
}

function viewsOf(value: unknown): readonly AdjRibOutView[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const views = value.flatMap((item: unknown) => oneOf(adjRibOutViews)(item) ?? []);
  return views.length === value.length ? [...new Set(views)].sort() : undefined;
}

function readOriginated(route: Fields): OriginatedRoute {
  const prefix = route.get('prefix', 'a prefix as "10.0.0.0/26"', prefixOf) ?? { address: 0, length: 0 };
  const blackhole = route.flag('blackhole', false);
  route.finish();
  return { prefix, blackhole, communities: [] };
}

function readFib(file: Fields): FibSettings | undefined {
  const wanted = file.flag('fib', false);
  return wanted ? { table: FIB_TABLE, protocol: FIB_PROTOCOL, priority: FIB_PRIORITY, only: [] } : undefined;
}

const familyChoices = ['ipv4-unicast', 'ipv6-unicast'] as const;

function familiesOf(value: unknown): readonly AddressFamily[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const families = value.flatMap((item: unknown) => oneOf(familyChoices)(item) ?? []);
  return families.length === value.length ? families : undefined;
}

function readLocalAs(peer: Fields): LocalAsSettings | undefined {
  const mode = peer.optional('localAsMode', 'a text as "no-prepend replace-as dual-as", or "plain"', (value) =>
    typeof value === 'string' ? parseLocalAsMode(value) : undefined,
  );
  if (!peer.has('localAs')) {
    if (mode) peer.problem('localAsMode', 'has no effect without localAs');
    return undefined;
  }
  return { asn: peer.integer('localAs', 1, 0xffffffff), ...(mode ?? defaultLocalAsMode) };
}

/** A neighbor that is known by where it calls from: all fields but those of an address. */
function readRange(fields: Fields, localAsn: number, holdTimeSec: number): DynamicPeerSettings {
  const range = fields.get('range', 'a prefix as "10.1.0.0/24"', prefixOf) ?? { address: 0, length: 32 };
  const { address: _a, passive: _p, sourceAddress: _s, asn, ...rest } = readPeer(fields, localAsn, holdTimeSec, range);
  return { ...rest, range, ...(asn === 0 ? {} : { asn }) };
}

function readPeer(peer: Fields, localAsn: number, holdTimeSec: number, range?: Prefix): PeerSettings {
  const address = range ? range.address : (peer.get('address', 'an IP address', addressOf) ?? 0);
  const asn = range && !peer.has('asn') ? 0 : peer.integer('asn', 1, 0xffffffff);
  const type = peer.optional('type', '"ebgp" or "ibgp"', oneOf(['ebgp', 'ibgp']));
  if (type !== undefined && (type === 'ibgp') !== (asn === localAsn) && !peer.has('localAs')) {
    peer.problem('type', `"${type}" does not go with AS ${asn} while ours is ${localAsn}`);
  }
  const password = peer.optional('password', 'a text', textOf);
  const wrongKey = password === undefined ? undefined : md5KeyProblem(password);
  if (wrongKey !== undefined) peer.problem('password', wrongKey);
  const ownIpv4Address = peer.optional('ownIpv4Address', 'an IPv4 address', ipv4Of);
  const ownIpv6Address = peer.optional('ownIpv6Address', 'an IPv6 address', (value) => {
    const own = addressOf(value);
    return typeof own === 'bigint' ? own : undefined;
  });
  const sourceAddress = peer.optional('sourceAddress', 'an IP address', addressOf);
  if (sourceAddress !== undefined && familyOf(sourceAddress) !== familyOf(address)) {
    peer.problem('sourceAddress', 'is of another family than the address');
  }
  const limit = peer.has('maxPrefixes') ? peer.integer('maxPrefixes', 1, 0xffffffff) : undefined;
  const warnAtPercent = peer.integer('maxPrefixesWarnAt', 1, 100, 75);
  const restartAfterSec = peer.has('maxPrefixesRestart') ? peer.integer('maxPrefixesRestart', 1, 0xffff) : undefined;
  const localAs = readLocalAs(peer);
  const settings: PeerSettings = {
    name: peer.optional('name', 'a text', textOf) ?? `file:${range ? formatPrefix(range) : formatAddress(address)}`,
    address,
    asn,
    port: peer.integer('port', 1, 65535, BGP_PORT),
    passive: peer.flag('passive', false),
    routeReflectorClient: peer.flag('routeReflectorClient', false),
    families: peer.get('families', `a list of ${familyChoices.join(', ')}`, familiesOf, ['ipv4-unicast']) ?? [],
    holdTimeSec: peer.integer('holdTime', 0, 65535, holdTimeSec),
    keepaliveTimeSec: peer.integer('keepaliveTime', 0, 65535, 0),
    connectRetrySec: peer.integer('connectRetry', 1, 65535, 5),
    nextHop: peer.get('nextHop', '"auto", "self" or "keep"', oneOf(['auto', 'self', 'keep']), 'auto') ?? 'auto',
    allowedOwnAsns: peer.integer('allowOwnAs', 0, 255, 0),
    gracefulRestart: peer.flag('gracefulRestart', true),
    addPathSend: peer.flag('addPathSend', false),
    addPathReceive: peer.flag('addPathReceive', false),
    ...(peer.has('delayOpen') ? { delayOpenSec: peer.integer('delayOpen', 0, 240) } : {}),
    ...(peer.has('advertisementInterval')
      ? { advertisementIntervalSec: peer.integer('advertisementInterval', 0, 600) }
      : {}),
    ...(localAs === undefined ? {} : { localAs }),
    ...(ownIpv4Address === undefined ? {} : { ownIpv4Address }),
    ...(ownIpv6Address === undefined ? {} : { ownIpv6Address }),
    ...(password === undefined ? {} : { password }),
    ...(sourceAddress === undefined ? {} : { sourceAddress }),
    ...(peer.has('ttlSecurityHops') ? { ttlSecurityHops: peer.integer('ttlSecurityHops', 1, 255) } : {}),
    ...(peer.has('longLivedStaleTime') ? { longLivedStaleSec: peer.integer('longLivedStaleTime', 1, 0xffffff) } : {}),
    ...(limit === undefined
      ? {}
      : { maxPrefixes: { limit, warnAtPercent, ...(restartAfterSec === undefined ? {} : { restartAfterSec }) } }),
    importFilter: acceptAll,
    exportFilter: acceptAll,
  };
  peer.finish();
  return settings;
}
