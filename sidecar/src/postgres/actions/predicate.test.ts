import { describe, expect, it } from 'vitest';
import { predicateOf } from './predicate.ts';

describe('the rows that a statement is about', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['update t set a = 1', 't', undefined],
    ["update public.t set a = 'where x' where id = 1", 'public.t', 'id = 1'],
    ['UPDATE ONLY t AS x SET a = (select 1 from y where z) WHERE x.id = 1 RETURNING *', 'ONLY t AS x', 'x.id = 1'],
    [
      '/* a */ delete /* b */ from t -- c\n where id in (select 1 from u where v) -- d',
      't -- c',
      'id in (select 1 from u where v) -- d',
    ],
    ['delete from t', 't', undefined],
    ['delete from "from" where "where" = $1', '"from"', '"where" = $1'],
    ['delete from t returning id', 't', undefined],
    ['update t set a = 1 from u where t.id = u.id', undefined, undefined],
    ['delete from t using u where t.id = u.id', undefined, undefined],
    ['update t set a = b is distinct from c where id = 1', undefined, undefined],
    ['with x as (select 1) delete from t', undefined, undefined],
    ['delete from t where current of c', undefined, undefined],
    ['update t set a = 1 where', undefined, undefined],
    ['insert into t values (1)', undefined, undefined],
    ['select 1', undefined, undefined],
    ['', undefined, undefined],
  ])('%s', (text, target, condition) => {
    expect(predicateOf(text)).toEqual(target === undefined ? undefined : { target, condition });
  });
});
