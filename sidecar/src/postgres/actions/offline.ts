import { judge, type Access, type Action, type Effect, type Verdict } from '@chaperone/policy';
import { StatementError } from './errors.ts';
import type { StatementParser } from './parser.ts';
import type { ObjectName, Reference, Statement } from './statement.ts';
import { NAME_NEEDS_SCHEMA, resolve, utilityAction } from './utility-action.ts';

/**
 * Judges SQL by its text alone, as `chaperone policy check` does: names resolve by the search path, and whatever would need
 * the server's catalogue is NotAnalysable. The verdict covers every statement of the text; the worst one decides.
 * Effects are the rights that the server itself would check: COPY reads or inserts, MERGE does what its branches do.
 * A text that the proxy would refuse for another reason (a pinned setting) is denied with that code.
 */
export async function checkOffline(parser: StatementParser, sql: string, access: Access): Promise<Verdict> {
  try {
    const statements = await parser.classify(Buffer.from(sql));
    const pinned = statements.find((each) => each.kind === 'refused' && each.code === 'SettingPinned');
    if (pinned?.kind === 'refused') return { verdict: 'deny', code: pinned.code, reason: sentence(pinned.why), effects: [] };
    const known: Known = {
      cursors: new Set(statements.flatMap((each) => (each.kind === 'declare' ? [each.cursor] : []))),
      prepared: new Set(statements.flatMap((each) => (each.kind === 'prepare' ? [each.name] : []))),
    };
    const actions = await Promise.all(statements.map((statement) => actionOf(parser, statement, access, known)));
    return judge(access, joined(actions));
  } catch (error) {
    if (error instanceof StatementError) return judge(access, { effects: [], notAnalysable: error.message });
    throw error;
  }
}

/** Names that the text itself gives. */
interface Known {
  readonly cursors: ReadonlySet<string>;
  readonly prepared: ReadonlySet<string>;
}

/** All effects, each once, and the first reason why they cannot be judged. */
function joined(actions: readonly Action[]): Action {
  const effects = new Map<string, Effect>();
  for (const effect of actions.flatMap((action) => action.effects)) effects.set(JSON.stringify(effect), effect);
  const why = actions.find((action) => action.notAnalysable !== undefined)?.notAnalysable;
  return { effects: [...effects.values()], ...(why !== undefined && { notAnalysable: why }) };
}

const UNKNOWN_STATEMENT: Action = { effects: [], notAnalysable: 'what it runs is told by its PREPARE only' };
const UNKNOWN_CURSOR: Action = { effects: [], notAnalysable: 'what it gives is told by DECLARE of its cursor only' };

async function actionOf(
  parser: StatementParser,
  statement: Statement,
  access: Access,
  { cursors, prepared }: Known,
): Promise<Action> {
  switch (statement.kind) {
    case 'query':
      return queryAction(parser, statement.text, access);
    case 'explain':
    case 'declare':
    case 'prepare':
      return queryAction(parser, statement.inner, access);
    case 'copy-out':
      return statement.relation === undefined
        ? queryAction(parser, statement.query, access)
        : named([on('select', statement.relation)], access);
    case 'copy-in':
      return named([on('insert', statement.relation)], access);
    case 'execute':
      return prepared.has(statement.name) ? { effects: [] } : UNKNOWN_STATEMENT;
    case 'fetch':
      return cursors.has(statement.cursor) ? { effects: [] } : UNKNOWN_CURSOR;
    case 'utility':
      return utilityAction(statement, access);
    case 'refused':
      return { effects: [], notAnalysable: statement.why };
    default:
      return { effects: [] };
  }
}

async function queryAction(parser: StatementParser, text: string, access: Access): Promise<Action> {
  const [query, ...more] = await parser.references(Buffer.from(text));
  if (!query || more.length > 0) return { effects: [], notAnalysable: 'it is not one statement' };
  const action = named(query.effects, access);
  return query.unknown === undefined ? action : { ...action, notAnalysable: query.unknown };
}

function on(verb: Reference['verb'], { schema, name }: ObjectName): Reference {
  return { verb, name, ...(schema !== undefined && { schema }) };
}

function named(references: readonly Reference[], access: Access): Action {
  const effects = references.map((reference): Effect | undefined => {
    const object = resolve(reference, access.searchPath);
    return object && { verb: reference.verb, via: 'direct', kind: 'relation', ...object };
  });
  const known = effects.filter((effect) => effect !== undefined);
  return known.length === effects.length ? { effects: known } : { effects: known, notAnalysable: NAME_NEEDS_SCHEMA };
}

function sentence(why: string): string {
  return why.slice(0, 1).toUpperCase() + why.slice(1);
}
