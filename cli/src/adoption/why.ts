import type { Unjudged } from './side.ts';

/** Why it cannot be told, as people read it. */
export const WHY: Readonly<Record<Unjudged, string>> = {
  refused: 'something else than rules refused it',
  masked: 'a value in it may be masked',
  shortened: 'its text was not kept whole',
  unclear: 'its record leaves open what it did',
  protocol: 'its protocol is not judged here',
  columns: 'rules name columns, which no record has',
  labels: 'policies select by labels, which no record has: give --labels',
  resource: 'neither side has its ProtectedResource',
  token: 'a policy demands a token that its session did not show',
};
