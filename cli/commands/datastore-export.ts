// datastore migrate export: a locked datastore as calicoctl writes it, for its import or ours.
//
//     lists of resources, YAML, one document for each kind, "---" behind each
//     ===
//     ClusterInformation, JSON
//     ===
//     IPAM's data, JSON (datastore/ipam-transfer.ts)
//
// Endpoints and profiles are not in it, as with calicoctl: Kubernetes says what they are. Nodes get the names that
// Kubernetes has for them, where it has others.

import { encodeIpamTransfer, type NodeNames, readIpamTransfer, TransferError } from '../../datastore/ipam-transfer.ts';
import type { Revision } from '../../datastore/kv.ts';
import type { Kind, Resource } from '../../datastore/model/index.ts';
import type { Resources } from '../../datastore/resources.ts';
import { formatJson, formatYaml, listOf, yamlWriter } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

/** In the order in which they can be written back: tiers before policies. */
export const exportedKinds = [
  'IPPool',
  'BGPPeer',
  'Tier',
  'GlobalNetworkPolicy',
  'StagedGlobalNetworkPolicy',
  'GlobalNetworkSet',
  'HostEndpoint',
  'KubeControllersConfiguration',
  'NetworkPolicy',
  'StagedNetworkPolicy',
  'StagedKubernetesNetworkPolicy',
  'NetworkSet',
  'Node',
  'BGPConfiguration',
  'FelixConfiguration',
  'IPReservation',
  'BGPFilter',
] as const satisfies readonly Kind[];

export const PART_END = '===\n';

export async function runExport(options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    const information = await resources.find('ClusterInformation', 'default');
    if (information?.spec.datastoreReady !== false) {
      throw new CommandError(
        'datastore is not locked. Run the `twillctl datastore migrate lock` command in order to begin migration',
      );
    }
    // All of it at one revision: locked or not, somebody may be writing.
    const { resources: nodes, revision } = await resources.list('Node');
    const names = nodeNames(nodes, world);
    for (const kind of exportedKinds) {
      await writeList(kind, names, revision, resources, world);
      world.out('---\n');
    }
    world.out(PART_END);
    world.out(formatJson(information));
    world.out(PART_END);
    world.out(`${encodeIpamTransfer(await readIpam(resources, revision, names))}\n`);
  });
}

async function readIpam(resources: Resources, revision: Revision, names: NodeNames) {
  try {
    return await readIpamTransfer(resources.store, revision, names);
  } catch (error) {
    if (error instanceof TransferError) throw new CommandError(error.message);
    throw error;
  }
}

/** Kubernetes' names of those that are called otherwise there. */
function nodeNames(nodes: readonly Extract<Resource, { kind: 'Node' }>[], world: World): NodeNames {
  const names = new Map<string, string>();
  for (const { metadata, spec } of nodes) {
    const name = spec.orchRefs?.find(({ orchestrator }) => orchestrator === 'k8s')?.nodeName;
    if (name === undefined) {
      world.err(
        `Node ${metadata.name} has no reference to Kubernetes (spec.orchRefs): an import into Kubernetes skips it\n`,
      );
    } else if (name !== metadata.name) names.set(metadata.name, name);
  }
  return names;
}

async function writeList(
  kind: (typeof exportedKinds)[number],
  names: NodeNames,
  revision: Revision,
  resources: Resources,
  world: World,
): Promise<void> {
  const writer = await yamlWriter();
  let length = 0;
  for await (const page of resources.pages(kind, undefined, revision)) {
    const [invalid] = page.invalid;
    if (invalid) {
      const words = invalid.faults.map(({ path, problem }) => `${path} ${problem}`).join('; ');
      throw new CommandError(`stored ${kind} ${invalid.id.name} is not valid: ${words}; repair or delete it first`);
    }
    const wanted = (page.resources as readonly Resource[]).filter((resource) => !isOfKubernetes(resource));
    if (length === 0 && wanted.length > 0) world.out('apiVersion: projectcalico.org/v3\nitems:\n');
    for (const resource of wanted) world.out(writer.item(portable(resource, names)));
    length += wanted.length;
  }
  const list = listOf(kind, [], revision);
  world.out(length === 0 ? await formatYaml(list) : writer.document({ kind: list.kind, metadata: list.metadata }));
}

/** Kubernetes' own policies come from Kubernetes. */
const isOfKubernetes = ({ kind, metadata }: Resource): boolean =>
  kind === 'NetworkPolicy' && metadata.name.startsWith('knp.default.');

/** Without what belongs to one datastore. */
function portable(resource: Resource, names: NodeNames): unknown {
  const { uid: _uid, resourceVersion: _version, creationTimestamp: _created, ...metadata } = resource.metadata;
  return { ...resource, metadata: { ...metadata, name: renamed(resource, names) } };
}

function renamed({ kind, metadata: { name } }: Resource, names: NodeNames): string {
  if (kind === 'Node') return names.get(name) ?? name;
  if (kind !== 'FelixConfiguration' && kind !== 'BGPConfiguration') return name;
  const node = /^node\.(.+)$/.exec(name)?.[1];
  return node === undefined ? name : `node.${names.get(node) ?? node}`;
}
