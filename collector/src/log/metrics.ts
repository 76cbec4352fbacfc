import { Gauge, type Registry } from 'prom-client';
import type { Witnesses, WitnessState } from './witnesses.ts';

type One = WitnessState['witnesses'][number];

/** How far witnesses follow the log, asked at every scrape. Without witnesses there is none of one, and the quorum is never behind. */
export function createWitnessMetrics(registry: Registry, witnesses: Pick<Witnesses, 'state'>): void {
  const registers = [registry];
  const gauge = (
    name: string,
    help: string,
    labelNames: 'witness'[],
    collect: (of: Gauge<'witness'>) => void,
  ): Gauge<'witness'> =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        collect(this);
      },
    });
  const each = (name: string, help: string, value: (of: One) => number): Gauge<'witness'> =>
    gauge(name, help, ['witness'], (of) => {
      for (const one of witnesses.state().witnesses) of.set({ witness: one.name }, value(one));
    });
  each(
    'chaperone_witness_cosigned_entries',
    'Entries of the log that the witness cosigned last; 0: none since the start.',
    ({ size }) => size,
  );
  each(
    'chaperone_witness_cosigned_timestamp_seconds',
    'When the witness cosigned last, since 1970; 0: not since the start.',
    ({ cosignedAt }) => cosignedAt / 1_000,
  );
  each(
    'chaperone_witness_failing_seconds',
    'Since when the witness does not cosign what it is asked to; 0 while it does.',
    ({ failingSeconds }) => failingSeconds,
  );
  gauge(
    'chaperone_log_quorum_behind_seconds',
    'Since when no newer checkpoint has the cosignatures that are asked for, while the log has grown; 0 where the newest has.',
    [],
    (of) => of.set(witnesses.state().behindSeconds),
  );
}
