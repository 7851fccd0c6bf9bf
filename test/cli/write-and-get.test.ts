// create, apply, replace, delete, get: outcomes, phrases and exit codes as scripts for calicoctl expect them.

import assert from 'node:assert/strict';
import { Cli } from './harness.ts';

const pool = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: main}
spec: {cidr: 10.0.0.0/16, natOutgoing: true}
`;
const policy = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: allow, namespace: prod}
spec:
  order: 5
  selector: app == 'web'
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [80, "443"]}}
`;
const both = `${pool}---${policy}`;

describe('twillctl create, apply, replace, delete', () => {
  it('says what it did, as calicoctl does', async () => {
    const cli = await Cli.start();
    assert.deepEqual(await cli.run('create -f -', pool), {
      code: 0,
      out: "Successfully created 1 'IPPool' resource(s)\n",
      err: '',
    });
    assert.equal((await cli.run('apply -f -', both)).out, 'Successfully applied 2 resource(s)\n');
    assert.equal((await cli.run('replace -f -', policy)).out, "Successfully replaced 1 'NetworkPolicy' resource(s)\n");
    assert.equal((await cli.run('delete -f -', policy)).out, "Successfully deleted 1 'NetworkPolicy' resource(s)\n");
    assert.equal((await cli.run('delete pool main')).out, "Successfully deleted 1 'IPPool' resource(s)\n");
  });

  it('makes what every datastore has with the first write', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', pool);
    assert.match((await cli.run('get tiers')).out, /^NAME +ORDER\ndefault +1000000\nkube-admin +1000\n/);
    assert.match((await cli.run('get clusterinfo -o yaml')).out, /datastoreReady: true/);
  });

  it('refuses with exit code 1 and the usual phrases', async () => {
    const cli = await Cli.start();
    await cli.run('create -f -', pool);
    const twice = await cli.run('create -f -', pool);
    assert.equal(twice.code, 1);
    assert.match(twice.err, /Failed to create 'IPPool' resource: .*resource already exists: IPPool\(main\)/);
    assert.equal((await cli.run('create --skip-exists -f -', pool)).code, 0);
    const missing = await cli.run('replace -f -', policy);
    assert.match(
      missing.err,
      /Failed to replace 'NetworkPolicy' resource: .*resource does not exist: NetworkPolicy\(prod\/allow\)/,
    );
    const gone = await cli.run('delete pool other');
    assert.match(gone.err, /Failed to delete 'IPPool' resource: .*resource does not exist: IPPool\(other\)/);
    assert.equal((await cli.run('delete pool other -s')).code, 0);
    const partial = await cli.run('delete pool main other');
    assert.match(partial.out, /Partial success: deleted 1 out of 2 'IPPool' resources/);
    assert.equal(partial.code, 1);
    assert.match((await cli.run('delete tier default')).err, /operation not supported: Tier\(default\) is built in/);
    assert.match((await cli.run('get ippool -n prod')).err, /IPPool is not namespaced/);
    assert.match(
      (await cli.run('apply -n other -f -', policy)).err,
      /resource namespace does not match client namespace\. prod != other/,
    );
    assert.match((await cli.run('apply -f missing.yaml')).err, /open missing.yaml: no such file or directory/);
    assert.match((await cli.run('get ipool')).err, /resource type 'ipool' is not supported; did you mean ippool\?/);
    assert.match((await cli.run('apply -f -', '')).err, /No resources specified in file -/);
    assert.equal((await cli.run('apply --skip-empty -f -', '')).out, 'No resources specified\n');
  });

  it('stores nothing when anything is invalid, and names file, resource, field and remedy', async () => {
    const cli = await Cli.start();
    const result = await cli.run('apply -f -', both.replace('Allow,', 'allow,').replace('natOutgoing', 'natoutgoing'));
    assert.equal(result.code, 1);
    assert.equal(
      result.err,
      [
        'standard input, document 1: IPPool main',
        '  spec.natoutgoing: is not a known field; did you mean natOutgoing?',
        'standard input, document 2: NetworkPolicy allow',
        '  spec.ingress[0].action: "allow" is not one of its values; write Allow',
        'Failed to execute command: 2 of 2 resources are not valid, nothing was stored',
        '',
      ].join('\n'),
    );
    assert.equal((await cli.store.list('/')).entries.length, 0);
  });

  it('leaves to Twill and Kubernetes what is theirs', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', pool);
    const information = (await cli.run('get clusterinfo default -o yaml')).out;
    assert.match(
      (await cli.run('apply -f -', information)).err,
      /operation not supported: ClusterInformation is populated by Twill/,
    );
    const kubernetes = policy.replace('name: allow', 'name: knp.default.allow');
    assert.match((await cli.run('apply -f -', kubernetes)).err, /must be managed through the kubernetes API/);
    assert.match((await cli.run('delete np knp.default.allow')).err, /must be managed through the kubernetes API/);
  });

  it('says where YAML is broken', async () => {
    const cli = await Cli.start();
    const result = await cli.run('apply -f -', 'kind: [IPPool\nspec: {');
    assert.match(result.err, /Failed to execute command: standard input: .* at line 2/);
  });

  it('keeps an update that was read before from overwriting another', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', pool);
    const read = (await cli.run('get pool main -o yaml')).out;
    await cli.run('apply -f -', pool.replace('natOutgoing: true', 'disabled: true'));
    const late = await cli.run('replace -f -', read);
    assert.equal(late.code, 1);
    assert.match(late.err, /update conflict: IPPool\(main\)/);
  });
});

