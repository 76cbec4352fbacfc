import { SensitiveData } from '@chaperone/api';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseField } from './fields.ts';

const part = fc.constantFrom('a', 'data', '.', '\\.', '\\', '[*]', '[]', '[', '*', ':', '/', ' ', 'é', 'env', 'pods', '-', "'");
const text = fc.array(part, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(''));
const mayBe = fc.oneof(
  text,
  text.map((rest) => `env:${rest}`),
  text.map((rest) => `pods:${rest}`),
  fc.tuple(text, text).map(([resource, rest]) => `${resource}:${rest}`),
);

it('whatever the API server takes for a labelled field is read as one, and nothing else', () => {
  let taken = 0;
  fc.assert(
    fc.property(mayBe, (field) => {
      const { success } = SensitiveData.safeParse({ label: 'a', fields: [field] });
      if (success) taken++;
      expect(parseField(field) !== undefined).toBe(success);
    }),
    { numRuns: 20_000, seed: 1 },
  );
  expect(taken).toBeGreaterThan(2_000);
});
