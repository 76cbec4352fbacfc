import { type AccessRequest, shortDigest } from '@chaperone/api';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run, type Shop, startShop } from '../program.test-support.ts';
import { startHeld, totalOf } from './requests.test-support.ts';

let shop: Shop;
beforeAll(async () => {
  shop = await startShop();
});
afterAll(() => shop[Symbol.asyncDispose]());

const update = (total: number, id: number): string => `update orders set total = ${total} where id = ${id}`;
test('the same runs again for some time where a rule lets people grant that, until somebody ends it', async () => {
  await using held = await startHeld(shop, 'approvers: {groups: [shop-leads]}, maxGrant: 30m');
  const { request, answer } = await held.held(update(1, 101));
  const { name } = request.metadata;
  const approve = ['approve', name, '--digest', shortDigest(request.spec.digest)];
  for (const [time, said] of [
    ['1h', `--for: the rules of ${name} let the same run again for 30m at most (Usage)`],
    ['30s', '--for is at least 1m (Usage)'],
    ['often', '--for'],
  ] as const)
    expect(await held.ask(...approve, '--for', time)).toMatchObject({ code: 2, err: expect.stringContaining(said) });
  expect(await held.ask(...approve, '--for', '10m', '--reason', 'ticket 7')).toMatchObject({ code: 0 });
  expect(await answer).toBe('UPDATE 1');
  const { answer: second } = await held.agent(update(2, 102));
  expect([await second, await totalOf(shop, 102)]).toEqual(['UPDATE 1', '2.00']);

  const listed = (await held.ask('grants', 'ls')).out
    .trimEnd()
    .split('\n')
    .map((row) => row.split(/ {2,}/));
  expect(listed[0]).toEqual(['NAME', 'AGENT', 'RESOURCE', 'EFFECT', 'BY', 'USES', 'LEFT']);
  expect(listed[1]).toEqual([
    name,
    'support-agent',
    'data/orders-db',
    'update:public.orders',
    expect.stringMatching(/^local:/),
    '1',
    expect.stringMatching(/^(9m\d+|10m00)s$/),
  ]);
  const [again] = JSON.parse((await held.ask('requests', 'ls', '-o', 'json')).out).items as AccessRequest[];
  expect((await held.ask('requests', 'show', again?.metadata.name ?? '')).out).toContain(
    `Granted   with the approval of ${name}; nobody was asked\n`,
  );

  expect(await held.ask('grants', 'revoke', name)).toMatchObject({
    code: 0,
    out: `accessrequest/${name} revoked: the next execution is asked for again\n`,
  });
  expect(await held.ask('grants', 'revoke', name)).toMatchObject({
    code: 6,
    err: expect.stringMatching(new RegExp(`^error: ${name} was revoked by local:\\S+ already \\(AlreadyDecided\\)\n`)),
  });
  expect(await held.ask('grants', 'ls')).toMatchObject({ code: 0, out: '', err: 'Nothing is granted.\n' });
  const hint = /^ {2}fix {2}(chaperone .*)$/m.exec((await held.ask('requests', 'show', 'ar-aaaa')).err)?.[1] ?? '';
  expect(hint, 'it works when it is pasted').toBe(`chaperone requests ls --data ${held.data}`);
  const third = await held.held(update(3, 103));
  expect(await held.ask('grants', 'revoke', third.request.metadata.name)).toMatchObject({
    code: 6,
    err: expect.stringContaining(`${third.request.metadata.name} grants nothing beyond itself (AlreadyDecided)`),
  });
  await held.ask('deny', third.request.metadata.name);
  expect(await third.answer).toContain('ApprovalDenied');
  expect(await totalOf(shop, 103)).toBe('5.25');
  await held.ask('approve', name, '--digest', shortDigest(request.spec.digest));
});

