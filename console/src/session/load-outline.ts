import type { RecordPage } from '@chaperone/evidence';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { usePoll } from '../load.ts';
import { asServerError, get, type ServerError } from '../server.ts';
import { NOTHING, type Outline, withPage } from './entries.ts';

const PAGE = 1_000;
/** More than this comes when it is asked for: a browser tab is no archive. */
const MAX_ENTRIES = 20_000;
const POLL_MS = 2_000;

export interface LoadedOutline {
  readonly outline: Outline;
  readonly error: ServerError | undefined;
  readonly loading: boolean;
  /** Loads on, after a failure or past what is loaded at once. */
  readonly load: () => void;
}

/** A session's outline, page by page from its start; of a live one also what is still to come. */
export function useOutline(session: string, live: boolean): LoadedOutline {
  const [state, setState] = useState<{ outline: Outline; error?: ServerError; loading: boolean }>({
    outline: NOTHING,
    loading: true,
  });
  const current = useRef(NOTHING);
  const running = useRef<AbortController>(undefined);

  const load = useCallback(() => {
    if (running.current !== undefined) return;
    const stop = new AbortController();
    running.current = stop;
    const most = current.current.entries.length + MAX_ENTRIES;
    const finish = (error?: ServerError): void => {
      if (stop.signal.aborted) return;
      running.current = undefined;
      setState({ outline: current.current, loading: false, ...(error === undefined ? {} : { error }) });
    };
    const next = async (): Promise<void> => {
      do {
        const { end } = current.current;
        const page = await get<RecordPage>(`/v1/sessions/${session}/outline?from=${end}&limit=${PAGE}`, stop.signal);
        if (stop.signal.aborted) return;
        current.current = withPage(current.current, page);
        // A live session has a next page without anything in it yet.
        if (current.current.end === end) break;
        setState({ outline: current.current, loading: true });
      } while (current.current.more && current.current.entries.length < most);
    };
    next().then(
      () => finish(),
      (error: unknown) => finish(asServerError(error)),
    );
  }, [session]);

  useEffect(() => {
    current.current = NOTHING;
    setState({ outline: NOTHING, loading: true });
    load();
    return () => {
      running.current?.abort();
      running.current = undefined;
    };
  }, [session, load]);
  usePoll(POLL_MS, live, load);
  return { outline: state.outline, error: state.error, loading: state.loading, load };
}
