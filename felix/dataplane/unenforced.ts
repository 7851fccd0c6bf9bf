// Rules with matches that nothing here enforces (`services`, `http`): they open nothing, and somebody should know.

import type { Logger } from '../../runtime/log.ts';
import type { CalcUpdate, PolicyId } from '../calc/output.ts';

export class Unenforced {
  private readonly log: Logger;
  private readonly rules = new Map<PolicyId, readonly string[]>();

  constructor(log: Logger) {
    this.log = log;
  }

  receive(update: CalcUpdate): void {
    if (update.kind === 'policy') this.note(update.policy.id, update.policy.notEnforced);
    else if (update.kind === 'policy-removed') this.rules.delete(update.id);
  }

  /** By policy. */
  all(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.rules);
  }

  private note(policy: PolicyId, rules: readonly string[] | undefined): void {
    if (!rules) {
      this.rules.delete(policy);
      return;
    }
    if (this.rules.get(policy)?.join() === rules.join()) return;
    this.rules.set(policy, rules);
    this.log.warn({ policy, rules }, 'matches on services and HTTP are not enforced here: these rules open nothing');
  }
}
