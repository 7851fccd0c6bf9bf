// Every few seconds, what this node says of itself goes where the whole cluster's can be read: `twillctl node list`,
// `twillctl policy hits`. A node that is gone stops reporting, and its report disappears.

import type { EphemeralStore, ReportKind } from '../datastore/ephemeral.ts';
import { ControlError, callControl } from '../runtime/control.ts';
import type { Logger } from '../runtime/log.ts';
import { version } from '../runtime/version.ts';

/** The JSON of a `status` report. What a child answers is passed on as it is; absent when it did not answer. */
export interface NodeReport {
  readonly node: string;
  /** RFC 3339. */
  readonly at: string;
  readonly version: string;
  readonly ready: boolean;
  /** Why not; empty when ready. */
  readonly reasons: readonly string[];
  /** GET /v1/status of felix. */
  readonly felix?: unknown;
  /** GET /v1/peers of bgp. */
  readonly bgp?: unknown;
}

export interface ReporterSettings {
  readonly ephemeral: EphemeralStore;
  readonly node: string;
  readonly felixSocket: string;
  readonly bgpSocket: string;
  readonly readiness: () => Promise<{ readonly ready: boolean; readonly reasons: readonly string[] }>;
  readonly intervalSec: number;
  readonly log: Logger;
}

/** Reports live for three intervals: one that is late, or lost, is not yet a node that is gone. */
const lifeInIntervals = 3;
/** A node that is not ready, or whose report was not taken, says so more often: that is when people look. */
const unsettledMs = 1000;

/** Starts at once; the returned function ends it. */
export function startReporting(settings: ReporterSettings): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let failing = false;
  const turn = async (): Promise<void> => {
    let settled = false;
    try {
      settled = await report(settings);
      if (failing) settings.log.info({ where: settings.ephemeral.where }, 'reports are taken again');
      failing = false;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!failing && !stopped) settings.log.warn({ where: settings.ephemeral.where, reason }, 'report was not taken');
      failing = true;
    }
    if (!stopped) timer = setTimeout(turn, settled ? settings.intervalSec * 1000 : unsettledMs);
  };
  void turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

/** True when the node is ready and has said so. */
async function report(settings: ReporterSettings): Promise<boolean> {
  const { node, felixSocket, bgpSocket } = settings;
  const [readiness, felix, bgp, hits] = await Promise.all([
    settings.readiness(),
    ask(felixSocket, '/v1/status'),
    ask(bgpSocket, '/v1/peers'),
    ask(felixSocket, '/v1/hits'),
  ]);
  const status: NodeReport = {
    node,
    at: new Date().toISOString(),
    version,
    ...readiness,
    ...(felix === undefined ? {} : { felix }),
    ...(bgp === undefined ? {} : { bgp }),
  };
  const ttlSec = settings.intervalSec * lifeInIntervals;
  const publish = (kind: ReportKind, value: unknown): Promise<void> =>
    settings.ephemeral.publish(kind, node, JSON.stringify(value), ttlSec);
  await publish('status', status);
  if (hits !== undefined) await publish('hits', hits);
  return status.ready;
}

/** Undefined when the child does not answer: its absence is in the readiness. */
async function ask(socket: string, path: string): Promise<unknown> {
  try {
    return await callControl(socket, path, { timeoutMs: 2000 });
  } catch (error) {
    if (error instanceof ControlError) return undefined;
    throw error;
  }
}
