// Single packets between the namespaces of a test node, and which of them arrive. They are sent raw; the receiver writes down what
// has passed all of policy by a number that only this packet has: its source port, or its ICMP id.

import { sh, until } from './node.ts';
import { ICMP, ICMPV6, type Probe, RawSender, SCTP, TCP, UDP, UDPLITE } from './packets.ts';

export const OSPF = 89;

export interface Station {
  readonly netns: string;
  /** One of each family. */
  readonly addresses: readonly string[];
}

export interface Sending {
  readonly source: Station;
  readonly target: Station;
  readonly from: string;
  readonly to: string;
  readonly probe: Probe;
}

const recorder = `
table inet seen {
  set ports { type inet_proto . inet_service; flags dynamic; size 65535; }
  set echoes4 { typeof icmp id; flags dynamic; size 65535; }
  set echoes6 { typeof icmpv6 id; flags dynamic; size 65535; }
  chain input { type filter hook input priority 10; policy accept;
    icmp type echo-request add @echoes4 { icmp id }
    icmpv6 type echo-request add @echoes6 { icmpv6 id }
    meta l4proto { 6, 17, 132, 136, 89 } add @ports { meta l4proto . th sport }
  }
}`;

export class Wire {
  readonly #nodeNetns: string;
  readonly #senders = new Map<string, RawSender>();
  #serial = 20_000;

  constructor(nodeNetns: string) {
    this.#nodeNetns = nodeNetns;
    // Connection tracking of some kernels takes every UDP-Lite checksum for wrong.
    sh(`ip netns exec ${nodeNetns} sysctl -qw net.netfilter.nf_conntrack_checksum=0`);
  }

  addStation(netns: string): void {
    this.#senders.set(netns, new RawSender(netns));
    sh(`ip netns exec ${netns} nft -f - <<'END'\n${recorder}\nEND`);
  }

  /** For the source port, or the ICMP id. */
  nextSerial(): number {
    this.#serial = this.#serial >= 59_000 ? 20_000 : this.#serial + 1;
    return this.#serial;
  }

  /** Sends all; whether each arrives. Those that `expected` says do are waited for. */
  async send(sendings: readonly Sending[], expected: readonly boolean[]): Promise<readonly boolean[]> {
    // A packet of a protocol without ports would be the answer to one before.
    sh(`ip netns exec ${this.#nodeNetns} conntrack -F 2>/dev/null`);
    const flush = ['ports', 'echoes4', 'echoes6'].map((set) => `flush set inet seen ${set}`).join('; ');
    for (const netns of this.#senders.keys()) sh(`ip netns exec ${netns} nft '${flush}'`);
    for (const { source, from, to, probe } of sendings) this.#senders.get(source.netns)?.send(from, to, probe);
    let arrived: readonly boolean[] = [];
    const look = (): boolean => {
      const seen = this.#recorded();
      arrived = sendings.map(({ target, probe }) => seen.has(`${target.netns} ${markOf(probe)}`));
      return arrived.every((one, i) => one || !expected[i]);
    };
    await until('all that may arrive', look, 1000).catch(() => {});
    return arrived;
  }

  close(): void {
    for (const sender of this.#senders.values()) sender.close();
  }

  #recorded(): ReadonlySet<string> {
    const found = new Set<string>();
    for (const netns of this.#senders.keys()) {
      const listing = sh(`ip netns exec ${netns} nft -j list sets inet`);
      const { nftables }: { nftables: readonly Listed[] } = JSON.parse(listing);
      for (const { set } of nftables) {
        if (set?.table !== 'seen') continue;
        for (const element of set.elem ?? []) found.add(`${netns} ${elementMark(set.name, element)}`);
      }
    }
    return found;
  }
}

interface Listed {
  readonly set?: { readonly table: string; readonly name: string; readonly elem?: readonly ListedElement[] };
}

type ListedElement = number | { readonly concat: readonly [string | number, number] };

/** As nft lists them. */
const numbers: Readonly<Record<string, number>> = { tcp: TCP, udp: UDP, sctp: SCTP, udplite: UDPLITE, ospf: OSPF };

function elementMark(set: string, element: ListedElement): string {
  if (typeof element === 'number') return `${set === 'echoes4' ? ICMP : ICMPV6}/${element}`;
  const [protocol, number] = element.concat;
  return `${numbers[protocol] ?? protocol}/${number}`;
}

const markOf = ({ protocol, sourcePort, icmpId }: Probe): string => `${protocol}/${icmpId ?? sourcePort}`;
