import type { AccessRequest } from '@chaperone/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { serverNow } from '../server.ts';
import { leftText } from './order.ts';

const TICK_MS = 1_000;
/** Readers hear it at these, and otherwise when they ask, ms. */
const SPOKEN_MS = [60_000, 15_000] as const;

/** What is left by the collector's clock; drawn anew each second. */
export function useLeft({ spec }: AccessRequest): number {
  return useLeftUntil(spec.expiresAt);
}

/** What is left until a time, ms; NaN where it is none. */
export function useLeftUntil(at: string): number {
  const left = (): number => Date.parse(at) - serverNow();
  const [ms, setMs] = useState(left);
  useEffect(() => {
    setMs(left());
    const timer = setInterval(() => setMs(left()), TICK_MS);
    return () => clearInterval(timer);
  }, [at]);
  return ms;
}

export function Left({ request }: { request: AccessRequest }): JSX.Element {
  return <>{leftText(useLeft(request))}</>;
}

/** The countdown of a page. At its end nobody but the collector knows whether it is too late. */
export function Countdown({ ms }: { ms: number }): JSX.Element {
  const spoken = SPOKEN_MS.find((at) => ms <= at && ms > at - TICK_MS);
  return (
    <>
      <span class={ms < 60_000 ? 'countdown soon' : 'countdown'} role="timer" aria-live="off">
        <strong>{leftText(ms)}</strong> {ms > 0 ? 'left' : 'left: waiting for the word of the server'}
      </span>
      <span class="sr" role="status">
        {spoken !== undefined && `${spoken / 1000} seconds left`}
      </span>
    </>
  );
}
