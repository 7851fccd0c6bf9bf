// From resources as the datastore has them to a dataplane in this process, one state after the other.

import assert from 'node:assert/strict';
import { createCalcGraph } from '../../../felix/calc/graph.ts';
import { steps, type World } from '../../felix/calc/world.ts';
import type { Felix } from './node.ts';

export class ResourceFeed {
  private readonly felix: Felix;
  private readonly graph = createCalcGraph({ nodeName: 'here' });
  private now: World = new Map();
  private revision = 0;

  constructor(felix: Felix) {
    this.felix = felix;
    this.graph.onInSync();
  }

  /** These and no others; resolves when the kernel has what they ask for. */
  async set(resources: World): Promise<void> {
    this.graph.onUpdates(steps(this.now, resources, ++this.revision));
    this.now = resources;
    assert.deepEqual([...this.graph.faults], [], 'the resources are valid');
    await this.felix.apply(this.graph.flush(), 20_000);
  }
}
