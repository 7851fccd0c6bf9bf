// Results and errors in the shape of each version, and the protocol between client and agent.

import assert from 'node:assert/strict';
import { CniError } from '../../cni/errors.ts';
import { encodeReply, encodeRequest, parseReply, parseRequest } from '../../cni/protocol.ts';
import { type CniResult, errorReply, formatResult, formatVersions, supportedVersions } from '../../cni/result.ts';

const result: CniResult = {
  interfaces: [
    { name: 'cali1', mac: 'ee:ee:ee:ee:ee:ee', mtu: 1450, sandbox: '' },
    { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1450, sandbox: '/run/netns/x' },
  ],
  ips: [
    { address: '10.0.0.1/32', gateway: '169.254.1.1', interface: 1 },
    { address: 'fd00::1/128', interface: 1 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }],
  dns: {},
};

describe('CNI result', () => {
  it('is that of 1.1.0', () => {
    assert.deepEqual(JSON.parse(formatResult(result, '1.1.0')), {
      cniVersion: '1.1.0',
      interfaces: [
        { name: 'cali1', mac: 'ee:ee:ee:ee:ee:ee', mtu: 1450 },
        { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1450, sandbox: '/run/netns/x' },
      ],
      ips: result.ips,
      routes: result.routes,
      dns: {},
    });
  });

  it('leaves out or adds what older versions lack or have', () => {
    for (const version of supportedVersions) {
      const { interfaces, ips } = JSON.parse(formatResult(result, version));
      assert.equal(interfaces[1].mtu, version === '1.1.0' ? 1450 : undefined);
      assert.deepEqual(
        ips.map((ip: { version?: string }) => ip.version),
        version.startsWith('0.') ? ['4', '6'] : [undefined, undefined],
      );
    }
  });

  it('keeps what plugins before us made', () => {
    const previous = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'dummy0' }],
      ips: [{ address: '192.0.2.1/32', interface: 0 }],
      routes: [{ dst: '192.0.2.0/24' }],
      dns: { nameservers: ['192.0.2.53'] },
    };
    const chained = JSON.parse(formatResult(result, '1.1.0', previous));
    assert.deepEqual(
      chained.interfaces.map(({ name }: { name: string }) => name),
      ['dummy0', 'cali1', 'eth0'],
    );
    assert.deepEqual(
      chained.ips.map((ip: { interface: number }) => ip.interface),
      [0, 2, 2],
    );
    assert.equal(chained.routes.length, 2);
    assert.deepEqual(chained.dns, previous.dns);
  });

  it('names the versions and the errors', () => {
    assert.deepEqual(JSON.parse(formatVersions('0.4.0')), { cniVersion: '0.4.0', supportedVersions });
    const { exitStatus, stdout } = errorReply(new CniError('tryAgainLater', 'not now', 'because'), '0.4.0');
    assert.equal(exitStatus, 1);
    assert.deepEqual(JSON.parse(stdout), { cniVersion: '0.4.0', code: 11, msg: 'not now', details: 'because' });
    assert.equal(JSON.parse(errorReply(new CniError('undecodable', 'x'), '9.9.9').stdout).cniVersion, '1.1.0');
  });
});

describe('CNI protocol', () => {
  it('carries the environment and standard input', () => {
    const environment = new Map([
      ['CNI_COMMAND', 'ADD'],
      ['CNI_ARGS', 'A=1;B=ü'],
    ]);
    const request = { environment, stdin: '{"a": "\u0000 and more"}' };
    assert.equal(encodeRequest({ environment: new Map([['A', 'b']]), stdin: 'x' }).toString(), 'A=b\0\0x');
    assert.deepEqual(parseRequest(encodeRequest(request)), request);
    assert.deepEqual(parseRequest(Buffer.from('\0')), { environment: new Map(), stdin: '' });
    for (const broken of ['', 'CNI_COMMAND=ADD', 'CNI_COMMAND=ADD\0']) {
      assert.equal(parseRequest(Buffer.from(broken)), undefined);
    }
  });

  it('carries exit status and output back', () => {
    assert.deepEqual(parseReply(encodeReply({ exitStatus: 1, stdout: 'a\nb' })), { exitStatus: 1, stdout: 'a\nb' });
    for (const broken of ['', '0', 'HTTP/1.1 400 Bad Request\r\n']) assert.equal(parseReply(broken), undefined);
  });
});
