// Shows that another program understands what we tell a monitoring station: BIRD is the peer, the station keeps the bytes, and
// tshark reads them.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { BmpMonitor } from '../../../bgp/bmp/monitor.ts';
import type { BmpSettings } from '../../../bgp/settings.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { createLogger } from '../../../runtime/log.ts';
import { Bench, until } from './routers.ts';
import { address, established, peerOf, prefix, startSpeaker } from './speaker-in-netns.ts';

const bmpPort = 11019;
/** A block that the peer is not sent. */
const kept = '10.245.0.0/26';

describe('monitoring station', () => {
  let bench: Bench;
  let server: Server;
  let speaker: Speaker | undefined;
  let monitor: BmpMonitor;
  let socket: Socket | undefined;
  let bytes = Buffer.alloc(0);

  before(function () {
    const missing = ['tshark', 'text2pcap'].filter((program) => spawnSync(program, ['-v']).error);
    if (missing.length > 0) {
      console.log(`      skipped: ${missing.join(' and ')} of the package tshark read what a station got`);
      this.skip();
    }
  });

  beforeEach(async () => {
    bench = new Bench('bmp');
    bytes = Buffer.alloc(0);
    server = createServer((one) => {
      socket = one;
      one.on('data', (part) => {
        bytes = Buffer.concat([bytes, part]);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    monitor = new BmpMonitor({ log: createLogger('test', 'silent'), systemName: 'node-1', statisticsMs: 200 });
  });
  afterEach(async () => {
    await speaker?.close({ abandon: true });
    socket?.destroy();
    server.close();
    await bench.close();
  });

  /** One message after the other, each in a segment of its own, as tshark tells them. */
  function read(): string {
    const lines: string[] = [];
    for (let at = 0; at + 5 <= bytes.length; at += bytes.readUInt32BE(at + 1)) {
      const message = bytes.subarray(at, at + bytes.readUInt32BE(at + 1));
      for (let row = 0; row < message.length; row += 16) {
        const octets = [...message.subarray(row, row + 16)].map((octet) => octet.toString(16).padStart(2, '0'));
        lines.push(`${row.toString(16).padStart(6, '0')} ${octets.join(' ')}`);
      }
    }
    const dump = bench.file('bmp.txt', `${lines.join('\n')}\n`);
    const capture = join(bench.directory, 'bmp.pcap');
    execFileSync('text2pcap', ['-q', '-T', `40000,${bmpPort}`, dump, capture], { stdio: 'ignore' });
    return execFileSync('tshark', ['-r', capture, '-d', `tcp.port==${bmpPort},bmp`, '-O', 'bmp,bgp'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 64 * 1024 * 1024,
    });
  }

  async function startAll(early: boolean, views: Pick<BmpSettings, 'locRib' | 'adjRibOut'> = {}): Promise<Speaker> {
    await bench.startBird(`router id 10.77.0.2;
protocol static s4 { ipv4; route 198.51.100.0/24 blackhole; route 203.0.113.0/24 blackhole; }
protocol static s6 { ipv6; route 2001:db8:1::/48 blackhole; }
protocol bgp twill {
  local 10.77.0.2 as 64601; neighbor 10.77.0.1 as 64701; connect retry time 1; connect delay time 1;
  ipv4 { import all; export all; };
  ipv6 { import all; export all; next hop address fd77::2; };
}`);
    const listening = server.address();
    assert(typeof listening === 'object' && listening);
    const { port } = listening;
    const bmp = [{ address: address('127.0.0.1'), port, ...views }];
    const rule = {
      origin: 'test',
      action: 'reject',
      match: { prefix: prefix(kept), operator: 'equal' },
      operations: [],
    } as const;
    const exportFilter = { rules: [rule], otherwise: 'accept' } as const;
    const peer = { families: ['ipv4-unicast', 'ipv6-unicast'] as const, exportFilter };
    const blocks = Object.keys(views).length > 0 ? [kept, '10.244.0.0/26', 'fd00:244::/122'] : [];
    const started = startSpeaker(bench, { peer, settings: early ? { bmp } : {}, blocks }, undefined, monitor);
    await established(started);
    await until(() => peerOf(started)?.routesIn === 3);
    if (!early) started.configure({ ...started.settings, bmp });
    return started;
  }

  /** What came, cheaply: type, kind of peer, and the octets in hex. */
  function messages(): { readonly type: number; readonly peerType: number; readonly hex: string }[] {
    const list: { type: number; peerType: number; hex: string }[] = [];
    for (let at = 0; at + 7 <= bytes.length; at += bytes.readUInt32BE(at + 1)) {
      const hex = bytes.subarray(at, at + bytes.readUInt32BE(at + 1)).toString('hex');
      list.push({ type: bytes[at + 5] ?? 0, peerType: bytes[at + 6] ?? 0, hex });
    }
    return list;
  }
  /** NLRI as octets. */
  const nlri = {
    '198.51.100.0/24': '18c63364',
    '203.0.113.0/24': '18cb0071',
    '2001:db8:1::/48': '3020010db80001',
    '10.244.0.0/26': '1a0af40000',
    'fd00:244::/122': '7afd000244',
    [kept]: '1a0af50000',
  };
  const [routeMonitoring, statistics, peerDown, termination] = [0, 1, 2, 5];
  const [ofPeer, ofLocRib] = [0, 3];
  const has = (type: number, peerType?: number, hex = ''): boolean =>
    messages().some((one) => one.type === type && one.peerType === (peerType ?? one.peerType) && one.hex.includes(hex));
  const heard = (peerType: number, ...prefixes: (keyof typeof nlri)[]): boolean =>
    prefixes.every((prefix) => has(routeMonitoring, peerType, nlri[prefix]));
  const about = (): string =>
    messages()
      .map(({ hex }) => hex)
      .join('\n');

  for (const early of [false, true]) {
    it(`hears the best routes too when it asks for them, ${early ? 'as they are chosen' : 'all at once'} (RFC 9069)`, async () => {
      const started = await startAll(early, { locRib: true });
      speaker = started;
      const best = ['198.51.100.0/24', '203.0.113.0/24', '2001:db8:1::/48', '10.244.0.0/26', 'fd00:244::/122'] as const;
      await until(() => heard(ofLocRib, ...best) && has(statistics, ofLocRib), about);
      const before = messages().length;
      bench.birdc('disable', 's4');
      await until(() =>
        messages()
          .slice(before)
          .some(({ peerType, hex }) => peerType === ofLocRib && hex.includes(nlri['198.51.100.0/24'])),
      );
      const frames = read().split(/(?=^Frame \d+:)/m);
      const locRib = frames.filter((frame) => frame.includes('Loc-RIB Instance Peer'));
      assert(locRib.some((frame) => /Peer Up Notification[\s\S]*OPEN Message[\s\S]*My AS: 64701/.test(frame)));
      for (const prefix of best)
        assert(
          locRib.some((frame) => frame.includes(prefix)),
          prefix,
        );
      assert.match(locRib.at(-1) ?? '', /Withdrawn Routes|Statistics Report/);
      // This tshark takes the table's name after the OPENs for a third message.
      const others = frames.filter((frame) => !locRib.includes(frame) || !frame.includes('Peer Up Notification'));
      assert.doesNotMatch(others.join(''), /Malformed/);
      started.configure({
        ...started.settings,
        bmp: started.settings.bmp?.map((one) => ({ ...one, locRib: false })) ?? [],
      });
      await until(() => has(termination));
    });

    it(`hears what the peer is sent when it asks for it, ${early ? 'as it goes out' : 'all at once'} (RFC 8671)`, async () => {
      const started = await startAll(early, { adjRibOut: ['post-policy', 'pre-policy'] });
      speaker = started;
      const [before, after] = ['10', '50'].map((flags) => `0300000[0-9a-f]{3}0000${flags}`);
      assert(before && after);
      const told = (flags: string, ...octets: string[]): boolean =>
        octets.every((one) => messages().some(({ hex }) => new RegExp(`^${flags}.*${one}`).test(hex)));
      const sent = [nlri['10.244.0.0/26'], nlri['fd00:244::/122']];
      await until(() => told(after, ...sent) && told(before, ...sent, nlri[kept]) && has(statistics), about);
      started.configure({ ...started.settings, originate: [] });
      const withdrawn = `0005${nlri['10.244.0.0/26']}0000$`;
      await until(() => told(after, withdrawn) && told(before, `${nlri[kept]}.*0000$`), about);
      const frames = read().split(/(?=^Frame \d+:)/m);
      const [late, soon] = ['Post-policy, Adj-RIB-Out', 'Flags: 0x10, Adj-RIB-Out'].map((flags) =>
        frames.filter((frame) => frame.includes(flags)).join(''),
      );
      for (const block of ['10.244.0.0/26', 'fd00:244::/122'])
        assert(late?.includes(block) && soon?.includes(block), block);
      assert(soon?.includes(kept) && !late?.includes(kept), late);
      assert.match(late ?? '', /Withdrawn Routes\s+10\.244\.0\.0\/26/);
      assert.match(late ?? '', /NEXT_HOP: 10\.77\.0\.1/);
      // What is before a filter is more by one route.
      assert.match(frames.join(''), /in post-policy Adj-RIBs-Out: 2[\s\S]*in pre-policy Adj-RIBs-Out: 3/);
      assert.doesNotMatch(frames.join(''), /Malformed/);
    });

    it(early ? 'hears what a peer says as it comes' : 'that connects late hears the whole table', async () => {
      const started = await startAll(early);
      speaker = started;
      const routes = ['198.51.100.0/24', '203.0.113.0/24', '2001:db8:1::/48'] as const;
      await until(() => heard(ofPeer, ...routes) && has(statistics), about);
      const text = read();
      assert.match(text, /Type: Initiation Message/);
      assert.match(text, /node-1/);
      assert.match(text, /Type: Peer Up Notification[\s\S]*Type: OPEN Message[\s\S]*Type: OPEN Message/);
      assert.match(text, /Address: 10\.77\.0\.2/);
      assert.match(text, /Peer AS: 64601|ASN: 64601/);
      for (const prefix of routes) assert(text.includes(prefix), text);
      assert.doesNotMatch(text, /Malformed/);
      bench.birdc('disable', 's4');
      await until(() => peerOf(started)?.routesIn === 1);
      bench.birdc('disable', 'twill');
      await until(() => has(peerDown));
      assert.match(
        read(),
        /Withdrawn Routes[\s\S]*198\.51\.100\.0\/24[\s\S]*Type: Peer Down Notification[\s\S]*NOTIFICATION/,
      );
      started.configure({ ...started.settings, bmp: [] });
      await until(() => has(termination));
    });
  }
});
