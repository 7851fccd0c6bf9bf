// BGPPeers with localWorkloadSelector: sessions with workloads of this node, a router or another cluster's nodes inside pods
// or machines. Such a workload is called at its own addresses, and calls the address that every node has for this.

import type { BGPPeer, Profile, WorkloadEndpoint } from '../../datastore/model/index.ts';
import { labelsFrom, matches, parseSelector } from '../../datastore/model/index.ts';
import { type Address, type Family, formatAddress, isLinkLocal, parseAddress } from '../../net/address.ts';
import { parsePrefixOrAddress } from '../../net/prefix.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';

export interface WorkloadAddress {
  readonly address: Address;
  /** "default/router". */
  readonly workload: string;
}

/** Addresses of the selected workloads of this node, in order. */
export function selectedWorkloads(selectorText: string, resources: BgpResources): readonly WorkloadAddress[] {
  const parsed = parseSelector(selectorText);
  if (parsed.kind !== 'selector') return [];
  const selected = [...resources.workloads].filter(([, workload]) =>
    matches(parsed.selector, labelsFrom(labelsOf(workload, resources.profiles))),
  );
  return selected
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, { metadata, spec }]) =>
      (spec.ipNetworks ?? []).flatMap((text) => {
        const prefix = parsePrefixOrAddress(text);
        const workload = `${metadata.namespace ?? ''}/${metadata.name}`;
        return prefix ? [{ address: prefix.address, workload }] : [];
      }),
    );
}

/** As policies see them: its own, those of its profiles, and where it belongs, which a pod does not choose. */
function labelsOf({ metadata, spec }: WorkloadEndpoint, profiles: ReadonlyMap<string, Profile>) {
  const inherited = (spec.profiles ?? []).map((name) => profiles.get(name)?.spec.labelsToApply ?? {});
  return {
    ...Object.assign({}, ...inherited),
    ...metadata.labels,
    'projectcalico.org/namespace': metadata.namespace ?? '',
    ...(spec.orchestrator ? { 'projectcalico.org/orchestrator': spec.orchestrator } : {}),
    ...(spec.serviceAccountName ? { 'projectcalico.org/serviceaccount': spec.serviceAccountName } : {}),
  };
}

/** What workloads call, by family. Without it they peer with the node's own address. */
export function peeringAddress({ configurations }: BgpResources, family: Family): Address | undefined {
  const spec = configurations.get('default')?.spec;
  const address = parseAddress((family === 4 ? spec?.localWorkloadPeeringIPV4 : spec?.localWorkloadPeeringIPV6) ?? '');
  return address !== undefined && isLinkLocal(address) ? undefined : address;
}

/** An IPv6 link-local address belongs to one link, and every workload has a link of its own. */
export function peeringProblems({ configurations, peers }: BgpResources): ConfigProblem[] {
  const text = configurations.get('default')?.spec.localWorkloadPeeringIPV6;
  const address = parseAddress(text ?? '');
  if (address === undefined || !isLinkLocal(address) || !hasWorkloadPeers(peers)) return [];
  const problem = `${formatAddress(address)} is a link-local address; give one of a unique local range, as fd00:179::1`;
  return [{ resource: 'BGPConfiguration/default', field: 'spec.localWorkloadPeeringIPV6', problem }];
}

export const hasWorkloadPeers = (peers: ReadonlyMap<string, BGPPeer>): boolean =>
  [...peers.values()].some(({ spec }) => spec.localWorkloadSelector);
