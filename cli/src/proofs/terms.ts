import { createReadStream } from 'node:fs';
import { parseDocuments } from '@chaperone/api';
import type { Terms } from '@chaperone/policy/attest';
import { z } from 'zod';
import { usage } from '../errors.ts';
import { readText } from './files.ts';

/** A page of terms has less than 1 KiB. */
const MAX_BYTES = 64 * 1024;

/** What signed decisions have to fit, as it is typed. */
export interface TermsFlags {
  readonly terms?: string;
  readonly issuer?: string;
  readonly clientId?: string;
  readonly page?: string;
  readonly usernameClaim?: string;
  readonly usernamePrefix?: string;
  readonly groupsClaim?: string;
  readonly groupsPrefix?: string;
}

const word = z.string().max(2048).optional();
/** What says nothing of how decisions are checked. */
const beside = z.unknown().optional();
const claims = { usernameClaim: word, usernamePrefix: word, groupsClaim: word, groupsPrefix: word };
const Oidc = z.strictObject({ issuer: word, clientId: word, secretRef: beside, scopes: beside, ...claims });
/** `operator.decide` of the chart's values. */
const TermsFile = z.strictObject({ url: word, tlsSecretName: beside, oidc: Oidc.default({}) });
/** Of the chart too. */
const DEFAULTS = { usernameClaim: 'sub', groupsClaim: 'groups', groupsPrefix: '', issuer: '', clientId: '', page: '' };

/** What a file and flags say, the flags before the file; complete, or not there at all. */
export type Said =
  | { readonly terms: Terms }
  /** The flags that are missing. */
  | { readonly missing: readonly string[] };

/**
 * By what decisions are checked: each of it is as the operator has it, and claims that nobody names are those of the chart.
 * @throws CliError Usage
 */
export async function readTerms(flags: TermsFlags): Promise<Said> {
  const said = { ...DEFAULTS, ...(flags.terms === undefined ? {} : await readFile(flags.terms)), ...flags };
  const { issuer, clientId, page, usernameClaim, usernamePrefix, groupsClaim, groupsPrefix } = said;
  const named = Object.entries({ '--issuer': issuer, '--client-id': clientId, '--page': page });
  const missing = named.flatMap(([flag, value]) => (value === '' ? [flag] : []));
  if (issuer !== '' && !isUrl(issuer))
    throw usage(`the issuer is an https URL as its tokens have it; "${issuer.slice(0, 80)}" is not`);
  if (page !== '' && !isUrl(page)) throw usage(`the page is the https URL where people decide; "${page.slice(0, 80)}" is not`);
  if (missing.length > 0) return { missing };
  // A link to one of its requests will do.
  const { origin, hostname: rpId } = new URL(page);
  return {
    terms: { issuerUrl: issuer, clientId, usernameClaim, usernamePrefix, groupsClaim, groupsPrefix, site: { origin, rpId } },
  };
}

async function readFile(path: string): Promise<TermsFlags> {
  const { documents, faults } = parseDocuments(await readText(createReadStream(path), path, MAX_BYTES));
  const [document] = documents;
  if (document === undefined || documents.length > 1 || faults.length > 0)
    throw usage(`${path} holds no terms: write operator.decide of the chart's values, as YAML or JSON`);
  const found = TermsFile.safeParse(document.value);
  if (!found.success)
    throw usage(`${path} holds no terms: ${problemOf(found.error)}; write operator.decide of the chart's values`);
  const { url, oidc } = found.data;
  const { secretRef: _secret, scopes: _scopes, ...terms } = oidc;
  return defined({ page: url, ...terms });
}

function problemOf({ issues: [issue] }: z.ZodError): string {
  const isUnknown = issue?.code === 'unrecognized_keys';
  const field = [...(issue?.path ?? []), ...(isUnknown ? issue.keys.slice(0, 1) : [])].join('.');
  return `${field === '' ? 'it' : field} ${isUnknown ? 'is unknown' : 'has a wrong value'}`;
}

/** Without what is not there, which would stand before a default. */
function defined(terms: { readonly [name in keyof TermsFlags]?: string | undefined }): TermsFlags {
  return Object.fromEntries(Object.entries(terms).filter(([, value]) => value !== undefined));
}

/** A page on this machine may be without TLS, for tests. */
function isUrl(text: string): boolean {
  const { protocol, hostname = '' } = URL.parse(text) ?? {};
  return protocol === 'https:' || (protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname));
}
