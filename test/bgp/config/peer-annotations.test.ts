// Annotations of BGPPeers: what each changes of the sessions, and how one that means nothing is named.

import assert from 'node:assert/strict';
import { annotatedSettings, listenRanges } from '../../../bgp/config/peer-annotations.ts';
import type { ConfigProblem } from '../../../bgp/config/resources.ts';
import type { PeerSettings } from '../../../bgp/settings.ts';
import type { BGPPeer } from '../../../datastore/model/index.ts';
import { formatPrefix } from '../../../net/prefix.ts';

const peer = (annotations: Readonly<Record<string, string>>): BGPPeer => ({
  kind: 'BGPPeer',
  apiVersion: 'projectcalico.org/v3',
  metadata: { name: 'tor', annotations },
  spec: {},
});

const understood: readonly (readonly [string, string, Partial<PeerSettings>])[] = [
  ['max-prefixes', '1000', { maxPrefixes: { limit: 1000, warnAtPercent: 75 } }],
  ['max-prefixes', '1000 warn 80%', { maxPrefixes: { limit: 1000, warnAtPercent: 80 } }],
  ['max-prefixes', '10 restart 90s', { maxPrefixes: { limit: 10, warnAtPercent: 75, restartAfterSec: 90 } }],
  ['max-prefixes', '10 warn 5 % restart 5m', { maxPrefixes: { limit: 10, warnAtPercent: 5, restartAfterSec: 300 } }],
  ['passive', 'true', { passive: true }],
  ['long-lived-stale', '1h', { longLivedStaleSec: 3600 }],
  ['delay-open', '2s', { delayOpenSec: 2 }],
  ['advertisement-interval', '5s', { advertisementIntervalSec: 5 }],
  ['add-path', 'send', { addPathSend: true, addPathReceive: false }],
  ['add-path', 'receive, send', { addPathSend: true, addPathReceive: true }],
];

const refused = [
  ['max-prefixes', '0'],
  ['max-prefixes', '10 warn 101%'],
  ['max-prefixes', '10 restart soon'],
  ['max-prefixes', '10 restart 0s'],
  ['passive', 'yes'],
  ['long-lived-stale', '5000h'],
  ['advertisement-interval', '11m'],
  ['delay-open', '-1s'],
  ['add-path', 'both'],
  ['add-path', ''],
] as const;

describe('annotations of a BGPPeer', () => {
  for (const [name, text, settings] of understood) {
    it(`twill.io/${name}: ${text}`, () => {
      const problems: ConfigProblem[] = [];
      assert.deepEqual(annotatedSettings(peer({ [`twill.io/${name}`]: text }), problems), settings);
      assert.deepEqual(problems, []);
    });
  }

  for (const [name, text] of refused) {
    it(`twill.io/${name} can not be "${text}", and that is said`, () => {
      const problems: ConfigProblem[] = [];
      const both = { 'twill.io/passive': 'true', [`twill.io/${name}`]: text };
      const settings = annotatedSettings(peer(both), problems);
      assert.deepEqual(settings, name === 'passive' ? {} : { passive: true }, 'the others count');
      assert.equal(problems.length, 1);
      assert.equal(problems[0]?.field, `metadata.annotations.twill.io/${name}`);
      assert(problems[0]?.problem.startsWith(`"${text}" is not `), problems[0]?.problem);
    });
  }

  it('name the ranges that peers may call from', () => {
    const ranges = (text: string, problems: ConfigProblem[] = []) =>
      listenRanges(peer({ 'twill.io/listen-range': text }), problems)?.map(formatPrefix);
    assert.deepEqual(ranges('10.1.0.0/24, fd00:1::/64'), ['10.1.0.0/24', 'fd00:1::/64']);
    const problems: ConfigProblem[] = [];
    assert.equal(ranges('10.1.0.1/24', problems), undefined);
    assert.deepEqual(
      problems.map(({ problem }) => problem),
      ['"10.1.0.1/24" is not a list of networks; write "10.1.0.0/24"'],
    );
  });
});