test('what is granted ends when its policy changes, and says when and why', async () => {
  await using held = await startHeld(shop, 'approvers: {groups: [shop-leads]}, maxGrant: 30m');
  const { request, answer } = await held.held(update(7, 101));
  const { name } = request.metadata;
  await held.ask('approve', name, '--digest', shortDigest(request.spec.digest), '--for', '10m');
  expect(await answer).toBe('UPDATE 1');
  expect((await held.ask('grants', 'ls')).out).toContain(name);
  const file = join(held.manifests, 'policy.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace('maxGrant: 30m', 'maxGrant: 20m'));
  const { status } = await held.request((each) => each.metadata.name === name && each.status?.grantEnded !== undefined);
  expect((await held.ask('grants', 'ls')).err).toBe('Nothing is granted.\n');
  const copies = join(held.data, 'requests.json');
  await writeFile(copies, (await held.ask('requests', 'ls', '-o', 'json')).out);
  expect(await run(['requests', 'verify', '-f', copies]), 'what nobody signed is not said to be false').toMatchObject({
    code: 3,
    out: expect.stringMatching(`${name}  missing: chaperone up kept it in its memory .*nothing of it can be verified`),
  });
  expect(status?.grantEnded).toEqual({ at: expect.any(String), why: 'its policy changed' });
  expect((await held.ask('requests', 'show', name)).out).toMatch(
    /^Grants .* until \S+, ended at \d{4}-\d\d-\d\d [\d:.]+Z: its policy changed$/m,
  );
  expect(await held.ask('grants', 'revoke', name)).toMatchObject({
    code: 6,
    err: expect.stringMatching(`${name} granted until \\S+: its policy changed \\(AlreadyDecided\\)`),
  });
  const digest = shortDigest(request.spec.digest);
  expect(await held.ask('approve', name, '--digest', digest, '--for', '10m'), 'nothing extends it').toMatchObject({
    code: 6,
    err: expect.stringContaining('fix  approve the next request with --for: no grant is extended'),
  });
});

test('what is granted is ended over HTTP as well: what was shown, once, and nothing that grants nothing', async () => {
  await using held = await startHeld(shop, 'approvers: {groups: [shop-leads]}, maxGrant: 30m');
  const revoke = async ({ metadata, spec }: AccessRequest, mods: object = {}): Promise<[number, string | undefined]> => {
    const { status, body } = await held.http({
      method: 'POST',
      path: `/v1/requests/agents/${metadata.name}/revocations`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ requestUid: metadata.uid, digest: spec.digest, ...mods }),
    });
    return [status, (JSON.parse(body) as { code?: string }).code];
  };
  const { request, answer } = await held.held(update(4, 101));
  expect(await revoke(request), 'what waits is not denied by it').toEqual([409, 'AlreadyDecided']);
  await held.ask('approve', request.metadata.name, '--digest', shortDigest(request.spec.digest), '--for', '10m');
  expect(await answer).toBe('UPDATE 1');
  for (const [mods, refused] of [
    [{ digest: 'f'.repeat(64) }, [409, 'DigestMismatch']],
    [{ requestUid: 'other' }, [409, 'DigestMismatch']],
    [{ grantFor: 600 }, [400, 'Usage']],
    [{ decision: 'Approve' }, [400, 'Usage']],
    [{ by: 'jane' }, [400, 'Usage']],
    [{ reason: 'x'.repeat(1025) }, [400, 'Usage']],
  ] as const)
    expect(await revoke(request, mods)).toEqual(refused);
  expect([await revoke(request, { reason: 'ticket closed' }), await revoke(request)]).toEqual([
    [201, undefined],
    [200, undefined],
  ]);
  expect(await revoke(request, { as: { user: 'jane', groups: ['shop-leads'] } })).toEqual([409, 'AlreadyDecided']);
  const next = await held.held(update(5, 102));
  await held.ask('deny', next.request.metadata.name);
  expect(await next.answer).toContain('ApprovalDenied');
});
