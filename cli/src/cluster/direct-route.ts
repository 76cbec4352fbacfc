import { readFileSync } from 'node:fs';
import type { ClientRequest } from 'node:http';
import { Agent, request } from 'node:https';
import { getCACertificates } from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { type CliError, usage } from '../errors.ts';
import { reasonOf, type Route, type Sending, unreachable } from './route.ts';

/** To a collector by its URL, with TLS against the CA of a file, else against those that this machine trusts. */
export class DirectRoute implements Route {
  readonly host: string;
  readonly #origin: string;
  readonly #to: { readonly hostname: string; readonly port: number };
  readonly #agent: Agent;
  readonly #trusted: string;

  /** Throws CliError Usage. */
  constructor(url: string, caFile: string | undefined) {
    const { origin, host, hostname, port } = collectorUrl(url);
    this.#origin = origin;
    this.host = host;
    this.#to = { hostname: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) };
    this.#trusted = caFile === undefined ? 'that this machine trusts' : `that ${caFile} vouches for`;
    const ca = caFile === undefined ? machineRoots() : readCaFile(caFile);
    // Nothing else of the person's goes here: neither their certificate for the API server nor its token.
    this.#agent = new Agent({ keepAlive: true, maxSockets: 4, ca, minVersion: 'TLSv1.2', rejectUnauthorized: true });
  }

  request(sending: Sending): ClientRequest {
    return request({ ...sending, ...this.#to, agent: this.#agent });
  }

  lost(): void {
    // There is no other to ask.
  }

  unreachable(error: unknown, what = `the collector at ${this.#origin} does not answer`): CliError {
    return unreachable(error, {
      said: `${what}: ${reasonOf(error, this.#trusted)}`,
      fix: ['--collector-ca FILE names the CA of its certificate', 'without --collector it is reached through the API server'],
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Signatures are over the path alone, and are for whoever can prove that name: nothing but https and no path of a proxy's. */
function collectorUrl(text: string): URL {
  const url = URL.parse(text);
  // What is not repeated may hold a password.
  if (url === null || url.protocol !== 'https:' || url.hostname === '') throw usage('--collector is written https://HOST[:PORT]');
  if (url.username !== '' || url.password !== '') throw usage('--collector takes no user and no password: requests are signed');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw usage('--collector is written https://HOST[:PORT], without a path');
  return url;
}

/** Node's own, those of NODE_EXTRA_CA_CERTS, and those of the system. */
function machineRoots(): string[] {
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
}

function readCaFile(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw usage(`--collector-ca ${file} cannot be read`, error);
  }
  try {
    // TLS takes a file without a certificate for one that trusts nobody, and says so late.
    void new X509Certificate(text);
  } catch (error) {
    throw usage(`--collector-ca ${file} holds no certificate in PEM`, error);
  }
  return text;
}
