import { pointed } from './members.ts';
import type { Asked, Plan } from './plan.ts';

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

/**
 * Which operation tells what a hidden value is, or puts it where it could be read. What is moved may hold others, and so may what an
 * object or a list is compared with.
 */
export function lookingAtHidden(plan: Plan, asked: Asked, operations: readonly Looking[]): 'compared' | 'moved' | undefined {
  const root = plan.object(asked);
  for (const { op, path, value } of operations) {
    if ((op === 'copy' || op === 'move') && root.isQuoted) return 'moved';
    // Keys of managedFields name members of lists by their values: whether one is there tells the value, whatever is done.
    if (root.isTold && pointed(root, path).role === 'owned') return 'compared';
    const isWhole = typeof value === 'object' && value !== null;
    if (op === 'test' && (isWhole ? root.isQuoted : pointed(root, path).hidesText)) return 'compared';
  }
  return undefined;
}
