import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as control from './control.ts';
import * as approval from './approval/question.ts';

/**
 * What sidecars and operators of each protocol said, as it was recorded or written down then: what this release speaks still has to read it.
 * A file is only ever added to; it goes with its protocol.
 */
const directory = join(import.meta.dirname, 'testdata');
const schemas = { ...control, ...approval };
const recorded = (protocol: number) =>
  JSON.parse(readFileSync(join(directory, `control-${protocol}.json`), 'utf8')) as {
    schema: 'EnrolRequest' | 'StreamLine';
    message: object;
  }[];
/** Signed by the operator, to the letter. */
const STRICT = ['CounterRequest'];

test('each protocol that is spoken has its messages, and no other', () => {
  const files = readdirSync(directory).filter((name) => name.startsWith('control-'));
  expect(files).toEqual(control.CONTROL_PROTOCOLS.map((protocol) => `control-${protocol}.json`));
});

describe.each(control.CONTROL_PROTOCOLS)('protocol %i', (protocol) => {
  const messages = recorded(protocol);

  test.each(messages.map(({ schema, message }, at) => [at, schema, message] as const))(
    '%i, a %s, is read whole',
    (_at, schema, message) => {
      expect(schemas[schema].parse(message)).toEqual(message);
    },
  );

  test.each(
    messages.filter(({ schema }) => !STRICT.includes(schema)).map(({ schema, message }, at) => [at, schema, message] as const),
  )('%i, a %s, is read with what a later release may add', (_at, schema, message) => {
    expect(schemas[schema].parse({ ...message, addedLater: { a: [1] } })).toEqual(message);
  });

  test('every kind of message and of line is among them', () => {
    const kinds = new Set(messages.map(({ schema }) => schema as string));
    const all = Object.keys(schemas).filter((name) => /(Request|Response|Line|Error|View|^Question)$/.test(name));
    expect(all.filter((name) => !kinds.has(name))).toEqual([]);
    const lines = new Set(
      messages.filter(({ schema }) => schema === 'StreamLine').map(({ message }) => (message as { type: string }).type),
    );
    expect(lines).toEqual(new Set(control.StreamLine.options.map(({ shape }) => shape.type.value)));
  });
});
