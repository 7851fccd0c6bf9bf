// 4. A pod that starts: knocked at from before its ADD on, it hears nothing that its policy forbids.
// 7. A pod that goes: its address, its rules and its route go with it.

import { formatAddress } from '../../../net/address.ts';
import { addressAt, parsePrefix, prefixSize } from '../../../net/prefix.ts';
import { fibRoutes, forwardingState } from '../fib.ts';
import { type Lab, podOf } from '../lab.ts';
import { twillctl } from '../nodes.ts';
import { type AttachedPod, attachPod, detachPod, endpointName } from '../pods.ts';
import { run, sleep, waitFor } from '../shell.ts';
import { latePod } from '../topology.ts';
import type { Check, CheckGroup } from './check.ts';
import { blockOf } from './routes.ts';

/** The pod that these checks share: attached by the first, deleted by the last. */
interface LatePod {
  pod: AttachedPod | undefined;
}

export const podStartChecks = (lab: Lab, late: LatePod): CheckGroup => ({
  title: 'Start of a pod',
  checks: [silentUntilPolicyCheck(lab, late), permittedAtOnceCheck(lab, late)],
});

export const podEndChecks = (late: LatePod): CheckGroup => ({
  title: 'End of a pod',
  checks: [traceCheck(late), endpointGoneCheck()],
});

/** Every address of the block, each 10 ms: whichever the pod will get is knocked at from before it exists. */
function silentUntilPolicyCheck(lab: Lab, late: LatePod): Check {
  return {
    name: 'knocked at from before ADD',
    expected: 'no forbidden packet arrives',
    run: async () => {
      const block = parsePrefix(blockOf(podOf(lab, 'db').address));
      if (!block) throw new Error('the block of the db pod is unknown');
      const addresses = Array.from({ length: prefixSize(block) }, (_, i) => formatAddress(addressAt(block, i)));
      // One knocks from another rack, one from the pod's own node. The runner pod, which admits both, proves that they knock.
      const witness = podOf(lab, 'runner');
      const knockers = [podOf(lab, 'tester'), podOf(lab, 'crawler')];
      await Promise.all(knockers.map(({ probe }) => probe.flood([...addresses, witness.address], 8080, 10)));
      await sleep(100);
      const pod = await attachPod(latePod);
      late.pod = pod;
      await sleep(300);
      const sent = await Promise.all(knockers.map(({ probe }) => probe.stopFlood()));
      const total = sent.reduce((sum, result) => sum + result.sent, 0);
      const received = await pod.probe.received();
      const arrived = received.reduce((sum, { count }) => sum + count, 0);
      const witnessed = (await witness.probe.received()).some(({ source }) => source === podOf(lab, 'tester').address);
      return {
        passed: arrived === 0 && witnessed,
        seen: witnessed
          ? `${arrived} of ${total} arrive; ADD took ${pod.addMs.toFixed(0)} ms`
          : 'the knocking itself does not work',
        details: received.map(({ source, count }) => `${count} from ${source}`),
      };
    },
  };
}

const permittedAtOnceCheck = (lab: Lab, late: LatePod): Check => ({
  name: 'permitted ones arrive after ADD',
  expected: 'web → late connects',
  run: async () => {
    const address = late.pod?.address ?? '';
    const [result] = await podOf(lab, 'web').probe.connect([{ address, port: 8080 }], 1000);
    return { passed: result?.connected === true, seen: result?.connected ? 'web → late connects' : 'no connection' };
  },
});

const traceCheck = (late: LatePod): Check => ({
  name: 'CNI DEL',
  expected: 'address, route and rules gone',
  run: async () => {
    const { pod } = late;
    if (!pod) throw new Error('there is no pod to delete');
    if ((await traces(pod)).length < 2) throw new Error('the pod has left no traces that could go');
    await detachPod(pod);
    const gone = await waitFor(async () => (await traces(pod)).length === 0, { timeoutMs: 5000 });
    // And they stay away.
    await sleep(300);
    const left = await traces(pod);
    const passed = gone && left.length === 0;
    return {
      passed,
      seen: passed ? 'address, route and rules gone' : `left: ${left.map(({ where }) => where).join(', ')}`,
      details: left.flatMap(({ where, text }) => [`${where}:`, ...text.split('\n')]),
    };
  },
});

interface Trace {
  readonly where: string;
  readonly text: string;
}

/** Where the pod's address is still to be found. */
async function traces(pod: AttachedPod): Promise<readonly Trace[]> {
  const [routes, { rules }, address] = await Promise.all([
    fibRoutes(pod.node),
    forwardingState(pod.node),
    twillctl(['ipam', 'show', `--ip=${pod.address}`]),
  ]);
  const named = new RegExp(`(^|[^0-9.])${pod.address.replaceAll('.', '\\.')}([^0-9.]|$)`);
  const ofRoute = routes
    .filter((route) => route.prefix === `${pod.address}/32`)
    .map(({ prefix, device }) => `${prefix} dev ${device}`);
  const ofRules = rules.split('\n').filter((line) => named.test(line));
  return [
    { where: 'route', text: ofRoute.join('\n') },
    { where: 'rules', text: ofRules.join('\n') },
    { where: 'address', text: /is not assigned/.test(address) ? '' : address },
  ].filter(({ text }) => text !== '');
}

const endpointGoneCheck = (): Check => ({
  name: 'its endpoint and interface',
  expected: 'both gone',
  run: async () => {
    const { stdout } = await run(['ip', '-br', 'link'], { inside: latePod.node });
    const interfaces = stdout.split('\n').filter((line) => line.startsWith('cali')).length;
    const endpoints = await twillctl(['get', 'workloadendpoints', '-n', latePod.namespace, '-o', 'yaml']);
    const listed = endpoints.includes(endpointName(latePod));
    // Two pods stay on the node.
    const passed = interfaces === 2 && !listed;
    return {
      passed,
      seen: passed ? 'both gone' : `${interfaces} interfaces, endpoint ${listed ? 'still there' : 'gone'}`,
    };
  },
});
