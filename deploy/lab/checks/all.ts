// All groups of checks, in the order in which they run: what disturbs comes after what only looks.

import type { Lab } from '../lab.ts';
import { agentDeathChecks, felixDeathChecks } from './agent-death.ts';
import type { CheckGroup } from './check.ts';
import { datastoreDeathChecks } from './datastore-death.ts';
import { linkLossChecks } from './link-loss.ts';
import { podEndChecks, podStartChecks } from './pod-life.ts';
import { policyChecks } from './policy.ts';
import { reachChecks } from './reach.ts';
import { routeChecks } from './routes.ts';

export function allChecks(lab: Lab): readonly CheckGroup[] {
  const late = { pod: undefined };
  return [
    routeChecks(lab),
    reachChecks(lab),
    policyChecks(lab),
    podStartChecks(lab, late),
    agentDeathChecks(lab),
    felixDeathChecks(lab),
    datastoreDeathChecks(lab),
    linkLossChecks(lab),
    podEndChecks(late),
  ];
}
