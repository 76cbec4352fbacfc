import type { AccessPolicy, ProtectedResource } from '@chaperone/api';

/**
 * Policies and resources with what is known of them, as their schemas read them: those of `chaperone up`, or a cluster's. Asked
 * anew for every answer, so what it gives is what there is now.
 */
export interface PolicySource {
  /** Why what there is cannot be told now, as a sentence. */
  notReady?(): string | undefined;
  /** Mistakes that keep what is written now from being in force, one a line; undefined: there are none, or nobody can know. */
  readonly invalid?: string | undefined;
  policies(): readonly AccessPolicy[];
  resources(): readonly ProtectedResource[];
}
