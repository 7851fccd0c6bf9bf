// The request, understood: environment and network configuration, what is refused with which code, and names that follow.

import assert from 'node:assert/strict';
import { readAttachment, requestedAddresses } from '../../cni/attachment.ts';
import { readConfiguration, requestedVersion } from '../../cni/config.ts';
import { CniError, cniErrorCodes } from '../../cni/errors.ts';
import { hostInterfaceName, identify, ipamHandle, linkMark, parseLinkMark } from '../../cni/identity.ts';
import { formatAddress } from '../../net/address.ts';

const configuration = (change: Readonly<Record<string, unknown>> = {}) =>
  readConfiguration(JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'twill-cni', ...change }));

const attachment = (environment: Readonly<Record<string, string>>, netnsOptional = false) =>
  readAttachment({ environment: new Map(Object.entries(environment)), stdin: '' }, { netnsOptional });

const complete = { CNI_CONTAINERID: 'abc', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0' };

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof CniError) return `${cniErrorCodes[error.code]} ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('network configuration', () => {
  it('has defaults for all but version and name', () => {
    assert.deepEqual(configuration(), {
      cniVersion: '1.1.0',
      name: 'net',
      mtu: undefined,
      assignIpv4: true,
      assignIpv6: false,
      pools: undefined,
      labels: {},
      profiles: undefined,
      serviceAccount: undefined,
      ports: [],
      allowIpForwarding: false,
      policyTimeoutMs: 20_000,
      mac: undefined,
      addresses: [],
      allowedSourcePrefixes: [],
      dns: {},
      prevResult: undefined,
      validAttachments: undefined,
    });
  });

  it('takes labels by the CNI convention and by our own key', () => {
    const read = configuration({
      args: {
        cni: {
          labels: [
            { key: 'app', value: 'web' },
            { key: 'tier', value: 'front' },
          ],
        },
        twill: { labels: { tier: 'back' }, profiles: ['p'], serviceAccount: 'sa', ports: [{ name: 'http', port: 80 }] },
      },
    });
    assert.deepEqual(read.labels, { app: 'web', tier: 'back' });
    assert.deepEqual([read.profiles, read.serviceAccount], [['p'], 'sa']);
    assert.deepEqual(read.ports, [{ name: 'http', port: 80, protocol: 'TCP' }]);
  });

  it('takes the capabilities that a runtime fills in', () => {
    const read = configuration({
      dns: { nameservers: ['192.0.2.1'] },
      runtimeConfig: {
        mac: '02:00:00:00:00:07',
        ips: ['10.0.0.7/24', 'fd00::7'],
        dns: { servers: ['192.0.2.2'], searches: ['x'] },
      },
    });
    assert.equal(read.mac, '02:00:00:00:00:07');
    assert.deepEqual(read.addresses.map(formatAddress), ['10.0.0.7', 'fd00::7']);
    assert.deepEqual(read.dns, { nameservers: ['192.0.2.2'], search: ['x'] });
    const { arguments: args } = attachment({ ...complete, CNI_ARGS: 'IP=10.0.0.9' });
    const wanted = requestedAddresses({ ...attachment(complete), arguments: args }, read.addresses);
    assert.deepEqual(wanted.map(formatAddress), ['10.0.0.9', '10.0.0.7', 'fd00::7']);
  });

  it('takes Calico’s pod annotations', () => {
    const annotations = {
      'cni.projectcalico.org/ipAddrs': '["10.0.0.7"]',
      'cni.projectcalico.org/ipv4pools': '["10.0.0.0/16"]',
      'cni.projectcalico.org/ipFamilies': '["IPv6"]',
      'cni.projectcalico.org/hwAddr': '02:00:00:00:00:07',
      'cni.projectcalico.org/allowedSourcePrefixes': '["192.0.2.0/24", "198.51.100.1"]',
      'example.com/other': 'ignored',
    };
    const read = configuration({ ipam: { ipv4_pools: ['other'] }, args: { twill: { annotations } } });
    assert.deepEqual(read.addresses.map(formatAddress), ['10.0.0.7']);
    assert.deepEqual([read.pools, read.assignIpv4, read.assignIpv6], [['10.0.0.0/16'], false, true]);
    assert.equal(read.mac, '02:00:00:00:00:07');
    assert.deepEqual(read.allowedSourcePrefixes, ['192.0.2.0/24', '198.51.100.1/32']);
  });

  it('tolerates unknown keys, and Calico’s', () => {
    const calico = {
      type: 'calico',
      log_level: 'info',
      datastore_type: 'kubernetes',
      nodename: 'n',
      mtu: 0,
      policy: { type: 'k8s' },
      ipam: { type: 'calico-ipam', assign_ipv4: 'false', assign_ipv6: 'true' },
    };
    const read = configuration({ ...calico, 'cni.dev/attachments': [], surprise: { deep: [1] } });
    assert.deepEqual([read.assignIpv4, read.assignIpv6, read.mtu], [false, true, undefined]);
  });

  it('refuses what is malformed with the code of the specification', () => {
    assert.match(
      refusal(() => readConfiguration('')),
      /^6 standard input is empty/,
    );
    assert.match(
      refusal(() => readConfiguration('[]')),
      /^6 .*not a JSON object/,
    );
    assert.match(
      refusal(() => configuration({ cniVersion: '0.1.0' })),
      /^1 cniVersion "0\.1\.0" is not supported/,
    );
    assert.match(
      refusal(() => configuration({ cniVersion: undefined })),
      /^1 cniVersion "0\.2\.0"/,
    );
    const malformed: Record<string, unknown>[] = [
      { name: undefined },
      { name: '-x' },
      { mtu: 12 },
      { mtu: '1500' },
      { ipam: { type: 'host-local' } },
      { ipam: { assign_ipv4: 'yes' } },
      { ipam: { ipv4_pools: 'pool' } },
      { args: { cni: { labels: { app: 'web' } } } },
      { args: { cni: { labels: [{ key: 'app' }] } } },
      { args: { twill: { labels: ['app'] } } },
      { args: { twill: { ports: [{ port: 80 }] } } },
      { args: { twill: { annotations: { 'cni.projectcalico.org/ipAddrs': '10.0.0.7' } } } },
      { args: { twill: { annotations: { 'cni.projectcalico.org/ipAddrs': '["10.0.0.700"]' } } } },
      { args: { twill: { annotations: { 'cni.projectcalico.org/ipFamilies': '["IPv5"]' } } } },
      { runtimeConfig: { ips: ['nowhere'] } },
      { 'cni.dev/valid-attachments': [{ containerID: 'x' }] },
    ];
    for (const change of malformed)
      assert.match(
        refusal(() => configuration(change)),
        /^7 /,
        JSON.stringify(change),
      );
  });

  it('gives the version whatever else is wrong', () => {
    assert.equal(requestedVersion('{"cniVersion": "1.0.0", "name": 7}'), '1.0.0');
    for (const text of ['', '{', '[]', '{"cniVersion": 1}']) assert.equal(requestedVersion(text), undefined);
  });
});

describe('attachment', () => {
  it('is read from the environment', () => {
    const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web';
    const read = attachment({ ...complete, CNI_ARGS: args });
    assert.deepEqual(read.pod, { namespace: 'shop', name: 'web' });
    assert.deepEqual([read.containerId, read.netns, read.ifname], ['abc', '/run/netns/x', 'eth0']);
    assert.equal(attachment(complete).pod, undefined);
    assert.equal(attachment({ CNI_CONTAINERID: 'a', CNI_IFNAME: 'b' }, true).netns, '');
  });

  it('is refused when a variable is missing or malformed', () => {
    for (const name of Object.keys(complete)) {
      const rest = Object.fromEntries(Object.entries(complete).filter(([other]) => other !== name));
      assert.match(
        refusal(() => attachment(rest)),
        new RegExp(`^4 .*${name} is not set`),
      );
      assert.match(
        refusal(() => attachment({ ...complete, [name]: '' })),
        new RegExp(`^4 .*${name} is empty`),
      );
    }
    const malformed = [
      { CNI_CONTAINERID: '_a' },
      { CNI_CONTAINERID: 'a b' },
      { CNI_IFNAME: '.' },
      { CNI_IFNAME: 'sixteencharacter' },
      { CNI_IFNAME: 'a:b' },
      { CNI_ARGS: 'novalue' },
      { CNI_ARGS: '=x' },
    ];
    for (const change of malformed)
      assert.match(
        refusal(() => attachment({ ...complete, ...change })),
        /^4 /,
      );
  });
});

describe('names', () => {
  it('follow from pod, container and interface', () => {
    const pod = attachment({ ...complete, CNI_ARGS: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1' });
    assert.deepEqual(identify(pod, 'node-1'), {
      namespace: 'shop',
      name: 'node--1-k8s-web--1-eth0',
      orchestrator: 'k8s',
      hostInterface: hostInterfaceName('shop.web-1', 'eth0'),
    });
    assert.equal(identify(attachment(complete), 'node-1').name, 'node--1-cni-abc-eth0');
    // SHA-1 of "shop.web" begins with 551b05c3e54.
    assert.equal(hostInterfaceName('shop.web', 'eth0'), 'cali551b05c3e54');
    assert.notEqual(hostInterfaceName('shop.web', 'net1'), hostInterfaceName('shop.web', 'eth0'));
    assert.match(
      refusal(() => identify(attachment({ ...complete, CNI_ARGS: 'K8S_POD_NAME=web-' }), 'n')),
      /^4 .*"web-"/,
    );
  });

  it('tell interfaces of one container apart', () => {
    assert.equal(ipamHandle('net', { containerId: 'abc', ifname: 'eth0' }), 'net.abc');
    assert.equal(ipamHandle('net', { containerId: 'abc', ifname: 'net1' }), 'net.abc.net1');
  });

  it('mark links so that they are found again', () => {
    const mark = linkMark('net', { containerId: 'abc', ifname: 'eth0' });
    assert.deepEqual(parseLinkMark(mark), { network: 'net', containerId: 'abc', ifname: 'eth0' });
    for (const alias of [undefined, '', 'somebody else', 'twill net abc', `${mark} more`]) {
      assert.equal(parseLinkMark(alias), undefined);
    }
  });
});
