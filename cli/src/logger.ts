import type { Logger } from '@chaperone/sidecar';

/** JSON lines on standard error, one per event. */
export function createLogger(err: NodeJS.WritableStream, now: () => number): Logger {
  const write =
    (level: string) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void err.write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, event, ...fields })}\n`);
  return { info: () => undefined, warn: write('warn'), error: write('error') };
}
