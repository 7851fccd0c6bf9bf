// The kernel's routes to this node's pods, as felix makes them: those of its protocol number among the foreign ones.

import type { Route } from '../linux/netlink/route.ts';
import { formatPrefix } from '../net/prefix.ts';
import type { WorkloadRoute } from './edges.ts';

interface Known extends WorkloadRoute {
  readonly interfaceIndex: number | undefined;
}

export class WorkloadTable {
  readonly #protocol: number | undefined;
  readonly #routes = new Map<string, Known>();
  #changed = false;

  /** @param protocol - undefined: no route is a pod's. */
  constructor(protocol: number | undefined) {
    this.#protocol = protocol;
  }

  clear(): void {
    this.#changed ||= this.#routes.size > 0;
    this.#routes.clear();
  }

  set(route: Route): void {
    if (!this.#concerns(route)) return;
    const { prefix, priority = 0, nextHops } = route;
    this.#routes.set(formatPrefix(prefix), { prefix, priority, interfaceIndex: nextHops[0]?.interfaceIndex });
    this.#changed = true;
  }

  remove(route: Route): void {
    const key = formatPrefix(route.prefix);
    if (!this.#concerns(route) || this.#routes.get(key)?.priority !== (route.priority ?? 0)) return;
    this.#routes.delete(key);
    this.#changed = true;
  }

  removeInterface(interfaceIndex: number): void {
    for (const [key, route] of this.#routes) {
      if (route.interfaceIndex !== interfaceIndex) continue;
      this.#routes.delete(key);
      this.#changed = true;
    }
  }

  get routes(): readonly WorkloadRoute[] {
    return [...this.#routes.values()].map(({ prefix, priority }) => ({ prefix, priority }));
  }

  /** All of them, when some have changed since the last time. */
  takeChanged(): readonly WorkloadRoute[] | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return this.routes;
  }

  #concerns({ protocol, type = 'unicast' }: Route): boolean {
    return protocol === this.#protocol && type === 'unicast';
  }
}
