import { z } from 'zod';

/**
 * What a cluster has of Chaperone: calls of its own API are judged by it, and connections to elsewhere. A sidecar is told it where it
 * serves either.
 */
export const ClusterFacts = z.object({
  /** Where Chaperone runs. */
  namespace: z.string(),
  /** Namespaces whose pods get a sidecar. */
  governed: z.array(z.string()),
  /** Secrets that a ProtectedResource names. */
  secrets: z.array(z.object({ namespace: z.string(), name: z.string() })),
  /** Where each ProtectedResource is, whoever may use it. */
  places: z.array(
    z.object({ hosts: z.array(z.string()), port: z.int(), upstream: z.object({ host: z.string(), port: z.int() }) }),
  ),
});
export type ClusterFacts = z.infer<typeof ClusterFacts>;
