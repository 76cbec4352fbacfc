import type { RecordPage, SessionDetail } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { asServerError, get, type ServerError } from '../server.ts';
import { bytesOf } from '../time.ts';

const PAGE = 500;
/** Characters of records that a tab gathers; more is for the command line. */
const MAX_CHARACTERS = 64 * 1024 * 1024;

/** Takes a session away: as a file that proves itself, or its records as lines of JSON. */
export function Take({ session: { name, erased, state } }: { session: SessionDetail }): JSX.Element {
  return (
    <>
      <a
        href={`/v1/evidence?session=${name}`}
        download={`${name}.evidence`}
        title={erased ? 'proves all but what was recorded' : 'holds the key to what was recorded, where you may replay it'}
      >
        Evidence file
      </a>
      {!erased && (
        <>
          {' · '}
          <Records name={name} isLive={state === 'open'} />
        </>
      )}
    </>
  );
}

function Records({ name, isLive }: { name: string; isLive: boolean }): JSX.Element {
  const [state, setState] = useState<'idle' | 'loading' | 'too long' | ServerError>('idle');
  const take = async (): Promise<void> => {
    setState('loading');
    try {
      const lines = await recordLines(name);
      if (lines !== undefined) save(`${name}.ndjson`, lines);
      setState(lines === undefined ? 'too long' : 'idle');
    } catch (error) {
      setState(asServerError(error));
    }
  };
  return (
    <>
      <button type="button" class="quiet" disabled={state === 'loading'} onClick={() => void take()}>
        Records as NDJSON{isLive && ', so far'}
      </button>{' '}
      <span role="status" class="mute">
        {state === 'loading' && 'gathering…'}
        {state === 'too long' && (
          <>
            more than {bytesOf(MAX_CHARACTERS)}: <code>chaperone sessions replay {name} -o jsonl</code>
          </>
        )}
        {typeof state === 'object' && `${state.message} (${state.code})`}
      </span>
    </>
  );
}

/** A line for each record, and for each gap `{"gap": {"from", "to"}}`; undefined where there are too many. */
async function recordLines(name: string): Promise<string[] | undefined> {
  const lines: string[] = [];
  let length = 0;
  for (let from: number | undefined = 0; from !== undefined; ) {
    const path = `/v1/sessions/${name}/records?from=${from}&limit=${PAGE}`;
    const page: RecordPage = await get<RecordPage>(path, AbortSignal.timeout(60_000));
    for (const each of page.gap === undefined ? page.items : [{ gap: page.gap }]) {
      const line = `${JSON.stringify(each)}\n`;
      length += line.length;
      lines.push(line);
    }
    if (length > MAX_CHARACTERS) return undefined;
    // A live session has a next page without anything in it yet.
    from = page.next === from ? undefined : page.next;
  }
  return lines;
}

function save(name: string, lines: string[]): void {
  const url = URL.createObjectURL(new Blob(lines, { type: 'application/x-ndjson' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun when the click returns, and holds what it needs.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
