// datastore migrate export and import: calicoctl's form, there and back; what is refused, and why.

import assert from 'node:assert/strict';
import { parseAllDocuments } from 'yaml';
import { Cli } from './harness.ts';

const manifests = `
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 100}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: block, labels: {team: a}}
spec: {tier: security, selector: all(), types: [Ingress], ingress: [{action: Deny}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {selector: "role == 'web'", types: [Ingress]}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: main}
spec: {cidr: 10.0.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: old-name}
spec: {orchRefs: [{orchestrator: k8s, nodeName: kube-name}], bgp: {ipv4Address: 192.0.2.1/24}}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: alone}
spec: {bgp: {ipv4Address: 192.0.2.2/24}}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: node.old-name}
spec: {logSeverityScreen: Debug}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: alone-k8s-pod-eth0, namespace: shop}
spec: {orchestrator: k8s, node: alone, pod: pod, endpoint: eth0, ipNetworks: [10.0.0.1/32], interfaceName: cali1}
`;

const sequence = '1764324000123456789';
const ipam: Readonly<Record<string, string>> = {
  '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26': `{"cidr":"10.0.0.0/26","affinity":"host:old-name","allocations":[0],"unallocated":[1],"attributes":[{"handle_id":"ipip-tunnel-addr-old-name","secondary":{"node":"old-name"}}],"sequenceNumber":${sequence},"sequenceNumberForAllocation":{"0":${sequence}},"deleted":false}`,
  '/calico/ipam/v2/host/old-name/ipv4/block/10.0.0.0-26': '{"state":"confirmed","deleted":false}',
  '/calico/ipam/v2/host/alone/ipv4/block/10.0.0.64-26': '',
  '/calico/ipam/v2/handle/ipip-tunnel-addr-old-name': '{"block":{"10.0.0.0/26":1},"deleted":false}',
  '/calico/ipam/v2/handle/k8s-pod-network.1234': '{"block":{"10.0.0.64/26":1},"deleted":false}',
  '/calico/ipam/v2/config': '{"strict_affinity":false,"auto_allocate_blocks":true,"maxBlocksPerHost":0}',
};

async function filled(): Promise<Cli> {
  const cli = await Cli.start();
  const { err } = await cli.run('apply -f -', manifests);
  assert.equal(err, '');
  for (const [key, value] of Object.entries(ipam))
    await cli.store.transact({ compare: [], then: [{ kind: 'put', key, value }] });
  return cli;
}

const valuesOf = async (cli: Cli, prefix: string): Promise<Record<string, string>> =>
  Object.fromEntries((await cli.store.list(prefix)).entries.map(({ key, value }) => [key, value]));

