// A RIB with peers made of arrays: UPDATEs go in as values, and what each peer has been sent is kept as a table.

import type { AdjRibIn } from '../../../bgp/rib/adj-rib-in.ts';
import { acceptEverything, type RouteFilter } from '../../../bgp/rib/policy.ts';
import { ownNextHopBytes, Rib } from '../../../bgp/rib/rib.ts';
import type { Source } from '../../../bgp/rib/source.ts';
import type { Treatment } from '../../../bgp/rib/treatment.ts';
import type { UpdateGroup } from '../../../bgp/rib/update-group.ts';
import type { AddressFamily } from '../../../bgp/settings.ts';
import { type PathAttributes, plainContext, type WireContext } from '../../../bgp/wire/attributes.ts';
import { decodeMessage, encodeMessage } from '../../../bgp/wire/codec.ts';
import type { Message, NotificationMessage } from '../../../bgp/wire/message.ts';
import type { Nlri } from '../../../bgp/wire/nlri.ts';
import { endOfRibOf, type UpdateMessage } from '../../../bgp/wire/update.ts';
import { parseAddress } from '../../../net/address.ts';
import { formatPrefix, parsePrefix } from '../../../net/prefix.ts';

export const OWN_AS = 65000;
export const OWN_ID = 0x0a630001;
export const CLUSTER_ID = 0x0a630001;

export interface PeerOptions {
  readonly asn?: number;
  readonly routerId?: number;
  readonly address?: string;
  readonly client?: boolean;
  readonly families?: readonly AddressFamily[];
  readonly context?: Partial<WireContext>;
  readonly importFilter?: RouteFilter;
  readonly treatment?: Partial<Treatment>;
  readonly extendedNextHop?: boolean;
  readonly allowedOwnAsns?: number;
  readonly localAsn?: number;
  /** Taken for how much it has not taken yet, from the beginning. */
  readonly queuedBytes?: number;
}

export const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  if (!parsed) throw new Error(`not a prefix: ${text}`);
  return parsed;
};

export const address = (text: string) => {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
};

export const ipv4 = (text: string): number => Number(address(text));

/** Attributes of an eBGP route; override what matters. */
export const attributes = (rest: PathAttributes = {}): PathAttributes => ({
  origin: 0,
  asPath: [{ kind: 'sequence', asns: [64601] }],
  nextHop: ipv4('10.0.0.1'),
  ...rest,
});

export const update = (rest: Partial<UpdateMessage>): UpdateMessage => ({
  kind: 'update',
  withdrawn: [],
  attributes: {},
  unknownAttributes: [],
  nlri: [],
  ...rest,
});

/** "10.0.0.0/8", or with a path identifier "10.0.0.0/8 #7". */
const keyOf = ({ prefix, pathId }: Nlri): string =>
  pathId === undefined ? formatPrefix(prefix) : `${formatPrefix(prefix)} #${pathId}`;

export class TestPeer {
  readonly source: number;
  readonly table = new Map<string, PathAttributes>();
  readonly endOfRibs: AddressFamily[] = [];
  readonly received: Message[] = [];
  /** What it was written, as it was handed over. */
  readonly chunks: Uint8Array[] = [];
  /** What the peer has sent as complete, in order. */
  readonly heardEndOfRib: AddressFamily[] = [];
  queuedBytes = 0;
  readonly adjRibIn: AdjRibIn;
  readonly groups: UpdateGroup[] = [];
  readonly #context: WireContext;
  readonly #addPath: boolean;

