// The environment of a request, understood: which interface of which container.

import type { Address } from '../net/address.ts';
import { readAddress } from '../net/people.ts';
import { namePattern } from './config.ts';
import { CniError } from './errors.ts';
import type { CniRequest } from './protocol.ts';

export interface ContainerInterface {
  readonly containerId: string;
  readonly ifname: string;
}

/** Which interface of which container, and the pod behind it when there is one. */
export interface Attachment extends ContainerInterface {
  /** Empty when the runtime did not say: allowed for DEL. */
  readonly netns: string;
  readonly pod: { readonly namespace: string; readonly name: string } | undefined;
  readonly arguments: ReadonlyMap<string, string>;
}

/** The kernel's rules for interface names. */
const ifnamePattern = /^(?!\.{1,2}$)[^\s/:]{1,15}$/;

/** Reads the CNI_* variables. CNI_NETNS is needed unless `netnsOptional`. */
export function readAttachment({ environment }: CniRequest, options: { readonly netnsOptional: boolean }): Attachment {
  const containerId = requireVariable(environment, 'CNI_CONTAINERID');
  if (!namePattern.test(containerId)) {
    throw new CniError(
      'invalidEnvironment',
      `CNI_CONTAINERID ${JSON.stringify(containerId)} is malformed`,
      'it begins with a letter or digit, and "_", "." and "-" may follow',
    );
  }
  const ifname = requireVariable(environment, 'CNI_IFNAME');
  if (!ifnamePattern.test(ifname)) {
    const remedy = 'at most 15 characters, without spaces, "/" and ":"';
    throw new CniError('invalidEnvironment', `CNI_IFNAME ${JSON.stringify(ifname)} is no interface name`, remedy);
  }
  const netns = options.netnsOptional
    ? (environment.get('CNI_NETNS') ?? '')
    : requireVariable(environment, 'CNI_NETNS');
  const args = readArguments(environment.get('CNI_ARGS') ?? '');
  const name = args.get('K8S_POD_NAME');
  const pod = name ? { name, namespace: args.get('K8S_POD_NAMESPACE') ?? 'default' } : undefined;
  return { containerId, ifname, netns, pod, arguments: args };
}

function requireVariable(environment: ReadonlyMap<string, string>, name: string): string {
  const value = environment.get(name);
  if (value) return value;
  const problem = value === undefined ? 'is not set' : 'is empty';
  throw new CniError('invalidEnvironment', `the environment variable ${name} ${problem}`);
}

/** "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web" */
function readArguments(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const pair of text.split(';')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals <= 0) {
      throw new CniError('invalidEnvironment', `CNI_ARGS has ${JSON.stringify(pair)} where KEY=VALUE is wanted`);
    }
    found.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return found;
}

/** CNI_ARGS may ask for an address, before others: IP=10.0.0.7 */
export function requestedAddresses(attachment: Attachment, others: readonly Address[]): Address[] {
  const text = attachment.arguments.get('IP');
  if (!text) return [...others];
  const reading = readAddress(text.split('/')[0] ?? '');
  if (reading.kind === 'invalid') throw new CniError('invalidEnvironment', `CNI_ARGS: IP: ${reading.reason}`);
  return [reading.value, ...others.filter((address) => address !== reading.value)];
}
