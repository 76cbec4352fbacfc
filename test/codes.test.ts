import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CODES } from '@chaperone/api';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Members of a union of literals: `type NAME = 'A' | 'B'`, or a property of such a type. */
function union(file: string, name: string): string[] {
  const [, members = ''] = new RegExp(`\\b${name}\\s*[=:]\\s*((?:\\|?\\s*'\\w+'\\s*)+);`).exec(read(file)) ?? [];
  return [...members.matchAll(/'(\w+)'/g)].map(([, code = '']) => code);
}

/** Codes that leave the program they arise in: in conditions, in what agents are told, in records. */
const TOLD: readonly (readonly [file: string, name: string, never?: readonly string[]])[] = [
  // Whoever gave up is told nothing.
  ['sidecar/src/postgres/relay/upstream-error.ts', 'UpstreamErrorCode', ['UpstreamAborted']],
  ['sidecar/src/postgres/masking/suitability.ts', 'reason'],
  ['sidecar/src/postgres/masking/plan.ts', 'code'],
];

describe('every code that people meet', () => {
  it.each(TOLD)('%s: %s is in the table', (file, name, never = []) => {
    const codes = union(file, name).filter((code) => !never.includes(code));
    expect(codes).not.toEqual([]);
    expect(codes.filter((code) => !Object.hasOwn(CODES, code))).toEqual([]);
  });

  it('is in the table where a refusal or an ending of the sidecar names it', () => {
    const files = ['session', 'tcp', 'postgres/relay', 'postgres/masking'].flatMap((room) =>
      readdirSync(join(root, 'sidecar/src', room))
        .filter((name) => name.endsWith('.ts') && !name.includes('.test'))
        .map((name) => join('sidecar/src', room, name)),
    );
    const named = files.flatMap((file) =>
      [...read(file).matchAll(/\bcode: '(\w+)',\s*(?:reason|message)\b/g)].map(([, code = '']) => `${file}: ${code}`),
    );
    expect(named.length).toBeGreaterThan(20);
    // ServerError and AgentClosed stand in records alone: the words of another program, and no error.
    const own = named.filter((each) => !/: (ServerError|AgentClosed|Closed)$/.test(each));
    expect(own.filter((each) => !Object.hasOwn(CODES, each.split(': ')[1] ?? ''))).toEqual([]);
  });
});
