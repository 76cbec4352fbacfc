import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLoad } from '../load.ts';
import { asServerError, ServerError } from '../server.ts';
import { bytesOf, counted, lengthOf, offsetOf } from '../time.ts';
import { CopyButton } from '../ui/copy.tsx';
import { ObjectLink } from '../ui/object-link.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Failure, Skeleton } from '../ui/states.tsx';
import { Time } from '../ui/time.tsx';
import { Mark } from '../ui/verdict.tsx';
import { type Entry, type FileRecord, hasRows, type LineRecord, standingOf } from './entries.ts';
import { Asked } from './asked.tsx';
import { Grid } from './grid.tsx';
import { FileOutcome } from './file-outcome.tsx';
import { loadAction, type WholeAction } from './load-action.ts';
import { Program } from './program.tsx';

export interface DetailProps {
  readonly session: string;
  readonly entry: Entry;
  /** Whether it is of a program that ran. */
  readonly runs: boolean;
  readonly live: boolean;
}

/** The chosen moment of a session, whole. */
export function EntryDetail({ session, entry, runs, live }: DetailProps): JSX.Element {
  if (entry.kind === 'gap')
    return (
      <div class="state gap-detail">
        <p class="state-title">
          <Mark look="finding" word={`${counted(entry.to - entry.from + 1, 'record')} are missing here`} />
        </p>
        <p>
          Records {entry.from} to {entry.to} of this session are not stored. What the agent did in between is not known from this
          evidence; records on both sides of it are what their pod signed.
        </p>
      </div>
    );
  if (entry.kind === 'file') return <File record={entry.record} mono={entry.mono} />;
  if (entry.kind === 'line') return <Line record={entry.record} mono={entry.mono} />;
  if (entry.kind === 'other') return <Other record={entry.record} mono={entry.mono} />;
  if (runs) return <Program key={entry.seq} session={session} entry={entry} live={live} />;
  return <Action key={entry.seq} session={session} seq={entry.seq} ended={entry.done !== undefined} />;
}

function Action({ session, seq, ended }: { session: string; seq: number; ended: boolean }): JSX.Element {
  // Of an action that goes on, the end is loaded when the list has it.
  const loaded = useLoad(`${session} ${seq} ${ended}`, (signal) => loadAction(session, seq, signal));
  const { data, error } = loaded;
  if (data === undefined)
    return error === undefined ? (
      <Skeleton rows={6} label="Loading the statement" />
    ) : (
      <Failure error={error} what="The statement" onRetry={loaded.reload} />
    );
  return (
    <>
      <Asked record={data.record} approval={data.approval} />
      <Outcome whole={data} session={session} onMore={(more) => loaded.change(() => more)} />
    </>
  );
}

interface OutcomeProps {
  readonly whole: WholeAction;
  readonly session: string;
  readonly onMore: (more: WholeAction) => void;
}

function Outcome({ whole, session, onMore }: OutcomeProps): JSX.Element {
  const { record, done, results, gap, next } = whole;
  const [state, setState] = useState<'idle' | 'loading' | ServerError>('idle');
  const more = async (): Promise<void> => {
    setState('loading');
    try {
      onMore(await loadAction(session, record.seq, AbortSignal.timeout(60_000), whole));
      setState('idle');
    } catch (error) {
      setState(asServerError(error));
    }
  };
  return (
    <section>
      <h3>Result</h3>
      <p>
        <Ending whole={whole} />
      </p>
      {results.map((result, at) => {
        const { rows } = result;
        return (
          <div key={at} class="result">
            {result.columns.length > 0 && <Grid result={result} label={results.length > 1 ? `Result ${at + 1}` : 'Result'} />}
            <p class="mute">
              {counted(rows.length, 'row')}{' '}
              {done !== undefined && results.length === 1 && done.rows > rows.length
                ? `of ${done.rows.toLocaleString('en')}`
                : ''}{' '}
              shown.
            </p>
          </div>
        );
      })}
      {gap && (
        <p>
          <Mark look="finding" word="Part of this result is missing from the evidence." />
        </p>
      )}
      {next !== undefined && (
        <p>
          <button type="button" onClick={() => void more()} disabled={state === 'loading'}>
            Load more rows
          </button>{' '}
          <span role="status">{state instanceof ServerError ? `${state.message} (${state.code})` : ''}</span>
        </p>
      )}
      {results.length > 0 && (
        <p class="mute">Shown as delivered to the agent. Masked values are not stored and cannot be revealed.</p>
      )}
    </section>
  );
}

