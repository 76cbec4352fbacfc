import { shortDigest } from '@chaperone/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Shop, startShop } from '../program.test-support.ts';
import { type Held, REFUND, startHeld } from './requests.test-support.ts';

let shop: Shop;
let held: Held;
beforeAll(async () => {
  shop = await startShop();
  held = await startHeld(shop);
});
afterAll(async () => {
  await held[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
});

test('play', async () => {
  const { answer } = await held.agent('update orders set total = $1 where id = $2', [0, 102]);
  const request = await held.request();
  console.log((await held.ask('requests', 'ls')).out);
  console.log((await held.ask('requests', 'ls', '-o', 'wide', '-A')).out);
  console.log((await held.ask('requests', 'show', request.metadata.name.slice(0, 6))).out);
  console.log(await held.ask('approve', request.metadata.name));
  console.log(await held.ask('approve', request.metadata.name, '--digest', shortDigest(request.spec.digest)));
  console.log(await answer);
  console.log(await held.ask('approve', request.metadata.name, '--digest', shortDigest(request.spec.digest)));
  const { answer: b } = await held.agent(REFUND);
  const second = await held.request();
  console.log(await held.ask('deny', second.metadata.name, '--reason', 'not again'));
  console.log(await b);
  console.log((await held.ask('requests', 'ls')).out);
  expect(1).toBe(1);
}, 60000);
