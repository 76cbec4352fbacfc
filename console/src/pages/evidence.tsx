import type { EvidenceLedger } from '@chaperone/evidence';
import type { JSX } from 'preact';
import { OrderList } from '../evidence/orders.tsx';
import { ReadList } from '../evidence/reads.tsx';
import { Verify } from '../evidence/verify.tsx';
import { useLoad, usePoll } from '../load.ts';
import { zone } from '../preferences.ts';
import { place } from '../router.ts';
import { auth, get } from '../server.ts';
import { SessionTable } from '../sessions/rows.tsx';
import { useStore } from '../store.ts';
import { counted, zoneName } from '../time.ts';
import { CopyButton } from '../ui/copy.tsx';
import { Fact } from '../ui/fact.tsx';
import { PageHeading } from '../ui/heading.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Failure, Skeleton } from '../ui/states.tsx';
import { Mark } from '../ui/verdict.tsx';

const POLL_MS = 10_000;

const SESSION = /^s-[a-z2-7]{16}$/;

/** How the evidence stands: the newest checkpoint, what is missing, and what was ordered; and whether it holds. `?session=` is one to verify. */
export default function Evidence(): JSX.Element {
  const loaded = useLoad('ledger', (signal) => get<EvidenceLedger>('/v1/ledger', signal));
  const { data, error, reload } = loaded;
  usePoll(POLL_MS, data !== undefined, reload);
  const asked = useStore(place).query.get('session') ?? '';
  const session = SESSION.test(asked) ? asked : undefined;
  return (
    <>
      <div class="head">
        <PageHeading title="Evidence">Evidence</PageHeading>
      </div>
      <details class="verifying" open={session !== undefined}>
        <summary>
          <h2>Verify evidence in this browser</h2>
        </summary>
        <Verify session={session} />
      </details>
      {data === undefined && error === undefined && <Skeleton rows={8} label="Loading how the evidence stands" />}
      {data === undefined && error !== undefined && <Failure error={error} what="The evidence" onRetry={reload} />}
      {data !== undefined && error !== undefined && (
        <p class="notice" role="status">
          <span aria-hidden="true">◌</span> The collector does not answer; this is what it said last.
        </p>
      )}
      {data !== undefined && <Standing ledger={data} />}
    </>
  );
}

function Standing({ ledger: { checkpoint, orders, reads, gaps, truncated } }: { ledger: EvidenceLedger }): JSX.Element {
  const zoneLabel = zoneName(useStore(zone));
  return (
    <>
      <Checkpoint checkpoint={checkpoint} />
      <section aria-labelledby="gaps">
        <h2 id="gaps">{gaps.length === 0 ? 'No gaps' : `${counted(gaps.length, 'session')} with a gap, or no end`}</h2>
        {gaps.length === 0 ? (
          <p class="mute">Of every session that you may list, all that is known of is here, and has its end or goes on.</p>
        ) : (
          <SessionTable rows={gaps} zoneLabel={zoneLabel} />
        )}
      </section>
      <section aria-labelledby="orders">
        <h2 id="orders">{orders.length === 0 ? 'No erasures or holds' : 'Erasures and holds'}</h2>
        {orders.length > 0 && <OrderList orders={orders} />}
      </section>
      <section aria-labelledby="reads">
        <h2 id="reads">{reads.length === 0 ? 'Nobody has read evidence' : 'Who read evidence'}</h2>
        {reads.length > 0 && <ReadList reads={reads} sessions />}
      </section>
      {truncated && <p class="mute">There are more; these are the newest.</p>}
    </>
  );
}

function Checkpoint({ checkpoint }: Pick<EvidenceLedger, 'checkpoint'>): JSX.Element {
  const where = useStore(auth)?.place ?? '';
  if (checkpoint === undefined)
    return (
      <p class="notice" role="status">
        <Mark look="none" word="No checkpoint has been cosigned by the witnesses yet." />
      </p>
    );
  const { size, root, signers } = checkpoint;
  const [log = '', ...witnesses] = signers;
  return (
    <section aria-labelledby="log">
      <h2 id="log">The log</h2>
      <dl class="meta">
        <Fact name="Log">
          <Recorded text={log} names frame={false} />
        </Fact>
        <Fact name="Entries">{size.toLocaleString('en')}</Fact>
        <Fact name="Root">
          <code>{root}</code> <CopyButton text={root} label="Copy" />
        </Fact>
        <Fact name="Cosigned by">
          {witnesses.length === 0 ? (
            <span class="mute">no witness</span>
          ) : (
            witnesses.map((name) => <Recorded key={name} text={name} names />)
          )}
        </Fact>
      </dl>
      <p class="mute">
        Here stands what the collector says, and no signature was checked. <code>chaperone log verify{where}</code> reads the
        whole log and checks.
      </p>
    </section>
  );
}
