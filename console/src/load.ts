import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { asServerError, type ServerError } from './server.ts';

export interface Loaded<T> {
  /** What came last, also while newer is on its way or failed to come. */
  readonly data: T | undefined;
  readonly error: ServerError | undefined;
  readonly loading: boolean;
  readonly reload: () => void;
  readonly change: (with_: (before: T) => T) => void;
}

/** Loads what `key` names, anew when it changes; what was loaded under another key is not shown. */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: ServerError; loading: boolean }>({ key, loading: true });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const stop = new AbortController();
    setState((before) =>
      before.key === key && before.data !== undefined ? { ...before, loading: true } : { key, loading: true },
    );
    latest.current(stop.signal).then(
      (data) => stop.signal.aborted || setState({ key, data, loading: false }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setState((before) => ({ ...before, key, error: asServerError(error), loading: false }));
      },
    );
    return () => stop.abort();
  }, [key, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const change = useCallback(
    (with_: (before: T) => T) =>
      setState((before) => (before.data === undefined ? before : { ...before, data: with_(before.data) })),
    [],
  );
  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    error: current ? state.error : undefined,
    loading: !current || state.loading,
    reload,
    change,
  };
}

/** Does something every so often while somebody looks, and at once when they come back. */
export function usePoll(everyMs: number, enabled: boolean, poll: () => void): void {
  const latest = useRef(poll);
  latest.current = poll;
  useEffect(() => {
    if (!enabled) return undefined;
    const tick = (): void => {
      if (document.visibilityState === 'visible') latest.current();
    };
    const timer = setInterval(tick, everyMs);
    document.addEventListener('visibilitychange', tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', tick);
    };
  }, [everyMs, enabled]);
}
