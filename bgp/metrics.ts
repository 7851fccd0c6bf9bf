// The speaker's state in Prometheus' text format. Written by hand: a page is made from what status has anyway, so nothing
// is counted twice, and nothing at all costs on the routes' way.

import type { PeerReport, StatusReport } from './status.ts';

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly of: (peer: PeerReport, nowMs: number) => number;
}

const stateNumbers = { Idle: 1, Connect: 2, Active: 3, OpenSent: 4, OpenConfirm: 5, Established: 6 } as const;

const peerMetrics: readonly Metric[] = [
  { name: 'up', type: 'gauge', help: '1 while Established.', of: ({ state }) => (state === 'Established' ? 1 : 0) },
  {
    name: 'state',
    type: 'gauge',
    help: 'RFC 4273 number, 1 Idle to 6 Established.',
    of: ({ state }) => stateNumbers[state],
  },
  {
    name: 'state_seconds',
    type: 'gauge',
    help: 'Seconds in the present state.',
    of: ({ since }, nowMs) => Math.max(0, (nowMs - Date.parse(since)) / 1000),
  },
  {
    name: 'uptime_seconds',
    type: 'gauge',
    help: 'Seconds since the session came up; 0 while it is down.',
    of: ({ uptimeMs = 0 }) => uptimeMs / 1000,
  },
  {
    name: 'flaps_total',
    type: 'counter',
    help: 'Times that the session was lost.',
    of: ({ timesEstablished, state }) => Math.max(0, timesEstablished - (state === 'Established' ? 1 : 0)),
  },
  {
    name: 'established_total',
    type: 'counter',
    help: 'Times that the session came up.',
    of: ({ timesEstablished }) => timesEstablished,
  },
  { name: 'prefixes_received', type: 'gauge', help: 'Routes from the peer.', of: ({ routesIn }) => routesIn },
  {
    name: 'prefixes_accepted',
    type: 'gauge',
    help: 'Of those, what import filters let pass.',
    of: ({ routesAccepted }) => routesAccepted,
  },
  { name: 'prefixes_sent', type: 'gauge', help: 'Routes that the peer has from us.', of: ({ routesOut }) => routesOut },
  { name: 'messages_received_total', type: 'counter', help: 'BGP messages.', of: ({ messagesIn }) => messagesIn },
  { name: 'messages_sent_total', type: 'counter', help: 'BGP messages.', of: ({ messagesOut }) => messagesOut },
  {
    name: 'queue_bytes',
    type: 'gauge',
    help: 'Bytes that the peer has not taken yet.',
    of: ({ queuedBytes }) => queuedBytes,
  },
  {
    name: 'updates_treated_as_withdraw_total',
    type: 'counter',
    help: 'Malformed UPDATEs of this session that were taken as withdrawals (RFC 7606).',
    of: ({ malformedUpdates }) => malformedUpdates.treatedAsWithdraw,
  },
  {
    name: 'updates_attribute_discarded_total',
    type: 'counter',
    help: 'Malformed UPDATEs of this session of which an attribute was discarded (RFC 7606).',
    of: ({ malformedUpdates }) => malformedUpdates.attributesDiscarded,
  },
];

export function bgpMetricsText(status: StatusReport, peers: readonly PeerReport[], nowMs = Date.now()): string {
  const lines: string[] = [];
  for (const { name, type, help, of } of peerMetrics) {
    lines.push(`# HELP twill_bgp_peer_${name} ${help}`, `# TYPE twill_bgp_peer_${name} ${type}`);
    for (const peer of peers) lines.push(`twill_bgp_peer_${name}${labels(peer)} ${of(peer, nowMs)}`);
  }
  lines.push(...lastErrors(peers));
  const gauge = (name: string, help: string, value: number): void => {
    lines.push(`# HELP twill_bgp_${name} ${help}`, `# TYPE twill_bgp_${name} gauge`, `twill_bgp_${name} ${value}`);
  };
  gauge('ready', '1 once the datastore has been read.', status.ready ? 1 : 0);
  gauge('fib_routes', 'Routes of ours in the kernel.', status.fib.routes);
  gauge('fib_failures', 'Routes that the kernel refused.', status.fib.failures.length);
  gauge('resource_problems', 'Resources without effect.', status.problems.length);
  return `${lines.join('\n')}\n`;
}

/** One sample for each peer that has ever failed: when, and as a label what it was. */
function lastErrors(peers: readonly PeerReport[]): string[] {
  const name = 'twill_bgp_peer_last_error_timestamp_seconds';
  const samples = peers.flatMap((peer) => {
    if (!peer.lastError) return [];
    const { at, text } = peer.lastError;
    return [`${name}${labels(peer, `,error="${escapeLabel(text)}"`)} ${Date.parse(at) / 1000}`];
  });
  return [`# HELP ${name} When the session last failed, and why.`, `# TYPE ${name} gauge`, ...samples];
}

const labels = ({ name, address, asn }: PeerReport, more = ''): string =>
  `{peer="${escapeLabel(name)}",address="${address}",asn="${asn}"${more}}`;

const escapeLabel = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
