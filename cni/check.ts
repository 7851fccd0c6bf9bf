// CHECK: is everything that ADD promised still there? In the pod: interface, addresses, routes. On the node: the other end of
// the link, the route, policy in the kernel. In the datastore: the endpoint, and the address by its handle.
//
// What plugins after us added to the result, or changed and reported, is not ours to judge.

import type { KvEntry } from '../datastore/kv.ts';
import { blockKey, handleKey, parseBlock, parseHandle } from '../datastore/model/index.ts';
import { ownerOf } from '../ipam/block.ts';
import type { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import { type Address, type Family, familyOf, formatAddress, parseAddress, widthOf } from '../net/address.ts';
import {
  formatPrefix,
  hostPrefix,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  prefixContains,
  prefixesEqual,
} from '../net/prefix.ts';
import type { CniContext } from './context.ts';
import { decodeEndpoint } from './endpoint.ts';
import { CniError } from './errors.ts';
import { asInteger, asList, asObject, asText, type JsonObject } from './json.ts';
import type { CniRequest } from './protocol.ts';
import { readTarget, type Target } from './target.ts';
import { PodNetns } from './wiring.ts';

const policyTimeoutMs = 2000;

interface Promised {
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
  readonly addresses: readonly Address[];
  readonly routes: readonly { readonly prefix: Prefix; readonly gateway: Address | undefined }[];
}

export async function check(context: CniContext, request: CniRequest): Promise<string> {
  const target = readTarget(request, context.nodeName, { netnsOptional: false });
  const { cniVersion, prevResult } = target.configuration;
  if (cniVersion.startsWith('0.3')) {
    throw new CniError('incompatibleVersion', `CHECK came with 0.4.0, and cniVersion is ${cniVersion}`);
  }
  if (!prevResult) throw new CniError('invalidConfiguration', 'CHECK needs the result of ADD as "prevResult"');
  const promised = readPromised(prevResult, target);
  return context.inTurn(target.endpointKey, async () => {
    const pod = new PodNetns(target.attachment.netns);
    try {
      const inside = pod.open();
      try {
        checkPod(inside, target, promised);
      } finally {
        inside.close();
      }
    } finally {
      pod.close();
    }
    checkNode(context.host, target, promised);
    await checkDatastore(context, target, promised);
    return '';
  });
}

const missing = (message: string): CniError => new CniError('checkFailed', message);

/** What the result says of our interface: the one of this name in this namespace. */
function readPromised(prevResult: JsonObject, { attachment }: Target): Promised {
  const interfaces = (asList(prevResult['interfaces']) ?? []).map((value) => asObject(value) ?? {});
  const index = interfaces.findIndex(
    (each) => asText(each['name']) === attachment.ifname && asText(each['sandbox']) === attachment.netns,
  );
  const ours = interfaces[index];
  if (!ours) {
    throw new CniError(
      'invalidConfiguration',
      `"prevResult" has no interface ${attachment.ifname} in ${attachment.netns}`,
    );
  }
  const addresses: Address[] = [];
  for (const value of asList(prevResult['ips']) ?? []) {
    const ip = asObject(value) ?? {};
    const parsed = parseInterfaceAddress(asText(ip['address']) ?? '');
    if (parsed && asInteger(ip['interface']) === index) addresses.push(parsed.address);
  }
  const routes = (asList(prevResult['routes']) ?? []).flatMap((value) => {
    const route = asObject(value) ?? {};
    const prefix = parsePrefix(asText(route['dst']) ?? '');
    return prefix ? [{ prefix, gateway: parseAddress(asText(route['gw']) ?? '') }] : [];
  });
  return { mac: asText(ours['mac']), mtu: asInteger(ours['mtu']), addresses, routes };
}

function checkPod(inside: Rtnetlink, { attachment }: Target, promised: Promised): void {
  const { ifname, netns } = attachment;
  const link = inside.link(ifname);
  if (!link) throw missing(`interface ${ifname} is gone from ${netns}`);
  if (!link.up) throw missing(`interface ${ifname} in ${netns} is down`);
  if (promised.mac && link.mac !== promised.mac.toLowerCase()) {
    throw missing(`interface ${ifname} has MAC address ${link.mac} instead of ${promised.mac}`);
  }
  if (promised.mtu && link.mtu !== promised.mtu) {
    throw missing(`interface ${ifname} has MTU ${link.mtu} instead of ${promised.mtu}`);
  }
  const has = inside.addresses(link.index);
  for (const address of promised.addresses) {
    if (!has.some((each) => each.address === address))
      throw missing(`${ifname} has lost its address ${formatAddress(address)}`);
  }
  const families = new Set<Family>(promised.routes.map(({ prefix }) => familyOf(prefix.address)));
  const routes = [...families].flatMap((family) => inside.routes({ family }));
  for (const { prefix, gateway } of promised.routes) {
    const found = routes.some(
      (route) =>
        prefixesEqual(route.prefix, prefix) &&
        (gateway === undefined || route.nextHops.some((hop) => hop.gateway === gateway)),
    );
    if (!found) throw missing(`the route ${formatPrefix(prefix)} is gone from ${netns}`);
  }
}

function checkNode(host: Rtnetlink, { identity, mark }: Target, promised: Promised): void {
  const { hostInterface } = identity;
  const link = host.link(hostInterface);
  if (!link || link.alias !== mark) throw missing(`the host side ${hostInterface} is gone`);
  if (!link.up) throw missing(`the host side ${hostInterface} is down`);
  for (const address of promised.addresses) {
    const routes = host.routes({ family: familyOf(address), interfaceIndex: link.index });
    if (!routes.some((route) => prefixesEqual(route.prefix, hostPrefix(address)))) {
      throw missing(`the node has no route to ${formatAddress(address)} by ${hostInterface}`);
    }
  }
}

async function checkDatastore(context: CniContext, target: Target, promised: Promised): Promise<void> {
  const [entry, handle] = await Promise.all([
    context.store.get(target.endpointKey),
    context.store.get(handleKey(target.handle)),
  ]);
  const endpoint = decodeEndpoint(entry);
  if (!entry || !endpoint) throw missing(`WorkloadEndpoint ${target.endpointId} is gone, or can not be read`);
  if (endpoint.spec.containerID !== target.attachment.containerId) {
    throw missing(`WorkloadEndpoint ${target.endpointId} is another container's: ${endpoint.spec.containerID}`);
  }
  for (const address of promised.addresses) {
    const text = `${formatAddress(address)}/${widthOf(familyOf(address))}`;
    if (!endpoint.spec.ipNetworks?.includes(text)) {
      throw missing(`WorkloadEndpoint ${target.endpointId} has lost ${text}`);
    }
    const owner = await ownerHandle(context, handle, address);
    if (owner !== target.handle)
      throw missing(`${formatAddress(address)} is not assigned to ${target.handle} any more`);
  }
  try {
    await context.awaitEndpoint(target.endpointId, entry.modRevision, policyTimeoutMs);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw missing(`policy for ${target.endpointId} is not in the kernel: ${reason}`);
  }
}

/** The handle that the address's block names, if the handle knows the block too. */
async function ownerHandle(
  { store }: CniContext,
  handle: KvEntry | undefined,
  address: Address,
): Promise<string | undefined> {
  const blocks = Object.keys((handle && parseHandle(handle.value)?.block) ?? {}).map(parsePrefix);
  const prefix = blocks.find((block) => block && prefixContains(block, address));
  const entry = prefix && (await store.get(blockKey(prefix)));
  const block = entry && parseBlock(entry.value);
  return (block && ownerOf(block, address)?.handle_id) ?? undefined;
}
