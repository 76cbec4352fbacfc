import type { AccessRequest, RequestStatus } from '@chaperone/api';
import { describe, expect, test } from 'vitest';
import { inGroups, type Row, sameKeys, waitingAlike } from './alike.ts';

const rule = (name: string): object => ({ policy: { namespace: 'agents', name: 'p' }, generation: 1, rule: name });

/** A request that waits, whose template is as it is named: a1 and a2 are alike, and b1 is not. */
function asked(name: string, spec: object = {}, status: RequestStatus = { state: 'Pending' }): AccessRequest {
  return {
    metadata: { name, namespace: 'agents', uid: `uid-${name}` },
    spec: {
      agent: { serviceAccount: 'bot', podUid: 'pod-1' },
      resource: { namespace: 'data', name: 'db' },
      protocol: 'postgres',
      rules: [rule('fix')],
      template: name.slice(0, 1).repeat(64),
      expiresAt: `2026-01-01T12:0${name.slice(1)}:00Z`,
      ...spec,
    },
    status,
  } as unknown as AccessRequest;
}

function textOf(row: Row): string {
  if (row.kind === 'one') return `${row.isOfGroup ? '- ' : ''}${row.request.metadata.name}`;
  return `${row.isOpen ? 'v' : '>'} ${row.requests.map(({ metadata }) => metadata.name).join(' ')}`;
}

function drawn(requests: readonly AccessRequest[], isOpen = false): string[] {
  const keys = sameKeys(requests);
  const open = new Set(isOpen ? [...keys.values()].filter((key) => key !== undefined) : []);
  return inGroups(requests, (each) => keys.get(each), open).map(textOf);
}

describe('requests that ask for the same with other values', () => {
  test('are one row, where the first of them is', () => {
    expect(drawn([asked('b1'), asked('a1'), asked('c1'), asked('a2')])).toEqual(['b1', '> a1 a2', 'c1']);
  });
  test('open to each of them, in their order', () => {
    expect(drawn([asked('a1'), asked('b1'), asked('a2')], true)).toEqual(['v a1 a2', '- a1', '- a2', 'b1']);
  });
  test('stay together when one was decided', () => {
    expect(drawn([asked('a1', {}, { state: 'Denied' }), asked('a2')])).toEqual(['> a1 a2']);
  });
  test.each<[string, object]>([
    ['of another rule', { rules: [rule('other')] }],
    ['of another agent', { agent: { serviceAccount: 'other', podUid: 'pod-1' } }],
    ['of another pod, for which a grant would not be', { agent: { serviceAccount: 'bot', podUid: 'pod-2' } }],
    ['for another person', { agent: { serviceAccount: 'bot', podUid: 'pod-1', onBehalfOf: { issuer: 'i', user: 'ana' } } }],
    ['on another resource', { resource: { namespace: 'data', name: 'other' } }],
    ['without a template, as a value may say what it does', { template: undefined }],
  ])('are none %s', (_, mods) => {
    expect(drawn([asked('a1'), asked('a2', mods)])).toEqual(['a1', 'a2']);
  });
  test('are none where neither has a template', () => {
    expect(drawn([asked('a1', { template: undefined }), asked('a2', { template: undefined })])).toEqual(['a1', 'a2']);
  });
  test('that wait are named beside one of them, the least time left first', () => {
    const all = [asked('a3'), asked('a1', {}, { state: 'Ran' }), asked('a2'), asked('b1'), asked('a4', { rules: [rule('x')] })];
    expect(waitingAlike(asked('a9'), all).map(({ metadata }) => metadata.name)).toEqual(['a2', 'a3']);
    expect(waitingAlike(asked('a9', { template: undefined }), all)).toEqual([]);
  });
});
