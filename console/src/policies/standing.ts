import type { AccessPolicy, Condition, ProtectedResource } from '@chaperone/api';
import type { Look } from '../ui/verdict.tsx';

export type Known = AccessPolicy | ProtectedResource;

/** These speak of a fault while they are true. */
const FAULTS: ReadonlySet<string> = new Set(['Conflicted', 'Ineffective', 'Stalled']);

export function isFailing({ type, status }: Condition): boolean {
  return status === (FAULTS.has(type) ? 'True' : 'False');
}

export function lookOf(condition: Condition): Look {
  if (isFailing(condition)) return 'finding';
  return condition.status === 'Unknown' ? 'none' : 'allow';
}

export function conditionOf({ status }: Known, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

function rank(condition: Condition): number {
  return ['finding', 'none', 'allow'].indexOf(lookOf(condition));
}

/** What fails first, then what is not known, then what holds; Ready, which repeats one of them, is told apart. */
export function inOrder({ status }: Known): Condition[] {
  return (status?.conditions ?? []).filter(({ type }) => type !== 'Ready').toSorted((a, b) => rank(a) - rank(b));
}

/** How an object stands, in two or three words of ours; the reason is the server's. */
export function standing(object: Known): { readonly look: Look; readonly word: string; readonly reason?: string } {
  const ready = conditionOf(object, 'Ready');
  if (ready === undefined) return { look: 'none', word: 'nobody looked' };
  if (ready.status === 'Unknown') return { look: 'none', word: 'not known', reason: ready.reason };
  const word = ready.status === 'True' ? 'Ready' : 'Not ready';
  return { look: lookOf(ready), word, ...(ready.reason === 'Ready' ? {} : { reason: ready.reason }) };
}

/** What its conditions were told about, where the object has changed since. */
export function behind({ metadata, status }: Known): number | undefined {
  const observed = status?.observedGeneration;
  return observed === undefined || metadata.generation === undefined || observed >= metadata.generation ? undefined : observed;
}

export function keyOf({ metadata }: Known): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
