/** Names that look like parts of the printed tree, or that the server's escaping and line folding treat unevenly. */
export const NAMES = [
  [':expr', ':rtekind', ':relid', ':relkind', ':subquery', ':targetList', ':varno', ':varattno', ':varlevelsup', ':location'],
  [':constvalue', ':utilityStmt', ':ctename', ':rtable', ':commandType', ':resjunk', ':returningList', ':setOperations', ':'],
  ['[', ']', '[ 1 2 ]', '4 [ 0 ]', '"', '""', '"a"', '{', '}', '{QUERY', '{CONST}', '(', ')', '()', '\\', '\\\\', '\\ ', 'a\\'],
  [':expr <>', ':expr {CONST}', '} :expr <> {', ':resname x} {TARGETENTRY :expr <>', ') :targetList (', '<>', '<', '<x>'],
  ['a b', 'a\nb', 'a\tb', ' ', '\n', ' '.repeat(40), `${'('.repeat(39)}:expr`, `${' '.repeat(30)}:expr`, '('.repeat(63)],
  ['x'.repeat(63), `${'x '.repeat(31)}x`, '\\'.repeat(63), '\u00e4'.repeat(31), '\u{1f600}'.repeat(15), '\uFFFD', '\u2028'],
  [
    '1',
    '-1',
    '+1',
    '.5',
    'true',
    'constant',
    'utility',
    '__proto__',
    'constructor',
    'tag',
    'b',
    '*SELECT*',
    '*GROUP*',
    'old',
    'new',
  ],
].flat();

/** Statements with such a name, quoted. */
export const SHAPES: readonly ((name: string) => string)[] = [
  (n) => `select ssn as ${n} from app.customers`,
  (n) => `select 1 as ${n}, ssn from app.customers`,
  (n) => `select ${n}.ssn from app.customers as ${n}`,
  (n) => `select ${n} from app.customers as ${n}`,
  (n) => `select ${n} from (select ssn as ${n} from app.customers) x`,
  (n) => `select ${n}.* from (select ssn from app.customers) as ${n}`,
  (n) => `select ${n}.${n} from (select ssn from app.customers) as ${n}(${n})`,
  (n) => `with ${n} as (select ssn from app.customers) select * from ${n}`,
  (n) => `with ${n} as materialized (select ssn as ${n} from app.customers) select ${n}.${n} from ${n}`,
  (n) =>
    `with recursive ${n}(${n}) as (select ssn from app.customers union all select ${n}.${n} from ${n} where false) select ${n}.${n} from ${n}`,
  (n) => `with a as (select 1), ${n} as (select ssn from app.customers) select ${n}.ssn from ${n}, a`,
  (n) => `select y.${n} from app.customers c, lateral (select c.ssn as ${n}) y`,
  (n) => `select 'x' as ${n} union all select ssn from app.customers`,
  (n) => `select ssn, sum(1) over ${n} from app.customers window ${n} as (order by id)`,
  (n) => `select j.${n} from (app.orders left join app.customers using (id)) as j(a, b, c, d, e, f, ${n})`,
  (n) => `update app.customers as ${n} set name = 'x' returning ${n}.ssn as ${n}`,
  (n) => `with ${n} as (delete from app.customers returning ssn as ${n}) select ${n}.${n} from ${n}`,
  (n) =>
    `with ${n} as (select ssn as ${n} from app.customers) insert into app.orders(id, note) select 99, max(${n}.${n}) from ${n} returning note`,
  (n) =>
    `select ssn as ${n}, case when id = 1 then 'a' end as ${n} from app.customers order by ${n}.id`.replace(
      `order by ${n}.id`,
      'order by id',
    ),
];
