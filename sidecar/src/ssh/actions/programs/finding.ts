import type { UnknownCode } from '../unknown.ts';

/**
 * What a program does beside its own work, as its words tell:
 * `plain`: nothing. `runs`: these commands, each with its words. `script`: this text is run by a shell. `unknown`: not told.
 */
export type Finding =
  | { readonly kind: 'plain' }
  | { readonly kind: 'runs'; readonly commands: readonly (readonly string[])[] }
  | { readonly kind: 'script'; readonly text: string }
  | { readonly kind: 'unknown'; readonly code: UnknownCode };

/** Looks at the words behind a program's name. The name comes without path and version. */
export type Judge = (args: readonly string[], name: string) => Finding;

export const PLAIN: Finding = { kind: 'plain' };
export const OPTION: Finding = { kind: 'unknown', code: 'Option' };
export const RUNS_OTHERS: Finding = { kind: 'unknown', code: 'RunsOthers' };
export const READS_CODE: Finding = { kind: 'unknown', code: 'ReadsCode' };

/** A command without words would be the program itself, waiting for input. */
export function runs(...commands: readonly (readonly string[])[]): Finding {
  return commands.every(([program]) => program !== undefined) ? { kind: 'runs', commands } : OPTION;
}

export function plainIf(harmless: boolean): Finding {
  return harmless ? PLAIN : OPTION;
}

/** `name: judge` for each name in a line of names. */
export function each(names: string, judge: Judge): Record<string, Judge> {
  return Object.fromEntries(names.split(/\s+/).map((name) => [name, judge]));
}
