import { encodeAccount, encodeOperator, encodeUser, fmtCreds } from '@nats-io/jwt';
import { createAccount, createOperator, createUser, fromSeed, type KeyPair } from '@nats-io/nkeys';
import { createIfAbsent, KINDS, type Kube, type KubeObject } from '@chaperone/kube';

/** Seeds; read by the operator only. */
export const NATS_KEYS_SECRET = 'chaperone-nats-keys';
/** Public configuration for the server, key auth.conf; mounted by the NATS pods. */
export const NATS_AUTH_SECRET = 'chaperone-nats-auth';
/** Credentials of the collector, key user.creds. */
export const NATS_COLLECTOR_SECRET = 'chaperone-nats-collector';

export const USER_LIFE_MS = 3_600_000;
/** One record is at most this; also what the server is told. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

/** The seeds of the three keys that NATS is secured with. */
export interface NatsSeeds {
  readonly operator: string;
  readonly system: string;
  readonly account: string;
}
const load = (seed: string): KeyPair => fromSeed(new TextEncoder().encode(seed));
const seedOf = (key: KeyPair): string => new TextDecoder().decode(key.getSeed());

export function generateSeeds(): NatsSeeds {
  return { operator: seedOf(createOperator()), system: seedOf(createAccount()), account: seedOf(createAccount()) };
}

/** The part of the server's configuration that says who is who; holds no secrets. Include it: `include auth.conf`. */
export async function serverConfig(seeds: NatsSeeds): Promise<string> {
  const operator = load(seeds.operator);
  const [system, account] = [load(seeds.system), load(seeds.account)];
  const unlimited = {
    conn: -1,
    leaf: 0,
    imports: -1,
    exports: -1,
    subs: -1,
    data: -1,
    payload: MAX_PAYLOAD_BYTES,
    wildcards: true,
  };
  const stores = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const [operatorJwt, systemJwt, accountJwt] = await Promise.all([
    encodeOperator('chaperone', operator, { system_account: system.getPublicKey() }),
    encodeAccount('SYS', system, { limits: unlimited }, { signer: operator }),
    encodeAccount('evidence', account, { limits: { ...unlimited, ...stores }, disallow_bearer: true }, { signer: operator }),
  ]);
  return [
    `operator: ${operatorJwt}`,
    `system_account: ${system.getPublicKey()}`,
    'resolver: MEMORY',
    'resolver_preload: {',
    `  ${system.getPublicKey()}: ${systemJwt}`,
    `  ${account.getPublicKey()}: ${accountJwt}`,
    '}',
    '',
  ].join('\n');
}

/** A JWT with which the holder of the nkey may send its own evidence and read its own receipts, for an hour. */
export async function sidecarJwt(seeds: NatsSeeds, nkey: string, now: number): Promise<{ jwt: string; expiresAt: number }> {
  const expiresAt = now + USER_LIFE_MS;
  const jwt = await encodeUser(
    `sidecar-${nkey.slice(0, 12)}`,
    nkey,
    load(seeds.account),
    {
      pub: { allow: [`evidence.${nkey}.>`], deny: [] },
      sub: { allow: [`_INBOX.${nkey}.>`, `receipt.${nkey}`], deny: [] },
      // Every connection is replaced before this, so a sidecar holds few subscriptions.
      subs: 16,
      data: -1,
      payload: MAX_PAYLOAD_BYTES,
      bearer_token: false,
      allowed_connection_types: ['STANDARD'],
    },
    { exp: Math.floor(expiresAt / 1000), nbf: Math.floor(now / 1000) - 60 },
  );
  return { jwt, expiresAt };
}

/** Credentials with which the collector reads all evidence, keeps the stream and sends receipts. */
export async function collectorCreds(seeds: NatsSeeds): Promise<string> {
  const user = createUser();
  const jwt = await encodeUser('collector', user.getPublicKey(), load(seeds.account), {
    pub: { allow: ['receipt.*', '$JS.API.>', '$JS.ACK.>', '$JS.FC.>'], deny: [] },
    sub: { allow: ['evidence.>', '_INBOX.>', '$JS.EVENT.ADVISORY.>'], deny: [] },
    subs: -1,
    data: -1,
    payload: -1,
    bearer_token: false,
    allowed_connection_types: ['STANDARD'],
  });
  return new TextDecoder().decode(fmtCreds(jwt, user));
}

const encode = (text: string): string => Buffer.from(text).toString('base64');
function decodeKey(secret: KubeObject, key: string): string {
  const value = (secret.data as Record<string, string> | undefined)?.[key];
  if (value === undefined || value === '') throw new Error(`Secret ${secret.metadata.name} has no key ${key}`);
  return Buffer.from(value, 'base64').toString('utf8');
}

const secret = (data: Record<string, string>): object => ({
  type: 'Opaque',
  data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, encode(value)])),
});

/** Makes the keys, the server's configuration and the collector's credentials once; what exists is kept. Run by the leader. */
export async function ensureNatsAuth(kube: Kube, namespace: string): Promise<NatsSeeds> {
  const keys = await createIfAbsent(kube, KINDS.secrets, { namespace, name: NATS_KEYS_SECRET }, () =>
    Promise.resolve(secret({ ...generateSeeds() })),
  );
  const seeds = { operator: decodeKey(keys, 'operator'), system: decodeKey(keys, 'system'), account: decodeKey(keys, 'account') };
  await createIfAbsent(kube, KINDS.secrets, { namespace, name: NATS_AUTH_SECRET }, async () =>
    secret({ 'auth.conf': await serverConfig(seeds) }),
  );
  await createIfAbsent(kube, KINDS.secrets, { namespace, name: NATS_COLLECTOR_SECRET }, async () =>
    secret({ 'user.creds': await collectorCreds(seeds) }),
  );
  return seeds;
}
