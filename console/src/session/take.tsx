import { asciicast, type CastRecord, isCast } from '@chaperone/api/asciicast';
import { safeJson } from '@chaperone/api/text';
import type { RecordPage, SessionDetail, SessionRecord } from '@chaperone/evidence';
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { asServerError, get, type ServerError } from '../server.ts';
import { bytesOf } from '../time.ts';
import { bytesOf as streamBytes } from './player/bytes.ts';

const PAGE = 500;
/** Characters of a file that a tab gathers; more is for the command line. */
const MAX_CHARACTERS = 64 * 1024 * 1024;
/** Protocols whose programs show something. */
const WITH_PROGRAMS = ['ssh', 'kubernetes'];

/** Takes a session away: as a file that proves itself, its records as lines of JSON, or what programs showed for players of terminals. */
export function Take({ session }: { session: SessionDetail }): JSX.Element {
  const { name, erased, state, resource } = session;
  const soFar = state === 'open' ? ', so far' : '';
  return (
    <>
      <a
        href={`/v1/evidence?session=${name}`}
        download={`${name}.evidence`}
        title={erased ? 'proves all but what was recorded' : 'holds the key to what was recorded, where you may replay it'}
      >
        Evidence file
      </a>
      {' · '}
      <a href={`/evidence?session=${name}`}>Verify in this browser</a>
      {!erased && (
        <>
          {' · '}
          <Gather file={`${name}.ndjson`} lines={() => recordLines(name)} otherwise={`sessions replay ${name} -o jsonl`}>
            Records as NDJSON{soFar}
          </Gather>
          {WITH_PROGRAMS.includes(resource?.protocol ?? '') && (
            <>
              {' · '}
              <Gather file={`${name}.cast`} lines={() => castLines(session)} otherwise={`sessions export ${name}`}>
                Terminal as asciicast{soFar}
              </Gather>
            </>
          )}
        </>
      )}
    </>
  );
}

interface GatherProps {
  readonly file: string;
  readonly lines: () => AsyncIterable<string>;
  /** Arguments of the command line for what is too long here. */
  readonly otherwise: string;
  readonly children: ComponentChildren;
}

function Gather({ file, lines, otherwise, children }: GatherProps): JSX.Element {
  const [state, setState] = useState<'idle' | 'loading' | 'too long' | 'nothing' | ServerError>('idle');
  const take = async (): Promise<void> => {
    setState('loading');
    try {
      const gathered = await bounded(lines());
      if (gathered !== undefined && gathered.length > 0) save(file, gathered);
      setState(gathered === undefined ? 'too long' : gathered.length === 0 ? 'nothing' : 'idle');
    } catch (error) {
      setState(asServerError(error));
    }
  };
  return (
    <>
      <button type="button" class="quiet" disabled={state === 'loading'} onClick={() => void take()}>
        {children}
      </button>{' '}
      <span role="status" class="mute">
        {state === 'loading' && 'gathering…'}
        {state === 'nothing' && 'no program of it has recorded output'}
        {state === 'too long' && (
          <>
            more than {bytesOf(MAX_CHARACTERS)}: <code>chaperone {otherwise}</code>
          </>
        )}
        {typeof state === 'object' && `${state.message} (${state.code})`}
      </span>
    </>
  );
}

/** Undefined where there are too many. */
async function bounded(lines: AsyncIterable<string>): Promise<string[] | undefined> {
  const gathered: string[] = [];
  let length = 0;
  for await (const line of lines) {
    length += line.length;
    if (length > MAX_CHARACTERS) return undefined;
    gathered.push(line);
  }
  return gathered;
}

async function* pagesOf(name: string): AsyncGenerator<RecordPage> {
  for (let from: number | undefined = 0; from !== undefined; ) {
    const path = `/v1/sessions/${name}/records?from=${from}&limit=${PAGE}`;
    const page: RecordPage = await get<RecordPage>(path, AbortSignal.timeout(60_000));
    yield page;
    // A live session has a next page without anything in it yet.
    from = page.next === from ? undefined : page.next;
  }
}

/** A line for each record, and for each gap `{"gap": {"from", "to"}}`. */
async function* recordLines(name: string): AsyncGenerator<string> {
  for await (const { items, gap } of pagesOf(name)) {
    const lines: readonly (SessionRecord | { gap: typeof gap })[] = gap === undefined ? items : [{ gap }];
    for (const each of lines) yield `${JSON.stringify(each)}\n`;
  }
}

async function* castRecords(name: string): AsyncGenerator<CastRecord> {
  for await (const { items } of pagesOf(name)) yield* items.filter(isCast);
}

/** As `chaperone sessions export` writes it. */
async function* castLines({ name, agent, resource }: SessionDetail): AsyncGenerator<string> {
  const on = resource === undefined ? '-' : `${resource.namespace}/${resource.name}`;
  const title = `${agent.namespace}/${agent.serviceAccount} on ${on}, ${name}`;
  for await (const line of asciicast(castRecords(name), { title, decode: streamBytes })) yield `${safeJson(line)}\n`;
}

function save(name: string, lines: string[]): void {
  const url = URL.createObjectURL(new Blob(lines, { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun when the click returns, and holds what it needs.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
