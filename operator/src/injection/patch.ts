import { isDeepStrictEqual } from 'node:util';
import type { Pod } from './pod.ts';

/** One operation of a JSON patch (RFC 6902). */
export interface Operation {
  readonly op: 'add';
  readonly path: string;
  readonly value: unknown;
}

const SPEC_FIELDS = [
  'automountServiceAccountToken',
  'terminationGracePeriodSeconds',
  'securityContext',
  'volumes',
  'initContainers',
  'containers',
] as const;

/**
 * The patch that turns `before` into `after`, where both differ only in what injection changes. Whole values are set, because
 * a patch inside a list goes wrong when another webhook has moved its items. Values are compared, not text: the API server
 * orders keys anew between two calls. Nothing to change gives no operation.
 */
export function patchPod(before: Pod, after: Pod): readonly Operation[] {
  const operations: Operation[] = [];
  const { annotations } = after.metadata;
  if (!isDeepStrictEqual(before.metadata.annotations, annotations))
    operations.push({ op: 'add', path: '/metadata/annotations', value: annotations });
  for (const field of SPEC_FIELDS)
    if (!isDeepStrictEqual(before.spec[field], after.spec[field]))
      operations.push({ op: 'add', path: `/spec/${field}`, value: after.spec[field] });
  return operations;
}
