import type { Statement as Verb } from '@chaperone/api';

/** A name as the text writes it; without a schema the search path decides what it means. */
export interface ObjectName {
  readonly schema?: string;
  readonly name: string;
}

export const REFUSALS = ['NotAnalysable', 'SettingPinned'] as const;
/** NotAnalysable: it cannot be judged. SettingPinned: it would change a setting that judging rests upon. */
export type RefusalCode = (typeof REFUSALS)[number];

/** What one statement is, by its form. Whatever is not listed here is `refused`. */
export type StatementClass =
  /** SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE: the server's own tree says what it touches. */
  | { readonly kind: 'query'; readonly command: 'select' | 'insert' | 'update' | 'delete' | 'merge' }
  /** `analyze`: the inner query runs. */
  | { readonly kind: 'explain'; readonly inner: string; readonly analyze: boolean }
  /** DECLARE CURSOR: `inner` is what FETCH will give. */
  | { readonly kind: 'declare'; readonly cursor: string; readonly inner: string }
  /** FETCH, or MOVE, which gives no rows. */
  | { readonly kind: 'fetch'; readonly cursor: string; readonly move: boolean }
  /** CLOSE; without a name: ALL. */
  | { readonly kind: 'close'; readonly cursor: string | undefined }
  /** PREPARE of SQL; `inner` is what EXECUTE will run. */
  | { readonly kind: 'prepare'; readonly name: string; readonly inner: string }
  /** EXECUTE of SQL, with constants as text. */
  | { readonly kind: 'execute'; readonly name: string; readonly values: readonly (string | null)[] }
  /** DEALLOCATE; without a name: ALL. */
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  /** COPY … TO STDOUT of a query or of a relation; no columns means all. */
  | (CopyOptions & { readonly kind: 'copy-out'; readonly query: string; readonly relation?: undefined })
  | (CopyOptions & CopyRelation & { readonly kind: 'copy-out'; readonly query?: undefined })
  | (CopyOptions & CopyRelation & { readonly kind: 'copy-in' })
  | { readonly kind: 'transaction'; readonly operation: TransactionOperation }
  /** `emulated`: answered by the proxy, never sent. An empty `value` means DEFAULT. */
  | { readonly kind: 'set'; readonly name: string; readonly value: string; readonly local: boolean; readonly emulated: boolean }
  | { readonly kind: 'reset'; readonly name: string; readonly emulated: boolean }
  | { readonly kind: 'show'; readonly name: string }
  /** There is nothing to stop: LISTEN is refused. */
  | { readonly kind: 'unlisten' }
  | { readonly kind: 'utility'; readonly verb: Verb; readonly objectKind: string; readonly objects: readonly ObjectName[] }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly why: string };

interface CopyRelation {
  readonly relation: ObjectName;
  readonly columns: readonly string[];
}
interface CopyOptions {
  /** As written: `{ format: 'csv', header: '' }`; an option without a value has an empty one. */
  readonly options: Readonly<Record<string, string>>;
}
export type TransactionOperation = 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollback-to';

export type Statement = StatementClass & {
  /** The very bytes of this statement, without the separator. */
  readonly text: string;
  /** It names set_config, which changes settings from inside a query. */
  readonly mentionsSetConfig: boolean;
  /** Where all that it names of them set what means nothing, to constants: how many. */
  readonly harmlessSetConfigs: number;
  /** A string constant, escapes decoded, holds a run of stars as masked values do. */
  readonly maskSentinel: boolean;
  /** Of a SELECT whose text tells all that it reads. */
  readonly reads?: Reads;
};

/** What a SELECT names, none of it a function, type or operator that could be anybody's. */
export interface Reads {
  readonly relations: readonly ObjectName[];
  /** What may be names of columns; '' where one is none. */
  readonly names: readonly string[];
  /** It may show or use columns that it does not name: `*`, a whole row, NATURAL. */
  readonly whole: boolean;
}

export type StatementOf<K extends Statement['kind']> = Extract<Statement, { kind: K }>;

/** The objects that a query names, as far as the text alone tells; `unknown` says why it does not tell all. */
export interface References {
  readonly effects: readonly Reference[];
  readonly unknown?: string;
}
export interface Reference extends ObjectName {
  readonly verb: Verb;
}
