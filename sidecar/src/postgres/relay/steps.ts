import type { Buffer } from 'node:buffer';
import type { FieldDescription, ServerMessageFields, TargetMessage } from '../wire/index.ts';
import type { Judgement } from './judgement.ts';
import type { Handed } from './limits.ts';
import type { Run } from './run.ts';
import type { Settled } from './settled.ts';

/**
 * A statement that the server has parsed in this session, with what was decided about it. Where that was foretold, fields, row
 * description and parameters are empty until the server has said them.
 */
export interface Prepared {
  readonly name: string;
  /** Of what the server holds now: replaced when it prints another tree for it. */
  judgement: Judgement;
  fields: readonly FieldDescription[];
  rowDescription: Buffer | undefined;
  /** Their types (pg_type.oid), as the server found them. */
  parameters: readonly number[];
  /** As its Parse gave them. */
  readonly parameterTypes: readonly number[];
  /** Bound once people had approved it: the statement itself, for which a tree that is printed then holds too. */
  readonly of?: Prepared;
  /** Of a FETCH: what all of its cursor's gave out, against limits of one statement. */
  readonly handed?: Handed;
}

/** A cursor that the agent declared: what was decided about its query, and what it gave out. */
export interface Cursor {
  readonly judgement: Judgement;
  readonly handed: Handed;
}

/** A portal; until BindComplete its judgement is what was known when Bind was sent. */
export interface Portal {
  readonly name: string;
  /** Of a statement that is bound in the same breath as it is parsed: what was foretold, until the server has described it. */
  prepared: Prepared;
  readonly formats: readonly number[];
  parameters: readonly (string | null)[] | undefined;
  judgement: Judgement;
  /** Of a statement that people have to approve: what was bound, for the seal, and the Bind itself where it is small enough to be sent again. */
  readonly held?: { readonly bound: unknown; readonly bind: Buffer | undefined };
  /** Rows handed out so far and their bytes, against limits.rowsPerStatement and bytesPerStatement. */
  rows: number;
  bytes: number;
}

export type PrepareOutcome =
  | {
      readonly kind: 'prepared';
      readonly trees: readonly string[];
      readonly fields: readonly FieldDescription[];
      readonly rowDescription: Buffer | undefined;
      readonly parameters: readonly number[];
    }
  | { readonly kind: 'failed'; readonly error: ServerMessageFields | undefined };

/**
 * A template was bound in place of a text: should that fail, the text itself is run, and the agent hears nothing of the attempt.
 * In a transaction, which has failed by then, `told` has the agent hear the error.
 */
export interface Attempt {
  told: boolean;
  /** What the agent is told once it is bound; of what cannot be planned it is not told. */
  opening: Buffer | undefined;
  failed: boolean;
}

export interface PrepareStep {
  readonly kind: 'prepare';
  readonly trees: string[];
  parsed: boolean;
  parameters: readonly number[];
  /** By a PREPARE of SQL, which is bound and executed before what it made is described. */
  readonly sql?: true;
  /** Rows follow at once: takes the outcome before anything behind it is read. */
  streamed?: ((outcome: PrepareOutcome) => void) | undefined;
  readonly settled: Settled<PrepareOutcome>;
}

/**
 * What the server owes us, in order. Every message that goes upstream adds a step; every answer belongs to the first one.
 * After an error the server skips to Sync, and so do the steps. `local` steps hold what we ourselves say in between.
 */
export type Step =
  | PrepareStep
  /** `quiet`: the agent was told before. */
  | { kind: 'bind'; portal: Portal; tell: boolean; settled: Settled<boolean>; attempt?: Attempt; quiet?: true }
  | { kind: 'describe'; of: 'statement' | 'portal'; prepared: Prepared | undefined }
  | { kind: 'execute'; run: Run }
  | { kind: 'close'; tell: boolean; target: TargetMessage }
  | { kind: 'forced' }
  | { kind: 'sync'; tell: boolean; settled: Settled<void>; attempt: Attempt | undefined }
  | { kind: 'local'; bytes: Buffer; done?: () => void };

const UNSEEN = { kind: 'failed', error: undefined } as const;

/** Tells the outcome of a Parse; only the first counts. */
export function settlePrepare(step: PrepareStep, outcome: PrepareOutcome): void {
  const { streamed } = step;
  step.streamed = undefined;
  streamed?.(outcome);
  step.settled.resolve(outcome);
}

/** Tells everybody who waits for a step that it will not happen. */
export function abandon(step: Step): void {
  if (step.kind === 'prepare') settlePrepare(step, UNSEEN);
  else if (step.kind === 'bind') step.settled.resolve(false);
  else if (step.kind === 'execute') step.run.end('failed');
  else if (step.kind === 'sync') step.settled.resolve();
}
