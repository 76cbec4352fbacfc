import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Recorded, RecordedBlock } from '../ui/recorded.tsx';
import type { Result } from './load-action.ts';

/** Past these rows only what is near the view is drawn. */
const WHOLE = 200;
const ROW_PX = 32;
const MARGIN_ROWS = 10;
/** Columns are turned over so many at a time. */
const COLUMNS = 40;
/** A cell shows this much; the whole value opens beside. */
const MAX_CELL = 200;

export const STRATEGIES: Readonly<Record<string, string>> = {
  redact: 'redacted',
  partial: 'partly shown',
  hash: 'hashed',
  null: 'set to NULL',
};

/** Rows as they were delivered to the agent. What is masked, NULL or empty is drawn as such, so that no value can look like it. */
export function Grid({ result: { columns, masked, rows }, label }: { result: Result; label: string }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 480 });
  const [open, setOpen] = useState<{ row: number; column: number }>();
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || rows.length <= WHOLE) return undefined;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    element.addEventListener('scroll', measure, { passive: true });
    return () => element.removeEventListener('scroll', measure);
  }, [rows.length]);
  const whole = rows.length <= WHOLE;
  const first = whole ? 0 : Math.max(0, Math.floor(view.top / ROW_PX) - MARGIN_ROWS);
  const last = whole ? rows.length : Math.min(rows.length, Math.ceil((view.top + view.height) / ROW_PX) + MARGIN_ROWS);
  const notes = new Map(masked.map((note) => [note.column, note]));
  const width = Math.max(columns.length, rows[0]?.length ?? 0);
  const [left, setLeft] = useState(0);
  const shown = Array.from({ length: Math.min(COLUMNS, width - left) }, (_, at) => left + at);
  const opened = open === undefined ? undefined : rows[open.row]?.[open.column];
  return (
    <>
      {width > COLUMNS && <ColumnTurner left={left} width={width} onLeft={setLeft} />}
      {/* A region that scrolls is reached by the keyboard. */}
      <div class="grid-box" ref={box} tabIndex={0} role="region" aria-label={label}>
        <table class="grid" aria-rowcount={rows.length + 1} aria-colcount={width}>
          <thead>
            <tr aria-rowindex={1}>
              {shown.map((at) => (
                <th key={at} scope="col" aria-colindex={at + 1}>
                  <Recorded text={columns[at]?.name ?? `column ${at + 1}`} names frame={false} />
                  {notes.has(at) && <MaskLabel note={notes.get(at)} />}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 && <Filler rows={first} width={shown.length} />}
            {rows.slice(first, last).map((row, offset) => (
              <tr key={first + offset} aria-rowindex={first + offset + 2}>
                {shown.map((at) => (
                  <td key={at} class={notes.has(at) ? 'masked' : ''}>
                    <Cell cell={row[at]} masked={notes.has(at)} onOpen={() => setOpen({ row: first + offset, column: at })} />
                  </td>
                ))}
              </tr>
            ))}
            {last < rows.length && <Filler rows={rows.length - last} width={shown.length} />}
          </tbody>
        </table>
      </div>
      {open !== undefined && typeof opened === 'string' && (
        <div class="cell-whole">
          <RecordedBlock text={valueOf(opened)} title={`Row ${open.row + 1}, column ${open.column + 1}`} bytes={sizeOf(opened)} />
          <button type="button" class="quiet" onClick={() => setOpen(undefined)}>
            Close
          </button>
        </div>
      )}
    </>
  );
}

function ColumnTurner({ left, width, onLeft }: { left: number; width: number; onLeft: (left: number) => void }): JSX.Element {
  const last = Math.min(width, left + COLUMNS);
  return (
    <p class="turner">
      <button type="button" disabled={left === 0} onClick={() => onLeft(left - COLUMNS)}>
        ‹ Columns before
      </button>
      <span aria-live="polite">
        Columns {(left + 1).toLocaleString('en')} to {last.toLocaleString('en')} of {width.toLocaleString('en')}
      </span>
      <button type="button" disabled={last === width} onClick={() => onLeft(left + COLUMNS)}>
        Columns after ›
      </button>
    </p>
  );
}

function MaskLabel({ note }: { note: Result['masked'][number] | undefined }): JSX.Element | null {
  if (note === undefined) return null;
  return (
    <span class="mask-label">
      <span aria-hidden="true">▒ </span>
      <span class="sr">masked: </span>
      {note.labels.map((label, at) => (
        <span key={label}>
          {at > 0 && ', '}
          <Recorded text={label} names frame={false} />
        </span>
      ))}
      {note.labels.length > 0 && ' · '}
      {STRATEGIES[note.strategy] ?? note.strategy}
    </span>
  );
}

function Filler({ rows, width }: { rows: number; width: number }): JSX.Element {
  return (
    <tr aria-hidden="true">
      <td class="filler" colSpan={Math.max(1, width)} style={{ height: `${rows * ROW_PX}px` }} />
    </tr>
  );
}

interface CellProps {
  readonly cell: string | null | undefined;
  readonly masked: boolean;
  readonly onOpen: () => void;
}

function Cell({ cell, masked, onOpen }: CellProps): JSX.Element {
  const mark = masked ? <span class="sr">masked </span> : null;
  if (cell === undefined)
    return (
      <>
        {mark}
        <span class="none">not recorded</span>
      </>
    );
  if (cell === null)
    return (
      <>
        {mark}
        <span class="none">NULL</span>
      </>
    );
  const value = valueOf(cell);
  if (value === '')
    return (
      <>
        {mark}
        <span class="none">empty</span>
      </>
    );
  const cut = value.slice(0, MAX_CELL).replace(/[\ud800-\udbff]$/, '');
  return (
    <>
      {mark}
      {cell.startsWith('b:') && <span class="none">bytes </span>}
      <Recorded text={cut} />
      {cut.length < value.length && (
        <button type="button" class="quiet cut" onClick={onOpen}>
          … {(value.length - cut.length).toLocaleString('en')} more
        </button>
      )}
    </>
  );
}

/** Text as it is; bytes in hexadecimal. */
export function valueOf(cell: string): string {
  if (!cell.startsWith('b:')) return cell.slice(2);
  let hex = '';
  try {
    for (const letter of atob(cell.slice(2))) hex += letter.charCodeAt(0).toString(16).padStart(2, '0');
  } catch {
    return cell.slice(2);
  }
  return hex;
}

function sizeOf(cell: string): number {
  return cell.startsWith('b:') ? Math.floor((cell.length - 2) * 0.75) : new TextEncoder().encode(cell.slice(2)).length;
}
