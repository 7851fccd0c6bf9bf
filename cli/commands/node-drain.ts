// node drain-bgp, node undrain-bgp: a mark on the Node resource. Its agent then announces its routes as ones that are about
// to go (RFC 8326), and others move away before anything is shut down.

import { drainAnnotation } from '../../bgp/config/annotations.ts';
import type { World } from '../world.ts';
import { changeResource } from './change.ts';
import { type GlobalOptions, withResources } from './context.ts';

export async function runNodeDrain(name: string, drain: boolean, options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, (resources) =>
    changeResource(resources, { kind: 'Node', name, namespace: undefined }, (node) => {
      const { [drainAnnotation]: _, ...others } = node.metadata.annotations ?? {};
      const annotations = drain ? { ...others, [drainAnnotation]: 'true' } : others;
      return { ...node, metadata: { ...node.metadata, annotations } };
    }),
  );
  world.out(
    drain
      ? `Node ${name} drains: its routes carry GRACEFUL_SHUTDOWN until "twillctl node undrain-bgp ${name}".\n`
      : `Node ${name} announces its routes as usual.\n`,
  );
}
