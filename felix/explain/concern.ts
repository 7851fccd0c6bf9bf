// How much of a cluster a question is about: which namespaces its ends are in.

import { parseAddress } from '../../net/address.ts';

export interface Concern {
  readonly namespaces: readonly string[];
  /** Whether the addresses of nodes matter. */
  readonly nodes: boolean;
}

/**
 * Undefined: everything. Whose an address is nobody knows before all have been looked at. Two named ends concern their
 * namespaces; a second endpoint with the same address in a third is then not seen.
 */
export function concernOf(ends: readonly string[], defaultNamespace = 'default'): Concern | undefined {
  const namespaces = new Set<string>();
  let nodes = false;
  for (const text of ends) {
    if (parseAddress(text) !== undefined) return undefined;
    const [, kind] = /^(node|hostendpoint):/.exec(text) ?? [];
    if (kind) nodes = true;
    else namespaces.add(/^([^/:]+)[/:]/.exec(text)?.[1] ?? defaultNamespace);
  }
  return { namespaces: [...namespaces], nodes };
}
