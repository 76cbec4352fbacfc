import type { KubernetesCall } from '@chaperone/evidence';
import type { Action, Effect } from '@chaperone/policy';

/** What a record keeps of an action. */
export interface Noted {
  readonly effects: readonly Pick<Effect, 'verb' | 'object' | 'via'>[];
  /** As the agent wrote it, or as people read it; absent where the policy keeps metadata alone. */
  readonly text: string | undefined;
  readonly bytes: number;
  readonly kubernetes: KubernetesCall | undefined;
}

/** Whether a record of this action would hold these effects, in the order in which they stand there. */
export function sameNotes({ effects }: Action, noted: Pick<Noted, 'effects'>): boolean {
  return (
    effects.length === noted.effects.length &&
    effects.every(({ verb, object, via }, at) => {
      const other = noted.effects[at];
      return other?.verb === verb && other.object === object && other.via === via;
    })
  );
}
