import { describe, expect, it } from 'vitest';
import { asked } from './answer.test-support.ts';
import { FIELDS, anAccess, aPod, aSecret, planOf } from './objects.test-support.ts';
import { shownChange, shownPatch, shownValue } from './shown.ts';

const plan = planOf(anAccess({}, ['email']), FIELDS);
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const text = (lines: readonly string[]): string => `\n${lines.join('\n')}`;
const CANARY = 'hunter2';

describe('what records keep', () => {
  it('of a body reads like YAML, masked', () => {
    const body = {
      kind: 'Secret',
      metadata: { name: 'db', labels: {}, annotations: { note: 'ask mira.o@example.com' } },
      data: { password: base64(CANARY) },
      list: ['a', 1, 'true', '- b', [2], { c: 'x\ny', d: null }],
    };
    expect(text(shownValue(plan, asked('secrets'), body))).toBe(`
kind: Secret
metadata:
  name: db
  labels: {}
  annotations:
    note: "*****"
data:
  password: KioqKio=
list:
  - a
  - 1
  - "true"
  - "- b"
  - - 2
  - c: "x\\ny"
    d: null`);
  });

  it('of a change is where it stands, before and after', () => {
    const [before, after] = [aPod(1, CANARY, false), aPod(1, 'hunter3', false)] as Record<string, never>[];
    const changed = structuredClone(after) as unknown as {
      metadata: Record<string, unknown>;
      spec: { containers: Record<string, unknown>[]; tolerations?: unknown };
    };
    changed.metadata['resourceVersion'] = '2';
    changed.metadata['labels'] = { app: 'web' };
    changed.spec.containers[0] = { ...changed.spec.containers[0], image: 'b', args: ['--port=8080'] };
    changed.spec.containers.push({ name: 'sidecar', env: [{ name: 'DB_PASSWORD', value: CANARY }] });
    delete changed.spec.tolerations;
    const lines = shownChange(plan, asked('pods'), before, changed, { lines: 100, width: 60 });
    expect(text(lines)).toBe(`
  metadata:
    labels:
-     pod-template-hash: "6d4cf56db6"
    annotations:
-     kubectl.kubernetes.io/last-applied-configuration: "{\\…
+     kubectl.kubernetes.io/last-applied-configuration: "{\\… (changed)
  spec:
    containers:
      - name: web
-       image: registry.example.com/shop/web@sha256:4bcff63…
+       image: b
        args:
-         - "--db=postgres:*****/orders"
        env:
          - name: DB_PASSWORD
-           value: "*****"
+           value: "*****" (changed)
+     - name: sidecar
+       env:
+         - name: DB_PASSWORD
+           value: "*****"
-   tolerations:
-     - key: node.kubernetes.io/not-ready
-       operator: Exists
-       effect: NoExecute
-       tolerationSeconds: 300`);
    expect(lines.join()).not.toContain(CANARY);
  });

  it('of a change without one is nothing', () => {
    expect(shownChange(plan, asked('pods'), aPod(1), { ...aPod(1) })).toEqual([]);
  });

  it('of operations is masked by where they point', () => {
    const operations = [
      { op: 'replace', path: '/data/password', value: base64(CANARY) },
      { op: 'add', path: '/data', value: { 'a/b': base64(CANARY) } },
      { op: 'add', path: '', value: aSecret(CANARY) },
      { op: 'test', path: '/type', value: 'Opaque' },
      { op: 'move', from: '/a', path: '/b' },
    ];
    const lines = shownPatch(plan, asked('secrets'), operations);
    expect(lines.slice(0, 3)).toEqual(['replace /data/password: KioqKio=', 'add /data:', '  a/b: KioqKio=']);
    expect(lines.slice(-2)).toEqual(['test /type: Opaque', 'move /a /b']);
    expect(lines.join()).not.toMatch(new RegExp(`${CANARY}|${base64(CANARY)}`));
    const env = [
      { op: 'replace', path: '/spec/containers/0/env/1/value', value: CANARY },
      { op: 'add', path: '/spec/containers/0/env/-', value: { name: 'DB_PASSWORD', value: CANARY } },
      { op: 'add', path: '/spec/containers/0/image', value: 'b' },
    ];
    expect(text(shownPatch(plan, asked('pods'), env))).toBe(`
replace /spec/containers/0/env/1/value: "*****"
add /spec/containers/0/env/-:
  name: DB_PASSWORD
  value: "*****"
add /spec/containers/0/image: b`);
    const widget = [
      { op: 'add', path: '/spec/users/0/token', value: CANARY },
      { op: 'add', path: '/metadata/annotations/example.com~1token', value: CANARY },
    ];
    expect(shownPatch(plan, asked('widgets', 'example.com'), widget).join()).not.toContain(CANARY);
  });

  it('of what a terminal obeys is its escape', () => {
    const value = { '- a': '\u001b[2J\u202eb\u009b\u2028', '\u{e0001}': 'ü' };
    expect(shownValue(plan, asked('pods'), value)).toEqual([
      '"- a": "\\u001b[2J\\u202eb\\u009b\\u2028"',
      '"\\udb40\\udc01": "ü"',
    ]);
  });

  it('is bounded', () => {
    const wide = { a: Array.from({ length: 100_000 }, (_, index) => index), b: 'c'.repeat(100_000) };
    const lines = shownValue(plan, asked('pods'), wide, { lines: 10, width: 20 });
    expect(lines).toHaveLength(11);
    expect(lines.at(-1)).toBe('…');
    expect(shownValue(plan, asked('pods'), { b: 'c'.repeat(100) }, { lines: 10, width: 20 })).toEqual([`b: ${'c'.repeat(16)}…`]);
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level++) deep = [deep];
    expect(shownValue(plan, asked('pods'), deep)).toEqual(['… too deep to be shown']);
    expect(shownChange(plan, asked('pods'), deep, 1)).toEqual(['… too deep to be shown']);
    expect(shownPatch(plan, asked('pods'), [{ op: 'add', path: '/a', value: deep }])).toEqual(['… too deep to be shown']);
  });
});
