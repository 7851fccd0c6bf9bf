// Names of WorkloadEndpoints: `<node>-k8s-<pod>-<endpoint>`, with "-" doubled inside each part.

interface WorkloadIdentity {
  readonly node?: unknown;
  readonly orchestrator?: unknown;
  readonly workload?: unknown;
  readonly pod?: unknown;
  readonly containerID?: unknown;
  readonly endpoint?: unknown;
}

const escapePart = (part: string): string => part.replaceAll('-', '--');

/** The name that follows from a spec; undefined while a part is missing or cannot stand in a name. */
export function workloadEndpointName(spec: WorkloadIdentity): string | undefined {
  const parts = [spec.node, spec.orchestrator, ...workloadParts(spec), spec.endpoint];
  const texts: string[] = [];
  for (const part of parts) {
    if (typeof part !== 'string' || part === '' || part.startsWith('-') || part.endsWith('-')) return undefined;
    texts.push(escapePart(part));
  }
  return texts.join('-');
}

function workloadParts(spec: WorkloadIdentity): readonly unknown[] {
  switch (spec.orchestrator) {
    case 'k8s':
      return [spec.pod];
    case 'cni':
      return [spec.containerID];
    case 'libnetwork':
      return ['libnetwork'];
    default:
      return [spec.workload];
  }
}

export interface ParsedWorkloadName {
  readonly node: string;
  readonly orchestrator: string;
  /** Pod, container id or workload, depending on the orchestrator. */
  readonly workload: string;
  readonly endpoint: string;
}

/** The parts of a complete name; undefined when it is not one. */
export function parseWorkloadEndpointName(name: string): ParsedWorkloadName | undefined {
  // A single "-" separates, a doubled one belongs to a part; parts do not begin or end with "-".
  const parts = name.split(/(?<!-)-(?!-)/).map((part) => part.replaceAll('--', '-'));
  const [node, orchestrator, workload, endpoint] = parts;
  if (parts.length !== 4 || !node || !orchestrator || !workload || !endpoint) return undefined;
  return { node, orchestrator, workload, endpoint };
}

/** What the names of all endpoints of a node (and pod) begin with. */
export const workloadEndpointPrefix = (node: string, pod?: string): string =>
  pod === undefined ? `${escapePart(node)}-` : `${escapePart(node)}-k8s-${escapePart(pod)}-`;
