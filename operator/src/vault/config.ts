import { type ProtectedResource, upstreamAddress } from '@chaperone/api';
import { matchPathGlob, parsePathGlob } from '@chaperone/policy';
import type { Problem } from '@chaperone/policy/conditions';
import { z } from 'zod';

const file = z.string().min(1).max(512);
const mount = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/);
/** Entries, and names in each: the cost of a look at all resources is their product. */
const MAX_ENTRIES = 256;
const MAX_NAMES = 64;

/** Which Vault the operator reads, as whom, and who of the cluster may use what of it. Files may change while it runs. */
export const VaultConfig = z.strictObject({
  /** Origin, without path. */
  address: z
    .url({ protocol: /^https$/ })
    .max(2048)
    .refine((text) => URL.canParse(text) && `${new URL(text).origin}/` === new URL(text).href, 'write https://HOST:PORT'),
  /** PEM; absent: the authorities that Node knows. */
  caFile: file.optional(),
  /** A token of the operator's ServiceAccount with an audience of its own. */
  tokenFile: file,
  /** Of Vault Enterprise and OpenBao; absent: the root. */
  namespace: mount.optional(),
  auth: z.strictObject({ mount: mount.default('kubernetes'), role: z.string().regex(/^[!-~]{1,256}$/) }),
  /** Without an entry nothing of Vault is used. */
  paths: z
    .array(
      z.strictObject({
        path: z.string().refine((glob) => parsePathGlob(`/${glob}`) !== undefined, 'write a path with * and ** for parts'),
        namespaces: z.array(z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)).max(MAX_NAMES),
        upstreams: z.array(upstreamAddress).max(MAX_NAMES),
      }),
    )
    .max(MAX_ENTRIES)
    .default([]),
});
export type VaultConfig = z.infer<typeof VaultConfig>;

/** Vault's own rooms: what is read there is no secret of an owner's, and the operator's own token is. */
const RESERVED = /^(sys|auth|identity|cubbyhole)\//i;

/**
 * Why a resource may not sign in with what is at a path: its namespace may not name it, or nobody said that it may be sent to this
 * upstream. Decided before anything is asked of Vault. Pure.
 */
export function refusedPath(config: VaultConfig | undefined, resource: ProtectedResource, path: string): Problem | undefined {
  const { namespace = '' } = resource.metadata;
  const unpermitted = (why: string): Problem => ({ code: 'VaultPathNotPermitted', message: `Vault path ${path} ${why}` });
  if (config === undefined)
    return unpermitted('is not read: the operator knows no Vault; set operator.vault in the Helm values, or name a Secret');
  if (RESERVED.test(path)) return unpermitted('belongs to Vault itself; change spec.credentials.vault.path');
  const permitted = config.paths.filter(({ path: glob, namespaces }) => {
    const parsed = namespaces.includes(namespace) ? parsePathGlob(`/${glob}`) : undefined;
    return parsed !== undefined && matchPathGlob(parsed, `/${path}`);
  });
  if (permitted.length === 0)
    return unpermitted(
      `may not be used by namespace ${namespace}; permit it in operator.vault.paths or change spec.credentials.vault.path`,
    );
  const { address } = resource.spec.upstream;
  if (permitted.some(({ upstreams }) => upstreams.includes(address))) return undefined;
  return {
    code: 'NotBoundToUpstream',
    message: `Vault path ${path} is not sent to ${address}; add that to its upstreams in operator.vault.paths if it is for this upstream`,
  };
}
