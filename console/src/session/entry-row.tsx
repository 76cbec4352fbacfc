import type { JSX } from 'preact';
import { bytesOf, counted, lengthOf, offsetOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { Mark, Tally, verdictLook, VERDICT_WORDS } from '../ui/verdict.tsx';
import { OtherText } from './detail.tsx';
import type { DoneRecord, Entry, FileRecord } from './entries.ts';

/** One line of the list. */
export function EntryRow({ entry }: { entry: Entry }): JSX.Element {
  if (entry.kind === 'gap')
    return (
      <span class="gap-line">
        <Mark look="finding" word={`gap: ${counted(entry.to - entry.from + 1, 'record')} missing`} />
      </span>
    );
  const at = <span class="offset">{offsetOf(entry.mono)}</span>;
  if (entry.kind === 'other')
    return (
      <>
        {at}
        <span class="glyph" />
        <span class="said mute">
          <OtherText record={entry.record} />
        </span>
      </>
    );
  if (entry.kind === 'file') return <FileRow record={entry.record} at={at} />;
  const { record, done } = entry;
  return (
    <>
      {at}
      <span class="glyph">
        <Mark look={verdictLook(record.verdict)} word={VERDICT_WORDS[record.verdict] ?? record.verdict} quiet />
      </span>
      <span class="said">
        {record.text === undefined ? (
          <span class="none">text not kept</span>
        ) : (
          <Recorded text={beginningOf(record.text)} frame={false} preview />
        )}
      </span>
      <span class="outcome">
        {record.verdict === 'deny' && <span class="mark deny">{record.code}</span>}
        {done?.error !== undefined && <Mark look="finding" word={done.error.code} />}
        {done !== undefined && done.error === undefined && (
          <>
            <Tally look="mask" count={done.maskedValues} word="values masked" /> {sizeOf(done)} · {lengthOf(done.durationMs)}
          </>
        )}
        {done === undefined && record.verdict === 'allow' && <Mark look="none" word="no end" quiet />}
      </span>
    </>
  );
}

function FileRow({ record: { operation, path, bytes, outcome }, at }: { record: FileRecord; at: JSX.Element }): JSX.Element {
  return (
    <>
      {at}
      <span class="glyph" />
      <span class="said">
        <span class="mute">{operation}</span> <Recorded text={beginningOf(path)} frame={false} names />
      </span>
      <span class="outcome">{outcome === 'ok' ? bytesOf(bytes) : <Mark look="finding" word="failed" />}</span>
    </>
  );
}

/** How many rows a statement had, or how a program ended. */
function sizeOf({ tag = '', rows }: DoneRecord): string {
  return /^(exit \d{1,10}|signal [A-Z0-9@.-]{1,30})$/i.test(tag) ? tag : counted(rows, 'row');
}

/** Enough for a line on any screen. */
function beginningOf(text: string): string {
  return text.slice(0, 200).replace(/[\ud800-\udbff]$/, '');
}

export function rowClass(entry: Entry): string {
  if (entry.kind === 'gap') return 'gap';
  if (entry.kind !== 'action') return 'other';
  return verdictLook(entry.record.verdict);
}
