// The address that a node takes when nobody says which.

import assert from 'node:assert/strict';
import { firstFound } from '../../agent/autodetect.ts';

const one = (cidr: string) => {
  const [address = ''] = cidr.split('/');
  const common = { address, netmask: '', mac: '', internal: false, cidr };
  return cidr.includes(':')
    ? { ...common, family: 'IPv6' as const, scopeid: 0 }
    : { ...common, family: 'IPv4' as const };
};

describe('first-found address', () => {
  it('passes over loopback, pods, bridges, tunnels and link-local addresses', () => {
    const interfaces = {
      cali0123: [one('10.65.0.1/32')],
      docker0: [one('172.17.0.1/16')],
      eth0: [one('169.254.7.7/16'), one('fe80::1/64'), one('192.0.2.7/24'), one('2001:db8::7/64')],
      lo: [{ ...one('127.0.0.1/8'), internal: true }],
    };
    assert.equal(firstFound(interfaces, 4), '192.0.2.7/24');
    assert.equal(firstFound(interfaces, 6), '2001:db8::7/64');
  });

  it('finds nothing where there is nothing', () => {
    assert.equal(firstFound({ lo: [{ ...one('127.0.0.1/8'), internal: true }] }, 4), undefined);
  });
});
