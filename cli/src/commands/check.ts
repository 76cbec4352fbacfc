import { nearest, visible } from '@chaperone/api/text';
import { type Access, accessOnBehalfOf, type Agent, type Caller, type Verdict } from '@chaperone/policy';
import { checkOffline, compileDirectory, StatementParser } from '@chaperone/sidecar';
import { CliError, EXIT } from '../errors.ts';
import { type Io, safeJson, writeLine } from '../io.ts';
import { boundedLines } from './lines.ts';

/** Room for a statement of 1 MiB, the longest that is ever judged, with every second character escaped. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/**
 * Finds what the files grant the agent on one resource, and says on standard error what of its policies comes to nothing. Throws
 * CliError NotGranted, ControlPlaneError.
 */
export async function accessFor(directory: string, agent: Agent, resource: string, { err }: Pick<Io, 'err'>): Promise<Access> {
  const compiled = await compileDirectory(directory, agent);
  for (const { policy, code, message } of compiled.warnings)
    await writeLine(err, `warn: ${visible(`${policy}: ${message}`)} (${code})`);
  const names = compiled.resources.map(({ access }) => `${access.resource.namespace}/${access.resource.name}`);
  const found = compiled.resources[names.indexOf(resource)];
  if (found !== undefined) return found.access;
  const problem = compiled.problems.find((each) => each.resource === resource);
  if (problem !== undefined)
    throw new CliError(problem.code === 'ResourceNotFound' ? 'ResourceNotFound' : 'NotGranted', problem.message);
  const near = nearest(resource, names);
  throw new CliError(
    'NotGranted',
    `${agent.namespace}/${agent.serviceAccount} is granted no resource ${resource}${near === undefined ? '' : `; nearest: ${near}`}`,
  );
}

/**
 * Answers each line of standard input, {"sql": "…"}, with a line
 * {"verdict":"allow|deny|approve","rule":"…","code":"…","reason":"…","effects":[…]}, in the same order; blank lines hold no action
 * and get none. A line that is no action is answered too, with deny and code Usage.
 * @param caller - whom a verified token would name; absent: rules with onBehalfOf are not there, as in a session without one.
 * @returns the exit code: 0 when every line was an action and was answered, whatever the verdicts; 2 otherwise.
 */
export async function checkLines(whole: Access, io: Io, caller?: Caller): Promise<number> {
  const access = accessOnBehalfOf(whole, caller);
  await using parser = new StatementParser();
  let exit: number = EXIT.ok;
  for await (const line of boundedLines(io.in, MAX_LINE_BYTES)) {
    if (line.kind === 'line' && line.text.trim() === '') continue;
    const action = line.kind === 'line' ? readAction(line.text, access) : { problem: line.problem };
    if ('problem' in action) exit = EXIT.usage;
    await writeLine(
      io.out,
      safeJson('problem' in action ? noAction(action.problem) : answer(await checkOffline(parser, action.sql, access))),
    );
  }
  return exit;
}

function noAction(problem: string): object {
  return { verdict: 'deny', rule: '', code: 'Usage', reason: problem, effects: [] };
}

/** The contract's line. `wouldDeny` is there in Audit alone. */
function answer({ verdict, rule = '', code, reason, effects, wouldDeny }: Verdict): object {
  return {
    verdict,
    rule,
    code,
    reason,
    effects: effects.map((effect) => ({
      verb: effect.verb,
      object: effect.object,
      via: effect.via,
      verdict: effect.verdict,
      rule: effect.rule ?? '',
    })),
    ...(wouldDeny === undefined ? {} : { wouldDeny }),
  };
}

function readAction(line: string, access: Access): { sql: string } | { problem: string } {
  const { protocol } = access.resource;
  if (protocol !== 'postgres') return { problem: `protocol ${protocol} has no actions to check` };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { problem: 'the line is not JSON; write for example {"sql":"select 1"}' };
  }
  const sql = typeof value === 'object' && value !== null && 'sql' in value ? value.sql : undefined;
  return typeof sql === 'string' ? { sql } : { problem: 'the line has no "sql"; for protocol postgres write {"sql":"select 1"}' };
}
