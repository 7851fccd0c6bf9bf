// Shows the whole felix child at work: `twill-node felix` in a namespace, a real etcd, resources written there, packets;
// kill -9 and restart change neither rules nor routes, and counters go on.

import { strict as assert } from 'node:assert';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callControl, callControlLines } from '../../../runtime/control.ts';
import { type Pod, sh, TestNode, until } from './node.ts';

const program = fileURLToPath(new URL('../../../agent/main.ts', import.meta.url));

describe('felix in the kernel: the agent', function () {
  this.timeout(60_000);
  let node: TestNode;
  let folder: string;
  let etcd: ChildProcess;
  let felix: ChildProcess;
  let a: Pod;
  let b: Pod;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'twill-felix-'));
    node = new TestNode();
    a = node.addPod('a', 1);
    b = node.addPod('b', 2);
    await node.serve(b.netns, 80);
    const client = 'http://127.0.0.1:2379';
    const args = [
      '--data-dir',
      join(folder, 'etcd'),
      '--listen-client-urls',
      client,
      '--advertise-client-urls',
      client,
    ];
    etcd = spawn('ip', ['netns', 'exec', node.name, 'etcd', ...args, '--log-level', 'error'], { stdio: 'ignore' });
    await until('etcd', () => etcdctl('endpoint', 'health'), 15_000);
  });
  after(async () => {
    felix?.kill('SIGKILL');
    etcd?.kill('SIGKILL');
    await node.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const etcdctl = (...args: string[]): boolean => {
    try {
      const environment = { ...process.env, ETCDCTL_API: '3' };
      execFileSync('ip', ['netns', 'exec', node.name, 'etcdctl', ...args], { env: environment, stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  };
  const put = (plural: string, name: string, kind: string, spec: unknown): void => {
    const [namespace, last] = name.includes('/') ? name.split('/') : [undefined, name];
    const metadata = {
      name: last,
      ...(namespace && { namespace }),
      uid: '7c6ad4cb-2b50-4ae7-a9a4-1f4ed3ba5a3c',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: last },
    };
    const value = JSON.stringify({ kind, apiVersion: 'projectcalico.org/v3', metadata, spec });
    assert.ok(etcdctl('put', `/calico/resources/v3/projectcalico.org/${plural}/${name}`, value));
  };
  const endpointName = (pod: Pod): string => `node1-k8s-${pod.name}-eth0`;
  const putEndpoint = (pod: Pod): void =>
    put('workloadendpoints', `web/${endpointName(pod)}`, 'WorkloadEndpoint', {
      orchestrator: 'k8s',
      node: 'node1',
      pod: pod.name,
      endpoint: 'eth0',
      interfaceName: pod.interfaceName,
      ipNetworks: [`${pod.addresses[0]}/32`],
      profiles: ['kns.web'],
    });
  const startFelix = (runDir = folder): ChildProcess => {
    const args = ['--import', 'tsx', program, 'felix', '--node-name', 'node1', '--run-dir', runDir];
    const store = ['--etcd-endpoints', 'http://127.0.0.1:2379'];
    const quiet = runDir !== folder ? 'pipe' : process.env['TWILL_TEST_LOG'] ? 'inherit' : 'ignore';
    // The namespace by nsenter: its pid is the agent's.
    const inside = [`--net=/run/netns/${node.name}`, process.execPath, ...args, ...store];
    return spawn('nsenter', inside, { stdio: ['ignore', 'ignore', quiet] });
  };
  const status = async (): Promise<Record<string, unknown>> => {
    try {
      return (await callControl(join(folder, 'felix.sock'), '/v1/status')) as Record<string, unknown>;
    } catch {
      return {};
    }
  };

  it('holds workloads back until the datastore answers, then programs it', async () => {
    put('clusterinformations', 'default', 'ClusterInformation', { datastoreReady: true });
    put('tiers', 'default', 'Tier', { order: 1_000_000, defaultAction: 'Deny' });
    put('profiles', 'kns.web', 'Profile', { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] });
    putEndpoint(a);
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), false);
    felix = startFelix();
    await until('felix is ready', async () => (await status())['ready'] === true, 20_000);
    putEndpoint(b);
    const answer = await callControl(join(folder, 'felix.sock'), '/v1/await-endpoint', {
      body: { id: `web/${endpointName(b)}`, revision: 1, timeoutMs: 5000 },
    });
    assert.ok(Number((answer as { revision: number }).revision) > 1);
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), true);
  });

  it('says what is missing when an endpoint can not be programmed in time', async () => {
    await assert.rejects(
      callControl(join(folder, 'felix.sock'), '/v1/await-endpoint', {
        body: { id: 'web/nobody', revision: 1, timeoutMs: 50 },
      }),
      /not programmed after 50 ms: felix knows no such endpoint/,
    );
  });

  it('takes a policy from the datastore to the wire', async () => {
    put('networkpolicies', 'web/deny-all', 'NetworkPolicy', { tier: 'default', selector: 'all()', types: ['Ingress'] });
    await until('the deny', () => !node.talks(a.netns, '10.65.0.2', 80, 'tcp', 0.1));
    put('networkpolicies', 'web/allow', 'NetworkPolicy', {
      tier: 'default',
      order: 10,
      selector: "app == 'node1-k8s-b-eth0'",
      types: ['Ingress'],
      ingress: [
        {
          action: 'Allow',
          protocol: 'TCP',
          source: { selector: "app == 'node1-k8s-a-eth0'" },
          destination: { ports: [80] },
        },
      ],
    });
    await until('the allow', () => node.talks(a.netns, '10.65.0.2', 80));
  });

  it('says how often each rule was hit', async () => {
    const hits = await callControl(join(folder, 'felix.sock'), '/v1/hits?policy=NetworkPolicy/web/allow');
    const [rule, ...more] = (hits as { rules: readonly Record<string, unknown>[] }).rules;
    assert.deepEqual(more, []);
    const { packets, bytes, ...facts } = rule ?? {};
    assert.deepEqual(facts, {
      owner: 'NetworkPolicy/web/allow',
      kind: 'policy',
      direction: 'ingress',
      origin: 'ingress[0]',
      action: 'allow',
      staged: false,
    });
    assert.ok(Number(packets) >= 1 && Number(bytes) >= 60);
  });

  const traceTables = (): string => sh(`ip netns exec ${node.name} nft list tables | grep trace || true`);
  const follow = (
    endpoint: Pod | string,
    seconds: number,
  ): { events: Record<string, unknown>[]; end: () => void; done: Promise<void> } => {
    const events: Record<string, unknown>[] = [];
    const abort = new AbortController();
    const done = callControlLines(
      join(folder, 'felix.sock'),
      `/v1/trace?endpoint=${typeof endpoint === 'string' ? endpoint : `web/${endpoint.name}`}&seconds=${seconds}`,
      (line) => events.push(line as Record<string, unknown>),
      abort.signal,
    );
    return { events, end: () => abort.abort(), done };
  };
  const decisions = (events: readonly Record<string, unknown>[]): string[] =>
    events
      .filter(({ kind }) => kind === 'decision')
      .map(({ packet, direction, verdict, reason }) => {
        const { source, destination, destinationPort } = packet as Record<string, unknown>;
        const { kind, policy, rule, tier } = reason as Record<string, unknown>;
        const why = [kind, policy, rule, tier].filter((part) => part !== undefined).join(' ');
        return `${source} -> ${destination}:${destinationPort} ${direction} ${verdict}: ${why}`;
      });

  it('follows the packets of a pod, and names who decides', async () => {
    const repairs = (await status())['repairs'];
    const trace = follow(b, 30);
    await until('tracing', () => trace.events.length > 0);
    assert.match(traceTables(), /inet twill-trace/);
    await assert.rejects(follow(a, 1).done, /another trace is running/);
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), true);
    assert.equal(node.talks(a.netns, '10.65.0.2', 81, 'tcp', 0.1), false);
    const allowed = '10.65.0.1 -> 10.65.0.2:80 ingress allow: rule NetworkPolicy/web/allow ingress[0]';
    const denied = '10.65.0.1 -> 10.65.0.2:81 ingress deny: tier-default default';
    const egress = '10.65.0.1 -> 10.65.0.2:81 egress allow: rule profile/kns.web egress[0]';
    const all = () => decisions(trace.events);
    await until('the decisions', () => [allowed, denied, egress].every((line) => all().includes(line))).catch(() => {
      throw new Error(all().join('\n'));
    });
    assert.ok(all().includes('10.65.0.1 -> 10.65.0.2:80 ingress allow: established'));
    trace.end();
    await trace.done;
    await until('the table is gone', () => traceTables() === '');
    assert.equal((await status())['repairs'], repairs);
  });

  it('names policies that drop before destination NAT and before connection tracking, and follows host endpoints', async () => {
    const early = (name: string, stage: Record<string, boolean>, port: number): void =>
      put('globalnetworkpolicies', name, 'GlobalNetworkPolicy', {
        tier: 'default',
        selector: "app == 'uplink'",
        applyOnForward: true,
        ...stage,
        types: ['Ingress'],
        ingress: [{ action: 'Deny', protocol: 'TCP', destination: { ports: [port] } }],
      });
    early('before-nat', { preDNAT: true }, 82);
    early('untracked', { doNotTrack: true }, 83);
    put('hostendpoints', 'uplink', 'HostEndpoint', {
      node: 'node1',
      interfaceName: 'eth0',
      profiles: ['kns.web'],
    });
    await until(
      'both policies',
      () => node.ruleset().includes('before-nat') && node.ruleset().includes('GlobalNetworkPolicy/untracked'),
    );
    const denials = [
      '192.0.2.9 -> 10.65.0.2:82 ingress deny: rule GlobalNetworkPolicy/before-nat ingress[0]',
      '192.0.2.9 -> 10.65.0.2:83 ingress deny: rule GlobalNetworkPolicy/untracked ingress[0]',
    ];
    for (const endpoint of [b, 'hostendpoint:uplink']) {
      const trace = follow(endpoint, 30);
      await until('tracing', () => trace.events.length > 0);
      for (const port of [82, 83]) assert.equal(node.talks(node.outside, '10.65.0.2', port, 'tcp', 0.1), false);
      const all = () => decisions(trace.events);
      await until('the decisions', () => denials.every((line) => all().includes(line))).catch(() => {
        throw new Error(all().join('\n'));
      });
      if (typeof endpoint === 'string') {
        assert.equal(node.talks(node.outside, '192.0.2.1', 84, 'tcp', 0.1), false, 'nobody listens');
        const toNode = '192.0.2.9 -> 192.0.2.1:84 ingress allow: rule profile/kns.web ingress[0]';
        await until('the node’s own', () => all().includes(toNode)).catch(() => {
          throw new Error(all().join('\n'));
        });
      }
      trace.end();
      await trace.done;
      await until('the table is gone', () => traceTables() === '');
    }
    for (const [plural, name] of [
      ['globalnetworkpolicies', 'before-nat'],
      ['globalnetworkpolicies', 'untracked'],
      ['hostendpoints', 'uplink'],
    ]) {
      assert.ok(etcdctl('del', `/calico/resources/v3/projectcalico.org/${plural}/${name}`));
    }
    await until('they are gone', () => !node.ruleset().includes('host-normal'));
  });

  it('shows the decisions to people, and says on which node a pod is', async () => {
    const cli = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));
    const twillctl = (...args: string[]): ChildProcess =>
      spawn(
        'nsenter',
        [`--net=/run/netns/${node.name}`, process.execPath, '--import', 'tsx', cli, 'policy', 'trace', ...args],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: { ...process.env, TWILL_RUN_DIR: folder, ETCD_ENDPOINTS: 'http://127.0.0.1:2379' },
        },
      );
    const followed = twillctl('-n', 'web', 'b', '--seconds', '60');
    let text = '';
    followed.stdout?.on('data', (chunk) => {
      text += String(chunk);
    });
    await until('tracing', () => text.includes('following web/b'), 15_000);
    assert.equal(node.talks(a.netns, '10.65.0.2', 81, 'tcp', 0.1), false);
    await until('the decision', () =>
      / deny {2}ingress tcp 10\.65\.0\.1:\d+ -> 10\.65\.0\.2:81 {2}end of tier default: no rule decided$/m.test(text),
    ).catch(() => {
      throw new Error(text);
    });
    followed.kill('SIGINT');
    await until('it ends', () => followed.exitCode !== null);
    assert.match(text, /tracing is off again/);
    assert.equal(traceTables(), '');

    put('workloadendpoints', 'web/node2-k8s-far-eth0', 'WorkloadEndpoint', {
      orchestrator: 'k8s',
      node: 'node2',
      pod: 'far',
      endpoint: 'eth0',
      interfaceName: 'califar',
      ipNetworks: ['10.65.1.1/32'],
    });
    const elsewhere = twillctl('web/far');
    let errors = '';
    elsewhere.stderr?.on('data', (chunk) => {
      errors += String(chunk);
    });
    await until('it ends', () => elsewhere.exitCode !== null, 15_000);
    assert.equal(elsewhere.exitCode, 1);
    assert.match(errors, /web\/far is on node node2: run this command there/);
  });

  it('stops following when the time is over, and when it is killed', async () => {
    await follow(a, 0.2).done;
    assert.equal(traceTables(), '');
    const trace = follow(a, 60);
    await until('tracing', () => trace.events.length > 0);
    felix.kill('SIGKILL');
    await assert.rejects(trace.done);
    await until('the table is gone before anybody starts felix again', () => traceTables() === '');
    felix = startFelix();
    await until('felix is ready again', async () => (await status())['ready'] === true, 20_000);
    await assert.rejects(follow(a, 0).done, /seconds must be/);
    await assert.rejects(
      callControlLines(join(folder, 'felix.sock'), '/v1/trace?endpoint=web/x', () => {}, new AbortController().signal),
      /knows no endpoint web\/x/,
    );
  });

  it('changes nothing when it is killed and started again', async () => {
    const counters = (): string => sh(`ip netns exec ${node.name} nft list counters table inet twill | tr -d '\\n\\t'`);
    const handles = (): string => sh(`ip netns exec ${node.name} nft -a -s list ruleset`);
    put('networkpolicies', 'web/ping', 'NetworkPolicy', {
      tier: 'default',
      selector: 'all()',
      types: ['Ingress'],
      ingress: [{ action: 'Allow', protocol: 'ICMP' }],
    });
    const pings = spawn('ip', ['netns', 'exec', a.netns, 'ping', '-i', '0.01', '10.65.0.2'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let pinged = '';
    pings.stdout.on('data', (chunk) => {
      pinged += String(chunk);
    });
    await until('pings pass', () => pinged.includes('bytes from'));
    const before = { handles: handles(), routes: node.routes(), counters: counters() };
    assert.match(before.counters, /allow\/\S+ \{ *packets [1-9]/);
    const events = spawn('ip', ['netns', 'exec', node.name, 'nft', 'monitor'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let seen = '';
    events.stdout.on('data', (chunk) => {
      seen += String(chunk);
    });
    felix.kill('SIGKILL');
    await until('the table has no owner', () => !handles().includes('flags owner'));
    felix = startFelix();
    await until('felix is ready again', async () => (await status())['ready'] === true, 20_000);
    assert.equal((await status())['tableOwned'], true);
    pings.kill('SIGINT');
    await until('the end of the pings', () => pings.exitCode !== null);
    assert.match(pinged, / 0% packet loss/);
    assert.deepEqual({ handles: handles(), routes: node.routes(), counters: counters() }, before);
    events.kill('SIGKILL');
    // All that happens is that the table has an owner again.
    assert.equal(seen.replaceAll(/^#.*\n/gm, ''), 'add table inet twill\n');
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), true);
  });

  it('ends with the reason when another agent runs in the same namespace', async () => {
    const other = join(folder, 'other');
    mkdirSync(other);
    const second = startFelix(other);
    let said = '';
    second.stderr?.on('data', (chunk) => {
      said += String(chunk);
    });
    await until('its end', () => second.exitCode !== null, 20_000);
    assert.notEqual(second.exitCode, 0);
    assert.match(
      said,
      /this network namespace belongs to .*another agent runs in this network namespace; end one of the two/,
    );
    assert.match(said, new RegExp(`process ${felix.pid} `));
    assert.equal((await status())['ready'], true);
  });

  it('takes an endpoint down with its resource', async () => {
    assert.ok(etcdctl('del', `/calico/resources/v3/projectcalico.org/workloadendpoints/web/${endpointName(b)}`));
    await until('the route is gone', () => !node.routes().includes('10.65.0.2'));
    assert.doesNotMatch(node.ruleset(), /"calib"/);
    assert.doesNotMatch(node.ruleset(), /NetworkPolicy\/web\/allow/);
  });
});
