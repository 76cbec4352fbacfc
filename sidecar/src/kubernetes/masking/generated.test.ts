import { isUtf8 } from 'node:buffer';
import { randomSegments } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import type { Shape } from './answer.ts';
import { asked, through } from './answer.test-support.ts';
import { AnswerError } from './errors.ts';
import { CANARY, Maker, type Pair } from './generated.test-support.ts';
import { FIELDS, anAccess, planOf } from './objects.test-support.ts';

const plan = planOf(anAccess({}, ['email']), FIELDS);
const KINDS = [
  ['Secret', asked('secrets')],
  ['ConfigMap', asked('configmaps')],
  ['Widget', asked('widgets', 'example.com')],
  ['Deployment', asked('deployments', 'apps')],
] as const;
const SHAPES: readonly [Shape, (maker: Maker, kind: string) => Pair][] = [
  ['object', (maker, kind) => maker.object(kind)],
  ['list', (maker, kind) => maker.list(kind)],
  ['list', (maker, kind) => maker.table(kind)],
  ['watch', (maker, kind) => maker.event(kind)],
];
const ROUNDS = 30;

describe.each(KINDS)('generated answers about %s', (kind, what) => {
  it.each(SHAPES.map(([shape, make], index) => ({ shape, make, index })))(
    'show what they must, in shape $shape ($index)',
    ({ shape, make, index }) => {
      for (let round = 0; round < ROUNDS; round++) {
        const seed = index * 1000 + round;
        const maker = new Maker(seed);
        const { raw, shown } = make(maker, kind);
        // A table of an own kind whose fields are labelled shows no columns.
        const expected = kind === 'Widget' && index === 2 ? withHiddenCells(shown) : shown;
        const bytes = Buffer.from(maker.text(raw));
        const out = through(plan, what, shape, [bytes]);
        expect(JSON.parse(out.toString()), `seed ${seed}`).toEqual(expected);
        expect(through(plan, what, shape, randomSegments(bytes, maker.random, 200)).equals(out), `seed ${seed}`).toBe(true);
        for (const form of [CANARY, Buffer.from(CANARY).toString('base64')])
          expect(JSON.stringify(JSON.parse(out.toString()))).not.toContain(form);
      }
    },
  );

  it('that are damaged end where they are no JSON, and there alone', () => {
    for (let seed = 0; seed < 150; seed++) {
      const maker = new Maker(seed);
      const bytes = Buffer.from(maker.text(maker.object(kind).raw));
      const at = Math.floor(maker.random() * bytes.length);
      bytes[at] = '{}[],:"\\x0\n-.eE+u'.charCodeAt(Math.floor(maker.random() * 17));
      const isShown = !(caught(() => through(plan, what, 'object', [bytes])) instanceof AnswerError);
      expect(isShown, `seed ${seed}`).toBe(isUtf8(bytes) && !(caught(() => JSON.parse(bytes.toString())) instanceof SyntaxError));
    }
  });

  it('that are damaged end, or are JSON still, also as they pass', () => {
    for (let seed = 0; seed < 100; seed++) {
      const maker = new Maker(seed);
      const bytes = Buffer.from(maker.text(maker.list(kind).raw));
      const at = Math.floor(maker.random() * bytes.length);
      bytes[at] = '{}[],:"\\x0\n'.charCodeAt(Math.floor(maker.random() * 11));
      const thrown = caught(() => JSON.parse(through(plan, what, 'list', [bytes]).toString()));
      expect(thrown === undefined || thrown instanceof AnswerError, `seed ${seed}`).toBe(true);
    }
  });
});

function caught(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

function withHiddenCells(table: unknown): unknown {
  const { rows, ...rest } = table as { rows: { cells: unknown[] }[] };
  return { ...rest, rows: rows.map((row) => ({ ...row, cells: row.cells.map((cell, index) => (index === 0 ? cell : null)) })) };
}
