import { ApiError } from '@chaperone/kube';
import type { Tracer } from '@chaperone/policy/tracing';
import type { QueueMetrics } from './kube/queue.ts';

/** What became of one admission review. */
export interface Reviewed {
  readonly result: string;
  readonly durationMs: number;
  readonly error?: string;
}

/** Metrics of queues that make a span of each object that was worked on: what it is and how it ended, nothing that it holds. */
export function tracedQueue(metrics: QueueMetrics, tracer: Tracer, now: () => number = Date.now): QueueMetrics {
  return {
    ...metrics,
    done: (queue, result, seconds, work) => {
      metrics.done(queue, result, seconds, work);
      const traceId = tracer.begin();
      if (traceId === undefined) return;
      const [, kind = queue, namespace, name = ''] = /^(?:(\w+):)?(?:([^/]*)\/)?(.*)$/.exec(work.key) ?? [];
      const attributes = { 'chaperone.kind': kind, 'k8s.namespace.name': namespace, 'chaperone.object': name };
      const error = work.error === undefined ? undefined : reasonOf(work.error);
      const times = { startMs: now() - seconds * 1_000, endMs: now() };
      tracer.add({ traceId, spanId: tracer.newSpanId(), name: 'reconcile', kind: 'internal', ...times, attributes, error });
    },
  };
}

/** A span of one admission review. */
export function traceReview(tracer: Tracer, { result, durationMs, error }: Reviewed, now: () => number = Date.now): void {
  const traceId = tracer.begin();
  if (traceId === undefined) return;
  const times = { startMs: now() - durationMs, endMs: now() };
  const attributes = { 'chaperone.webhook': 'pods', 'chaperone.result': result };
  tracer.add({ traceId, spanId: tracer.newSpanId(), name: 'admission', kind: 'server', ...times, attributes, error });
}

/** A word for a failure; messages stay in the log. */
function reasonOf(error: unknown): string {
  if (error instanceof ApiError) return error.reason;
  return error instanceof Error ? error.name : 'Error';
}
