import { Counter, Gauge, Registry } from 'prom-client';

/** What the parts of a sidecar count. Labels come from objects that we own, never from an agent. */
export interface Metrics {
  readonly registry: Registry;
  /** A connection reached a session. */
  accepted(resource: string, protocol: string): void;
  /** A connection was refused before any session; `reason` is a code. */
  denied(reason: string): void;
}

/** Numbers that are read when somebody asks. */
export interface Gauges {
  readonly sessions: () => number;
  /** 0 to 1. */
  readonly spoolFill: () => number;
  readonly unreceiptedMs: () => number;
  /** Whether the last looks of the sidecar proved the capture of its pod. */
  readonly captureProven: () => boolean;
  readonly policyFresh: () => boolean;
  /** Since the start, by code. */
  readonly receiptsRefused: () => ReadonlyMap<string, number>;
  /** Entries of the evidence log, as far as it was verified here. */
  readonly logSize: () => number;
  /** Undefined: nothing is traced. */
  readonly spansDropped: () => number | undefined;
}

export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const connections = new Counter({
    name: 'chaperone_connections_total',
    help: 'Connections of the agent that became sessions.',
    labelNames: ['resource', 'protocol'],
    registers,
  });
  const denied = new Counter({
    name: 'chaperone_denied_total',
    help: 'Connections of the agent that were refused before any session, by code.',
    labelNames: ['reason'],
    registers,
  });
  const gauge = (name: string, help: string, read: () => number): void => {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(read());
        },
      }),
    );
  };
  gauge('chaperone_sessions_open', 'Sessions that are open.', gauges.sessions);
  gauge('chaperone_spool_fill_ratio', 'Part of the spool that is used, 0 to 1.', gauges.spoolFill);
  gauge(
    'chaperone_evidence_unreceipted_seconds',
    'Age of the oldest evidence without a receipt.',
    () => gauges.unreceiptedMs() / 1_000,
  );
  gauge('chaperone_policy_fresh', '1 while a policy snapshot is in force.', () => (gauges.policyFresh() ? 1 : 0));
  gauge('chaperone_capture_proven', '1 while nothing of the pod gets around its sidecar.', () =>
    gauges.captureProven() ? 1 : 0,
  );
  gauge('chaperone_evidence_log_size', 'Entries of the evidence log in the newest checkpoint that was verified.', gauges.logSize);
  gauge('chaperone_spans_dropped', 'Spans of traces that did not get out since the start.', () => gauges.spansDropped() ?? 0);
  registry.registerMetric(
    new Gauge({
      name: 'chaperone_receipts_refused',
      help: 'Receipts that were not believed since the start, by code; what they were for stays in the spool.',
      labelNames: ['reason'],
      registers: [],
      collect() {
        for (const [reason, count] of gauges.receiptsRefused()) this.set({ reason }, count);
      },
    }),
  );
  return {
    registry,
    accepted: (resource, protocol) => connections.inc({ resource, protocol }),
    denied: (reason) => denied.inc({ reason }),
  };
}
