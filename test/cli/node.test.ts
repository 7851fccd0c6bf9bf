// node list, status, checksystem, diags: from reports, a control socket, and this machine.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeStatus } from '../../cli/commands/node-status.ts';
import { serveControl } from '../../runtime/control.ts';
import { Cli } from './harness.ts';

const node = (name: string) => `
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: ${name}}
spec: {bgp: {ipv4Address: 10.0.0.1/24}}
`;

const peers = [
  {
    address: '10.0.0.2',
    type: 'node-to-node mesh',
    asn: 64512,
    state: 'Established',
    since: '2020-01-02T03:04:05Z',
    routesIn: 4,
    routesOut: 2,
  },
  {
    address: '10.0.0.3',
    type: 'global',
    asn: 64601,
    state: 'Active',
    since: '2020-01-02T03:04:05Z',
    detail: 'Connection refused',
    routesIn: 0,
    routesOut: 0,
  },
];

describe('twillctl node list', () => {
  it('joins the nodes with what they report', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', [node('a'), node('b')].join('---'));
    const { openEphemeral } = await import('../../datastore/ephemeral.ts');
    const ephemeral = await openEphemeral({ store: cli.store });
    const report = (name: string, more: object) =>
      ephemeral.publish(
        'status',
        name,
        JSON.stringify({ node: name, at: new Date().toISOString(), version: '0.1.0', ...more }),
        30,
      );
    await report('a', { ready: true, reasons: [], felix: { endpoints: 7, policies: 3 }, bgp: { peers } });
    await report('c', { ready: false, reasons: ['bgp does not answer'] });
    const { out } = await cli.run('node list');
    assert.deepEqual(
      out
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/ {2,}/g, '|').replace(/\|\ds\b/, '|0s')),
      [
        'NAME|STATE|SESSIONS|ENDPOINTS|POLICIES|VERSION|AGE|REMARKS',
        'a|ready|1/2|7|3|0.1.0|0s',
        'b|silent|-|-|-|-|-|no report: the agent does not run, or does not reach the datastore',
        'c|not ready|-|-|-|0.1.0|0s|there is no such Node resource; bgp does not answer',
      ],
    );
    const json = JSON.parse((await cli.run('node list -o json')).out);
    assert.deepEqual(json[0].sessions, { established: 1, configured: 2 });
    await ephemeral.close();
  });
});

