import { ACCOUNTS, LINKS, LINKED } from './database.ts';

/** One load of short statements. */
export interface Load {
  readonly name: string;
  /** What a flag selects it by, with all of its kind. */
  readonly key: PointKey;
  readonly protocol: 'simple' | 'prepared';
  readonly clients: number;
  /** What pgbench runs, over and over. */
  readonly script: string;
  /** Statements of one run of the script. */
  readonly statements: number;
}

export const POINT_KEYS = ['select', 'prepared', 'join', 'first', 'transaction'] as const;
export type PointKey = (typeof POINT_KEYS)[number];

const IN_TRANSACTION = 8;
const RANDOM = `\\set aid random(1, ${ACCOUNTS})\n`;
const SELECT = 'SELECT abalance FROM accounts WHERE aid = :aid;\n';

/** Each table's row says where to look in the next: nothing of it is faster than by key, and the server weighs all orders. */
function joinByKey(): string {
  const joins = Array.from({ length: LINKS - 1 }, (_, at) => `JOIN link_${at + 2} l${at + 2} ON l${at + 2}.id = l${at + 1}.next`);
  return `\\set id random(1, ${LINKED})\nSELECT l1.value, l${LINKS}.value FROM link_1 l1 ${joins.join(' ')} WHERE l1.id = :id;\n`;
}

const KINDS: Readonly<Record<PointKey, Pick<Load, 'name' | 'protocol' | 'script' | 'statements'>>> = {
  select: { name: 'point select, simple', protocol: 'simple', script: RANDOM + SELECT, statements: 1 },
  prepared: { name: 'point select, prepared', protocol: 'prepared', script: RANDOM + SELECT, statements: 1 },
  join: { name: `join of ${LINKS} tables by key, simple`, protocol: 'simple', script: joinByKey(), statements: 1 },
  first: {
    // Another name of the column is another tree, and no text of the run comes twice but by chance.
    name: 'point select never seen, simple',
    protocol: 'simple',
    script: `${RANDOM}\\set n random(1, 2000000000)\nSELECT abalance AS c:n FROM accounts WHERE aid = :aid;\n`,
    statements: 1,
  },
  transaction: {
    name: `BEGIN, ${IN_TRANSACTION} point selects, COMMIT, simple`,
    protocol: 'simple',
    script: `BEGIN;\n${(RANDOM + SELECT).repeat(IN_TRANSACTION)}COMMIT;\n`,
    statements: IN_TRANSACTION + 2,
  },
};

/** Every kind with 1 and with 16 clients. */
export function pointLoads(keys: readonly PointKey[] = POINT_KEYS): readonly Load[] {
  return keys.flatMap((key) =>
    [1, 16].map((clients) => {
      const kind = KINDS[key];
      return { ...kind, key, clients, name: `${kind.name}, ${clients} client${clients > 1 ? 's' : ''}` };
    }),
  );
}
