import { objectText, resourceText } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { bytesOf, counted, lengthOf, offsetOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { Mark, Tally } from '../ui/verdict.tsx';
import { OtherText } from './detail.tsx';
import { type DoneRecord, type Entry, type FileRecord, hasRows, type LineRecord, standingOf } from './entries.ts';

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
  if (entry.kind === 'line') return <LineRow record={entry.record} at={at} />;
  return <ActionRow entry={entry} at={at} />;
}

function ActionRow({ entry, at }: { entry: Extract<Entry, { kind: 'action' }>; at: JSX.Element }): JSX.Element {
  const { record, approval, done, file } = entry;
  const standing = standingOf(record, approval);
  return (
    <>
      {at}
      <span class="glyph">
        <Mark {...standing} quiet />
      </span>
      <span class="said">
        {record.kubernetes !== undefined ? (
          <>
            <span class="mute">
              <Recorded text={record.kubernetes.verb} names frame={false} />
            </span>{' '}
            <Recorded text={`${resourceText(record.kubernetes)} ${objectText(record.kubernetes)}`} frame={false} names />
          </>
        ) : record.text === undefined ? (
          <span class="none">text not kept</span>
        ) : (
          <Recorded text={beginningOf(record.text)} frame={false} preview />
        )}
      </span>
      <span class="outcome">
        {record.verdict === 'deny' && <span class="mark deny">{record.code}</span>}
        {record.verdict === 'approve' && standing.look !== 'allow' && (
          <span class={`mark ${standing.look}`}>{standing.word}</span>
        )}
        {done?.error !== undefined && <Mark look="finding" word={done.error.code} />}
        {done !== undefined && done.error === undefined && (
          <>
            <Tally look="mask" count={done.maskedValues} word="values masked" />{' '}
            {hasRows(done) || isEnd(done) ? sizeOf(done) : <Recorded text={done.tag ?? ''} frame={false} />} ·{' '}
            {lengthOf(done.durationMs)}
          </>
        )}
        {done === undefined && standing.look === 'allow' && <NoEnd file={file} />}
      </span>
    </>
  );
}

/** An operation on a file ends with its file, whose row has the rest. */
function NoEnd({ file }: { file: FileRecord | undefined }): JSX.Element {
  if (file === undefined) return <Mark look="none" word="no end" quiet />;
  return file.outcome === 'ok' ? <Mark look="allow" word="done" quiet /> : <Recorded text={file.outcome} frame={false} />;
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

function LineRow({ record: { text }, at }: { record: LineRecord; at: JSX.Element }): JSX.Element {
  return (
    <>
      {at}
      <span class="glyph" />
      <span class="said">
        <span class="mute">entered, best effort</span> <Recorded text={beginningOf(text)} frame={false} preview />
      </span>
    </>
  );
}

/** Whether it says how a program ended. */
function isEnd({ tag = '' }: DoneRecord): boolean {
  return /^(exit \d{1,10}|signal [A-Z0-9@.-]{1,30})$/i.test(tag);
}

/** How many rows a statement had, or how a program ended. */
function sizeOf(done: DoneRecord): string {
  return isEnd(done) ? (done.tag ?? '') : counted(done.rows, 'row');
}

/** Enough for a line on any screen. */
function beginningOf(text: string): string {
  return text.slice(0, 200).replace(/[\ud800-\udbff]$/, '');
}

export function rowClass(entry: Entry): string {
  if (entry.kind === 'gap') return 'gap';
  if (entry.kind !== 'action') return 'other';
  return standingOf(entry.record, entry.approval).look;
}
