import { MAX_DEPTH } from './limits.ts';
import { pointed } from './members.ts';
import type { Asked, Plan } from './plan.ts';
import type { State } from './state.ts';

/** What a selector compares. */
export interface Selected {
  /** Paths of fields: `spec.nodeName`. */
  readonly fields: readonly string[];
  /** Keys of labels. */
  readonly labels: readonly string[];
}

/** Whether a selector tells of a hidden value whether it is one that was guessed. */
export function selectsHidden(plan: Plan, asked: Asked, { fields, labels }: Selected): boolean {
  const paths = [...fields.map((field) => field.split('.')), ...labels.map((label) => ['metadata', 'labels', label])];
  return paths.some((path) => pointed(plan.object(asked), path).hidesText);
}

/** One operation of a JSON Patch (RFC 6902), as far as it looks at what is stored. */
export interface Looking {
  readonly op: string;
  readonly path: readonly string[];
  readonly value?: unknown;
}

/** What a patch would do with what is hidden: tell whether it is one that was guessed; put it, or let it be, where it is shown. */
export type Peek = 'compared' | 'moved' | 'renamed';

/**
 * Which operation tells what a hidden value is, or puts it where it could be read. What is moved may hold others, and so may what an
 * object or a list is compared with.
 */
export function lookingAtHidden(plan: Plan, asked: Asked, operations: readonly Looking[]): Peek | undefined {
  const root = plan.object(asked);
  const holdsHidden = root.isQuoted || plan.mayEmbed(asked);
  for (const { op, path, value } of operations) {
    if ((op === 'copy' || op === 'move') && holdsHidden) return 'moved';
    // Keys of managedFields name members of lists by their values: whether one is there tells the value, whatever is done.
    if (root.isTold && pointed(root, path).role === 'owned') return 'compared';
    if (op !== 'test') {
      if (namesAnew(plan, asked, path)) return 'renamed';
      continue;
    }
    const isWhole = typeof value === 'object' && value !== null;
    const mayBe = plan.mayEmbed(asked) ? embedded(root, path) : pointed(root, path);
    if (isWhole ? holdsHidden : pointed(root, path).hidesText || mayBe.cover !== undefined) return 'compared';
  }
  return undefined;
}

/**
 * Whether a patch that is merged into what is stored says anew of what kind an object within it is. What stands in lists is replaced
 * whole, but by server-side apply (`mergesLists`).
 */
export function namesKindAnew(plan: Plan, asked: Asked, patch: Readonly<Record<string, unknown>>, mergesLists: boolean): boolean {
  if (!plan.mayEmbed(asked)) return false;
  const pending: unknown[] = Object.values(patch);
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== 'object' || value === null || (Array.isArray(value) && !mergesLists)) continue;
    if (!Array.isArray(value) && Object.hasOwn(value, KIND)) return true;
    for (const member of Object.values(value)) pending.push(member);
  }
  return false;
}

const KIND = 'kind';

/** Whether that by which something is known to be hidden is changed there: the name of a variable, or the kind of an object in another. */
function namesAnew(plan: Plan, asked: Asked, path: readonly string[]): boolean {
  const last = path.at(-1);
  if (last === KIND) return path.length > 1 && plan.mayEmbed(asked);
  if (last !== 'name' || plan.variables.length === 0) return false;
  return pointed(plan.object(asked), path.slice(0, -1)).role === 'variables';
}

/** Where a path leads if all that it passes through is an object of whatever kind. */
function embedded(root: State, path: readonly string[]): State {
  return path.slice(0, MAX_DEPTH).reduce((state, part) => state.pointed(part).ofAnyKind(), root);
}
