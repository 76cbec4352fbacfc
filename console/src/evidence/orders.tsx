import type { GivenOrder } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { type Look, Mark } from '../ui/verdict.tsx';

const WORDS: Readonly<Record<GivenOrder['kind'], { readonly look: Look; readonly word: string }>> = {
  erasure: { look: 'finding', word: 'erased' },
  hold: { look: 'held', word: 'put on hold' },
  release: { look: 'none', word: 'released from its hold' },
};

/** What was ordered about sessions: what, when, by whom and why, and which entry of the log says so. */
export function OrderList({ orders }: { orders: readonly (GivenOrder & { readonly session?: string })[] }): JSX.Element {
  return (
    <ul class="orders">
      {orders.map(({ session, kind, at, by, reason, entry }) => (
        <li key={entry}>
          <Mark {...WORDS[kind]} />{' '}
          {session !== undefined && (
            <>
              <a href={`/sessions/${session}`}>
                <code>{session}</code>
              </a>{' '}
            </>
          )}
          <Time at={at} date="always" />{' '}
          {by === undefined ? (
            <span class="mute">who and why was destroyed</span>
          ) : (
            <>
              by <Recorded text={by} names frame={false} />: <Recorded text={reason ?? ''} />
            </>
          )}{' '}
          <span class="mute">entry {entry.toLocaleString('en')} of the log</span>
        </li>
      ))}
    </ul>
  );
}
