import { safeJson, nearest, visible } from '@chaperone/api/text';
import {
  accessOnBehalfOf,
  type Agent,
  type Caller,
  type GrantedResource,
  type Verdict,
  type Whereabouts,
} from '@chaperone/policy';
import {
  checkKubernetesOffline,
  checkOffline,
  checkSshOffline,
  compileDirectory,
  type KubernetesAnswer,
  type SshAnswer,
  StatementParser,
} from '@chaperone/sidecar';
import { CliError, EXIT } from '../errors.ts';
import { type Io, writeLine } from '../io.ts';
import { type NoAction, readKubernetes, readSql, readSsh } from './check-actions.ts';
import { boundedLines } from './lines.ts';

/** Room for a statement of 1 MiB, the longest that is ever judged, with every second character escaped. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** What is judged against. */
export interface Granted {
  readonly resource: GrantedResource;
  /** All that the agent is granted. */
  readonly resources: readonly GrantedResource[];
  /** All others, where it may forward. */
  readonly elsewhere?: readonly Whereabouts[] | undefined;
}

/**
 * Finds what the files grant the agent on one resource, and says on standard error what of its policies comes to nothing. Throws
 * CliError NotGranted, ControlPlaneError.
 */
export async function grantedTo(directory: string, agent: Agent, name: string, { err }: Pick<Io, 'err'>): Promise<Granted> {
  const { resources, elsewhere, problems, warnings } = await compileDirectory(directory, agent);
  for (const { policy, code, message } of warnings) await writeLine(err, `warn: ${visible(`${policy}: ${message}`)} (${code})`);
  const names = resources.map(({ access }) => `${access.resource.namespace}/${access.resource.name}`);
  const resource = resources[names.indexOf(name)];
  if (resource !== undefined) return { resource, resources, elsewhere };
  const problem = problems.find((each) => each.resource === name);
  if (problem !== undefined)
    throw new CliError(problem.code === 'ResourceNotFound' ? 'ResourceNotFound' : 'NotGranted', problem.message);
  const near = nearest(name, names);
  throw new CliError(
    'NotGranted',
    `${agent.namespace}/${agent.serviceAccount} is granted no resource ${name}${near === undefined ? '' : `; nearest: ${near}`}`,
  );
}

/** The contract's line. */
interface Answer extends Pick<Verdict, 'verdict' | 'code' | 'reason' | 'wouldDeny'> {
  readonly rule: string;
  readonly effects: readonly object[];
}

/** One protocol's way to answer a line's JSON; undefined: it is none. */
type Check = (action: unknown) => Promise<Answer | NoAction>;

/**
 * Answers each line of standard input, an action in the protocol's own unit, with a line
 * {"verdict":"allow|deny|approve","rule":"…","code":"…","reason":"…","effects":[…]}, in the same order; blank lines hold no action
 * and get none. A line that is no action is answered too, with deny and code Usage.
 * @param caller - whom a verified token would name; absent: rules with onBehalfOf are not there, as in a session without one.
 * @returns the exit code: 0 when every line was an action and was answered, whatever the verdicts; 2 otherwise.
 */
export async function checkLines(granted: Granted, io: Io, caller?: Caller): Promise<number> {
  await using parser = new StatementParser();
  const check = checkOf(granted, parser, caller);
  let exit: number = EXIT.ok;
  for await (const line of boundedLines(io.in, MAX_LINE_BYTES)) {
    if (line.kind === 'line' && line.text.trim() === '') continue;
    const found = line.kind === 'line' ? await check(parsed(line.text)) : { problem: line.problem };
    if ('problem' in found) exit = EXIT.usage;
    await writeLine(io.out, safeJson('problem' in found ? noAction(found) : found));
  }
  return exit;
}

function checkOf({ resource, resources, elsewhere = [] }: Granted, parser: StatementParser, caller: Caller | undefined): Check {
  const access = accessOnBehalfOf(resource.access, caller);
  const { protocol } = access.resource;
  switch (protocol) {
    case 'postgres':
      return async (action) => {
        const read = readSql(action);
        return 'problem' in read ? read : answer(await checkOffline(parser, read.sql, access));
      };
    case 'ssh': {
      const surroundings = { resources: [...resources, ...elsewhere], here: resource.upstream.host };
      return (action) => {
        const read = readSsh(action);
        return Promise.resolve('problem' in read ? read : answerSsh(checkSshOffline(read, access, surroundings)));
      };
    }
    case 'kubernetes':
      return (action) => {
        const read = readKubernetes(action);
        return Promise.resolve('problem' in read ? read : answerKubernetes(checkKubernetesOffline(read, access)));
      };
    default:
      return () => Promise.resolve({ problem: `protocol ${protocol} has no actions to check` });
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function noAction({ problem }: NoAction): Answer {
  return { verdict: 'deny', rule: '', code: 'Usage', reason: problem, effects: [] };
}

/** `wouldDeny` is there in Audit alone. */
function answer({ verdict, rule = '', code, reason, effects, wouldDeny }: Verdict): Answer {
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

/** Beside the contract's line why a command is not known, what an agent would be told, and what of it would go upstream. */
function answerSsh({ verdict, unknown, why, instead, upstream }: SshAnswer): Answer {
  return {
    ...answer(verdict),
    ...(unknown && { unknown: { code: unknown.code, why: unknown.why, ...(unknown.at !== undefined && { at: unknown.at }) } }),
    ...(why !== undefined && { why }),
    ...(instead !== undefined && { instead }),
    ...(upstream !== undefined && { upstream }),
  };
}

/** Beside the contract's line what explains its code, and what of the request would go upstream. */
function answerKubernetes({ verdict, detail, upstream }: KubernetesAnswer): Answer {
  return { ...answer(verdict), ...(detail !== undefined && { detail }), ...(upstream !== undefined && { upstream }) };
}
