import { CREDENTIAL_KEYS } from '@chaperone/policy';
import { z } from 'zod';
import { VaultError } from './errors.ts';

/** Service tokens have about 100 characters, batch tokens some hundred more; nothing of one can end a header. */
const token = z
  .string()
  .max(8192)
  .regex(/^[!-~]+$/);
/** Seconds. */
const seconds = z.int().min(0);
/** Below, there would be no time to renew it in. */
export const MIN_LEASE_S = 30;
/** Vault's own limit, unless it was raised; nothing is believed to last longer. */
export const MAX_LEASE_S = 32 * 24 * 3600;

const Login = z.object({ auth: z.object({ client_token: token, lease_duration: seconds, renewable: z.boolean() }) });
const Renewed = z.object({ auth: z.object({ lease_duration: seconds, renewable: z.boolean() }) });
const Lease = z.object({ lease_id: z.string().max(1024), lease_duration: seconds, renewable: z.boolean() });
const Secret = Lease.extend({ data: z.record(z.string().max(1024), z.unknown()) });
/** What KV version 2 puts around a secret. */
const Versioned = z.object({ data: z.record(z.string().max(1024), z.unknown()), metadata: z.object({ version: z.int() }) });

export interface Grant {
  /** How long it lasts from the moment it was asked for. */
  readonly durationMs: number;
  readonly renewable: boolean;
}
export interface SecretAnswer {
  /** The keys of a credential that are there as text. */
  readonly values: ReadonlyMap<string, string>;
  /** Absent: it has none, and is read again to see whether it changed. */
  readonly lease: (Grant & { readonly id: string }) | undefined;
}

function read<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new VaultError('VaultUnavailable', 'what answers there does not speak as Vault does');
  return parsed.data;
}

/** An answer to `auth/MOUNT/login`. */
export function readLogin(body: unknown): Grant & { readonly token: string } {
  const { auth } = read(Login, body);
  return { token: auth.client_token, ...granted(auth) };
}

/** An answer to `auth/token/renew-self`. */
export function readRenewedToken(body: unknown): Grant {
  return granted(read(Renewed, body).auth);
}

/** An answer to `sys/leases/renew`. At the end of its longest time a lease is given less and less: that is no error here. */
export function readRenewedLease(body: unknown): Grant {
  const { lease_duration, renewable } = read(Lease, body);
  return { durationMs: bounded(lease_duration), renewable };
}

/** An answer to GET of a path: a secret of KV, in either version, or one that an engine made for us and lends. */
export function readSecret(body: unknown): SecretAnswer {
  const { data, ...lease } = read(Secret, body);
  const { data: inner } = Versioned.safeParse(data);
  const held = inner?.data ?? data;
  const values = new Map<string, string>();
  for (const key of CREDENTIAL_KEYS) {
    const value = Object.hasOwn(held, key) ? held[key] : undefined;
    if (typeof value === 'string' && value.isWellFormed()) values.set(key, value);
  }
  return { values, lease: lease.lease_id === '' ? undefined : { id: lease.lease_id, ...granted(lease) } };
}

function granted({ lease_duration, renewable }: { lease_duration: number; renewable: boolean }): Grant {
  if (lease_duration < MIN_LEASE_S)
    throw new VaultError(
      'VaultRefused',
      `it lends for ${lease_duration} s, which is too short to be of use; at least ${MIN_LEASE_S} s are needed`,
    );
  return { durationMs: bounded(lease_duration), renewable };
}
const bounded = (lease: number): number => Math.min(lease, MAX_LEASE_S) * 1000;
