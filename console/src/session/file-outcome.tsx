import type { JSX } from 'preact';
import { bytesOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { Mark } from '../ui/verdict.tsx';
import type { FileRecord } from './entries.ts';

/** How an operation on a file ended, and how much went through. */
export function FileOutcome({ record: { outcome, bytes } }: { record: Pick<FileRecord, 'outcome' | 'bytes'> }): JSX.Element {
  return (
    <>
      {outcome === 'ok' ? (
        <Mark look="allow" word="done" />
      ) : (
        <>
          <Mark look="finding" word="failed:" /> <Recorded text={outcome} />
        </>
      )}
      , {bytesOf(bytes)}
    </>
  );
}
