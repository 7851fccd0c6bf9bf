// Whom a trace is about, as people name it.

import { parseWorkloadEndpointName } from '../../datastore/model/index.ts';
import type { CalcWorkload } from '../calc/output.ts';
import type { TraceTarget } from '../nft/trace-table.ts';
import type { DesiredTable } from './table.ts';

/** The endpoint with this id, of the pod `<namespace>/<pod>`, or `hostendpoint:<name>`. */
export function traceTargetOf(table: DesiredTable, name: string): TraceTarget | undefined {
  const [, hostEndpoint] = /^hostendpoint:(.+)$/.exec(name) ?? [];
  if (hostEndpoint !== undefined) {
    const interfaceName = table.interfaceOfHostEndpoint(hostEndpoint);
    return interfaceName === undefined ? undefined : { interfaceName, addresses: [] };
  }
  const workload = table.workload(name) ?? workloadOfPod(table, name);
  return (
    workload && {
      interfaceName: workload.interfaceName,
      addresses: workload.addresses.map(({ address }) => address),
    }
  );
}

function workloadOfPod(table: DesiredTable, name: string): CalcWorkload | undefined {
  for (const workload of table.workloads()) {
    const [namespace, last = ''] = workload.id.split('/');
    if (`${namespace}/${parseWorkloadEndpointName(last)?.workload}` === name) return workload;
  }
  return undefined;
}