describe('twillctl get', () => {
  const filled = async (): Promise<Cli> => {
    const cli = await Cli.start();
    await cli.run('apply -f -', both);
    return cli;
  };

  it('prints calicoctl’s tables', async () => {
    const cli = await filled();
    assert.equal((await cli.run('get ippools')).out, 'NAME   CIDR          SELECTOR\nmain   10.0.0.0/16   all()\n\n');
    assert.equal((await cli.run('get np -n prod')).out, 'NAMESPACE   NAME    TIER\nprod        allow   default\n\n');
    assert.equal(
      (await cli.run('get networkPolicies -A -o wide')).out,
      "NAMESPACE   NAME    TIER      ORDER   SELECTOR\nprod        allow   default   5       app == 'web'\n\n",
    );
    assert.equal((await cli.run('get np -a')).out, 'NAMESPACE   NAME    TIER\nprod        allow   default\n\n');
    assert.equal((await cli.run('get pool -o custom-columns=NAME,NAT')).out, 'NAME   NAT\nmain   true\n\n');
    assert.match((await cli.run('get pool -o custom-columns=COLOUR')).err, /unknown column COLOUR/);
    assert.match((await cli.run('get pool -o table')).err, /unrecognized output format 'table'/);
  });

  it('prints documents that apply again', async () => {
    const cli = await filled();
    const yaml = (await cli.run('get np allow -n prod -o yaml')).out;
    assert.match(yaml, /^apiVersion: projectcalico.org\/v3\nkind: NetworkPolicy\nmetadata:\n {2}annotations:\n/);
    assert.match(yaml, /\n {4}projectcalico.org\/metadata: '\{"name":"allow"\}'\n {2}creationTimestamp: "/);
    assert.equal((await cli.run('apply -f -', yaml)).code, 0);
    const json = (await cli.run('get ippools -o json')).out;
    assert.equal(JSON.parse(json).kind, 'IPPoolList');
    assert.equal((await cli.run('replace -f -', json)).out, "Successfully replaced 1 'IPPool' resource(s)\n");
    const exported = (await cli.run('get np allow -n prod -o yaml --export')).out;
    assert.doesNotMatch(exported, /uid|resourceVersion|creationTimestamp|namespace|annotations/);
  });

  it('shows what it found and names what it did not', async () => {
    const cli = await filled();
    const result = await cli.run('get pool main other');
    assert.match(result.out, /main/);
    assert.equal(result.code, 1);
    assert.equal(result.err, 'resource does not exist: IPPool(other)\n');
    assert.equal(
      (await cli.run('get -f -', pool)).out,
      'NAME   CIDR          SELECTOR\nmain   10.0.0.0/16   all()\n\n',
    );
  });
});
