export { StatementError, STATEMENT_ERRORS, type StatementErrorCode } from './errors.ts';
export { blankLiterals, hasMaskSentinel, literals, type Literal } from './literals.ts';
export { checkOffline } from './offline.ts';
export { MAX_STATEMENT_BYTES, StatementParser, type ParserOptions } from './parser.ts';
export type {
  ObjectName,
  Reference,
  References,
  RefusalCode,
  Statement,
  StatementClass,
  StatementOf,
  TransactionOperation,
} from './statement.ts';
export { utilityAction } from './utility-action.ts';
