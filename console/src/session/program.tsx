import type { RecordPage } from '@chaperone/evidence';
import type { ComponentType, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useLoad } from '../load.ts';
import { asServerError, get, type ServerError } from '../server.ts';
import { bytesOf, counted, lengthOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { Failure, Skeleton } from '../ui/states.tsx';
import { Mark } from '../ui/verdict.tsx';
import { Asked } from './asked.tsx';
import type { DoneRecord, Entry, FileRecord } from './entries.ts';
import { FileOutcome } from './file-outcome.tsx';
import type { PlayerProps } from './player/player.tsx';

type ActionEntry = Extract<Entry, { kind: 'action' }>;

export interface ProgramProps {
  readonly session: string;
  readonly entry: ActionEntry;
  readonly live: boolean;
}

/** A command that ran a program: what was decided on it, how it ended, and what it showed. */
export function Program({ session, entry, live }: ProgramProps): JSX.Element {
  const { seq, mono, approval, done, file } = entry;
  // The list has its beginning alone.
  const loaded = useLoad(`${session} ${seq}`, (signal) =>
    get<RecordPage>(`/v1/sessions/${session}/records?from=${seq}&limit=1`, signal),
  );
  const [record] = loaded.data?.items ?? [];
  if (loaded.data === undefined)
    return loaded.error === undefined ? (
      <Skeleton rows={6} label="Loading the command" />
    ) : (
      <Failure error={loaded.error} what="The command" onRetry={loaded.reload} />
    );
  const ran = entry.record.verdict !== 'deny' && (approval === undefined || approval.state === 'Released');
  return (
    <>
      <Asked record={record?.type === 'action' ? record : entry.record} approval={approval} />
      <section>
        <h3>Result</h3>
        <p>{ran ? <End done={done} file={file} /> : 'Nothing was sent to the resource.'}</p>
      </section>
      {ran && file === undefined && (
        <LazyPlayer
          key={seq}
          session={session}
          action={entry.record.action}
          seq={seq}
          startMs={mono}
          lengthMs={done === undefined ? 0 : done.mono - mono}
          bytes={done?.bytes}
          live={live && done === undefined}
        />
      )}
    </>
  );
}

function End({ done, file }: { done: DoneRecord | undefined; file: FileRecord | undefined }): JSX.Element {
  if (file !== undefined) return <FileOutcome record={file} />;
  if (done === undefined) return <Mark look="none" word="No end is recorded: it goes on, or has not arrived." />;
  const { tag, error, bytes, durationMs, truncated, maskedValues } = done;
  return (
    <>
      {error === undefined ? (
        <Mark look={tag === 'exit 0' ? 'allow' : 'finding'} word="ended" />
      ) : (
        <>
          <Mark look="finding" word="failed:" /> <Recorded text={error.message} /> <span class="mute">{error.code}</span>
        </>
      )}{' '}
      {tag !== undefined && <Recorded text={tag} />} {bytesOf(bytes)} delivered, {lengthOf(durationMs)}
      {maskedValues > 0 && (
        <>
          , <Mark look="mask" word={`${counted(maskedValues, 'value')} masked`} />
        </>
      )}
      {truncated && (
        <>
          , <Mark look="finding" word="not all of it was recorded" />
        </>
      )}
    </>
  );
}

/** The player as soon as its chunk is here: it brings a terminal with it. */
function LazyPlayer(props: PlayerProps): JSX.Element {
  const [state, setState] = useState<{ Player: ComponentType<PlayerProps> } | { error: ServerError }>();
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    import('./player/player.tsx').then(
      (module) => setState({ Player: module.default }),
      (error: unknown) => setState({ error: asServerError(error) }),
    );
  }, [turn]);
  if (state === undefined) return <Skeleton rows={8} label="Loading the player" />;
  if ('error' in state) return <Failure error={state.error} what="The player" onRetry={() => setTurn(turn + 1)} />;
  return <state.Player {...props} />;
}
