// node drain-bgp, node undrain-bgp: a mark on the Node resource; its agent then announces its routes as ones that are about
// to go (RFC 8326), and others move away from them before anything is shut down.

import { drainAnnotation } from '../../bgp/config/drain.ts';
import { openResources } from '../datastore-config.ts';
import { CommandError, type World } from '../world.ts';

export interface NodeDrainOptions {
  readonly config?: string;
  readonly etcdEndpoints?: string;
}

export async function runNodeDrain(
  name: string,
  drain: boolean,
  options: NodeDrainOptions,
  world: World,
): Promise<void> {}
