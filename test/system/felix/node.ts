// A node for felix' system tests: a network namespace with workloads (namespaces joined by veth pairs) and an outside
// host, and real packets between them.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { KernelTable } from '../../../felix/dataplane/channel.ts';
import { Dataplane } from '../../../felix/dataplane/dataplane.ts';
import { Monitor } from '../../../linux/monitor.ts';
import { Conntrack } from '../../../linux/netlink/conntrack.ts';
import { NftBatchSocket } from '../../../linux/netlink/nftables-batch.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../linux/netlink/socket.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { setSysctls } from '../../../linux/sysctl.ts';
import { createLogger } from '../../../runtime/log.ts';

let serial = 0;

export const sh = (command: string): string =>
  execFileSync('sh', ['-ec', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export interface Pod {
  readonly name: string;
  readonly netns: string;
  readonly interfaceName: string;
  readonly addresses: readonly string[];
}

/** Waits until the condition holds; fails with its name after the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 5000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface FelixOptions {
  /** Hears of what others do. */
  readonly events?: boolean;
  /** Keeps others from editing the table. */
  readonly ownTable?: boolean;
}

export class TestNode {
  readonly name = `tw-dataplane-${process.pid % 10000}-${++serial}`;
  readonly outside = `${this.name}-o`;
  readonly pods: Pod[] = [];
  private readonly running = new Set<Felix>();
  private readonly servers: ReturnType<typeof spawn>[] = [];

  /** Node 192.0.2.1 and 2001:db8::1, outside host 192.0.2.9 and 2001:db8::9. */
  constructor() {
    sh(`
      ip netns add ${this.name}; ip netns add ${this.outside}
      ip -n ${this.name} link set lo up; ip -n ${this.outside} link set lo up
      ip -n ${this.name} link add eth0 type veth peer name eth0 netns ${this.outside}
      ip -n ${this.name} addr add 192.0.2.1/24 dev eth0; ip -n ${this.outside} addr add 192.0.2.9/24 dev eth0
      ip -n ${this.name} addr add 2001:db8::1/64 dev eth0 nodad
      ip -n ${this.outside} addr add 2001:db8::9/64 dev eth0 nodad
      ip -n ${this.name} link set eth0 up; ip -n ${this.outside} link set eth0 up
      ip -n ${this.outside} route add 10.65.0.0/16 via 192.0.2.1
      ip -n ${this.outside} route add fd00:65::/64 via 2001:db8::1
    `);
  }

  /** A workload 10.65.0.<n>, fd00:65::<n>. `wired: false`: the link comes later, by wire(). */
  addPod(name: string, n: number, options: { readonly wired?: boolean; readonly interfaceName?: string } = {}): Pod {
    const pod: Pod = {
      name,
      netns: `${this.name}-${name}`,
      interfaceName: options.interfaceName ?? `cali${name}`,
      addresses: [`10.65.0.${n}`, `fd00:65::${n.toString(16)}`],
    };
    this.pods.push(pod);
    sh(`ip netns add ${pod.netns}; ip -n ${pod.netns} link set lo up`);
    if (options.wired !== false) this.wire(pod);
    return pod;
  }

  /** As the plugin does it: a veth pair, a gateway that the host answers for, an address. */
  wire({ netns, interfaceName, addresses: [v4, v6] }: Pod): void {
    sh(`
      ip -n ${this.name} link add ${interfaceName} type veth peer name eth0 netns ${netns}
      ip netns exec ${this.name} sysctl -qw net.ipv6.conf.${interfaceName}.accept_dad=0
      ip -n ${this.name} link set ${interfaceName} address ee:ee:ee:ee:ee:ee up
      ip -n ${netns} link set eth0 up
      ip -n ${netns} addr add ${v4}/32 dev eth0; ip -n ${netns} addr add ${v6}/128 dev eth0 nodad
      ip -n ${netns} neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
      ip -n ${netns} route add 169.254.1.1 dev eth0 scope link; ip -n ${netns} route add default via 169.254.1.1
      ip -n ${netns} -6 neigh add fe80::1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
      ip -n ${netns} -6 route add default via fe80::1 dev eth0
    `);
  }

  /** Starts a dataplane of this node, in this process. */
  async startFelix(options: FelixOptions = {}): Promise<Felix> {
    const felix = new Felix(this.name, options);
    await felix.dataplane.start();
    this.running.add(felix);
    return felix;
  }

  async stopFelix(felix: Felix): Promise<void> {
    this.running.delete(felix);
    await felix.stop();
  }

  /** While paused, felix does not hear of what others do. */
  pauseFelix(paused: boolean): void {
    for (const felix of this.running) felix.pause(paused);
  }

  ruleset(): string {
    return sh(`ip netns exec ${this.name} nft -s list ruleset`);
  }

  routes(): string {
    return sh(`ip -n ${this.name} route show proto 80; ip -n ${this.name} -6 route show proto 80`);
  }

  /** TCP and UDP echo on the port, on all addresses, in this namespace. */
  async serve(netns: string, port: number): Promise<void> {
    for (const listen of [`TCP6-LISTEN:${port},reuseaddr,fork,ipv6only=0`, `UDP6-RECVFROM:${port},fork,ipv6only=0`]) {
      this.servers.push(spawn('ip', ['netns', 'exec', netns, 'socat', listen, 'EXEC:/bin/cat'], { stdio: 'ignore' }));
    }
    await until(`a server on ${port}`, () => {
      const sockets = sh(`ip netns exec ${netns} ss -Hlntu 'sport = :${port}'`);
      return sockets.includes('tcp') && sockets.includes('udp');
    });
  }

  /** Whether a word sent from the namespace comes back. */
  talks(netns: string, address: string, port: number, protocol: 'tcp' | 'udp' = 'tcp', timeoutSec = 0.4): boolean {
    const host = address.includes(':') ? `[${address}]` : address;
    const kind = `${protocol.toUpperCase()}${address.includes(':') ? 6 : 4}`;
    const target = `${kind}:${host}:${port}${protocol === 'tcp' ? `,connect-timeout=${timeoutSec}` : ''}`;
    const result = spawnSync(
      'ip',
      ['netns', 'exec', netns, 'timeout', `${timeoutSec + 0.6}`, 'socat', '-t', `${timeoutSec}`, '-', target],
      { input: 'hello\n', encoding: 'utf8' },
    );
    return result.stdout.includes('hello');
  }

  pings(netns: string, address: string, ...options: string[]): boolean {
    const args = ['netns', 'exec', netns, 'ping', '-c', '1', '-W', '0.4', '-i', '0.2', ...options, address];
    return spawnSync('ip', args).status === 0;
  }

  async remove(): Promise<void> {
    for (const felix of [...this.running]) await this.stopFelix(felix);
    for (const server of this.servers) server.kill('SIGKILL');
    const names = [...this.pods.map((pod) => pod.netns), this.outside, this.name];
    for (const name of names) {
      // socat's children outlive it.
      spawnSync('sh', ['-c', `for p in $(ip netns pids ${name}); do kill -9 $p; done; ip netns del ${name}`]);
    }
  }
}

/** A dataplane with its real edges, inside a namespace. */
export class Felix {
  readonly dataplane: Dataplane;
  private readonly monitor: Monitor | undefined;
  private readonly netlink: Rtnetlink;
  private paused = false;
  private readonly conntrack: Conntrack;
  private readonly dumps: NetlinkSocket;
  private readonly longDumps: NetlinkSocket;
  private readonly channel: KernelTable;

  constructor(namespace: string, { events = true, ownTable = true }: FelixOptions) {
    const netns = netnsPath(namespace);
    const level =
      process.env['TWILL_TEST_LOG'] === 'trace' ? 'trace' : process.env['TWILL_TEST_LOG'] ? 'info' : 'silent';
    this.dumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns });
    this.longDumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns });
    const log = createLogger('felix', level);
    const openText = () => openNftables({ netns });
    const { dumps, longDumps } = this;
    const openBatches = () => new NftBatchSocket({ netns });
    this.channel = new KernelTable({ openBatches, dumps, longDumps, ownTable, openText, log });
    this.netlink = new Rtnetlink({ netns });
    this.conntrack = new Conntrack({ netns });
    this.dataplane = new Dataplane({
      conntrack: this.conntrack,
      channel: this.channel,
      netlink: this.netlink,
      writeSwitches: (values) => setSysctls(values, netns),
      quietly: (transaction) => this.monitor?.withoutNftables(transaction) ?? transaction(),
      log,
    });
    if (events) {
      this.monitor = new Monitor({
        netns,
        watch: ['links', 'addresses', 'routes', 'nftables'],
        onEvents: (list) => {
          if (!this.paused) this.dataplane.onKernelEvents(list);
        },
      });
    }
  }

  /** Hands the updates over and waits until an apply has brought them to the kernel. */
  async apply(updates: readonly CalcUpdate[], timeoutMs?: number): Promise<void> {
    if (updates.length === 0) return;
    const { applies } = this.dataplane.status();
    for (const update of updates) this.dataplane.onUpdate(update);
    await until('an apply', () => this.dataplane.status().applies > applies, timeoutMs);
    const { lastError } = this.dataplane.status();
    if (lastError !== '') throw new Error(lastError);
  }

  /** Afterwards everything is looked at again. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused) this.dataplane.requestResync();
  }

  async stop(): Promise<void> {
    await this.monitor?.close();
    await this.dataplane.close();
    await this.channel.close();
    this.dumps.close();
    this.longDumps.close();
    this.netlink.close();
    this.conntrack.close();
  }
}
