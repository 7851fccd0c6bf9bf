// Shows that the comparison with the kernel finds what nobody reported, gives way to edits, and neither loses nor undoes
// one that comes while it reads.

import assert from 'node:assert/strict';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { Dataplane } from '../../../felix/dataplane/dataplane.ts';
import { createLogger } from '../../../runtime/log.ts';
import { inSync, ipSet, policyUpdate, port, profileUpdate, rule, tier, workload } from '../updates.ts';
import { FakeKernel } from './fake-kernel.ts';

const setCount = 1200;
const policyId = (i: number): string => `NetworkPolicy/ns/policy-${i}`;
const policy = (i: number, number = 80): CalcUpdate =>
  policyUpdate(policyId(i), {
    ingress: [
      rule('allow', { protocol: 6, source: { ipSets: [`s:set-${i}`] }, destination: { ports: [port(number)] } }),
    ],
  });
const chainOf = (i: number): string => `ingress/${policyId(i)}`;

describe('audit of the table', () => {
  let kernel: FakeKernel;
  let dataplane: Dataplane;

  beforeEach(async () => {
    kernel = new FakeKernel();
    dataplane = new Dataplane({
      channel: kernel,
      netlink: {
        execute: () => [],
        links: () => [],
        routes: () => [],
        addresses: () => [],
        interfaceTowards: () => undefined,
      },
      writeSwitches: () => true,
      log: createLogger('felix', 'silent'),
    });
    await dataplane.start();
    const ids = Array.from({ length: setCount }, (_, i) => policyId(i));
    for (let i = 0; i < setCount; i++) {
      dataplane.onUpdate(ipSet(`s:set-${i}`, `10.9.${i >> 8}.${i & 255}`));
      dataplane.onUpdate(policy(i));
    }
    dataplane.onUpdate(profileUpdate('open', [rule('allow')], [rule('allow')]));
    dataplane.onUpdate(workload('ns/web', 'caliweb', ['10.65.0.1'], { profiles: ['open'], tiers: [tier(ids, [])] }));
    dataplane.onUpdate(inSync);
    await dataplane.settled();
    assert.equal(dataplane.status().lastError, '');
    kernel.readings.length = 0;
  });
  afterEach(() => dataplane.close());

  const audit = async (): Promise<void> => {
    dataplane.requestAudit();
    await dataplane.settled();
  };
  const commentOf = (i: number): string | undefined => kernel.chains.get(chainOf(i))?.rules[0]?.comment;

  it('reads some sets each time, all of them in turn, and writes nothing when all is well', async () => {
    const { applies } = kernel;
    for (let round = 0; round < 4; round++) await audit();
    const bounded = kernel.readings.every((sets) => sets > 0 && sets < 520);
    assert.ok(bounded, `sets read: ${kernel.readings}`);
    assert.equal(kernel.applies, applies);
    assert.equal(dataplane.status().repairs, 0);
  });

  it('finds what is wrong with chains at once, and with sets when it is their turn', async () => {
    kernel.chains.delete(chainOf(7));
    await audit();
    assert.ok(commentOf(7));
    assert.equal(dataplane.status().repairs, 1);
    const names = [...kernel.sets.keys()].filter((name) => kernel.sets.get(name)?.elements.has('10.9.4.100'));
    assert.equal(names.length, 1);
    const last = kernel.sets.get(names[0] ?? '');
    last?.elements.clear();
    for (let round = 0; round < 3; round++) await audit();
    assert.deepEqual([...(last?.elements.keys() ?? [])], ['10.9.4.100']);
    assert.equal(dataplane.status().repairs, 2);
  });

  it('gives way to an edit that comes while it reads, and undoes nothing of it', async () => {
    const before = commentOf(3);
    let edits = 0;
    kernel.whileReading = async () => {
      if (edits++ === 0) dataplane.onUpdate(policy(3, 443));
    };
    await audit();
    const after = commentOf(3);
    assert.notEqual(after, before);
    assert.equal(edits, 2, 'it reads again when the edit is in the kernel');
    for (let round = 0; round < 4; round++) await audit();
    assert.equal(commentOf(3), after);
    assert.equal(dataplane.status().repairs, 0);
  });

  it('does not give way for ever, and loses no edit when it does not', async () => {
    let edits = 0;
    kernel.whileReading = async () => dataplane.onUpdate(policy(3, 1000 + ++edits));
    dataplane.requestAudit();
    await dataplane.settled();
    kernel.whileReading = async () => {};
    assert.equal(edits, 6);
    assert.equal(kernel.readings.length, 1);
    const last = commentOf(3);
    dataplane.onUpdate(policy(3, 1000 + edits));
    await dataplane.settled();
    assert.equal(commentOf(3), last, 'the last edit is what the kernel had already');
    assert.equal(dataplane.status().repairs, 0);
  });

  it('reads everything when it hears of a foreign edit while it reads', async () => {
    let readings = 0;
    kernel.whileReading = async () => {
      if (readings++ > 0) return;
      kernel.chains.delete(chainOf(5));
      dataplane.onKernelEvents([{ kind: 'nftables', tables: ['inet twill'], own: false, by: 'nft' }]);
    };
    await audit();
    assert.ok(commentOf(5));
    assert.ok(kernel.readings.some((sets) => sets >= setCount));
    assert.equal(dataplane.status().repairs, 1);
  });
});
