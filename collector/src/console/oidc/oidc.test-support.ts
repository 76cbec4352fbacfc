import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { temporaryDirectory, testAuthority, type TestAuthority } from '@chaperone/testing';
import { onTestFinished } from 'vitest';
import { CONSOLE, consoleWith, type TestConsole } from '../provider/console.test-support.ts';
import type { OidcSettings } from './settings.ts';
import { createOidcSignIn } from './sign-in.ts';

export const CALLBACK = `${CONSOLE}/auth/oidc/callback`;

export function aConsole(settings: Partial<OidcSettings> & { issuerUrl: string }): Promise<TestConsole> {
  const all: OidcSettings = {
    clientId: 'console',
    consoleOrigin: CONSOLE,
    scopes: ['openid'],
    usernameClaim: 'sub',
    usernamePrefix: 'oidc:',
    groupsClaim: 'groups',
    groupsPrefix: '',
    requiredClaims: {},
    signingAlgs: ['RS256'],
    sessionMs: 12 * 3_600_000,
    ...settings,
  };
  return consoleWith((options) => createOidcSignIn(all, options));
}

/** An authority of this test, as a file too, and what it certifies localhost with. */
export async function anAuthority(): Promise<{
  readonly caFile: string;
  readonly tls: { readonly ca: string; readonly certified: Awaited<ReturnType<TestAuthority['issue']>> };
}> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const authority = await testAuthority();
  const caFile = join(directory.path, 'ca.crt');
  writeFileSync(caFile, authority.ca);
  return { caFile, tls: { ca: authority.ca, certified: await authority.issue(['localhost']) } };
}

export const SIGNER = generateKeyPairSync('rsa', { modulusLength: 2048 });
const KID = 'key-1';

/** A stand-in for a provider that is hostile or broken: each part of it is what a test says. */
export interface StandIn {
  readonly issuer: string;
  discovery: (issuer: string) => object;
  jwks: () => object;
  /** The token endpoint's answer to a form; `nonce` is that of the sign-in under way. */
  token: (form: URLSearchParams, nonce: string) => { readonly status?: number; readonly body: string | object };
  readonly asked: string[];
  readonly forms: URLSearchParams[];
  /** The answer with which a browser returns from an authorization URL. */
  answerTo(authorization: string, code?: string): string;
}

export async function aStandIn(tls: { certificate: string; key: string }): Promise<StandIn> {
  let nonce = '';
  const listener = async (...[request, response]: Parameters<RequestListener>): Promise<void> => {
    const path = request.url ?? '';
    standIn.asked.push(path);
    const said = answer(path, new URLSearchParams(await text(request)));
    response.writeHead(said.status ?? 200, { 'content-type': 'application/json' });
    response.end(typeof said.body === 'string' ? said.body : JSON.stringify(said.body));
  };
  const answer = (path: string, form: URLSearchParams): { status?: number; body: string | object } => {
    if (path === '/.well-known/openid-configuration') return { body: standIn.discovery(standIn.issuer) };
    if (path === '/jwks') return { body: standIn.jwks() };
    standIn.forms.push(form);
    return standIn.token(form, nonce);
  };
  const server = createServer({ cert: tls.certificate, key: tls.key }, (...args) => void listener(...args));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const issuer = `https://localhost:${(server.address() as AddressInfo).port}`;
  const standIn: StandIn = {
    issuer,
    asked: [],
    forms: [],
    discovery: (self) => ({
      issuer: self,
      authorization_endpoint: `${self}/authorize`,
      token_endpoint: `${self}/token`,
      jwks_uri: `${self}/jwks`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      // A provider that would have anything taken.
      id_token_signing_alg_values_supported: ['none', 'HS256', 'RS256', 'ES256'],
    }),
    jwks: () => ({ keys: [{ ...SIGNER.publicKey.export({ format: 'jwk' }), kid: KID, alg: 'RS256', use: 'sig' }] }),
    token: (_, given) => tokens(idToken({ iss: issuer, nonce: given })),
    answerTo(authorization, code = 'a-code') {
      const { searchParams } = new URL(authorization);
      nonce = searchParams.get('nonce') ?? '';
      return `/auth/oidc/callback?${new URLSearchParams({ code, state: searchParams.get('state') ?? '' }).toString()}`;
    },
  };
  return standIn;
}

export const tokens = (token: string): { body: object } => ({
  body: { access_token: 'an-access-token', token_type: 'Bearer', expires_in: 300, id_token: token },
});

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An ID token for mira, with claims and header changed; undefined takes one away. `by` makes the signature. */
export function idToken(
  claims: Record<string, unknown>,
  header: object = {},
  by: (signed: string) => Buffer | string = (signed) => rsa(signed, SIGNER.privateKey),
): string {
  const seconds = Math.floor(Date.now() / 1000);
  const all = { sub: 'mira', aud: 'console', iat: seconds, exp: seconds + 300, groups: ['support'], ...claims };
  const signed = `${part({ alg: 'RS256', kid: KID, ...header })}.${part(all)}`;
  return `${signed}.${Buffer.from(by(signed)).toString('base64url')}`;
}

export function rsa(signed: string, key: KeyObject): Buffer {
  return sign('sha256', Buffer.from(signed), key);
}
