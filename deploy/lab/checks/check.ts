// What a check is. Each looks at the wire, the kernel or a router, never at what Twill says of itself.

export interface Seen {
  readonly passed: boolean;
  /** What was found, in the words of `expected`. */
  readonly seen: string;
  /** More lines, shown below the table when it failed. */
  readonly details?: readonly string[];
}

export interface Check {
  readonly name: string;
  readonly expected: string;
  readonly run: () => Promise<Seen>;
}

export interface CheckGroup {
  readonly title: string;
  readonly checks: readonly Check[];
}

export interface CheckResult extends Seen {
  readonly name: string;
  readonly expected: string;
  readonly ms: number;
}

/** A check that throws has failed, and says why. */
export async function runCheck(check: Check): Promise<CheckResult> {
  const began = performance.now();
  const { name, expected } = check;
  const finish = (seen: Seen): CheckResult => ({ name, expected, ms: performance.now() - began, ...seen });
  try {
    return finish(await check.run());
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return finish({ passed: false, seen: text.split('\n')[0] ?? '', details: text.split('\n').slice(1) });
  }
}

/** For several checks of one event: it happens when the first of them runs, and each looks at it from another side. */
export function story<T>(
  happen: () => Promise<T>,
): (name: string, expected: string, judge: (told: T) => Seen) => Check {
  let told: Promise<T> | undefined;
  return (name, expected, judge) => ({
    name,
    expected,
    run: async () => {
      told ??= happen();
      return judge(await told);
    },
  });
}
