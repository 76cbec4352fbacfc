import { randomBytes } from 'node:crypto';
import { ApiError } from '@chaperone/kube';
import { Tracer } from '@chaperone/policy/tracing';
import { eventually } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { WorkQueue } from './kube/queue.ts';
import { createMetrics } from './metrics.ts';
import { traceReview, tracedQueue } from './tracing.ts';

interface Sent {
  readonly name: string;
  readonly attributes: { readonly key: string; readonly value: { readonly stringValue?: string } }[];
}

/** A tracer, and what it sends, a line per span: its name and its attributes. */
function aTracer(): { tracer: Tracer; lines: string[] } {
  const lines: string[] = [];
  const send = async (body: string) => {
    const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Sent[] }[] }[] };
    const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans));
    lines.push(
      ...spans.map(({ name, attributes }) =>
        [name, ...attributes.map(({ key, value }) => `${key}=${value.stringValue ?? ''}`)].join(' '),
      ),
    );
    return { kind: 'taken', rejected: 0 } as const;
  };
  return { tracer: new Tracer({ send, resource: {}, ratio: 1, random: randomBytes, everyMs: 10 }), lines };
}

const work = async (key: string): Promise<undefined> => {
  if (key === 'policy:agents/bad') throw new ApiError(500, 'InternalError', 'canary');
  if (key === 'namespace:agents') throw new TypeError('canary');
};

test('each object that the operator worked on is a span with its kind and name, and how it failed in a word', async () => {
  const { tracer, lines } = aTracer();
  const metrics = tracedQueue(createMetrics().queue, tracer);
  const queue = new WorkQueue({ name: 'operator', work, metrics, minBackoffMs: 60_000 });
  for (const key of ['resource:data/orders', 'policy:agents/bad', 'namespace:agents', 'webhook:']) queue.add(key);
  await eventually('spans', () => (lines.length === 4 ? true : undefined));
  await queue.stop();
  expect(lines.toSorted()).toEqual([
    'reconcile chaperone.kind=namespace chaperone.object=agents error.type=TypeError',
    'reconcile chaperone.kind=policy k8s.namespace.name=agents chaperone.object=bad error.type=InternalError',
    'reconcile chaperone.kind=resource k8s.namespace.name=data chaperone.object=orders',
    'reconcile chaperone.kind=webhook chaperone.object=',
  ]);
});

test('each admission is a span that says what came of it', async () => {
  const { tracer, lines } = aTracer();
  traceReview(tracer, { result: 'patched', durationMs: 3 });
  traceReview(tracer, { result: 'failed', durationMs: 3, error: 'NotJson' });
  await tracer.stop(1_000);
  expect(lines).toEqual([
    'admission chaperone.webhook=pods chaperone.result=patched',
    'admission chaperone.webhook=pods chaperone.result=failed error.type=NotJson',
  ]);
});
