// What the evaluator behind `twillctl policy why` says of packets on the wire of one node, "here", 192.0.2.1 and 2001:db8::1.

import type { End } from '../../../felix/explain/ends.ts';
import { explain } from '../../../felix/explain/explain.ts';
import type { Traffic } from '../../../felix/explain/packet.ts';
import { PolicyWorld, type Side } from '../../../felix/explain/policy-world.ts';
import { formatExplanation } from '../../../felix/explain/text.ts';

const nodeEntry = {
  key: '/calico/resources/v3/projectcalico.org/nodes/here',
  value: JSON.stringify({
    kind: 'Node',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'here' },
    spec: { bgp: { ipv4Address: '192.0.2.1/24', ipv6Address: '2001:db8::1/64' } },
  }),
  revision: 1,
};

export class Evaluated {
  readonly #world: PolicyWorld;
  readonly #outside: readonly string[];

  /** `outside`: addresses that may stand for a pod of another node, whose own policy is enforced there and not here. */
  constructor(entries: ReadonlyMap<string, string>, outside: readonly string[]) {
    this.#world = new PolicyWorld([...[...entries].map(([key, value]) => ({ key, value, revision: 1 })), nodeEntry]);
    this.#outside = outside;
  }

  allows(from: string, to: string, traffic: Traffic): boolean {
    const result = this.#world.flow(this.#end(from), this.#end(to), traffic);
    if (result.kind === 'problem') throw new Error(result.problem);
    const { egress, ingress, crossings } = result.flow;
    const passes = (side: Side): boolean => (side.kind === 'policy' ? side.verdict.allowed : side.allowed);
    return (
      (this.#outside.includes(from) || passes(egress)) &&
      (this.#outside.includes(to) || passes(ingress)) &&
      crossings.every((crossing) => crossing.allowed)
    );
  }

  explain(from: string, to: string, traffic: Traffic): string {
    const explanation = explain(this.#world, this.#end(from), this.#end(to), traffic);
    return typeof explanation === 'string' ? explanation : formatExplanation(explanation);
  }

  #end(text: string): End {
    const result = this.#world.end(text);
    if (result.kind === 'problem') throw new Error(result.problem);
    return result.end;
  }
}
