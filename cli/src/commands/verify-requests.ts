import { assuranceWords } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { audit, type AuditedDecision, type AuditedRequest, type Bundle, isSound, type Proofs } from '@chaperone/policy/attest';
import { CliError, EXIT, usage } from '../errors.ts';
import { counted as countOf, writeLine } from '../io.ts';
import { isStream, type StreamOutput, writeNext } from '../output.ts';
import type { Paint } from '../paint.ts';
import type { ProgramOptions } from '../program.ts';
import { fetchKeys, readKeys } from '../proofs/issuer-keys.ts';
import type { Said } from '../proofs/terms.ts';

/** With what the signed decisions of a bundle are checked; undefined: there are none. Says so where it asks the issuer. Throws CliError. */
export async function proofsFor(
  { decisions }: Bundle,
  said: Said,
  keys: readonly string[],
  { err }: Pick<ProgramOptions['io'], 'err'>,
): Promise<Proofs | undefined> {
  const signed = decisions.filter(({ spec }) => spec.attestation !== undefined).length;
  if (signed === 0) return undefined;
  if ('missing' in said)
    throw usage(
      `${signed === 1 ? 'a decision is' : `${signed} decisions are`} signed, and it is not said by which terms: add ${said.missing.join(', ')}, or --terms FILE`,
    );
  const { terms } = said;
  if (keys.length > 0) return { terms, keys: await readKeys(keys) };
  const found = await fetchKeys(terms.issuerUrl);
  await writeLine(
    err,
    `keys of ${visible(terms.issuerUrl)} as it publishes them now; --keys FILE needs no network, and has those of the day`,
  );
  return { terms, keys: found };
}

export interface VerifyOptions {
  readonly output: 'table' | StreamOutput;
  readonly paint: Paint;
  /** A request by its name or a unique beginning of it; undefined: all. */
  readonly name: string | undefined;
}

/** Says of each request whether its state follows from its decisions, and of each of them what can be proven; the exit code comes first. */
export async function verifyRequests(
  bundle: Bundle,
  proofs: Proofs | undefined,
  { output, paint, name }: VerifyOptions,
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  const all = await audit(bundle, proofs);
  const found = name === undefined ? all : [named(name, all)];
  exit(found.every(isSound) ? EXIT.ok : EXIT.checkSaysNo);
  for (const each of found) {
    if (isStream(output)) await writeNext(io, output, each);
    else for (const text of lines(each, paint)) await writeLine(io.out, text);
  }
}

function named(name: string, all: readonly AuditedRequest[]): AuditedRequest {
  const fitting = all.filter((each) => each.name.startsWith(name));
  const [first, ...more] = fitting;
  if (first === undefined)
    throw new CliError('NotFound', `there is no request ${name}`, {
      exit: EXIT.notFound,
      why: `of the ${countOf(all.length, 'request')} that were read none has a name that begins so; exit code 5`,
      fix: ['leave the name out to verify all of them'],
    });
  if (more.length === 0) return first;
  const some = fitting.slice(0, 10).map((each) => `${each.namespace}/${each.name}`);
  throw new CliError('AmbiguousName', `${name} fits ${fitting.length} requests: ${some.join(', ')}`, { exit: EXIT.usage });
}

function lines(request: AuditedRequest, paint: Paint): string[] {
  const { namespace, name, verdict, state, votes, code, message, decisions } = request;
  const word = paint(verdict === 'follows' ? 'good' : 'bad', verdict);
  const said = message === undefined ? `${state ?? ''}, ${votes ?? ''} approvals` : `${message} (${code ?? ''})`;
  return [`${visible(`${namespace}/${name}`)}  ${word}: ${visible(said)}`, ...decisions.map((each) => line(each, paint))];
}

const STYLES = { valid: 'good', unverifiable: 'warn', invalid: 'bad' } as const;

function line(decision: AuditedDecision, paint: Paint): string {
  const { name, by, groups = [], decision: answer, verdict } = decision;
  const who = by === undefined ? name : `${answer ?? ''} by ${by}${groups.length === 0 ? '' : ` (${groups.join(', ')})`}`;
  const how = assuranceWords(decision);
  const word = paint(STYLES[verdict], verdict);
  return `  ${visible(how === undefined ? who : `${who}, ${how}`)}: ${word}${visible(findings(decision))}`;
}

function findings({ verdict, code, message, counted, why }: AuditedDecision): string {
  if (verdict === 'invalid') return `: ${message ?? ''} (${code ?? ''})`;
  const nothing = verdict === 'unverifiable' ? ': nothing of it is signed, and nothing can be verified offline' : '';
  return `${nothing}${counted || why === undefined ? '' : `; it does not count: ${why}`}`;
}
