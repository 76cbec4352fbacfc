import { readFile } from 'node:fs/promises';
import { Agent, request as requestHttps } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { readBody } from '../notify/http.ts';
import { parseJson } from '../notify/json.ts';
import { type Grant, readLogin, readRenewedLease, readRenewedToken, readSecret, type SecretAnswer } from './answers.ts';
import type { VaultConfig } from './config.ts';
import { errorOf, VaultError } from './errors.ts';

/** For a turn, connection, TLS and the whole answer together. */
const TIMEOUT_MS = 10_000;
/** Three texts of 64 KiB, as JSON at worst writes them, and what is around them. */
const MAX_ANSWER_BYTES = 512 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
/** Characters: a ServiceAccount's token has about 1,000, a bundle of public authorities 250,000. */
const MAX_FILE = 1024 * 1024;
/** Requests at a time; others wait for their turn. */
const MAX_CONNECTIONS = 8;

interface Call {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Behind /v1/. */
  readonly path: string;
  readonly token?: string;
  readonly body?: object;
  readonly signal: AbortSignal;
}

/**
 * Vault's HTTP API, as far as the operator uses it. Speaks to the configured origin alone, over TLS that is verified. Every method
 * throws VaultError, which holds nothing of what was sent or answered.
 */
export class VaultClient {
  readonly #config: VaultConfig;
  readonly #timeoutMs: number;
  readonly #agent = new Agent({ maxSockets: MAX_CONNECTIONS });

  constructor(config: VaultConfig, { timeoutMs = TIMEOUT_MS }: { readonly timeoutMs?: number | undefined } = {}) {
    this.#config = config;
    this.#timeoutMs = timeoutMs;
  }

  /** Signs in as the operator's ServiceAccount; the ways `kubernetes` and `jwt` of Vault take the same request. */
  async login(signal: AbortSignal): Promise<Grant & { readonly token: string }> {
    const { auth, tokenFile } = this.#config;
    const jwt = await this.#file(tokenFile, 'the token of the operator’s ServiceAccount');
    const path = `auth/${auth.mount}/login`;
    return readLogin(await this.#call({ method: 'POST', path, body: { role: auth.role, jwt: jwt.trim() }, signal }));
  }

  async renewSelf(token: string, signal: AbortSignal): Promise<Grant> {
    return readRenewedToken(await this.#call({ method: 'POST', path: 'auth/token/renew-self', token, body: {}, signal }));
  }

  async read(token: string, path: string, signal: AbortSignal): Promise<SecretAnswer> {
    return readSecret(await this.#call({ method: 'GET', path, token, signal }));
  }

  /** @param seconds - how long it should last from now on, if Vault agrees; absent: as long as at first */
  async renewLease(token: string, id: string, signal: AbortSignal, seconds?: number): Promise<Grant> {
    const body = { lease_id: id, ...(seconds === undefined ? {} : { increment: seconds }) };
    return readRenewedLease(await this.#call({ method: 'PUT', path: 'sys/leases/renew', token, body, signal }));
  }

  async revokeLease(token: string, id: string, signal: AbortSignal): Promise<void> {
    await this.#call({ method: 'PUT', path: 'sys/leases/revoke', token, body: { lease_id: id }, signal });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #file(name: string, what: string): Promise<string> {
    const text = await readFile(name, 'utf8').catch(() => undefined);
    if (text === undefined || text === '' || text.length > MAX_FILE)
      throw new VaultError('VaultUnavailable', `${what} cannot be read by the operator`);
    return text;
  }

  async #call(call: Call): Promise<unknown> {
    const { address, caFile } = this.#config;
    const ca = caFile === undefined ? undefined : await this.#file(caFile, 'the authority of Vault’s certificate');
    const late = AbortSignal.timeout(this.#timeoutMs);
    const signal = AbortSignal.any([call.signal, late]);
    try {
      let url = new URL(`/v1/${call.path}`, address);
      let response = await this.#exchange(url, call, ca, signal);
      if (response.statusCode === 307 || response.statusCode === 308) {
        // A standby may send us on; the token goes to nobody but whom it is for.
        const next = redirected(url, response.headers.location);
        response.resume();
        url = next;
        response = await this.#exchange(url, call, ca, signal);
      }
      return await readAnswer(response);
    } catch (error) {
      if (error instanceof VaultError) throw error;
      if (late.aborted) throw new VaultError('VaultUnavailable', `it gives no answer within ${this.#timeoutMs / 1000} s`);
      const why = (error as NodeJS.ErrnoException).code ?? (error as Error).name;
      throw new VaultError('VaultUnavailable', `it gives no answer (${/^[A-Za-z0-9_]{1,64}$/.test(why) ? why : 'error'})`);
    }
  }

  #exchange(url: URL, call: Call, ca: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const headers = {
      // Marks it as no request that a browser was made to send.
      'x-vault-request': 'true',
      'user-agent': 'chaperone',
      ...(call.token === undefined ? {} : { 'x-vault-token': call.token }),
      ...(this.#config.namespace === undefined ? {} : { 'x-vault-namespace': this.#config.namespace }),
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
    };
    const tls = { minVersion: 'TLSv1.2' as const, ...(ca === undefined ? {} : { ca }) };
    const options = { method: call.method, headers, agent: this.#agent, maxHeaderSize: MAX_HEADER_BYTES, signal, ...tls };
    return new Promise((resolve, reject) => {
      requestHttps(url, options, resolve).on('error', reject).end(body);
    });
  }
}

function redirected(from: URL, location: string | undefined): URL {
  const to = location !== undefined && URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (to === undefined || to.origin !== from.origin || to.username !== '' || to.password !== '')
    throw new VaultError(
      'VaultUnavailable',
      'it sends the operator on to another address, where nothing is sent; point operator.vault.address at the active one',
    );
  return to;
}

async function readAnswer(response: IncomingMessage): Promise<unknown> {
  const { statusCode = 0 } = response;
  const { body, truncated } = await readBody(response, MAX_ANSWER_BYTES);
  if (statusCode === 204) return undefined;
  if (statusCode !== 200) throw errorOf(statusCode);
  if (truncated) throw new VaultError('VaultUnavailable', `its answer is larger than ${MAX_ANSWER_BYTES} bytes`);
  return parseJson(body.toString());
}
