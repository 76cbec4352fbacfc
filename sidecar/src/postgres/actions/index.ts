export { StatementError, STATEMENT_ERRORS, type StatementErrorCode } from './errors.ts';
export { type Predicate, predicateOf } from './predicate.ts';
export { blankLiterals, hasMaskSentinel, literals, type Literal } from './literals.ts';
export { checkOffline } from './offline.ts';
export { MAX_STATEMENT_BYTES, StatementParser, type ParserOptions } from './parser.ts';
export type {
  ObjectName,
  Reads,
  Reference,
  References,
  RefusalCode,
  Statement,
  StatementClass,
  StatementOf,
  TransactionOperation,
} from './statement.ts';
export { instanceOf, type LiteralClass, PARAMETER_TYPES, type Template, templateOf } from './template.ts';
export { utilityAction } from './utility-action.ts';