  constructor(rib: Rib, number: number, options: PeerOptions) {
    const { asn = OWN_AS, families = ['ipv4-unicast'], client = false } = options;
    const external = asn !== OWN_AS;
    const about: Source = {
      name: `peer${number}`,
      local: false,
      external,
      client,
      asn,
      routerId: options.routerId ?? number,
      address: address(options.address ?? `10.0.0.${number}`),
      fourOctetAs: true,
      localAsn: options.localAsn ?? OWN_AS,
      ownAsn: OWN_AS,
      allowedOwnAsns: options.allowedOwnAsns ?? 0,
    };
    this.queuedBytes = options.queuedBytes ?? 0;
    this.source = rib.sources.add(about);
    this.#context = { ...plainContext, external, ...options.context };
    this.adjRibIn = rib.open(this.source, about, {
      context: this.#context,
      families,
      extendedNextHop: options.extendedNextHop ?? false,
      importFilter: options.importFilter ?? acceptEverything,
      onEndOfRib: (family) => this.heardEndOfRib.push(family),
    });
    this.#addPath = options.treatment?.addPath ?? false;
    for (const family of families) {
      const treatment: Treatment = {
        family,
        external,
        client,
        localAsn: OWN_AS,
        clusterId: CLUSTER_ID,
        nextHop: 'auto',
        ownNextHop: ownNextHopBytes([family === 'ipv4-unicast' ? OWN_ID : address('fd00::1')]),
        extendedNextHop: options.extendedNextHop ?? false,
        fourOctetAs: this.#context.fourOctetAs,
        addPath: false,
        maxMessageLength: 4096,
        longLived: false,
        draining: false,
        filter: acceptEverything,
        filterKey: '',
        ...options.treatment,
      };
      this.groups.push(rib.join(this.source, this, treatment, (writer) => writer.endOfRib(family)));
    }
  }

  /** What the peer says to the RIB. */
  send(message: UpdateMessage): NotificationMessage | undefined {
    return this.sendBytes(encodeMessage(message, this.#context).subarray(19));
  }

  sendBytes(body: Uint8Array): NotificationMessage | undefined {
    return this.adjRibIn.receive(body, 0, body.length);
  }

  announce(text: string, rest: PathAttributes = {}): void {
    this.send(update({ attributes: attributes(rest), nlri: [{ prefix: prefix(text) }] }));
  }

  announce6(text: string, rest: PathAttributes = {}): void {
    const { nextHop: _, ...common } = attributes(rest);
    const nextHops = [address('2001:db8::1')];
    const mpReach = { afi: 2, safi: 1, nextHops, nlri: [{ prefix: prefix(text) }] };
    this.send(update({ attributes: { mpReach, ...common } }));
  }

  withdraw(text: string): void {
    this.send(update({ withdrawn: [{ prefix: prefix(text) }] }));
  }

  /** What the RIB says to the peer. */
  write(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    for (let at = 0; at < bytes.length; ) {
      const length = ((bytes[at + 16] ?? 0) << 8) | (bytes[at + 17] ?? 0);
      const addPath = { addPathIpv4: this.#addPath, addPathIpv6: this.#addPath };
      const outgoing = { ...this.#context, external: false, ...addPath };
      const result = decodeMessage(bytes.subarray(at, at + length), outgoing, true);
      if (result.kind === 'refused' || result.treatAsWithdraw || result.findings.length > 0) {
        throw new Error(`malformed output: ${JSON.stringify(result)}`);
      }
      this.received.push(result.message);
      if (result.message.kind === 'update') this.#take(result.message);
      at += length;
    }
  }

  #take(message: UpdateMessage): void {
    const family = endOfRibOf(message);
    if (family) this.endOfRibs.push(family);
    const { mpReach, mpUnreach } = message.attributes;
    for (const nlri of [...message.withdrawn, ...(mpUnreach?.withdrawn ?? [])]) this.table.delete(keyOf(nlri));
    for (const nlri of [...message.nlri, ...(mpReach?.nlri ?? [])]) this.table.set(keyOf(nlri), message.attributes);
  }

  /** Its routes go out in another way from now on. */
  move(rib: Rib, treatment: Partial<Treatment>): void {
    for (const [i, group] of this.groups.entries()) {
      this.groups[i] = rib.move(this.source, group, this, { ...group.treatment, ...treatment });
    }
  }

  drain(): void {
    this.queuedBytes = 0;
    for (const group of this.groups) {
      const member = group.members.get(this.source);
      if (member) group.pump(member);
    }
  }
}

export class Lab {
  readonly rib = new Rib({ routerId: OWN_ID, clusterId: CLUSTER_ID }, OWN_AS);
  #count = 0;

  peer(options: PeerOptions = {}): TestPeer {
    return new TestPeer(this.rib, ++this.#count, options);
  }
}
