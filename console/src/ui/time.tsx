import type { JSX } from 'preact';
import { zone } from '../preferences.ts';
import { serverNow } from '../server.ts';
import { useStore } from '../store.ts';
import { ageOf, dateOf, isoOf, timeOf, zoneName } from '../time.ts';

/** A moment in the viewer's zone; the date too where it is not today. Its title has both zones. */
export function Time({ at, date = 'other' }: { at: number; date?: 'always' | 'other' }): JSX.Element {
  const chosen = useStore(zone);
  const day = dateOf(at, chosen);
  const withDate = date === 'always' || day !== dateOf(serverNow(), chosen);
  return (
    <time {...machineTime(at)}>
      {withDate && <span class="date">{day} </span>}
      {timeOf(at, chosen)}
    </time>
  );
}

/** How long ago it was. */
export function Age({ at }: { at: number }): JSX.Element {
  return <time {...machineTime(at)}>{ageOf(serverNow() - at)}</time>;
}

function machineTime(at: number): { title: string; dateTime?: string } {
  const title = (['utc', 'local'] as const).map((each) => `${dateOf(at, each)} ${timeOf(at, each)} ${zoneName(each)}`).join('\n');
  const iso = isoOf(at);
  return { title, ...(iso === undefined ? {} : { dateTime: iso }) };
}
