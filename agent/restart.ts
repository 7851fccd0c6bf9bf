// When a child that died is started again: at once the first time, then later and later, up to ten seconds; a child that
// had lived for half a minute starts afresh.

export interface RestartState {
  /** Deaths in a row that came soon after the start. */
  readonly quickDeaths: number;
}

const longLifeMs = 30_000;
const firstDelayMs = 100;
const maxDelayMs = 10_000;

export function afterDeath(
  state: RestartState,
  livedMs: number,
): { readonly state: RestartState; readonly delayMs: number } {
  const quickDeaths = livedMs >= longLifeMs ? 0 : state.quickDeaths;
  const delayMs = quickDeaths === 0 ? 0 : Math.min(firstDelayMs * 2 ** (quickDeaths - 1), maxDelayMs);
  return { state: { quickDeaths: quickDeaths + 1 }, delayMs };
}
