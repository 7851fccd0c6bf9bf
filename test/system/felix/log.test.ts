// Shows what a Log rule does in the kernel: its prefix as the kernel has it, and that the rate limit lets as many packets
// reach the log as it says. Messages from a namespace do not get into the kernel's log (net.netfilter.nf_log_all_netns), so
// the kernel's own trace is asked instead: it reports a rule only for packets that came to its last expression, the log.

import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { inSync, policyUpdate, profileUpdate, rule, tier, workload } from '../../felix/updates.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';
import { type Probe, RawSender, TCP, UDP } from './packets.ts';

const policy = 'NetworkPolicy/ns/logged';
const burst = 4;
const sent = 12;
const probe: Probe = { protocol: UDP, sourcePort: 5000, destinationPort: 7 };
const other: Probe = { protocol: TCP, sourcePort: 5000, destinationPort: 7 };

describe('felix in the kernel: Log', function () {
  this.timeout(30_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  let sender: RawSender;
  let trace: ChildProcess;
  let traced = '';

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    sender = new RawSender(a.netns);
    const b = node.addPod('b', 2);
    felix = await node.startFelix();
    felix.dataplane.onUpdate(profileUpdate('open', [rule('allow')], [rule('allow')]));
    felix.dataplane.onUpdate(workload('ns/a', a.interfaceName, a.addresses, { profiles: ['open'] }));
    felix.dataplane.onUpdate(
      workload('ns/b', b.interfaceName, b.addresses, { profiles: ['open'], tiers: [tier([policy], [])] }),
    );
    felix.dataplane.onUpdate(policyUpdate(policy, { ingress: [rule('log', { protocol: UDP }), rule('deny')] }));
    felix.dataplane.onUpdate(inSync);
    await until('both are programmed', () => felix.dataplane.status().endpointsProgrammed === 2);
    sh(`ip netns exec ${node.name} nft -f - <<END
table inet traced {
  chain every {
    type filter hook prerouting priority -400
    meta nftrace set 1
  }
}
END`);
    trace = spawn('ip', ['netns', 'exec', node.name, 'nft', 'monitor', 'trace'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    trace.stdout?.on('data', (chunk) => {
      traced += String(chunk);
    });
    // It says nothing when it has begun.
    await until('the trace is on', async () => {
      sender.send('10.65.0.1', '10.65.0.2', other);
      await new Promise((resolve) => setTimeout(resolve, 20));
      return traced.includes('trace id');
    });
  });
  after(async () => {
    trace?.kill('SIGKILL');
    sender?.close();
    await node.remove();
  });

  /** Sends packets, and counts those that came to the log. */
  async function logged(): Promise<number> {
    await felix.dataplane.settled();
    assert.equal(felix.dataplane.status().lastError, '');
    traced = '';
    for (let i = 0; i < sent; i++) sender.send('10.65.0.1', '10.65.0.2', { ...probe, sourcePort: 5000 + i });
    // nft does not know rules by their text that came after it has begun.
    const withVerdict = (verdict: string): number =>
      traced.split('\n').filter((line) => line.includes(` ingress/${policy} `) && line.endsWith(`(verdict ${verdict})`))
        .length;
    await until('all packets were reported to the end', () => withVerdict('drop') === sent);
    return withVerdict('continue');
  }

  it('reaches the log with every packet', async () => {
    assert.equal(await logged(), sent);
    assert.ok(node.ruleset().includes('log prefix "calico-packet: "'));
  });

  it('reaches it as often as the limit allows, and counts all the same', async () => {
    const parameters = {
      LogPrefix: 'refused by %p',
      LogActionRateLimit: '1/minute',
      LogActionRateLimitBurst: `${burst}`,
    };
    felix.dataplane.onUpdate({ kind: 'config', parameters });
    assert.equal(await logged(), burst);
    assert.match(
      node.ruleset(),
      /limit rate 1\/minute burst 4 packets log prefix "refused by NetworkPolicy\/ns\/logged: "/,
    );
    assert.equal(
      felix.dataplane.hits().rules.find(({ owner, origin }) => owner === policy && origin === 'ingress[0]')?.packets,
      2 * sent,
    );
  });
});
