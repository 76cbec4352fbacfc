import type { GivenReading } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';

const WORDS: Readonly<Record<GivenReading['way'], string>> = {
  search: 'searched commands',
  view: 'looked at it',
  replay: 'read all of it',
  verify: 'took a file to verify it',
  export: 'took it away as a file',
};
const SEVERAL: Readonly<Record<GivenReading['way'], string>> = {
  ...WORDS,
  search: 'searched the commands of all that they may replay',
  export: 'took sessions away as a file',
};

/** Who read evidence: who, what, when, and which entry of the log says so. `sessions`: of several sessions, each is named. */
export function ReadList({ reads, sessions }: { reads: readonly GivenReading[]; sessions: boolean }): JSX.Element {
  return (
    <ul class="reads">
      {reads.map(({ session, by, way, at, period, entry }) => (
        <li key={entry}>
          <Time at={at} date="always" />{' '}
          {by === undefined ? <span class="mute">somebody who was forgotten</span> : <Recorded text={by} names frame={false} />}{' '}
          {(session === undefined ? SEVERAL : WORDS)[way]}
          {sessions && session !== undefined && (
            <>
              {': '}
              <a href={`/sessions/${session}`}>
                <code>{session}</code>
              </a>
            </>
          )}
          {period !== undefined && (
            <>
              {': what came from '}
              <Time at={period.from} date="always" /> to <Time at={period.to} date="always" />
            </>
          )}{' '}
          <span class="mute">entry {entry.toLocaleString('en')} of the log</span>
        </li>
      ))}
    </ul>
  );
}
