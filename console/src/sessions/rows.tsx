import type { SearchHit, SessionSummary } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { serverNow } from '../server.ts';
import { counted, lengthOf } from '../time.ts';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { EvidenceMark, Mark, Tally, verdictLook, VERDICT_WORDS } from '../ui/verdict.tsx';

/** A session of the list; what a search found in it, where there was one. */
export type Row = SessionSummary & { readonly hit?: SearchHit; readonly hits?: number };

/** What is counted in a session of a protocol. */
export function actionsWord(protocol: string | undefined): [one: string, many: string] {
  if (protocol === 'ssh') return ['command', 'commands'];
  if (protocol === 'kubernetes' || protocol === 'http') return ['call', 'calls'];
  return ['statement', 'statements'];
}

export function SessionTable({ rows, zoneLabel }: { rows: readonly Row[]; zoneLabel: string }): JSX.Element {
  // The roles are said outright: on a phone the cells are laid out otherwise, which would take them away.
  return (
    <table class="sessions" role="table">
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">
            Start ({zoneLabel})
          </th>
          <th role="columnheader" scope="col">
            Length
          </th>
          <th role="columnheader" scope="col">
            Agent → resource
          </th>
          <th role="columnheader" scope="col">
            Did
          </th>
          <th role="columnheader" scope="col">
            Verdicts
          </th>
          <th role="columnheader" scope="col">
            Evidence
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <SessionRow key={row.name} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function SessionRow({ row }: { row: Row }): JSX.Element {
  const { resource, startedAt, actions, denied, held, masked } = row;
  const [one, many] = actionsWord(resource?.protocol);
  return (
    <tr role="row" class={denied > 0 ? 'has-denied' : ''}>
      <td role="cell" class="start">
        {startedAt === undefined ? '–' : <Time at={startedAt} />}
      </td>
      <td role="cell" class="length">
        <Length row={row} />
      </td>
      <td role="cell" class="what">
        <Who row={row} />
      </td>
      <td role="cell" class="did">
        {resource?.protocol === 'tcp' ? 'not inspected' : counted(actions, one, many)}
      </td>
      <td role="cell" class="verdicts">
        <Tally look="allow" count={Math.max(0, actions - denied - held)} word="allowed" />{' '}
        <Tally look="deny" count={denied} word="denied" /> <Tally look="held" count={held} word="held" />{' '}
        <Tally look="mask" count={masked} word="values masked" />
        {actions === 0 && <span class="mute">–</span>}
      </td>
      <td role="cell" class="evidence">
        <EvidenceMark {...row} />
      </td>
    </tr>
  );
}

function Length({ row: { state, startedAt, endedAt } }: { row: Row }): JSX.Element {
  if (state === 'open')
    return (
      <>
        <Mark look="live" word="live" /> {startedAt === undefined ? '' : lengthOf(serverNow() - startedAt)}
      </>
    );
  return <>{startedAt === undefined || endedAt === undefined ? '–' : lengthOf(endedAt - startedAt)}</>;
}

/** The link to the session, and to the moment that was found. */
function Who({ row: { name, agent, resource, hit, hits = 0 } }: { row: Row }): JSX.Element {
  return (
    <>
      <a href={hit === undefined ? `/sessions/${name}` : `/sessions/${name}?at=${hit.seq}`} class="row-link">
        <Recorded text={agent.serviceAccount} names frame={false} />
        <span class="arrow" aria-hidden="true">
          {' '}
          →{' '}
        </span>
        <span class="sr"> on </span>
        {resource === undefined ? (
          <span class="mute">resource not received yet</span>
        ) : (
          <Recorded text={`${resource.namespace}/${resource.name}`} names frame={false} />
        )}
      </a>
      <span class="sub">
        <Recorded text={agent.namespace} names frame={false} />
        {resource !== undefined && (
          <>
            {' · '}
            <Recorded text={resource.protocol} names frame={false} />
          </>
        )}
      </span>
      {hit !== undefined && (
        <span class="hit">
          <Mark look={verdictLook(hit.verdict)} word={VERDICT_WORDS[hit.verdict] ?? hit.verdict} quiet /> <Time at={hit.at} />{' '}
          <Recorded text={hit.text} preview /> {hits > 1 && <span class="mute">{counted(hits, 'match', 'matches')}</span>}
        </span>
      )}
    </>
  );
}
