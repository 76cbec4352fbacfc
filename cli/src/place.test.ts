import { expect, test } from 'vitest';
import { placed, placeOf } from './place.ts';

test.each<[string, string, object, string]>([
  ['chaperone requests ls', 'chaperone', {}, 'chaperone requests ls'],
  ['chaperone requests ls', 'chaperone', { data: './shop' }, 'chaperone requests ls --data ./shop'],
  [
    'what ends it: chaperone grants revoke ar-1',
    'chaperone',
    { data: 'a b' },
    "what ends it: chaperone grants revoke ar-1 --data 'a b'",
  ],
  ['chaperone sessions ls', 'chaperone', { data: "it's" }, "chaperone sessions ls --data 'it'\\''s'"],
  [
    'chaperone requests show ar-1',
    'kubectl chaperone',
    { namespace: 'agents', context: 'prod', as: 'jane' },
    'kubectl chaperone requests show ar-1 --context prod --namespace agents',
  ],
  ['chaperone up --manifests DIR', 'kubectl chaperone', { data: 'd', namespace: 'n' }, 'chaperone up --manifests DIR --data d'],
  ['chaperone explain Usage', 'chaperone', { data: 'd' }, 'chaperone explain Usage'],
  ['or name its data directory with --data', 'chaperone', { data: 'd' }, 'or name its data directory with --data'],
])('%s, of %s with %j, is pasted as %s', (hint, program, flags, pasted) => {
  expect(placed(hint, program, { ...flags })).toBe(pasted);
});

test('a place that is not named needs no flag', () => {
  expect(placeOf({ data: undefined, output: 'json' })).toBe('');
});
