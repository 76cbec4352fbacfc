import type { Logger } from './platform.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** One JSON object per line. `write` is where lines go. */
export function createLogger(level: (typeof LEVELS)[number], write: (line: string) => void, now: () => number): Logger {
  const at =
    (own: (typeof LEVELS)[number]) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (LEVELS.indexOf(own) < LEVELS.indexOf(level)) return;
      write(`${JSON.stringify({ time: new Date(now()).toISOString(), level: own, event, ...fields })}\n`);
    };
  return { info: at('info'), warn: at('warn'), error: at('error') };
}
