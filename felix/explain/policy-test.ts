// Policies under test: resources, pods that need not exist, and what may pass between them.
//
//   kind: PolicyTest
//   namespaces: { prod: { stage: prod } }
//   pods:
//     prod/web: { labels: { app: web }, ports: { http: tcp/8080 } }
//     prod/client: { labels: { app: client } }
//   checks:
//   - { from: prod/client, to: prod/web, allow: [tcp/8080], deny: [tcp/22, icmp] }

import type { Fault, Resource, WorkloadEndpoint } from '../../datastore/model/index.ts';
import { workloadEndpointName } from '../../datastore/model/index.ts';
import { check } from '../../datastore/model/schema/check.ts';
import { text } from '../../datastore/model/schema/scalars.ts';
import { labelKey, labelValue } from '../../datastore/model/schema/scalars-names.ts';
import { address } from '../../datastore/model/schema/scalars-net.ts';
import {
  any,
  list,
  map,
  type Output,
  object,
  optional,
  Refused,
  required,
  type ScalarType,
} from '../../datastore/model/schema/types.ts';
import { namespaceProfile, serviceAccountProfile } from '../../kube/namespace.ts';
import { type Explanation, explain } from './explain.ts';
import { hasPorts, parseTraffic, protocolName, type Traffic } from './packet.ts';
import type { PolicyWorld } from './policy-world.ts';

const traffic: ScalarType<string> = {
  kind: 'scalar',
  name: 'traffic',
  jsonSchema: { type: 'string' },
  read: (value) =>
    typeof value === 'string' && parseTraffic(value)
      ? value
      : new Refused(
          `${JSON.stringify(value)} is not traffic`,
          'write tcp/80, udp/53, sctp/7, icmp or a protocol number',
        ),
};

const portOfPod: ScalarType<string> = {
  ...traffic,
  read: (value) => {
    const parsed = typeof value === 'string' ? parseTraffic(value) : undefined;
    if (typeof value === 'string' && parsed && hasPorts(parsed.protocol)) return value;
    return new Refused(`${JSON.stringify(value)} is not a port`, 'write tcp/8080');
  },
};

const labels = map(labelKey, labelValue);
/** One end, or several: each of them is checked. */
const ends: ScalarType<readonly string[]> = {
  kind: 'scalar',
  name: 'end, or list of ends',
  jsonSchema: {},
  read: (value) => {
    const each: readonly unknown[] = Array.isArray(value) ? value : [value];
    const texts = each.filter((end) => typeof end === 'string');
    if (texts.length === each.length && texts.length > 0) return texts;
    return new Refused('is not an end', 'write namespace/pod, an address, or a list of them');
  },
};

const policyTest = object({
  kind: required(text({ pattern: /^PolicyTest$/, name: 'PolicyTest' }), 'PolicyTest.'),
  apiVersion: optional(text(), 'Accepted.'),
  metadata: optional(any, 'Accepted.'),
  files: optional(list(text()), 'Further manifests, relative to this file.'),
  namespaces: optional(map(text(), any), 'Labels of namespaces, by name.'),
  serviceAccounts: optional(map(text(), any), 'Labels of service accounts, by namespace/name.'),
  pods: optional(
    map(
      text(),
      object({
        labels: optional(labels, 'Its labels.'),
        addresses: optional(list(address()), 'Its addresses; made up when absent.'),
        node: optional(text(), 'Its node; one of its own when absent.'),
        serviceAccount: optional(text(), 'Its service account.'),
        ports: optional(map(text(), portOfPod), 'Ports by name, as tcp/8080.'),
      }),
    ),
    'Pods by namespace/name.',
  ),
  checks: required(
    list(
      object({
        from: required(ends, 'Who sends.'),
        to: required(ends, 'Who receives.'),
        allow: optional(list(traffic), 'What must pass.'),
        deny: optional(list(traffic), 'What must not.'),
      }),
    ),
    'What must pass and what must not.',
  ),
});

export type PolicyTest = Output<typeof policyTest>;
export type PolicyTestResult =
  | { readonly kind: 'test'; readonly test: PolicyTest }
  | { readonly kind: 'invalid'; readonly faults: readonly Fault[] };

export function readPolicyTest(given: unknown): PolicyTestResult {
  const faults: Fault[] = [];
  const checked = check(policyTest, given, '', 'person', faults);
  // What was just checked against the declaration that the type was made from.
  return faults.length > 0 ? { kind: 'invalid', faults } : { kind: 'test', test: checked as PolicyTest };
}

