import { createInterface } from 'node:readline';
import { type Access, type Agent, type Verdict } from '@chaperone/policy';
import { checkOffline, compileDirectory, StatementParser } from '@chaperone/sidecar';
import { nearest } from '@chaperone/api';
import { CliError, EXIT } from '../errors.ts';
import type { Io } from '../io.ts';

/** A line longer than this is answered with an error of its own. */
const MAX_LINE = 2 * 1024 * 1024;

/** Finds what the files grant the agent on one resource. */
export async function accessFor(directory: string, agent: Agent, resource: string): Promise<Access> {
  const compiled = await compileDirectory(directory, agent);
  const names = compiled.resources.map(({ access }) => `${access.resource.namespace}/${access.resource.name}`);
  const at = names.indexOf(resource);
  const found = compiled.resources[at];
  if (found !== undefined) return found.access;
  const problem = compiled.problems.find((each) => each.resource === resource);
  if (problem !== undefined) throw new CliError('NotGranted', problem.message);
  const near = nearest(resource, names);
  throw new CliError(
    'NotGranted',
    `${agent.namespace}/${agent.serviceAccount} is granted no resource ${resource}${near === undefined ? '' : `; nearest: ${near}`}`,
  );
}

/**
 * Answers each line of standard input, {"sql": "…"}, with a line
 * {"verdict":"allow|deny|approve","rule":"…","code":"…","reason":"…","effects":[…]}.
 * @returns the exit code: 0 when every line was answered, whatever the verdicts; 2 when a line was no action.
 */
export async function checkLines(access: Access, io: Io): Promise<number> {
  await using parser = new StatementParser();
  let exit: number = EXIT.ok;
  for await (const line of createInterface({ input: io.in, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line.trim() === '') continue;
    const sql = readAction(line, access);
    if (typeof sql === 'string') {
      io.out.write(`${JSON.stringify(answer(await checkOffline(parser, sql, access)))}\n`);
    } else {
      exit = EXIT.usage;
      io.out.write(`${JSON.stringify({ verdict: 'deny', rule: '', code: 'Usage', reason: sql.problem, effects: [] })}\n`);
    }
  }
  return exit;
}

function answer(verdict: Verdict): object {
  const { verdict: word, rule = '', code, reason, effects } = verdict;
  return {
    verdict: word,
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
    ...(verdict.wouldDeny === undefined ? {} : { wouldDeny: verdict.wouldDeny }),
  };
}

function readAction(line: string, access: Access): string | { problem: string } {
  if (line.length > MAX_LINE) return { problem: 'the line is longer than 2 MiB' };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { problem: 'the line is not JSON; write for example {"sql":"select 1"}' };
  }
  const { protocol } = access.resource;
  if (protocol !== 'postgres') return { problem: `protocol ${protocol} has no actions to check` };
  const sql = typeof value === 'object' && value !== null && 'sql' in value ? value.sql : undefined;
  return typeof sql === 'string' ? sql : { problem: 'the line has no "sql"; for protocol postgres write {"sql":"select 1"}' };
}
