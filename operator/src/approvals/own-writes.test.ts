import type { AccessRequest } from '@chaperone/api';
import { describe, expect, test } from 'vitest';
import { OwnWrites } from './own-writes.ts';

const NOW = 1_800_000_000_000;
const version = (name: string, resourceVersion: string, podUid = 'bot'): AccessRequest =>
  ({ metadata: { name, uid: name, resourceVersion }, spec: { agent: { podUid } } }) as unknown as AccessRequest;
const versions = (requests: readonly AccessRequest[]): string[] =>
  requests.map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion ?? ''}`);

describe('what was written', () => {
  test.each<[string, AccessRequest[], AccessRequest[], string[]]>([
    ['is there before the informer brings it', [version('a', '9')], [], ['a@9']],
    ['is newer than what the informer has', [version('a', '10')], [version('a', '9')], ['a@10']],
    ['is older than what the informer has', [version('a', '9')], [version('a', '10')], ['a@10']],
    ['is there once, as it was written last', [version('a', '9'), version('a', '11')], [], ['a@11']],
    ['is told beside all that the informer has', [version('a', '9')], [version('b', '3')], ['b@3', 'a@9']],
    ['gives way to the informer where versions are no numbers', [version('a', 'x')], [version('a', 'y')], ['a@y']],
    ['of another pod is not this one’s', [version('a', '9', 'other')], [], []],
  ])('%s', (_, written, known, expected) => {
    const own = new OwnWrites();
    for (const request of written) own.add(request, NOW);
    expect(versions(own.over(known, 'bot', NOW))).toEqual(expected);
  });

  test('and the informer never brought was removed: it is forgotten after ten seconds', () => {
    const own = new OwnWrites();
    own.add(version('a', '9'), NOW);
    expect(own.over([], 'bot', NOW + 10_000)).toHaveLength(1);
    expect(own.over([], 'bot', NOW + 10_001)).toEqual([]);
  });

  test('is kept of the last 1,024, whoever writes how much', () => {
    const own = new OwnWrites();
    for (let index = 0; index < 5_000; index += 1) own.add(version(`a${index}`, '1'), NOW);
    expect(own.over([], 'bot', NOW)).toHaveLength(1024);
  });
});
