// Raises the lab, step by step: fabric, routers, datastore, cluster, nodes, pods.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { raiseFabric } from './fabric.ts';
import { openJournal } from './journal.ts';
import { Datastore, type NodeAgent, startAgents, twillctl } from './nodes.ts';
import { type AttachedPod, attachPod } from './pods.ts';
import { Probe } from './probe/client.ts';
import { startRouters } from './routers.ts';
import { outside, pods } from './topology.ts';

export interface Lab {
  readonly datastore: Datastore;
  readonly agents: ReadonlyMap<string, NodeAgent>;
  readonly pods: ReadonlyMap<string, AttachedPod>;
  /** In the client outside of the data center. */
  readonly outside: Probe;
}

/** Tells the user what is going on; `work` may take seconds. */
export type Step = <T>(what: string, work: () => Promise<T>) => Promise<T>;

/** The folder with the YAML files, from the sources as from dist/lib. */
export const manifestDirectory = ['.', '../../deploy/lab']
  .map((path) => join(dirname(fileURLToPath(import.meta.url)), path))
  .find((directory) => readdirSync(directory).includes('10-cluster.yaml'));

export const manifest = (name: string): string => join(manifestDirectory ?? '.', name);

export const standingManifests = ['10-cluster.yaml', '20-namespaces.yaml', '30-policies.yaml'];

/** Nothing of an earlier lab may be there. Throws when a step fails; removeLab() then removes what was made. */
export async function raiseLab(step: Step): Promise<Lab> {
  openJournal();
  await step('namespaces, cables, addresses', raiseFabric);
  await step('BIRD on the top-of-rack routers, FRR on the spine', startRouters);
  const datastore = new Datastore();
  await step('twill-datastore on a unix socket', () => datastore.start());
  await step(`twillctl apply -f ${standingManifests.join(', ')}`, async () => {
    for (const name of standingManifests) await twillctl(['apply', '-f', manifest(name)]);
  });
  const agents = await step('twill-node on three nodes', startAgents);
  const attached = await step('six pods, each by CNI ADD', () => Promise.all(pods.map(attachPod)));
  const outsideProbe = new Probe(outside.name);
  await step('the client outside', () => outsideProbe.start());
  return {
    datastore,
    agents: new Map(agents.map((agent) => [agent.node.name, agent])),
    pods: new Map(attached.map((pod) => [pod.name, pod])),
    outside: outsideProbe,
  };
}

export function podOf(lab: Lab, name: string): AttachedPod {
  const pod = lab.pods.get(name);
  if (!pod) throw new Error(`the lab has no pod ${name}`);
  return pod;
}

export function agentOf(lab: Lab, node: string): NodeAgent {
  const agent = lab.agents.get(node);
  if (!agent) throw new Error(`the lab has no node ${node}`);
  return agent;
}
