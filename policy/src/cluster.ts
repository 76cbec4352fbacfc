import { z } from 'zod';

/** What a cluster has of Chaperone: requests to its API are judged by it. */
export const ClusterFacts = z.object({
  /** Where Chaperone runs. */
  namespace: z.string(),
  /** Namespaces whose pods get a sidecar. */
  governed: z.array(z.string()),
  /** Secrets that a ProtectedResource names. */
  secrets: z.array(z.object({ namespace: z.string(), name: z.string() })),
});
export type ClusterFacts = z.infer<typeof ClusterFacts>;
