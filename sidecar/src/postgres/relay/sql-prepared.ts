import type { StatementOf } from '../actions/index.ts';
import { encodeClose } from '../wire/index.ts';
import type { Held } from './judgement.ts';
import type { Link } from './link.ts';
import type { Prepared } from './steps.ts';
import type { Refusal } from './texts.ts';

/** PREPARE, EXECUTE and DEALLOCATE of SQL. Their names are those of the protocol's prepared statements. */
export type SqlPrepared = StatementOf<'prepare' | 'execute' | 'deallocate'>;

export function isSqlPrepared(statement: Held): statement is SqlPrepared {
  return statement.kind === 'prepare' || statement.kind === 'execute' || statement.kind === 'deallocate';
}

/** What the server itself would answer. */
export interface SqlError {
  readonly sqlstate: string;
  readonly message: string;
}

/** What EXECUTE runs: a query, with as many values as it has parameters. */
export function findPrepared(link: Link, { name, values }: StatementOf<'execute'>): Prepared | SqlError | Refusal {
  const prepared = link.statements.get(name);
  if (prepared === undefined) return missing(name);
  if (!['query', 'prepare'].includes(prepared.judgement.statement.kind)) return NOT_A_QUERY;
  if (prepared.parameters.length === values.length) return prepared;
  return { sqlstate: '42601', message: `wrong number of parameters for prepared statement "${name}"` };
}

/** Frees a name, or all that the agent gave. @returns the tag of the command, or the server's own error */
export function deallocate(link: Link, name: string | undefined): string | SqlError {
  if (name !== undefined && !link.statements.has(name)) return missing(name);
  for (const each of name === undefined ? [...link.statements.keys()] : [name]) {
    const target = { kind: 'statement', name: each } as const;
    link.statements.delete(each);
    link.send(encodeClose(target), { kind: 'close', tell: false, target });
  }
  return name === undefined ? 'DEALLOCATE ALL' : 'DEALLOCATE';
}

function missing(name: string): SqlError {
  return { sqlstate: '26000', message: `prepared statement "${name}" does not exist` };
}

const NOT_A_QUERY: Refusal = {
  code: 'NotAnalysable',
  reason: 'EXECUTE is supported for queries only; send the statement itself',
};
