/** Who meets a code: agents, the platform team, a data owner, whoever runs Chaperone. */
export type Audience = 'agent' | 'platform' | 'owner' | 'operator';

/** What to do with the same request after this code. */
export type Retry = 'do-not-retry' | 'wait' | 'repeat-unchanged' | 'change-it' | 'try-later' | 'none';

/** One row of the table of codes. All columns are sentences for people, without payload. */
export interface CodeEntry {
  readonly audience: readonly Audience[];
  /** What happened. */
  readonly what: string;
  /** Why Chaperone does so. */
  readonly why: string;
  /** What to change, by whom it can be. */
  readonly fix: string;
  readonly retry: Retry;
  /** A message that carries the code. */
  readonly example: string;
  /** What a PostgreSQL client is told, where an agent may get this code. */
  readonly postgres?: { readonly sqlstate: string; readonly severity: 'NOTICE' | 'ERROR' | 'FATAL' };
}

export type CodeTable = Readonly<Record<string, CodeEntry>>;
