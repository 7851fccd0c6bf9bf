// Pods, attached as a container runtime does it: a network namespace, then the CNI plugin with its environment and its
// configuration on standard input.

import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeNamespace } from './fabric.ts';
import { executable, runDirectoryOf } from './nodes.ts';
import { Probe } from './probe/client.ts';
import { kill, type Running } from './processes.ts';
import { type Outcome, run } from './shell.ts';
import { type LabPod, namespaceOf, podMachine, poolOf } from './topology.ts';

/** `<node>-k8s-<pod>-eth0`, with the dashes inside a part doubled: the WorkloadEndpoint's name. */
export const endpointName = (pod: LabPod): string =>
  `${pod.node.replaceAll('-', '--')}-k8s-${pod.name.replaceAll('-', '--')}-eth0`;

export interface AttachedPod extends LabPod {
  readonly address: string;
  readonly probe: Probe;
  readonly running: Running;
  /** How long the plugin took. */
  readonly addMs: number;
}

/** The network configuration that a runtime hands to the plugin, with the convention's place for labels. */
const networkConfiguration = (pod: LabPod): string =>
  JSON.stringify({
    cniVersion: '1.1.0',
    name: 'twill',
    type: 'twill-cni',
    ipam: { type: 'twill-ipam', ipv4_pools: [poolOf[pod.namespace]] },
    args: { cni: { labels: Object.entries(pod.labels).map(([key, value]) => ({ key, value })) } },
  });

function cniEnvironment(pod: LabPod, command: 'ADD' | 'DEL'): Record<string, string> {
  const plugin = executable('twill-cni');
  const containerId = `lab-${pod.namespace}-${pod.name}`;
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: `/run/netns/${namespaceOf(podMachine(pod))}`,
    CNI_IFNAME: 'eth0',
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
    CNI_PATH: dirname(plugin),
    TWILL_RUN_DIR: runDirectoryOf(pod.node),
  };
}

const runPlugin = (pod: LabPod, command: 'ADD' | 'DEL'): Promise<Outcome> =>
  run([executable('twill-cni')], {
    inside: pod.node,
    environment: cniEnvironment(pod, command),
    input: networkConfiguration(pod),
  });

/** The plugin reports errors as JSON on standard output. */
async function mustRunPlugin(pod: LabPod, command: 'ADD' | 'DEL'): Promise<string> {
  const { code, stdout, stderr } = await runPlugin(pod, command);
  if (code !== 0)
    throw new Error(`CNI ${command} of ${pod.namespace}/${pod.name} failed: ${(stdout || stderr).trim()}`);
  return stdout;
}

/** Namespace and program first, then the address: as for a real pod, whose sandbox is there before its network. */
/** Asks for a pod that is expected to be refused: the code of the error, undefined when there was none. */
export async function refusedPod(pod: LabPod): Promise<{ readonly code: number | undefined; readonly addMs: number }> {
  await makeNamespace(podMachine(pod));
  const began = performance.now();
  const { code, stdout } = await runPlugin(pod, 'ADD');
  const addMs = performance.now() - began;
  return { code: code === 0 ? undefined : (JSON.parse(stdout) as { readonly code: number }).code, addMs };
}

export async function attachPod(pod: LabPod): Promise<AttachedPod> {
  const name = podMachine(pod);
  await makeNamespace(name);
  const probe = new Probe(name);
  const running = await probe.start();
  const began = performance.now();
  const result = JSON.parse(await mustRunPlugin(pod, 'ADD')) as {
    readonly ips: readonly { readonly address: string }[];
  };
  const addMs = performance.now() - began;
  const address = result.ips[0]?.address.split('/')[0];
  if (address === undefined) throw new Error(`CNI ADD of ${pod.namespace}/${pod.name} gave no address`);
  return { ...pod, address, probe, running, addMs };
}

export async function detachPod(pod: AttachedPod): Promise<void> {
  await mustRunPlugin(pod, 'DEL');
  kill([pod.running.pid]);
  await pod.running.ended;
  if (existsSync(`/run/netns/${namespaceOf(podMachine(pod))}`))
    await run(['ip', 'netns', 'delete', namespaceOf(podMachine(pod))]);
}
