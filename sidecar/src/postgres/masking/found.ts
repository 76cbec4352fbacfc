import type { Effect } from '@chaperone/policy';
import type { Value } from './values.ts';

/** How a labelled column is used without being shown. */
export type ReferenceKind = 'predicate' | 'order' | 'argument';

export interface RawReference {
  readonly kind: ReferenceKind;
  readonly value: Value;
  /** A comparison of the column itself with one constant or parameter, by the server's own equality, AND-ed in WHERE or ON. */
  readonly equality: boolean;
}
export interface RawAssign {
  readonly relation: number;
  readonly attnum: number;
  readonly value: Value;
}
export interface Target {
  readonly relation: number;
  readonly name: string;
  readonly hasTriggers: boolean;
  readonly hasOwnTriggers: boolean;
  readonly runsOwnersCode: boolean;
  readonly labelled: boolean;
}
export interface Refused {
  readonly object: string;
  readonly why: string;
}

/** What one walk over a statement found, before labels are looked up. */
export interface Found {
  readonly references: RawReference[];
  readonly assigns: RawAssign[];
  readonly targets: Target[];
  readonly effects: Effect[];
  readonly refused: Refused[];
  /** A relation with labelled columns, an unknown relation or an unknown function takes part. */
  touches: boolean;
  /** A relation takes part whose rows cannot be changed without running code of the owner's. */
  firesOwnersCode: boolean;
  /** It reads text as a value of a type that is not in the tree. */
  readsAnyType: boolean;
  /** A row security condition calls a function that is not known to be the server's own. */
  ownersCode: boolean;
  /** It reads what earlier statements of the session may have left there. */
  readsSession: boolean;
  /** Calls of set_config. */
  setConfigs: number;
  /** Set: something in the tree is not understood, wherever it stands. */
  top: string | undefined;
}
