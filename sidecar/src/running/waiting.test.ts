import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Waiting } from './waiting.ts';

describe('bytes that wait', () => {
  it('come out as they went in, whatever their pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 })), (pieces) => {
        const waiting = new Waiting();
        for (const piece of pieces) waiting.push(Buffer.from(piece));
        expect(Buffer.concat(waiting.takeAll())).toEqual(Buffer.concat(pieces));
        expect(waiting.takeAll()).toEqual([]);
      }),
    );
  });

  it('cost little more than they are, one by one', () => {
    const waiting = new Waiting();
    for (let count = 0; count < 100_000; count++) waiting.push(Buffer.from([count & 0xff]));
    expect(waiting.takeAll().length).toBeLessThan(30);
  });

  it('go on behind what was taken', () => {
    const waiting = new Waiting();
    waiting.push(Buffer.from('a'));
    const [first] = waiting.takeAll();
    waiting.push(Buffer.from('b'));
    expect([first?.toString(), Buffer.concat(waiting.takeAll()).toString()]).toEqual(['a', 'b']);
  });
});
