// Our speaker in a bench's namespace, for interoperation tests.

import type { BfdClient } from '../../../bgp/bfd/client.ts';
import type { RouteMonitor } from '../../../bgp/edges.ts';
import { openFib } from '../../../bgp/fib.ts';
import { acceptAll, type PeerSettings, type SpeakerSettings } from '../../../bgp/settings.ts';
import { Speaker } from '../../../bgp/speaker.ts';
import type { PeerReport } from '../../../bgp/status.ts';
import { createTransport } from '../../../bgp/transport.ts';
import { type Address, parseAddress } from '../../../net/address.ts';
import { type Prefix, parsePrefix } from '../../../net/prefix.ts';
import { createLogger } from '../../../runtime/log.ts';
import { type Bench, ourAddress, theirAddress, until } from './routers.ts';

export interface SpeakerOptions {
  readonly peer?: Partial<PeerSettings>;
  readonly settings?: Partial<SpeakerSettings>;
  /** Blocks that we originate. */
  readonly blocks?: readonly string[];
}

export function speakerSettings({ peer = {}, settings = {}, blocks = [] }: SpeakerOptions): SpeakerSettings {
  return {
    routerId: ipv4(ourAddress),
    asn: 64701,
    listen: [
      { address: 0, port: 179 },
      { address: 0n, port: 179 },
    ],
    peers: [
      {
        name: `test:${theirAddress}`,
        address: address(theirAddress),
        port: 179,
        asn: 64601,
        passive: false,
        sourceAddress: address(ourAddress),
        families: ['ipv4-unicast'],
        holdTimeSec: 90,
        keepaliveTimeSec: 0,
        connectRetrySec: 1,
        routeReflectorClient: false,
        nextHop: 'auto',
        allowedOwnAsns: 0,
        gracefulRestart: true,
        addPathSend: false,
        addPathReceive: false,
        importFilter: acceptAll,
        exportFilter: acceptAll,
        ...peer,
      },
    ],
    dynamicPeers: [],
    originate: blocks.map((block) => ({ prefix: prefix(block), blackhole: true, communities: [] })),
    fib: { table: 254, protocol: 81, priority: 1024, only: [] },
    maxPaths: 16,
    gracefulRestart: { restartTimeSec: 120 },
    ...settings,
  };
}

export function startSpeaker(bench: Bench, options: SpeakerOptions, bfd?: BfdClient, monitor?: RouteMonitor): Speaker {
  const speaker = new Speaker({
    ...(bfd ? { failureDetector: bfd } : {}),
    ...(monitor ? { monitor } : {}),
    transport: createTransport({ netns: bench.netns }),
    clock: {
      now: () => performance.now(),
      after: (delay, callback) => {
        const timer = setTimeout(callback, delay);
        return () => clearTimeout(timer);
      },
      random: Math.random,
    },
    openFib: (settings) => openFib({ settings, netns: bench.netns }),
    log: createLogger('test', process.env['TWILL_LOG_LEVEL'] === 'debug' ? 'debug' : 'silent'),
  });
  speaker.configure(speakerSettings(options));
  return speaker;
}

export const peerOf = (speaker: Speaker): PeerReport | undefined => speaker.peers()[0];

export const established = (speaker: Speaker): Promise<void> =>
  until(
    () => peerOf(speaker)?.state === 'Established',
    () => JSON.stringify(speaker.peers()),
  );

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

export function ipv4(text: string): number {
  const parsed = address(text);
  if (typeof parsed !== 'number') throw new Error(`not IPv4: ${text}`);
  return parsed;
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed) throw new Error(`not a prefix: ${text}`);
  return parsed;
}