function Ending({ whole: { record, approval, done, next } }: { whole: WholeAction }): JSX.Element {
  if (done === undefined) {
    if (next !== undefined) return <span class="mute">The end of this result is not loaded yet.</span>;
    if (standingOf(record, approval).look === 'deny') return <>Nothing was sent to the resource.</>;
    return <Mark look="none" word="No end is recorded: it goes on, or has not arrived." />;
  }
  if (done.error !== undefined)
    return (
      <>
        <Mark look="finding" word="failed:" /> <Recorded text={done.error.message} /> <span class="mute">{done.error.code}</span>
      </>
    );
  return (
    <>
      <Mark look="allow" word="ran" /> {done.tag !== undefined && <Recorded text={done.tag} />}
      {hasRows(done) && ` ${counted(done.rows, 'row')}`}, {lengthOf(done.durationMs)}
      {done.maskedValues > 0 && (
        <>
          , <Mark look="mask" word={`${counted(done.maskedValues, 'value')} masked`} />
        </>
      )}
      {done.truncated && (
        <>
          ,{' '}
          {record.kubernetes === undefined ? (
            <Mark look="finding" word="not all rows were recorded" />
          ) : (
            <span class="mute">
              {bytesOf(done.bytes)} were delivered{done.digest !== undefined && ', of which a digest is recorded'}
            </span>
          )}
        </>
      )}
    </>
  );
}

/** One file that was moved or changed; its digest tells whether two are the same. */
function File({ record, mono }: { record: FileRecord; mono: number }): JSX.Element {
  const { operation, path, to, digest, at, seq, file, truncated } = record;
  return (
    <div class="decision">
      <p>
        {operation} <Recorded text={path} names />
        {to !== undefined && (
          <>
            {' '}
            to <Recorded text={to} names />
          </>
        )}
      </p>
      <p>
        <FileOutcome record={record} />
      </p>
      <p class="mute">
        {offsetOf(mono)} · <Time at={at} date="always" />
      </p>
      {file !== undefined && (
        <p class="mute">
          {truncated === true ? 'The beginning of its content' : 'Its content'} was kept:{' '}
          <code>chaperone sessions export ID --file {seq}</code>
        </p>
      )}
      {digest !== undefined && (
        <p class="digest">
          SHA-256 <code>{digest}</code> <CopyButton text={digest} label="Copy" />
        </p>
      )}
    </div>
  );
}

/** What stood on a terminal's line when it was ended; programs draw as they like. */
function Line({ record: { text, at }, mono }: { record: LineRecord; mono: number }): JSX.Element {
  return (
    <div class="decision">
      <p>
        <Recorded text={text} />
      </p>
      <p>
        Best effort: what the terminal’s line showed when it was entered, prompt and all. It is not proof of what ran, and no rule
        reads it.
      </p>
      <p class="mute">
        {offsetOf(mono)} · <Time at={at} date="always" />
      </p>
    </div>
  );
}

function Other({ record, mono }: { record: Extract<Entry, { kind: 'other' }>['record']; mono: number }): JSX.Element {
  return (
    <div class="decision none">
      <p>
        <OtherText record={record} />
      </p>
      <p class="mute">
        {offsetOf(mono)} · <Time at={record.at} date="always" />
      </p>
      {record.type === 'session.open' && (
        <ul class="facts">
          <li>
            Client <Recorded text={record.client.address} />, {record.client.tls ? 'TLS' : 'no TLS'}
            {record.client.application !== undefined && (
              <>
                , calls itself <Recorded text={record.client.application} />
              </>
            )}
          </li>
          {record.policies.map(({ namespace, name, generation }) => (
            <li key={`${namespace}/${name}`}>
              Policy <ObjectLink to="policies" of={{ namespace, name }} frame />, generation {generation}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** What else happened, as a sentence. */
export function OtherText({ record }: { record: Extract<Entry, { kind: 'other' }>['record'] }): JSX.Element {
  switch (record.type) {
    case 'session.open':
      return (
        <>The session was opened, {record.mode === 'Audit' ? 'for audit: nothing is refused' : 'with the policy enforced'}</>
      );
    case 'session.close':
      return (
        <>
          The session ended: <Recorded text={record.reason} /> <span class="mute">{record.code}</span>
        </>
      );
    case 'bytes':
      return (
        <>
          {bytesOf(record.sent)} sent to <Recorded text={record.host} names />, {bytesOf(record.received)} received; not inspected
        </>
      );
    default:
      return (
        <>
          <Recorded text={record.message} /> <span class="mute">{record.code}</span>
        </>
      );
  }
}