/** The resources that stand for a test's pods, namespaces and service accounts, unless they are given themselves. */
export function resourcesOf(test: PolicyTest, given: readonly Resource[]): readonly Resource[] {
  const profiles = new Set(given.filter(({ kind }) => kind === 'Profile').map(({ metadata }) => metadata.name));
  const made: Resource[] = [];
  const addProfile = (profile: Resource): void => {
    if (profiles.has(profile.metadata.name)) return;
    profiles.add(profile.metadata.name);
    made.push(profile);
  };
  const textLabels = (value: unknown): Record<string, string> =>
    Object.fromEntries(Object.entries(value ?? {}).map(([name, label]) => [name, String(label)]));
  for (const [name, own] of Object.entries(test.namespaces ?? {})) addProfile(namespaceProfile(name, textLabels(own)));
  for (const [path, own] of Object.entries(test.serviceAccounts ?? {})) {
    const [namespace = '', name = ''] = path.split('/');
    addProfile(serviceAccountProfile(namespace, name, textLabels(own)));
  }
  for (const [i, [path, pod]] of Object.entries(test.pods ?? {}).entries()) {
    const [namespace = '', name = ''] = path.split('/');
    addProfile(namespaceProfile(namespace, {}));
    if (pod.serviceAccount) addProfile(serviceAccountProfile(namespace, pod.serviceAccount, {}));
    made.push(endpointOf(namespace, name, pod, i));
  }
  return made;
}

type Pod = NonNullable<PolicyTest['pods']>[string];

function endpointOf(namespace: string, pod: string, given: Pod, serial: number): WorkloadEndpoint {
  // 198.18.0.0/15 and 2001:2::/48 are for benchmarks (RFC 2544, RFC 5180): in nobody's policy by accident.
  const madeUp = [`198.18.${Math.floor(serial / 250)}.${1 + (serial % 250)}`, `2001:2::${(serial + 1).toString(16)}`];
  const addresses = given.addresses ?? madeUp;
  const place = { orchestrator: 'k8s', node: given.node ?? `node-of-${pod}`, pod, endpoint: 'eth0' };
  return {
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: workloadEndpointName(place) ?? pod, namespace, labels: given.labels ?? {} },
    spec: {
      ...place,
      interfaceName: `cali${serial}`,
      ipNetworks: addresses.map((one) => `${one}/${one.includes(':') ? 128 : 32}`),
      profiles: [`kns.${namespace}`, ...(given.serviceAccount ? [`ksa.${namespace}.${given.serviceAccount}`] : [])],
      ...(given.serviceAccount && { serviceAccountName: given.serviceAccount }),
      ports: Object.entries(given.ports ?? {}).map(([name, port]) => {
        const parsed = parseTraffic(port);
        return {
          name,
          protocol: protocolName(parsed?.protocol ?? 0).toUpperCase(),
          port: parsed?.destinationPort ?? 0,
        };
      }),
    },
  };
}

export interface CheckOutcome {
  readonly from: string;
  readonly to: string;
  readonly traffic: string;
  readonly expected: 'allowed' | 'denied';
  readonly passed: boolean;
  /** Why it is as it is; absent when the ends are not understood: see `problem`. */
  readonly explanation?: Explanation;
  readonly problem?: string;
}

export function runPolicyTest(test: PolicyTest, world: PolicyWorld): readonly CheckOutcome[] {
  return test.checks.flatMap(({ from, to, allow = [], deny = [] }) =>
    from.flatMap((source) =>
      to.flatMap((destination) => [
        ...allow.map((one) => runCheck(world, source, destination, one, 'allowed')),
        ...deny.map((one) => runCheck(world, source, destination, one, 'denied')),
      ]),
    ),
  );
}

function runCheck(
  world: PolicyWorld,
  from: string,
  to: string,
  trafficText: string,
  expected: 'allowed' | 'denied',
): CheckOutcome {
  const outcome = { from, to, traffic: trafficText, expected };
  const source = world.end(from);
  const destination = world.end(to);
  for (const end of [source, destination]) {
    if (end.kind === 'problem') return { ...outcome, passed: false, problem: end.problem };
  }
  const parsed: Traffic | undefined = parseTraffic(trafficText);
  if (source.kind === 'problem' || destination.kind === 'problem' || !parsed) return { ...outcome, passed: false };
  const explanation = explain(world, source.end, destination.end, parsed);
  if (typeof explanation === 'string') return { ...outcome, passed: false, problem: explanation };
  return { ...outcome, passed: explanation.allowed === (expected === 'allowed'), explanation };
}
