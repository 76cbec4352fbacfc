import { requestText } from '@chaperone/api';
import { type Access, allowedHere, type Verdict } from '@chaperone/policy';
import type { Refusal } from '../../session/refusal.ts';
import type { Refused } from '../actions/index.ts';
import { type Answer, httpStatus } from './status.ts';

/** Why a request is not answered by the API server. */
export interface RequestRefusal extends Refusal {
  /** What explains the code: of a request that cannot be read, of a denial, of the upstream. */
  readonly detail?: string;
  /** Status of HTTP where the code alone does not tell it. */
  readonly status?: number;
  /** What to do instead, where no rule says so. */
  readonly instead?: string;
}

/** Of a request that could be read in two ways. */
export function unreadable({ code, status, why }: Refused): RequestRefusal {
  return { code: 'NotAnalysable', reason: why, detail: code, status };
}

/**
 * All that this proxy itself says to an agent. `access` is absent where none is in force; `reference` names the record.
 * @param isOver - the connection ends with it. Default: where nothing more can come of it
 */
export function answerOf(refusal: RequestRefusal, access: Access | undefined, reference?: string, isOver?: boolean): Answer {
  const { code, reason, verdict, approval, detail, instead } = refusal;
  const effect = verdict?.effects.find((each) => each.verdict !== 'allow');
  const said = verdict?.message ?? instead;
  return {
    status: refusal.status ?? httpStatus(code),
    codes: [code, ...(detail === undefined ? [] : [detail])],
    message: requestText({
      code,
      ...(isOver !== undefined && { isOver }),
      ...(effect !== undefined && { verb: effect.verb, object: effect.object }),
      ...(reason !== undefined && { reason }),
      ...(said !== undefined && { message: said }),
      ...(reference !== undefined && { reference }),
      ...(approval !== undefined && { approval }),
      ...(access?.disclosure === 'full' && disclosed(access, verdict)),
    }),
  };
}

/** What an agent is told of its policy, where its author does not keep it from it. */
function disclosed(access: Access, verdict: Verdict | undefined): { rule?: string; policy?: string; allowedHere: string[] } {
  const policy = access.policies.map(({ namespace, name }) => `${namespace}/${name}`).join(', ');
  return {
    ...(verdict?.rule !== undefined && { rule: verdict.rule }),
    ...(policy !== '' && { policy }),
    allowedHere: verdict === undefined ? [] : allowedHere(access),
  };
}
