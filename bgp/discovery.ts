// Peers that nobody named: the router at the other end of an interface, found by router advertisement (RFC 4861), for
// sessions over link-local addresses that carry both families (RFC 8950). What others call unnumbered or interface peering.
//
//     links that match ──► advertise, solicit ──► a neighbour's advertisement ──► onPeers(settings of its session)
//
// A neighbour stays until another address advertises itself on its interface or the interface goes: whether it is alive is
// the session's business.

import { Monitor, type MonitorEvent } from '../linux/monitor.ts';
import { type Link, parseMac } from '../linux/netlink/link.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import { PacketListener } from '../linux/packet-listener.ts';
import { RouterDiscovery } from '../linux/router-discovery.ts';
import { type Address, formatAddress } from '../net/address.ts';
import type { Logger } from '../runtime/log.ts';
import type { PeerSettings } from './settings.ts';

export interface InterfacePeering {
  /** Interfaces by name; "*" stands for any text. */
  readonly pattern: string;
  /** The session's settings but for address, device and the end of its name. */
  readonly template: PeerSettings;
}

const tickMs = 1000;
/** Ticks between advertisements once the neighbour is known: as often as routers do that peer in this way. */
const calmTicks = 10;

interface Watched {
  readonly link: Link;
  readonly discovery: RouterDiscovery;
  neighbour: Address | undefined;
}

export class PeerDiscovery {
  readonly #log: Logger;
  readonly #onPeers: () => void;
  #peerings: readonly InterfacePeering[] = [];
  readonly #watched = new Map<string, Watched>();
  /** Interface index by address. Kept when a link goes down, so that next hops count again as soon as it is back. */
  readonly #places = new Map<Address, number>();
  #running: Running | undefined;
  #ticks = 0;

  /** `onPeers`: peers() gives something else now. */
  constructor(log: Logger, onPeers: () => void) {
    this.#log = log;
    this.#onPeers = onPeers;
  }

  /** Nothing is started before the first peering. */
  configure(peerings: readonly InterfacePeering[]): void {
    this.#peerings = peerings;
    if (peerings.length > 0) this.#running ??= this.#start();
    for (const link of this.#running?.links() ?? []) this.#onLink(link);
  }

  /** The sessions with the neighbours found so far. */
  peers(): PeerSettings[] {
    return [...this.#watched].flatMap(([device, { neighbour }]) => {
      const peering = this.#peeringOf(device);
      if (neighbour === undefined || !peering) return [];
      const { template } = peering;
      return [{ ...template, name: `${template.name}:${device}`, address: neighbour, device }];
    });
  }

  /** The interface that a neighbour's address is on, or was when it was last seen. */
  interfaceOf(address: Address): number | undefined {
    return this.#places.get(address);
  }

  async close(): Promise<void> {
    for (const device of [...this.#watched.keys()]) this.#forget(device);
    await this.#running?.close();
    this.#running = undefined;
  }

  #start(): Running {
    return new Running(
      (events) => {
        for (const event of events) this.#onEvent(event);
      },
      () => {
        this.#ticks++;
        for (const watched of this.#watched.values()) {
          // The first ones after a link came up are lost: its address is being tested for duplicates.
          if (watched.neighbour === undefined) this.#introduce(watched);
          else if (this.#ticks % calmTicks === 0) this.#advertise(watched);
        }
      },
    );
  }

  #onEvent(event: MonitorEvent): void {
    if (event.kind === 'link') this.#onLink(event.link);
    else if (event.kind === 'link-removed') this.#onLink({ ...event.link, up: false });
    else if (event.kind === 'resync') for (const link of this.#running?.links() ?? []) this.#onLink(link);
  }

  #onLink(link: Link): void {
    const known = this.#watched.get(link.name);
    const wanted = link.up && this.#peeringOf(link.name) !== undefined;
    if (known && (!wanted || known.link.index !== link.index)) this.#forget(link.name);
    if (wanted && !this.#watched.has(link.name)) this.#watch(link);
  }

  #watch(link: Link): void {
    const listener = this.#running?.listener;
    if (!listener) return;
    try {
      const discovery = new RouterDiscovery({
        device: link.name,
        listener,
        onMessage: ({ kind }, source) => this.#onMessage(link.name, kind, source),
      });
      const watched: Watched = { link, discovery, neighbour: undefined };
      this.#watched.set(link.name, watched);
      this.#introduce(watched);
    } catch (error) {
      this.#log.warn({ interface: link.name, error: String(error) }, 'can not look for peers');
    }
  }

  #onMessage(device: string, kind: 'solicitation' | 'advertisement', source: Address): void {
    const watched = this.#watched.get(device);
    if (!watched) return;
    if (kind === 'solicitation') this.#advertise(watched);
    // Who solicits may be a host; who advertises is a router.
    if (kind !== 'advertisement' || watched.neighbour === source) return;
    watched.neighbour = source;
    this.#places.set(source, watched.link.index);
    this.#log.info({ interface: device, address: formatAddress(source) }, 'neighbour found');
    this.#onPeers();
  }

  #introduce(watched: Watched): void {
    this.#advertise(watched);
    this.#send(watched, (mac) => watched.discovery.solicit(mac));
  }

  #advertise(watched: Watched): void {
    this.#send(watched, (mac) => watched.discovery.advertise(mac));
  }

  #send({ link }: Watched, send: (mac: Uint8Array) => void): void {
    const mac = parseMac(link.mac);
    try {
      if (mac) send(mac);
    } catch (error) {
      // The interface has no usable address yet, or is going; the next one is not far.
      this.#log.debug({ interface: link.name, error: String(error) }, 'nothing sent to look for routers');
    }
  }

  #forget(device: string): void {
    const watched = this.#watched.get(device);
    if (!watched) return;
    watched.discovery.close();
    this.#watched.delete(device);
    if (watched.neighbour !== undefined) this.#onPeers();
  }

  #peeringOf(device: string): InterfacePeering | undefined {
    return this.#peerings.find(({ pattern }) => matchesInterface(pattern, device));
  }
}

/** What costs threads and sockets. */
class Running {
  readonly listener = new PacketListener();
  readonly #rtnetlink = new Rtnetlink();
  readonly #monitor: Monitor;
  readonly #timer: NodeJS.Timeout;

  constructor(onEvents: (events: readonly MonitorEvent[]) => void, onTimer: () => void) {
    this.#monitor = new Monitor({ watch: ['links'], onEvents });
    this.#timer = setInterval(onTimer, tickMs);
  }

  links(): Link[] {
    return this.#rtnetlink.links();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#monitor.close();
    await this.listener.close();
    this.#rtnetlink.close();
  }
}

export function matchesInterface(pattern: string, device: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.\\+?^${}()|[\]]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(device);
}
