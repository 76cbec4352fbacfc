import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ApprovalMetrics } from './approvals/office.ts';
import type { QueueMetrics } from './kube/queue.ts';
import type { NotifyMetrics } from './notify/notifier.ts';
import type { Unhealthy } from './unhealthy.ts';

/** The operator's metrics. Names follow controller-runtime's suffixes under our own prefix. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <T extends string>(name: string, help: string, labelNames: T[]): Counter<T> =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <T extends string>(name: string, help: string, labelNames: T[] = []): Gauge<T> =>
    new Gauge({ name, help, labelNames, registers });

  const reconciles = counter('chaperone_reconcile_total', 'Objects worked on.', ['controller', 'result']);
  const durations = new Histogram({
    name: 'chaperone_reconcile_duration_seconds',
    help: 'Time spent on one object.',
    labelNames: ['controller'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers,
  });
  const depth = gauge('chaperone_workqueue_depth', 'Objects that wait.', ['name']);
  const adds = counter('chaperone_workqueue_adds_total', 'Objects added.', ['name']);
  const retries = counter('chaperone_workqueue_retries_total', 'Objects tried again after a failure.', ['name']);
  const queue: QueueMetrics = {
    added: (name) => adds.inc({ name }),
    retried: (name) => retries.inc({ name }),
    depth: (name, value) => depth.set({ name }, value),
    done: (controller, result, seconds) => {
      reconciles.inc({ controller, result });
      durations.observe({ controller }, seconds);
    },
  };
  const notices = counter('chaperone_notices_total', 'Notices to people outside the cluster.', ['channel', 'result']);
  const slackFailing = gauge('chaperone_slack_failing', '1 while Slack does not take notices; the log says why.');
  const presses = counter('chaperone_slack_actions_total', 'What a press or a window in Slack came to.', ['result']);
  const notify: NotifyMetrics = {
    told: (channel, result) => notices.inc({ channel, result }),
    slackUp: (up) => slackFailing.set(up ? 0 : 1),
    pressed: (result) => presses.inc({ result }),
  };
  const open = gauge('chaperone_access_requests_open', 'Requests for approval that are not over.');
  const outcomes = counter('chaperone_access_requests_total', 'What became of requests for approval.', ['outcome']);
  const decisions = new Histogram({
    name: 'chaperone_access_request_decision_seconds',
    help: 'From a request for approval to its decision.',
    buckets: [1, 5, 15, 60, 300, 900, 3600],
    registers,
  });
  const approvals: ApprovalMetrics = {
    open: (count) => open.set(count),
    became: (outcome) => outcomes.inc({ outcome }),
    decided: (seconds) => decisions.observe(seconds),
  };
  const conditions = gauge(
    'chaperone_condition_unhealthy',
    'Conditions of resources and policies that somebody should look at, on the replica that leads.',
    ['kind', 'object_namespace', 'object_name', 'type', 'reason'],
  );
  return {
    registry,
    queue,
    /** All that there are now. */
    unhealthy: (all: readonly Unhealthy[]): void => {
      conditions.reset();
      for (const each of all) conditions.set({ ...each }, 1);
    },
    notify,
    approvals,
    kubeRequests: counter('chaperone_kube_requests_total', 'Requests to the API server; code 0: no answer.', ['verb', 'code']),
    informerLastEvent: gauge('chaperone_informer_last_event_timestamp_seconds', 'Last sign of life of a watch.', ['kind']),
    informerRelists: gauge('chaperone_informer_relists_total', 'Full lists after the first.', ['kind']),
    leader: gauge('chaperone_leader', '1 on the replica that leads.'),
    sidecars: gauge('chaperone_sidecars', 'Sidecars that this replica serves; unproven: they say that capture does not hold.', [
      'state',
    ]),
    evidenceMissing: gauge(
      'chaperone_evidence_missing_pods',
      'Pods, gone or silent, that counted evidence which has not arrived.',
    ),
    evidenceNotCompared: gauge(
      'chaperone_evidence_not_compared_seconds',
      'Since when the collector does not say what it has, while it is asked.',
    ),
    countersFill: gauge('chaperone_counters_fill_ratio', 'How full the fullest ConfigMap of what pods counted is, from 0 to 1.'),
    spansDropped: gauge('chaperone_spans_dropped', 'Spans of traces that did not get out since the start.'),
    countersRefused: counter('chaperone_counters_refused_total', 'Counters of pods for which there was no room.', ['namespace']),
    webhookRequests: counter('chaperone_webhook_requests_total', 'Admission reviews.', ['webhook', 'result']),
    webhookDuration: new Histogram({
      name: 'chaperone_webhook_duration_seconds',
      help: 'Time to answer one admission review.',
      labelNames: ['webhook'],
      buckets: [0.0005, 0.001, 0.005, 0.02, 0.1, 1, 5],
      registers,
    }),
    certificateExpiry: gauge('chaperone_webhook_cert_expiry_timestamp_seconds', 'When the serving certificate ends.'),
  };
}
export type Metrics = ReturnType<typeof createMetrics>;
