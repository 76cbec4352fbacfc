import { Counter, Gauge, type Registry } from 'prom-client';
import type { DeliveryOptions } from './delivery.ts';

export interface SinkGauges {
  readonly name: string;
  readonly lagEntries: number;
  readonly lagSeconds: number;
  readonly deadLetters: number;
}

export interface SinkMetrics {
  outcome(sink: string): DeliveryOptions['onOutcome'];
}

/** `gauges` is asked at every scrape. */
export function createSinkMetrics(registry: Registry, gauges: () => Promise<readonly SinkGauges[]>): SinkMetrics {
  const registers = [registry];
  const labelNames = ['sink'] as const;
  const events = new Counter({
    name: 'chaperone_sink_events_total',
    help: 'Events by what became of them: delivered, repeats included, or dead.',
    labelNames: ['sink', 'result'],
    registers,
  });
  const failures = new Counter({
    name: 'chaperone_sink_failures_total',
    help: 'Batches that were not confirmed, by the code of why.',
    labelNames: ['sink', 'code'],
    registers,
  });
  const gauge = (name: string, help: string, value: (of: SinkGauges) => number): Gauge<'sink'> =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        for (const of of await gauges()) this.set({ sink: of.name }, value(of));
      },
    });
  gauge(
    'chaperone_sink_dead_letters',
    'Events that the receiver refused for ever and nobody has dealt with.',
    ({ deadLetters }) => deadLetters,
  );
  gauge('chaperone_sink_lag_entries', 'Entries of the log that the receiver has not confirmed.', ({ lagEntries }) => lagEntries);
  gauge(
    'chaperone_sink_lag_seconds',
    'How long ago the oldest entry came that the receiver has not confirmed; 0 where it has all.',
    ({ lagSeconds }) => lagSeconds,
  );
  return {
    outcome: (sink) => (outcome) => {
      if ('delivered' in outcome) events.inc({ sink, result: 'delivered' }, outcome.delivered);
      else if ('dead' in outcome) events.inc({ sink, result: 'dead' });
      else failures.inc({ sink, code: outcome.failed });
    },
  };
}
