import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { EvidenceError, type KeyHolder, rsaRecipientOf } from '@chaperone/evidence';
import { z } from 'zod';
import { CliError, EXIT } from '../errors.ts';

/** For connection, TLS and the whole answer together. */
const TIMEOUT_MS = 10_000;
/** A key of 100 versions, each with a public key of 800 characters, has 100 kB. */
const MAX_ANSWER_BYTES = 512 * 1024;
/** Versions of one key that are asked for. */
const MAX_VERSIONS = 100;
/** A key of transit, as its own API names it: /v1/MOUNT/keys/NAME. */
const KEY_PATH = /^\/v1\/((?:[\w.-]{1,128}\/){1,8})keys\/([\w.-]{1,128})$/;

const Key = z.object({
  data: z.object({ keys: z.record(z.string().regex(/^\d{1,9}$/), z.object({ public_key: z.string().min(1).max(4096) })) }),
});
const Plain = z.object({ data: z.object({ plaintext: z.base64().max(1024) }) });

export interface TransitOptions {
  /** https://HOST:PORT/v1/MOUNT/keys/NAME */
  readonly url: string;
  /** As Vault's own client takes them: VAULT_TOKEN, VAULT_CACERT (a file), VAULT_NAMESPACE. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One version of a key of transit, which unwraps what was wrapped to it. */
export interface TransitVersion extends KeyHolder {
  /** As configuration names it. */
  readonly configured: string;
}

/**
 * The versions of an RSA key in Vault's transit engine, the newest first (developer.hashicorp.com, "Transit secrets engine (API)": Read Key,
 * Decrypt Data). The key never leaves Vault: it is asked to decrypt what public keys wrapped. Throws CliError IdentityUnusable, NotPermitted.
 */
export async function openTransit({ url, env }: TransitOptions): Promise<TransitVersion[]> {
  const { origin, pathname, search, username, protocol } = new URL(url);
  const [, mount = '', name = ''] = KEY_PATH.exec(pathname) ?? [];
  if (protocol !== 'https:' || name === '' || search !== '' || username !== '')
    throw unusable('a key of Vault is written https://HOST:PORT/v1/MOUNT/keys/NAME');
  const token = env['VAULT_TOKEN'];
  if (token === undefined || !/^[\x21-\x7e]{1,4096}$/.test(token))
    throw unusable('VAULT_TOKEN has no token for Vault; vault login gives one');
  const ca = env['VAULT_CACERT'] === undefined ? undefined : await readFile(env['VAULT_CACERT']).catch(() => undefined);
  if (env['VAULT_CACERT'] !== undefined && ca === undefined) throw unusable('VAULT_CACERT names no file that can be read');
  const headers = {
    'x-vault-token': token,
    'x-vault-request': 'true',
    ...(env['VAULT_NAMESPACE'] === undefined ? {} : { 'x-vault-namespace': env['VAULT_NAMESPACE'] }),
  };
  const call = (path: string, body?: object): Promise<unknown> => ask(`${origin}${path}`, { headers, ca, body });
  const { keys } = shaped(Key, await call(pathname)).data;
  const versions = Object.entries(keys).toSorted(([a], [b]) => Number(b) - Number(a));
  return versions.slice(0, MAX_VERSIONS).map(([version, { public_key: pem }]) => ({
    ...recipientOf(pem),
    async unwrap(wrapped) {
      const ciphertext = `vault:v${version}:${wrapped.toString('base64')}`;
      const said = await call(`/v1/${mount}decrypt/${name}`, { ciphertext });
      return Buffer.from(shaped(Plain, said).data.plaintext, 'base64');
    },
  }));
}

function recipientOf(pem: string): ReturnType<typeof rsaRecipientOf> {
  try {
    return rsaRecipientOf(pem);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw unusable('the key in Vault is not one of RSA with 2048 to 4096 bits', error);
  }
}

interface Asked {
  readonly headers: Readonly<Record<string, string>>;
  readonly ca: Buffer | undefined;
  /** Undefined: a GET. */
  readonly body: object | undefined;
}

/**
 * Vault's answer, of which nothing is repeated where it is an error: it may quote what was sent. Rejects with EvidenceError KeyUnusable where
 * Vault says that the key does not open what it was given.
 */
async function ask(url: string, { headers, ca, body }: Asked): Promise<unknown> {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(url, {
        method: bytes === undefined ? 'GET' : 'POST',
        headers: { ...headers, ...(bytes === undefined ? {} : { 'content-length': bytes.length }) },
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(ca === undefined ? {} : { ca }),
      });
      sent.on('response', resolve);
      sent.on('error', reject);
      sent.end(bytes);
    });
    const text = await readAll(response);
    demandSuccess(response.statusCode ?? 0, text);
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof CliError || error instanceof EvidenceError) throw error;
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'no answer';
    throw new CliError('IdentityUnusable', `Vault cannot be reached (${code})`, { cause: error, exit: EXIT.unreachable });
  }
}

/** How Vault says of RSA that something was not encrypted to the key, which it calls an error of its own (SDK, keysutil). */
const NOT_ITS_CIPHERTEXT = 'failed to RSA decrypt the ciphertext';

function demandSuccess(status: number, text: string): void {
  if (status === 200) return;
  // One session whose key nobody can unwrap is not to keep the others from being read.
  if (status === 400 || (status === 500 && text.includes(NOT_ITS_CIPHERTEXT)))
    throw new EvidenceError('KeyUnusable', 'Vault does not unwrap the key');
  if (status === 403)
    throw new CliError('NotPermitted', 'Vault does not let this token use the key', { exit: EXIT.notPermitted });
  throw new CliError('IdentityUnusable', `Vault answers ${status}`, { exit: status === 404 ? EXIT.notFound : EXIT.unreachable });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let room = MAX_ANSWER_BYTES;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    room -= chunk.length;
    if (room < 0) throw unusable('Vault’s answer is too long for one');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function shaped<T>(schema: z.ZodType<T>, value: unknown): T {
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  throw unusable('Vault does not answer as its transit engine does');
}

function unusable(message: string, cause?: unknown): CliError {
  return new CliError('IdentityUnusable', message, { cause, exit: EXIT.usage });
}
