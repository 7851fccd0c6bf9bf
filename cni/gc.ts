// GC: everything of this network that no valid attachment owns goes: links by their mark, addresses by what was written
// beside them when they were assigned, in whichever node's block they are. Other networks are not touched. An error does
// not stop it; all are reported.
//
// It reads all blocks of the cluster, for an address may be borrowed. Runtimes ask for it rarely: containerd when it starts.

import {
  blocksOf,
  type IpamAttributes,
  parseBlock,
  parseResourceKey,
  resourcePrefix,
  workloadEndpointPrefix,
} from '../datastore/model/index.ts';
import { pagesOf } from '../datastore/pages.ts';
import { attachmentAttributes } from './assign.ts';
import type { Attachment, ContainerInterface } from './attachment.ts';
import { readConfiguration } from './config.ts';
import type { CniContext } from './context.ts';
import { detach } from './del.ts';
import { decodeEndpoint } from './endpoint.ts';
import { CniError } from './errors.ts';
import { linkMark, parseLinkMark } from './identity.ts';
import type { CniRequest } from './protocol.ts';
import { targetOf } from './target.ts';
import { removeLink } from './wiring.ts';

/** A block of 64 pods is about 16 kB. */
const blocksInPage = 500;

export async function collectGarbage(context: CniContext, request: CniRequest): Promise<string> {
  const configuration = readConfiguration(request.stdin);
  if (!configuration.validAttachments) {
    throw new CniError('invalidConfiguration', 'GC needs the list "cni.dev/valid-attachments"');
  }
  const { name: network } = configuration;
  const valid = new Set(configuration.validAttachments.map(keyOf));
  const links = linksOf(context, network);
  const found = new Map<string, Attachment>();
  for (const attachment of await ownersOfAddresses(context, network)) {
    if (!valid.has(keyOf(attachment))) found.set(keyOf(attachment), attachment);
  }
  // Of a link whose address is lost, the endpoint says which pod it was.
  for (const [link, attachment] of links) {
    const key = keyOf(attachment);
    if (valid.has(key) || found.has(key)) continue;
    found.set(key, { ...attachment, pod: await podBehind(context, link, attachment) });
  }
  const failures: string[] = [];
  for (const attachment of found.values()) {
    try {
      const target = targetOf(configuration, attachment, context.nodeName);
      await context.inTurn(target.endpointKey, () => detach(context, target));
      for (const [link, owner] of links) {
        if (keyOf(owner) === keyOf(attachment)) await removeLink(context.host, link, linkMark(network, owner));
      }
      context.log.info(
        { containerId: attachment.containerId, ifname: attachment.ifname },
        'left-over attachment removed',
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      failures.push(`${attachment.containerId} ${attachment.ifname}: ${reason}`);
    }
  }
  if (failures.length === 0) return '';
  const problem = `${failures.length} of ${found.size} left-over attachments could not be removed`;
  throw new CniError('tryAgainLater', problem, failures.join('; '));
}

const keyOf = ({ containerId, ifname }: ContainerInterface): string => `${containerId} ${ifname}`;

/** By name of the host side. */
function linksOf(context: CniContext, network: string): Map<string, Attachment> {
  const found = new Map<string, Attachment>();
  for (const link of context.host.links()) {
    const mark = parseLinkMark(link.alias);
    if (mark?.network !== network) continue;
    const { containerId, ifname } = mark;
    found.set(link.name, { containerId, ifname, netns: '', pod: undefined, arguments: new Map() });
  }
  return found;
}

/** The pod whose endpoint has this host side; undefined when there is none, or it is no pod's. */
async function podBehind(
  { store, nodeName }: CniContext,
  link: string,
  { containerId }: ContainerInterface,
): Promise<Attachment['pod']> {
  const ours = workloadEndpointPrefix(nodeName);
  for await (const { entries } of pagesOf(store, resourcePrefix('WorkloadEndpoint'), { keysOnly: true })) {
    for (const { key } of entries) {
      if (!parseResourceKey(key)?.name.startsWith(ours)) continue;
      const endpoint = decodeEndpoint(await store.get(key));
      const { interfaceName, containerID, pod } = endpoint?.spec ?? {};
      if (interfaceName !== link || containerID !== containerId || !pod) continue;
      return { name: pod, namespace: endpoint?.metadata.namespace ?? 'default' };
    }
  }
  return undefined;
}

/** Who has addresses on this node. */
async function ownersOfAddresses({ store, nodeName }: CniContext, network: string): Promise<Attachment[]> {
  const attachments: Attachment[] = [];
  for (const family of [4, 6] as const) {
    for await (const { entries } of pagesOf(store, blocksOf(family), { pageSize: blocksInPage })) {
      for (const { value } of entries) {
        // Most blocks have nothing of this node: not worth parsing.
        if (!value.includes(JSON.stringify(nodeName))) continue;
        for (const attributes of parseBlock(value)?.attributes ?? []) {
          const attachment = attachmentOf(attributes, network, nodeName);
          if (attachment) attachments.push(attachment);
        }
      }
    }
  }
  return attachments;
}

function attachmentOf(
  { secondary, handle_id: handle }: IpamAttributes,
  network: string,
  node: string,
): Attachment | undefined {
  const facts = secondary ?? {};
  const containerId = facts[attachmentAttributes.containerId];
  const ifname = facts[attachmentAttributes.ifname];
  const isOurs = handle && facts['node'] === node && facts[attachmentAttributes.network] === network;
  if (!isOurs || !containerId || !ifname) return undefined;
  const { pod, namespace } = facts;
  return {
    containerId,
    ifname,
    netns: '',
    pod: pod && namespace ? { name: pod, namespace } : undefined,
    arguments: new Map(),
  };
}
