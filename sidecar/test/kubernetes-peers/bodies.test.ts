import { isDeepStrictEqual } from 'node:util';
import { seededRandom } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { type Json, readJson, writeJson } from '../../src/kubernetes/actions/json.ts';
import { askPeer, HAS_PEER } from './peer.ts';

/** How kube-apiserver reads it, as JSON and as YAML; see programs/requestinfo. */
interface Answer {
  readonly json: unknown;
  readonly jsonError?: string;
  readonly yaml: unknown;
  readonly yamlError?: string;
}

const SEED = 20_261_129;
const TEXTS = [
  '',
  'a',
  'yes',
  'no',
  'on',
  'null',
  '~',
  '0x1F',
  '0o17',
  '017',
  '1_000',
  '12:30:45',
  '2001-01-01',
  '1e3',
  '.inf',
  '<<',
  '=',
  '*a',
  '&a',
  '!!binary x',
  '# no',
  '- a',
  'a: b',
  '"',
  'a\\b',
  '/',
  'ü',
  '\u0000',
  '\u0007',
  '\t',
  '\n',
  '\r',
  '\u007f',
  '\u0085',
  '\u00a0',
  '\u2028',
  '\u2029',
  '\ufeff',
  '\ufffe',
  '\uffff',
  '\u{1f600}',
  '__proto__',
  'constructor',
  'hostPath',
];
const NUMBERS = [
  '0',
  '-0',
  '1',
  '-1',
  '9007199254740991',
  '9007199254740992',
  '1.5',
  '-1.5e3',
  '1E+2',
  '1e-7',
  '1e400',
  '01',
  '+1',
  '.5',
  '1.',
  '0x10',
  'NaN',
];
const OTHERS = ['null', 'true', 'false', 'True', 'nul', ''];

/** Texts that are nearly JSON, or are. */
function table(size: number): Buffer[] {
  const random = seededRandom(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const chance = (part: number): boolean => random() < part;
  const blank = (): string => (chance(0.1) ? pick([' ', '\t', '\n', '\r\n', '\u00a0', '/**/', '#']) : '');
  const text = (): string => {
    const said = JSON.stringify(pick(TEXTS));
    if (chance(0.02)) return pick(['"\\ud800"', '"\\ud83d\\ude00"', '"\\x41"', "'a'", '"\t"', '"\\/"', '"\\u0061"', 'a']);
    return said;
  };
  const value = (depth: number): string => {
    if (depth > 3 || chance(0.3))
      return chance(0.7) ? text() : chance(0.7) ? pick(NUMBERS.slice(0, 10)) : pick([...NUMBERS, ...OTHERS]);
    const inner = Array.from({ length: Math.floor(random() * 4) }, () => value(depth + 1));
    const comma = (): string => `${blank()}${chance(0.005) ? ',,' : ','}${blank()}`;
    if (chance(0.4)) return `[${inner.join(comma())}${chance(0.01) ? ',' : ''}]`;
    return `{${inner.map((each) => `${text()}${blank()}:${blank()}${each}`).join(comma())}}`;
  };
  return Array.from({ length: size }, () => Buffer.from(`${blank()}${value(0)}${chance(0.01) ? pick(['}', ' {}', '\0']) : ''}`));
}

function read(bytes: Buffer): { readonly value: Json } | undefined {
  try {
    return { value: readJson(bytes) };
  } catch {
    return undefined;
  }
}

/** With prototypes, as JSON.parse makes them, which reads what the peer writes. No key is a backslash alone: see readJson. */
function plain(value: Json): unknown {
  if (Array.isArray(value)) return (value as readonly Json[]).map(plain);
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

describe.skipIf(!HAS_PEER)('kube-apiserver', () => {
  it(`reads each of 20,000 bodies that are read here as the same value, and as YAML what is sent in their place (seed ${SEED})`, () => {
    const accepted = table(20_000).flatMap((bytes) => {
      const found = read(bytes);
      return found === undefined ? [] : [{ bytes, value: found.value }];
    });
    expect(accepted.length).toBeGreaterThan(8_000);
    const asked = accepted.flatMap(({ bytes, value }) => [bytes.toString('base64'), writeJson(value).toString('base64')]);
    const answers = askPeer<Answer>('bodies', asked);
    for (const [at, { bytes, value }] of accepted.entries()) {
      const wanted = plain(value);
      const [original, written] = answers.slice(2 * at, 2 * at + 2);
      const said = { json: original?.json, error: original?.jsonError, written: written?.yaml, writtenError: written?.yamlError };
      if (isDeepStrictEqual(said, { json: wanted, error: undefined, written: wanted, writtenError: undefined })) continue;
      expect({ text: bytes.toString(), ...said }).toEqual({ text: bytes.toString(), json: wanted, written: wanted });
    }
  });
});
