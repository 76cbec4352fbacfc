import { z } from 'zod';
import { objectName, vaultPath } from './fields.ts';
import { withRules } from './rules.ts';

/** What becomes of sessions that are open when a credential is replaced. */
export const ON_ROTATION = ['end', 'keep'] as const;
export type OnRotation = (typeof ON_ROTATION)[number];

/** What Chaperone signs in with: where it is kept, by exactly one source, and what follows when it changes. */
export const Credentials = withRules(
  z.object({
    secretRef: z
      .object({ name: objectName.describe('Name of a Secret in the namespace of this object. Example: orders-db-agent') })
      .optional()
      .describe(
        'Secret with the annotation chaperone.dev/upstream: host:port; it is sent nowhere else. Keys: username and password; for a client certificate tls.crt and tls.key, as in type kubernetes.io/tls; for ssh ssh-privatekey, as in type kubernetes.io/ssh-auth, and ssh-certificate where it has one; for kubernetes token, as in type kubernetes.io/service-account-token.',
      ),
    vault: z
      .object({
        path: vaultPath.describe(
          'Path of Vault’s HTTP API behind /v1/, that of a secret of KV or of credentials that an engine makes. Example: database/creds/orders-agent',
        ),
      })
      .optional()
      .describe(
        'Secret of HashiCorp Vault or OpenBao, with the keys that a Secret would have. The operator’s configuration says which namespaces may name which paths, and to which upstreams what is there is sent.',
      ),
    username: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe('User to sign in as. Default: key username of the source. Example: support_agent'),
    onRotation: z
      .enum(ON_ROTATION)
      .optional()
      .describe(
        'What becomes of sessions that are open when the credential is replaced; new ones use the new one. end: each ends as soon as nothing runs in it; keep: they go on for as long as the upstream lets them. Default: end',
      ),
  }),
  {
    cel: 'has(self.secretRef) != has(self.vault)',
    message: 'name where the credential is kept, by one of secretRef: {name: NAME} and vault: {path: PATH}',
    check: (self) => (self.secretRef !== undefined) !== (self.vault !== undefined),
  },
);
export type Credentials = z.infer<typeof Credentials>;
