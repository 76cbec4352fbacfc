import type { JSX } from 'preact';
import { Recorded } from './recorded.tsx';

/** What begins with a sign is before, or after. */
const SIDES: Readonly<Record<string, string>> = { '- ': 'before', '+ ': 'after' };

/** A change as it was tried, masked. */
export function Change({ lines }: { lines: readonly string[] }): JSX.Element {
  return (
    <pre class="change" role="region" tabIndex={0} aria-label="What it changes">
      {lines.map((line, at) => (
        <span key={at} class={SIDES[line.slice(0, 2)] ?? 'same'}>
          <Recorded text={line} frame={false} />
          {'\n'}
        </span>
      ))}
    </pre>
  );
}
