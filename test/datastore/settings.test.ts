// Endpoints are read strictly, with what would be right in the message, and found in DNS in the order of preference.

import assert from 'node:assert/strict';
import {
  discoverEndpoints,
  parseEndpoints,
  type ServiceRecord,
  storeSettingsFromEnvironment,
} from '../../datastore/settings.ts';

describe('datastore/settings', () => {
  it('reads lists of endpoints', () => {
    assert.deepEqual(
      parseEndpoints('http://a.example:2379, https://[::1]:4001,unix:/run/x.sock,unix:///run/y.sock,b'),
      [
        { secure: false, target: 'a.example:2379' },
        { secure: true, target: '[::1]:4001' },
        { secure: false, target: 'unix:/run/x.sock' },
        { secure: false, target: 'unix:/run/y.sock' },
        { secure: false, target: 'b:2379' },
      ],
    );
  });

  for (const wrong of ['ftp://a:1', 'http://a:port', 'unix:relative', 'http://a:1/path', 'a b']) {
    it(`refuses "${wrong}"`, () => {
      assert.throws(() => parseEndpoints(wrong), /is not a datastore endpoint: http\(s\):\/\/host:port or unix:\/path/);
    });
  }

  it('refuses an empty list', () => {
    assert.throws(() => parseEndpoints(' , '), /set ETCD_ENDPOINTS/);
  });

  it('takes the environment of Calico', () => {
    const settings = storeSettingsFromEnvironment({
      ETCD_ENDPOINTS: 'http://a:1',
      ETCD_USERNAME: 'u',
      ETCD_PASSWORD: '',
    });
    assert.deepEqual(
      [settings.etcdEndpoints, settings.etcdUsername, settings.etcdPassword],
      ['http://a:1', 'u', undefined],
    );
  });

  it('finds endpoints in DNS, with TLS and preferred ones first', async () => {
    const zone: Readonly<Record<string, readonly ServiceRecord[]>> = {
      '_etcd-client._tcp.example.org': [{ name: 'plain.example.org', port: 2379, priority: 0, weight: 0 }],
      '_etcd-client-ssl._tcp.example.org': [
        { name: 'b.example.org', port: 2379, priority: 10, weight: 0 },
        { name: 'light.example.org.', port: 2379, priority: 0, weight: 1 },
        { name: 'heavy.example.org', port: 2380, priority: 0, weight: 9 },
      ],
    };
    const resolve = async (name: string): Promise<readonly ServiceRecord[]> => {
      const records = zone[name];
      if (!records) throw new Error(`querySrv ENOTFOUND ${name}`);
      return records;
    };
    const endpoints = await discoverEndpoints('example.org', resolve);
    assert.deepEqual(
      endpoints.map(({ secure, target }) => `${secure ? 'tls ' : ''}${target}`),
      ['tls heavy.example.org:2380', 'tls light.example.org:2379', 'tls b.example.org:2379', 'plain.example.org:2379'],
    );
    await assert.rejects(discoverEndpoints('example.net', resolve), /neither _etcd-client-ssl._tcp.example.net/);
  });
});
