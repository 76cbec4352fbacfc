import type { AccessRequest } from '@chaperone/api';
import { DECIDE_PAGE } from '@chaperone/api/requests';
import { expect, test } from 'vitest';
import { signingPage } from './signing-page.ts';

const annotated = (annotations?: Record<string, string>): AccessRequest =>
  ({ metadata: { name: 'ar-7f3k', ...(annotations === undefined ? {} : { annotations }) } }) as AccessRequest;

test('what the operator wrote on a request is where it is signed', () => {
  const page = 'https://decide.corp:8443/decide/agents/ar-7f3kq2mzt4hcnw5e';
  expect(signingPage(annotated({ [DECIDE_PAGE]: page }))).toMatchObject({ href: page, host: 'decide.corp:8443' });
});

test('a name in letters that look like others is shown in those of the name system', () => {
  expect(signingPage(annotated({ [DECIDE_PAGE]: 'https://dеcide.corp/x' }))?.host).toBe('xn--dcide-zwe.corp');
});

test.each([
  '',
  'decide.corp/x',
  'http://decide.corp/x',
  'javascript:alert(1)',
  'java\nscript:alert(1)',
  'data:text/html,x',
  '//decide.corp/x',
  'https://',
  'https://decide.corp@evil.example/x',
  'https://:secret@decide.corp/x',
  `https://decide.corp/${'x'.repeat(2_048)}`,
])('%j is no such place', (text) => {
  expect(signingPage(annotated({ [DECIDE_PAGE]: text }))).toBeUndefined();
});

test('a request without the word has none', () => {
  expect(signingPage(annotated())).toBeUndefined();
  expect(signingPage(annotated({}))).toBeUndefined();
});
