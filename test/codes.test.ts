import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
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
const TOLD: readonly { readonly file: string; readonly name: string; readonly never?: readonly string[] }[] = [
  // Whoever gave up is told nothing.
  { file: 'sidecar/src/postgres/relay/upstream-error.ts', name: 'UpstreamErrorCode', never: ['UpstreamAborted'] },
  { file: 'sidecar/src/postgres/masking/suitability.ts', name: 'reason' },
  { file: 'sidecar/src/postgres/masking/plan.ts', name: 'code' },
  { file: 'operator/src/injection/problem.ts', name: 'AdmissionCode' },
  { file: 'evidence/src/errors.ts', name: 'EvidenceErrorCode' },
  { file: 'collector/src/sinks/errors.ts', name: 'SinkErrorCode' },
];
/** What the programs and the chart are made of, without tests. */
const sources = ['api', 'cli', 'collector', 'evidence', 'operator', 'policy', 'sidecar']
  .flatMap((part) => filesBelow(`${part}/src`))
  .concat(filesBelow('helm/templates'))
  .filter((file) => /\.(ts|yaml|tpl)$/.test(file) && !/\.test\.|test-support|fixture|testdata/.test(file));

function filesBelow(directory: string): string[] {
  const entries = readdirSync(join(root, directory), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

describe('every code that people meet', () => {
  it.each(TOLD)('$file: $name is in the table', ({ file, name, never = [] }) => {
    const codes = union(file, name).filter((code) => !never.includes(code));
    expect(codes).not.toEqual([]);
    expect(codes.filter((code) => !Object.hasOwn(CODES, code))).toEqual([]);
  });

  it('is in the table where a refusal or an ending of the sidecar names it', () => {
    const files = ['session', 'tcp', 'postgres/relay', 'postgres/masking', 'kubernetes/relay'].flatMap((room) =>
      readdirSync(join(root, 'sidecar/src', room))
        .filter((name) => name.endsWith('.ts') && !name.includes('.test'))
        .map((name) => join('sidecar/src', room, name)),
    );
    const named = files.flatMap((file) =>
      [...read(file).matchAll(/\bcode: '(\w+)',\s*(?:reason|message)\b/g)].map(([, code = '']) => `${file}: ${code}`),
    );
    expect(named.length).toBeGreaterThan(20);
    // These stand in records alone: the words of another program, and no errors of ours.
    const own = named.filter((each) => !/: (ServerError|AgentClosed|UpstreamClosed|Closed)$/.test(each));
    expect(own.filter((each) => !Object.hasOwn(CODES, each.split(': ')[1] ?? ''))).toEqual([]);
  });

  it.each(['actions/refusal.ts', 'actions/deny.ts', 'masking/errors.ts'])(
    'is in the table where %s of the Kubernetes API explains a refusal',
    (file) => {
      const [, table = ''] =
        /^const (?:REASONS|CODES) = \{\n([^]*?)\n\} as const/m.exec(read(`sidecar/src/kubernetes/${file}`)) ?? [];
      const codes = [...table.matchAll(file === 'masking/errors.ts' ? /'(\w+)'/g : /^ {2}(\w+):/gm)].map(([, code = '']) => code);
      expect(codes.length).toBeGreaterThanOrEqual(5);
      expect(codes.filter((code) => !Object.hasOwn(CODES, code))).toEqual([]);
    },
  );

  it('is in the table where a program ends with it, or the chart refuses with it', () => {
    const named = sources.flatMap((file) => [
      // Conditions and events have the type of the table; these are words of other kinds.
      ...(/(config|profile|capture\/init)\.ts$/.test(file) ? [...read(file).matchAll(/readonly code = '(\w+)'/g)] : []),
      ...(file.startsWith('helm/') ? [...read(file).matchAll(/\[([A-Z]\w+)\]["']|"code" "(\w+)"/g)] : []),
      ...read(file).matchAll(/lastWords\([^)]*\((\w+)\)`/g),
    ]);
    const codes = named.map(([, one, other]) => one ?? other ?? '');
    expect(codes.length).toBeGreaterThan(40);
    expect(codes.filter((code) => !Object.hasOwn(CODES, code))).toEqual([]);
  });

  it('is said by something: the table has no word for what cannot happen', () => {
    // The table itself and the wording of agents' texts say nothing by themselves.
    const text = sources
      .filter((file) => !/^api\/src\/(codes|agent-text)/.test(file))
      .map(read)
      .join('\n');
    const silent = Object.keys(CODES).filter((code) => !new RegExp(`['"([]${code}['")\\]]|\\b${code}: \\(`).test(text));
    expect(silent).toEqual([]);
  });
});
