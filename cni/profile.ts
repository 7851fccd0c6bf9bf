// The Profile of a network, for containers that are no pods: the containers of one network talk to each other, and to
// anybody outside. Made when the first one is attached, as Calico does; from then on it is whoever runs the cluster that
// changes it, and nobody removes it.

import { type DraftOf, resourceKey } from '../datastore/model/index.ts';
import { AlreadyExistsError, InvalidError, Resources } from '../datastore/resources.ts';
import type { CniContext } from './context.ts';
import { CniError } from './errors.ts';

/** The endpoints of the network bear its name as a label, which the profile gives them. */
export function networkProfile(network: string): DraftOf<'Profile'> {
  return {
    kind: 'Profile',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: network },
    spec: {
      ingress: [{ action: 'Allow', source: { selector: `has(${network})` } }],
      egress: [{ action: 'Allow' }],
      labelsToApply: { [network]: '' },
    },
  };
}

/** Throws CniError when the network has a name that no Profile can have. */
export async function ensureNetworkProfile({ store, log }: CniContext, network: string): Promise<void> {
  // Even one that can not be read is somebody's: felix lets nothing through by it.
  if (await store.get(resourceKey({ kind: 'Profile', name: network }))) return;
  try {
    await new Resources(store, { author: 'twill-cni' }).create(networkProfile(network));
    log.info({ profile: network }, 'profile of the network created');
  } catch (error) {
    if (error instanceof AlreadyExistsError) return;
    if (!(error instanceof InvalidError)) throw error;
    const problem = `no Profile can be named after the network ${JSON.stringify(network)}`;
    throw new CniError(
      'invalidConfiguration',
      problem,
      `rename it, or name others in args.twill.profiles: ${error.message}`,
    );
  }
}