describe('twillctl node status', () => {
  it('prints calicoctl’s tables, with routes', () => {
    assert.equal(
      describeStatus({ node: 'n1', routerId: '10.0.0.1', asn: 64512, peers }),
      `Calico process is running. (node n1, AS 64512, router id 10.0.0.1)

IPv4 BGP status
+--------------+-------------------+-------+-------+------------+---------------------------+-----------+------------+
| PEER ADDRESS | PEER TYPE         | AS    | STATE | SINCE      | INFO                      | ROUTES IN | ROUTES OUT |
+--------------+-------------------+-------+-------+------------+---------------------------+-----------+------------+
| 10.0.0.2     | node-to-node mesh | 64512 | up    | 2020-01-02 | Established               | 4         | 2          |
| 10.0.0.3     | global            | 64601 | start | 2020-01-02 | Active Connection refused | 0         | 0          |
+--------------+-------------------+-------+-------+------------+---------------------------+-----------+------------+

IPv6 BGP status
No IPv6 peers found.
`,
    );
  });

  it('asks the agent’s socket, and says when nobody is there', async () => {
    const cli = await Cli.start();
    const directory = mkdtempSync(join(tmpdir(), 'twill-node-'));
    try {
      const missing = await cli.run(`node status --run-dir ${directory}`);
      assert.equal(missing.code, 1);
      assert.match(missing.err, /Calico process is not running/);
      const felix = await serveControl(join(directory, 'felix.sock'), { 'GET /v1/status': () => ({ ready: true }) });
      assert.match(
        (await cli.run(`node status --run-dir ${directory}`)).err,
        /^Calico process is running, but not its BGP speaker .*--backend none/,
      );
      felix.close();
      const server = await serveControl(join(directory, 'bgp.sock'), {
        'GET /v1/peers': () => ({ node: 'n1', peers }),
      });
      try {
        assert.match((await cli.run(`node status --run-dir ${directory}`)).out, /\| 10\.0\.0\.2 +\| node-to-node mesh/);
        cli.environment = { TWILL_RUN_DIR: directory };
        assert.equal(JSON.parse((await cli.run('node status -o json')).out).node, 'n1');
        const diags = await cli.run(`node diags --log-dir ${directory}/none --output-dir ${directory}`);
        assert.match(diags.out, /^Diags saved to .*twill-diags-\d+T\d+Z\.tar\.gz\n/);
      } finally {
        server.close();
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('twillctl cluster diags', () => {
  it('collects what the other commands say', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', node('a'));
    const directory = mkdtempSync(join(tmpdir(), 'twill-diags-'));
    try {
      const { out, code } = await cli.run(`cluster diags --skip-temp-dir-cleanup --output-dir ${directory}`);
      assert.equal(code, 0);
      const [, folder = ''] = /^Diags saved to (.*)\.tar\.gz\n/.exec(out) ?? [];
      assert.match(readFileSync(join(folder, 'nodes.yaml'), 'utf8'), /ipv4Address: 10\.0\.0\.1\/24/);
      assert.match(readFileSync(join(folder, 'datastore.txt'), 'utf8'), /\| State +\| ready +\|/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('twillctl node run', () => {
  const dryRun = async (words: string, cli?: Cli): Promise<string> => {
    const { out, err } = await (cli ?? (await Cli.start())).run(`node run --dryrun ${words}`);
    assert.equal(err, '');
    return out.split('\n')[2] ?? '';
  };
  const store = 'ETCD_ENDPOINTS=unix:/run/twill/datastore.sock';

  it('says calicoctl’s options in twill-node’s words', async () => {
    assert.equal(
      await dryRun('--name n1 --ip 192.0.2.1/24 --ip6 autodetect --as 1.10 --no-default-ippools'),
      `${store} twill-node --node-name n1 --ip 192.0.2.1/24 --ip6 autodetect --as 65546`,
    );
    assert.equal(
      await dryRun(
        '--ip-autodetection-method=interface=eth.* --ip6-autodetection-method can-reach=fd00::1 --backend none',
      ),
      `${store} twill-node --ip-autodetection-method 'interface=eth.*' --ip6-autodetection-method can-reach=fd00::1 --backend none --default-pool`,
    );
  });

  it('accepts what concerns containers', async () => {
    const words =
      '--init-system --node-image quay.io/calico/node:v3.33.0 --log-dir /var/log/calico --disable-docker-networking';
    assert.equal(await dryRun(words), `${store} twill-node --default-pool`);
  });

  it('hands on where the datastore is, but no password on a command line', async () => {
    const cli = await Cli.start();
    cli.files.set(
      'twill.cfg',
      'kind: CalicoAPIConfig\nspec: {etcdEndpoints: "http://a:1", etcdUsername: u, etcdPassword: p}\n',
    );
    assert.equal(
      await dryRun('-c twill.cfg', cli),
      "ETCD_ENDPOINTS=http://a:1 ETCD_USERNAME=u ETCD_PASSWORD='…' twill-node --default-pool",
    );
    cli.environment = { NO_DEFAULT_POOLS: 'true' };
    assert.equal(await dryRun('', cli), `${store} twill-node`);
  });

  it('refuses what cannot be meant', async () => {
    const cli = await Cli.start();
    const refusal = async (words: string) => (await cli.run(`node run --dryrun ${words}`)).err;
    assert.equal(await refusal('--ip fd00::1'), '--ip is wrong IP version\n');
    assert.equal(await refusal('--ip6 here'), '--ip6 here is not an IP address\n');
    assert.equal(await refusal('--backend gobgp'), "unknown backend 'gobgp'; give bird or none\n");
    assert.equal(await refusal('--as 0'), '--as 0 is not an AS number\n');
    assert.match((await cli.run('node run')).err, /neither beside twillctl nor in PATH/);
  });
});
