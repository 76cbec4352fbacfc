import type { Seen } from './model.ts';

export interface PartLine {
  readonly pod: string;
  readonly container: string;
  /** ms since 1970 */
  readonly at: number;
  readonly text: string;
}
interface Written {
  readonly level?: string;
  /** Operator and sidecar. */
  readonly event?: string;
  /** Collector; of the operator, of the error. */
  readonly message?: string;
  readonly [field: string]: unknown;
}

/** nats-server's: `[1] 2026/12/01 09:00:00.000000 [ERR] text`. */
const BROKER = /^\[\d+\] \S+ \S+ \[(\w{3})\] (.*)$/;

/**
 * What a part of ours logs: an error, or what is no line of its log at all, as whoever dies in an unforeseen way leaves it; a warning as
 * what is only counted; undefined for all else.
 */
export function partLine({ pod, container, at, text }: PartLine): Seen | { readonly warning: string } | undefined {
  // These two write words, and are judged by how they end.
  if (container === 'chaperone-init' || container === 'chaperone-verify') return undefined;
  const { level, says } = container === 'nats' ? ofBroker(text) : ofOurs(text);
  if (level === 'warn') return { warning: `${container}: ${says}` };
  if (level !== 'error') return undefined;
  return { source: 'log', name: `${pod}/${container}`, what: says, from: at, to: at };
}

function ofBroker(text: string): { level: string; says: string } {
  const [, level = 'FTL', says = text] = BROKER.exec(text) ?? [];
  return { level: level === 'INF' || level === 'DBG' ? 'info' : level === 'WRN' ? 'warn' : 'error', says };
}

function ofOurs(text: string): { level: string; says: string } {
  try {
    const { time: _time, level = 'info', event, message, ...fields } = JSON.parse(text) as Written;
    const more = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
    return { level, says: [event, message].filter((each) => each !== undefined).join(': ') + more.join('') };
  } catch {
    return { level: text.trim() === '' ? 'info' : 'error', says: text };
  }
}
