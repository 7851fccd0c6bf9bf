// Why no answer comes: segments that the kernel dropped because of TCP-MD5 (RFC 2385) or TTL security (RFC 5082). It counts
// them for the whole namespace, not for each peer, so they are said of peers that are configured with either and are down.
//
//     /proc/net/netstat   TcpExt: names … \n TcpExt: numbers …

import { readFileSync } from 'node:fs';
import type { Clock, Millis } from './edges.ts';
import type { PeerSettings } from './settings.ts';

const meanings = {
  TCPMD5Failure: 'segments with another TCP-MD5 key than ours',
  TCPMD5NotFound: 'segments without the TCP-MD5 key that is set here',
  TCPMD5Unexpected: 'segments with a TCP-MD5 key, and none is set here',
  TCPMinTTLDrop: 'segments from farther away than TTL security allows',
} as const;

type Counter = keyof typeof meanings;
export type TcpDropCounters = Readonly<Record<Counter, number>>;

const none: TcpDropCounters = { TCPMD5Failure: 0, TCPMD5NotFound: 0, TCPMD5Unexpected: 0, TCPMinTTLDrop: 0 };

export function parseNetstat(text: string): TcpDropCounters {
  const [names = '', numbers = ''] = text.split('\n').filter((line) => line.startsWith('TcpExt:'));
  const values = numbers.split(' ');
  const found = new Map(names.split(' ').map((name, i) => [name, Number(values[i] ?? 0)]));
  const of = (name: Counter): number => found.get(name) ?? 0;
  return {
    TCPMD5Failure: of('TCPMD5Failure'),
    TCPMD5NotFound: of('TCPMD5NotFound'),
    TCPMD5Unexpected: of('TCPMD5Unexpected'),
    TCPMinTTLDrop: of('TCPMinTTLDrop'),
  };
}

const sampleMs: Millis = 5000;
/** How long ago a drop may be to explain why there is no answer now. */
const recentSamples = 8;

export class TcpDrops {
  readonly #clock: Clock;
  readonly #read: () => string;
  #samples: TcpDropCounters[] = [];
  #disarm: () => void = () => {};

  constructor(clock: Clock, read: () => string = () => readFileSync('/proc/net/netstat', 'utf8')) {
    this.#clock = clock;
    this.#read = read;
    this.#sample();
  }

  /** What was dropped in the last while that may be of this peer, in words; undefined: nothing. */
  reasonFor(peer: Pick<PeerSettings, 'password' | 'ttlSecurityHops'>): string | undefined {
    const [oldest = none] = this.#samples;
    const now = this.#now() ?? oldest;
    const risen = (counter: Counter): number => now[counter] - oldest[counter];
    const concerns: readonly Counter[] = [
      ...(peer.password ? (['TCPMD5Failure', 'TCPMD5NotFound'] as const) : (['TCPMD5Unexpected'] as const)),
      ...(peer.ttlSecurityHops === undefined ? [] : (['TCPMinTTLDrop'] as const)),
    ];
    const texts = concerns
      .filter((counter) => risen(counter) > 0)
      .map((counter) => `${risen(counter)} ${meanings[counter]}`);
    return texts.length === 0 ? undefined : `dropped here lately: ${texts.join(', ')}`;
  }

  close(): void {
    this.#disarm();
  }

  #sample(): void {
    const now = this.#now();
    if (now) this.#samples = [...this.#samples, now].slice(-recentSamples);
    this.#disarm = this.#clock.after(sampleMs, () => this.#sample());
  }

  #now(): TcpDropCounters | undefined {
    try {
      return parseNetstat(this.#read());
    } catch {
      // Without /proc there is one explanation less.
      return undefined;
    }
  }
}
