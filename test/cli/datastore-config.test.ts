// Where the datastore is: flag over environment over the CalicoAPIConfig file, with Calico's names.

import assert from 'node:assert/strict';
import { readDatastoreConfig } from '../../cli/datastore-config.ts';
import { readCredentials } from '../../datastore/credentials.ts';

const file = `
apiVersion: projectcalico.org/v3
kind: CalicoAPIConfig
metadata:
spec:
  datastoreType: etcdv3
  etcdEndpoints: https://etcd1:2379,https://etcd2:2379
  etcdKeyFile: /etc/calico/key.pem
  etcdCertFile: /etc/calico/cert.pem
  etcdCACertFile: /etc/calico/ca.pem
  etcdUsername: user
`;

const readFile = (files: Readonly<Record<string, string>>) => (path: string) => files[path];

describe('where the datastore is', () => {
  it('is said by the file, default or named', async () => {
    const expected = {
      etcdEndpoints: 'https://etcd1:2379,https://etcd2:2379',
      etcdDiscoverySrv: undefined,
      etcdUsername: 'user',
      etcdPassword: undefined,
      etcdKeyFile: '/etc/calico/key.pem',
      etcdCertFile: '/etc/calico/cert.pem',
      etcdCaCertFile: '/etc/calico/ca.pem',
      etcdKey: undefined,
      etcdCert: undefined,
      etcdCaCert: undefined,
    };
    const byDefault = { environment: {}, readFile: readFile({ '/etc/calico/calicoctl.cfg': file }) };
    assert.deepEqual(await readDatastoreConfig(byDefault), expected);
    const named = { configPath: 'my.cfg', environment: {}, readFile: readFile({ 'my.cfg': file }) };
    assert.deepEqual(await readDatastoreConfig(named), expected);
  });

  it('is overridden by the environment, and that by the flag', async () => {
    const environment = { ETCD_ENDPOINTS: 'http://other:2379', ETCD_PASSWORD: 'secret', ETCD_CA_CERT_FILE: '' };
    const sources = { environment, readFile: readFile({ '/etc/calico/calicoctl.cfg': file }) };
    const config = await readDatastoreConfig(sources);
    assert.equal(config.etcdEndpoints, 'http://other:2379');
    assert.equal(config.etcdPassword, 'secret');
    assert.equal(config.etcdUsername, 'user');
    assert.equal(config.etcdCaCertFile, '/etc/calico/ca.pem');
    assert.equal((await readDatastoreConfig({ ...sources, etcdEndpoints: 'unix:/x' })).etcdEndpoints, 'unix:/x');
  });

  it('takes certificates as text, which files named by the environment replace', async () => {
    const pem = (what: string) => `-----BEGIN ${what}-----\n      AAAA\n      -----END ${what}-----`;
    const text = `kind: CalicoAPIConfig
spec:
  etcdKey: |
      ${pem('PRIVATE KEY')}
  etcdCert: |
      ${pem('CERTIFICATE')}
  etcdCACert: |
      ${pem('CERTIFICATE')}
`;
    const sources = { environment: {}, readFile: readFile({ '/etc/calico/calicoctl.cfg': text }) };
    const config = await readDatastoreConfig(sources);
    assert.equal(config.etcdKey, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
    assert.equal(config.etcdCaCert, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const read = await readCredentials(config);
    assert.equal(read?.privateKey?.toString(), config.etcdKey);
    assert.equal(read?.certChain?.toString(), config.etcdCert);
    const changed = await readDatastoreConfig({ ...sources, environment: { ETCD_KEY_FILE: '/key.pem' } });
    assert.deepEqual([changed.etcdKey, changed.etcdKeyFile], [undefined, '/key.pem']);
    await assert.rejects(readCredentials({ ...config, etcdKeyFile: '/key.pem' }), /key is given both as text and as/);
    await assert.rejects(readCredentials({ ...config, etcdKey: '/key.pem' }), /text of the datastore’s key is not PEM/);
  });

  it('is the local socket when nobody says anything', async () => {
    const config = await readDatastoreConfig({ environment: {}, readFile: () => undefined });
    assert.equal(config.etcdEndpoints, 'unix:/run/twill/datastore.sock');
  });

  it('is refused with the reason', async () => {
    const cases: readonly (readonly [Record<string, string>, Record<string, string>, RegExp])[] = [
      [{}, {}, /cannot read the configuration file my\.cfg/],
      [{ 'my.cfg': 'kind: Other' }, {}, /my\.cfg: kind is not CalicoAPIConfig/],
      [{ 'my.cfg': 'kind: [' }, {}, /^CommandError: my\.cfg: /],
      [
        { 'my.cfg': 'kind: CalicoAPIConfig\nspec: {etcdEndpoint: x}' },
        {},
        /my\.cfg: spec\.etcdEndpoint is not a known field; did you mean etcdEndpoints\?/,
      ],
      [{ 'my.cfg': file }, { DATASTORE_TYPE: 'kubernetes' }, /datastoreType kubernetes is not supported; use etcdv3/],
    ];
    for (const [files, environment, message] of cases) {
      await assert.rejects(
        readDatastoreConfig({ configPath: 'my.cfg', environment, readFile: readFile(files) }),
        message,
      );
    }
  });
});
