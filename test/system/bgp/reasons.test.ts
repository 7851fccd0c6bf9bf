// Shows that a peer that does not come up says why, as people read it: each kind of mistake is made for real, with BIRD at the
// other end, and looked for in `twillctl bgp peers`.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { PeersReport } from '../../../bgp/status.ts';
import { Agent } from './agent-in-netns.ts';
import { Bench, quietly } from './routers.ts';

interface Mistake {
  readonly name: string;
  /** Spec of the BGPPeer, and lines of BIRD's protocol; undefined: BIRD does not run. */
  readonly spec?: object;
  readonly bird?: string;
  readonly routerId?: string;
  readonly expected: RegExp;
  /** On the router's side, before. */
  readonly ip?: readonly string[];
}

const right = 'local 10.77.0.2 as 64601; neighbor 10.77.0.1 as 64701;';
const ipv4 = 'ipv4 { import all; export all; };';

const mistakes: readonly Mistake[] = [
  {
    name: 'nobody listens',
    expected: /Active .*connection failed: ECONNREFUSED/,
  },
  {
    name: 'nobody has the address',
    spec: { peerIP: '10.77.0.99' },
    expected: /connection failed: (EHOSTUNREACH|ETIMEDOUT)/,
  },
  {
    name: 'another AS than we expect',
    spec: { asNumber: 64602 },
    bird: `${right} ${ipv4}`,
    expected: /we sent OPEN message error: bad peer as \(2\/2\): the peer says AS 64601, AS 64602 is configured/,
  },
  {
    name: 'another AS than the peer expects',
    bird: `local 10.77.0.2 as 64601; neighbor 10.77.0.1 as 64999; ${ipv4}`,
    expected: /the peer sent OPEN message error: bad peer as \(2\/2\)/,
  },
  {
    name: 'no family in common',
    bird: `${right} ipv6 { import all; export all; };`,
    expected: /no address family in common: ours ipv4-unicast, theirs ipv6-unicast|unsupported capability \(2\/7\)/,
  },
  {
    name: 'our own router id, within our AS',
    spec: { asNumber: 64701 },
    routerId: '10.77.0.1',
    bird: `local 10.77.0.2 as 64701; neighbor 10.77.0.1 as 64701; ${ipv4}`,
    expected: /bad bgp identifier \(2\/3\)/,
  },
  {
    name: 'farther away than TTL security allows',
    spec: { ttlSecurity: 1 },
    bird: `${right} multihop 20; ${ipv4}`,
    expected: /segments from farther away than TTL security allows/,
  },
  {
    name: 'a key at the peer and none here',
    bird: `${right} password "secret"; ${ipv4}`,
    expected: /segments with a TCP-MD5 key, and none is set here/,
  },
  {
    name: 'a peer that does not answer',
    bird: `${right} passive on; ${ipv4}`,
    ip: ['route', 'add', 'blackhole', '10.77.0.1/32', 'metric', '0'],
    expected: /connection failed: ETIMEDOUT/,
  },
];

describe('a peer that does not come up', () => {
  let bench: Bench;
  let agent: Agent;
  before(async () => {
    bench = new Bench('why');
    agent = await Agent.prepare(bench);
    await agent.put('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false });
    agent.start();
  });
  after(async () => {
    await agent.close();
    await bench.close();
  });

  const twillctl = (): string =>
    quietly(() =>
      execFileSync(process.execPath, ['--import', 'tsx', 'cli/main.ts', 'bgp', 'peers'], {
        encoding: 'utf8',
        env: { ...process.env, TWILL_RUN_DIR: bench.directory, ETCD_ENDPOINTS: agent.endpoint, COLUMNS: '400' },
      }),
    );
  /** What twillctl has to print: the same as JSON, in a hundredth of the time. */
  const looked = async (): Promise<string> => {
    const [peer] = (await agent.ask<PeersReport>('/v1/peers')).peers;
    return `${peer?.state} ${peer?.detail}`;
  };

  for (const { name, spec = {}, bird, routerId = '10.77.0.2', expected, ip } of mistakes) {
    it(`says: ${name}`, async () => {
      const daemon =
        bird === undefined
          ? undefined
          : await bench.startBird(`router id ${routerId};
protocol bgp twill { ${bird} connect delay time 1; connect retry time 1; error wait time 1,2; }`);
      if (ip) bench.ip(bench.them, ...ip);
      try {
        await agent.put('BGPPeer', 'tor', { peerIP: '10.77.0.2', asNumber: 64601, ...spec });
        const deadline = Date.now() + 40_000;
        let seen = '';
        while (!expected.test(seen)) {
          assert(Date.now() < deadline, seen);
          await new Promise((resolve) => setTimeout(resolve, 100));
          seen = await looked().catch(String);
        }
        if (process.env['TWILL_SHOW']) console.log(twillctl());
      } finally {
        if (ip) bench.ip(bench.them, 'route', 'del', ...ip.slice(2));
        if (daemon) await bench.stop(daemon);
        await agent.delete('BGPPeer', 'tor');
      }
    }).timeout(60_000);
  }

  it('is printed by twillctl with its whole reason', async () => {
    await agent.put('BGPPeer', 'tor', { peerIP: '10.77.0.2', asNumber: 64601 });
    const deadline = Date.now() + 30_000;
    while (!/ECONNREFUSED/.test(twillctl())) assert(Date.now() < deadline, twillctl());
  }).timeout(60_000);
});