describe('twillctl datastore migrate', () => {
  it('exports only what is locked', async () => {
    const cli = await filled();
    const result = await cli.run('datastore migrate export');
    assert.deepEqual([result.code, result.out], [1, '']);
    assert.match(result.err, /^datastore is not locked\. Run the `twillctl datastore migrate lock` command/);
  });

  it('exports calicoctl’s three parts', async () => {
    const cli = await filled();
    await cli.run('datastore migrate lock');
    const { out, err, code } = await cli.run('datastore migrate export');
    assert.equal(code, 0);
    assert.match(err, /Node alone has no reference to Kubernetes/);
    const [resources = '', information = '', data = '', ...more] = out.split('===\n');
    assert.deepEqual(more, []);
    const documents = parseAllDocuments(resources)
      .map((document) => document.toJS())
      .filter((value) => value !== null);
    assert.deepEqual(
      documents.map(({ kind }) => kind),
      [
        ...['IPPoolList', 'BGPPeerList', 'TierList', 'GlobalNetworkPolicyList', 'StagedGlobalNetworkPolicyList'],
        ...['GlobalNetworkSetList', 'HostEndpointList', 'KubeControllersConfigurationList', 'NetworkPolicyList'],
        ...['StagedNetworkPolicyList', 'StagedKubernetesNetworkPolicyList', 'NetworkSetList', 'NodeList'],
        ...['BGPConfigurationList', 'FelixConfigurationList', 'IPReservationList', 'BGPFilterList'],
      ],
    );
    const names = (kind: string): string[] =>
      documents
        .find((list) => list.kind === `${kind}List`)
        .items.map((item: { metadata: { name: string } }) => item.metadata.name);
    assert.deepEqual(names('Node'), ['alone', 'kube-name']);
    assert.deepEqual(names('FelixConfiguration'), ['default', 'node.kube-name']);
    const [pool] = documents[0].items;
    assert.deepEqual(Object.keys(pool.metadata), ['name']);
    assert.equal(JSON.parse(information).spec.datastoreReady, false);
    const { block_affinities: affinities, blocks, handles, config } = JSON.parse(data);
    assert.deepEqual(
      affinities.map(({ Key, Value }: { Key: string; Value: unknown }) => [Key, Value]),
      [
        ['/calico/ipam/v2/host/alone/ipv4/block/10.0.0.64-26', { state: 'confirmed', deleted: false }],
        ['/calico/ipam/v2/host/kube-name/ipv4/block/10.0.0.0-26', { state: 'confirmed', deleted: false }],
      ],
    );
    assert.equal(blocks[0].Value.affinity, 'host:kube-name');
    assert.deepEqual(blocks[0].Value.attributes, [
      { handle_id: 'ipip-tunnel-addr-kube-name', secondary: { node: 'kube-name' } },
    ]);
    assert.ok(data.includes(`"sequenceNumber": ${sequence}`), 'every digit');
    assert.deepEqual(
      handles.map(({ Key }: { Key: string }) => Key),
      ['/calico/ipam/v2/handle/ipip-tunnel-addr-kube-name', '/calico/ipam/v2/handle/k8s-pod-network.1234'],
    );
    assert.deepEqual([config.Key, config.TTL], ['/calico/ipam/v2/config', 0]);
  });

  it('imports into an empty datastore, which stays locked until it is unlocked', async () => {
    const cli = await filled();
    await cli.run('datastore migrate lock');
    const exported = (await cli.run('datastore migrate export')).out;
    const guid = JSON.parse((await cli.run('get clusterinfo default -o json')).out).spec.clusterGUID;
    const fresh = await Cli.start();
    const result = await fresh.run('datastore migrate import -f -', exported);
    assert.deepEqual([result.code, result.err], [0, '']);
    assert.match(
      result.out,
      /^Datastore locked\.\nSuccessfully applied \d+ resource\(s\)\nImporting IPAM resources\nSuccessfully applied 6 IPAM resource\(s\)\nDatastore information successfully imported\./,
    );
    const information = JSON.parse((await fresh.run('get clusterinfo default -o json')).out);
    assert.deepEqual([information.spec.clusterGUID, information.spec.datastoreReady], [guid, false]);
    assert.match((await fresh.run('get np -n shop')).out, /^shop +web +default$/m);
    // What it wrote, it exports again, but for the revisions of the lists.
    const again = (await fresh.run('datastore migrate export')).out;
    const withoutVersions = (text: string): string =>
      text.replaceAll(/resourceVersion"?: "\d+"/g, '').replaceAll(/"(?:uid|creationTimestamp)": .*/g, '');
    assert.equal(withoutVersions(again), withoutVersions(exported));
    await fresh.run('datastore migrate unlock');
    assert.match((await fresh.run('datastore migrate export')).err, /datastore is not locked/);
    assert.equal(
      (await valuesOf(fresh, '/calico/ipam/v2/config'))['/calico/ipam/v2/config'],
      ipam['/calico/ipam/v2/config'],
    );
  });

  it('imports into nothing that is in use, unless told to', async () => {
    const cli = await filled();
    await cli.run('datastore migrate lock');
    const exported = (await cli.run('datastore migrate export')).out;
    const refused = await cli.run('datastore migrate import -f -', exported);
    assert.match(refused.err, /Datastore already has Calico resources: Found existing Calico IPPool resource: main/);
    const forced = await cli.run('datastore migrate import --force -f -', exported);
    assert.deepEqual([forced.code, forced.err], [0, '']);
    const onlyAddresses = await Cli.start();
    await onlyAddresses.store.transact({
      compare: [],
      then: [{ kind: 'put', key: '/calico/ipam/v2/config', value: '{}' }],
    });
    assert.match(
      (await onlyAddresses.run('datastore migrate import -f -', exported)).err,
      /Found existing IPAM resources/,
    );
  });

  it('writes nothing from a file that is not right', async () => {
    const cli = await filled();
    await cli.run('datastore migrate lock');
    const exported = (await cli.run('datastore migrate export')).out;
    const backup = (await cli.run('datastore backup')).out;
    for (const [damaged, problem] of [
      ['', /is improperly formatted/],
      [exported.split('===\n').slice(0, 2).join('===\n'), /is improperly formatted/],
      [backup, /is a backup: twillctl datastore restore/],
      [exported.replace('cidr: 10.0.0.0/16', 'cidr: 10.0.0.1/16'), /spec\.cidr.*\n.*nothing was stored/],
      [
        exported.replace('/calico/ipam/v2/config', '/elsewhere'),
        /IPAM data: config\[0\]: "\/elsewhere" is no key of this list/,
      ],
      [exported.replace('"handles"', '"hands"'), /IPAM data: "hands" is not known/],
    ] as const) {
      const fresh = await Cli.start();
      const result = await fresh.run('datastore migrate import -f -', damaged);
      assert.match(result.err, problem);
      assert.deepEqual(await valuesOf(fresh, '/'), {});
    }
    assert.match((await cli.run('datastore migrate import')).err, /import needs a file: -f FILE/);
  });
});

describe('twillctl datastore migrate-policy-names', () => {
  const root = '/calico/resources/v3/projectcalico.org/';
  const policy = (name: string, annotated: string | undefined, tier = 'default', order = 1): string =>
    JSON.stringify({
      kind: 'NetworkPolicy',
      apiVersion: 'projectcalico.org/v3',
      metadata: {
        name,
        namespace: 'shop',
        uid: 'u',
        ...(annotated && { annotations: { 'projectcalico.org/metadata': `{"name":"${annotated}"}`, other: 'kept' } }),
      },
      spec: { tier, order, selector: 'all()', fromTheFuture: 'BIG' },
    }).replace('"BIG"', '12345678901234567');
  const put = (cli: Cli, name: string, value: string) =>
    cli.store.transact({ compare: [], then: [{ kind: 'put', key: `${root}networkpolicies/shop/${name}`, value }] });
  const old = async (): Promise<Cli> => {
    const cli = await Cli.start();
    await put(cli, 'default.web', policy('default.web', 'web'));
    await put(cli, 'default.ancient', policy('default.ancient', undefined));
    await put(cli, 'default.chosen', policy('default.chosen', 'default.chosen'));
    await put(cli, 'security.block', policy('security.block', 'security.block', 'security'));
    await put(cli, 'default.other-tier', policy('default.other-tier', undefined, 'security'));
    await put(cli, 'knp.default.k8s', policy('knp.default.k8s', 'knp.default.k8s'));
    return cli;
  };
  const names = async (cli: Cli): Promise<string[]> =>
    Object.keys(await valuesOf(cli, `${root}networkpolicies/`)).map((key) =>
      key.slice(`${root}networkpolicies/`.length),
    );

  it('says what it would do, does it, and has nothing to do then', async () => {
    const cli = await old();
    const before = await valuesOf(cli, '/');
    const dry = await cli.run('datastore migrate-policy-names --dry-run');
    assert.equal(
      dry.out,
      'NetworkPolicy shop/default.ancient → ancient\nNetworkPolicy shop/default.web → web\n2 policies would be renamed (dry run: nothing was changed).\n',
    );
    assert.deepEqual(await valuesOf(cli, '/'), before);
    const { revision } = await cli.store.status();
    assert.match(
      (await cli.run('datastore migrate-policy-names')).out,
      /Policy name migration complete, migrated 2 policies\.\n$/,
    );
    assert.equal((await cli.store.status()).revision, revision + 2, 'one transaction each');
    assert.deepEqual(await names(cli), [
      ...['shop/ancient', 'shop/default.chosen', 'shop/default.other-tier', 'shop/knp.default.k8s'],
      ...['shop/security.block', 'shop/web'],
    ]);
    const now = await valuesOf(cli, `${root}networkpolicies/shop/web`);
    assert.equal(Object.values(now)[0], policy('web', 'web'));
    assert.match((await cli.run('datastore migrate-policy-names')).out, /migrated 0 policies/);
  });

  it('finishes what another run has begun, and leaves what differs to people', async () => {
    const cli = await old();
    await put(cli, 'web', policy('web', 'web'));
    await put(cli, 'ancient', policy('ancient', 'ancient', 'default', 7));
    const result = await cli.run('datastore migrate-policy-names');
    assert.equal(result.code, 1);
    assert.match(result.out, /NetworkPolicy shop\/default\.web → web \(was there already\)/);
    assert.match(
      result.err,
      /NetworkPolicy shop\/default\.ancient → ancient: both are there and differ; delete the one/,
    );
    const left = await names(cli);
    assert.ok(
      left.includes('shop/default.ancient') && left.includes('shop/ancient') && !left.includes('shop/default.web'),
    );
  });
});
