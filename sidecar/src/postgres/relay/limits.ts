import { BACKEND, decideBackend, type Decision, MAX_BACKEND_BYTES } from '../wire/index.ts';

/**
 * What is taken from a server: a row that must be looked into has to be held whole, one that passes unchanged may be streamed.
 */
export function decideServer(type: number, length: number, passes: boolean): Decision {
  const decision = decideBackend(type, length);
  if (decision !== 'stream' || passes) return decision;
  return length <= MAX_BACKEND_BYTES && type === BACKEND.DataRow ? 'whole' : 'refuse';
}
