// Shows MinRouteAdvertisementInterval (RFC 4271 §9.2.1.1): what a peer that asks for it is told, and when; and that others do
// not wait for it.

import assert from 'node:assert/strict';
import { Lab } from './harness.ts';

const intervalMs = 5000;
/** The longest of what jitter makes of an interval. */
const always = (): number => 0.9999;

describe('the interval between advertisements', () => {
  const scene = () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const paced = lab.peer({ asn: 64602, treatment: { advertisementIntervalMs: intervalMs } });
    const prompt = lab.peer({ asn: 64603 });
    const flushAt = (now: number): void => lab.rib.flush(now, always);
    flushAt(1000);
    return { lab, from, paced, prompt, flushAt };
  };
  const heldBy = ({ table }: { readonly table: ReadonlyMap<string, unknown> }): string[] => [...table.keys()].sort();

  it('lets the first change go at once, and what follows together when it is over', () => {
    const { lab, from, paced, prompt, flushAt } = scene();
    from.announce('10.1.0.0/16');
    flushAt(2000);
    assert.deepEqual(heldBy(paced), ['10.1.0.0/16']);
    assert.equal(lab.rib.nextRelease, Number.POSITIVE_INFINITY, 'nothing waits');
    const updates = paced.received.length;
    from.announce('10.2.0.0/16');
    flushAt(2001);
    from.announce('10.3.0.0/16');
    from.withdraw('10.1.0.0/16');
    flushAt(4000);
    assert.deepEqual(heldBy(prompt), ['10.2.0.0/16', '10.3.0.0/16'], 'others do not wait');
    assert.equal(paced.received.length, updates);
    const due = lab.rib.nextRelease;
    assert(due > 6900 && due <= 7000, `${due}`);
    flushAt(due - 1);
    assert.equal(paced.received.length, updates);
    flushAt(due);
    assert.deepEqual(heldBy(paced), ['10.2.0.0/16', '10.3.0.0/16']);
  });

  it('says nothing of what has come and gone meanwhile', () => {
    const { from, paced, flushAt } = scene();
    from.announce('10.1.0.0/16');
    flushAt(2000);
    const updates = paced.received.length;
    for (let at = 2100; at < 4000; at += 100) {
      from.announce('10.9.0.0/16');
      flushAt(at);
      from.withdraw('10.9.0.0/16');
      flushAt(at + 50);
    }
    flushAt(10_000);
    assert.equal(paced.received.length, updates);
  });

  it('is not shorter than three quarters of what was asked for', () => {
    const { lab, from } = scene();
    from.announce('10.1.0.0/16');
    lab.rib.flush(2000, () => 0);
    from.announce('10.2.0.0/16');
    lab.rib.flush(2001, () => 0);
    assert.equal(lab.rib.nextRelease, 2000 + intervalMs * 0.75);
  });

  it('keeps nothing for a peer that has left', () => {
    const { lab, from, paced, flushAt } = scene();
    from.announce('10.1.0.0/16');
    flushAt(2000);
    from.announce('10.2.0.0/16');
    flushAt(2001);
    for (const group of paced.groups) lab.rib.leave(paced.source, group);
    assert.equal(lab.rib.nextRelease, Number.POSITIVE_INFINITY);
    flushAt(10_000);
    assert.deepEqual(heldBy(paced), ['10.1.0.0/16']);
  });
});
