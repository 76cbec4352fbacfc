import type { AccessPolicy } from '@chaperone/api';
import type { JSX } from 'preact';
import type { PageProps } from '../app.tsx';
import { Conditions } from '../policies/conditions.tsx';
import { useTold } from '../policies/load.ts';
import { One } from '../policies/one.tsx';
import { INFERENCE_WORDS, limitLines, maskWords, named, recordingLines, selectsWords } from '../policies/rule-words.ts';
import { Mode } from '../policies/rows.tsx';
import { Rules } from '../policies/rules.tsx';
import { Fact } from '../ui/fact.tsx';
import { Age } from '../ui/time.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Mark } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';

/** Whether a policy holds, if not why, and what it says. */
export default function Policy({ caught: name }: PageProps): JSX.Element {
  const told = useTold<AccessPolicy>(`/v1/policies/${name}`);
  return (
    <One name={name} word="policy" told={told} facts={(policy) => <Facts policy={policy} />}>
      {(policy) => (
        <>
          {policy.spec.enforcement === 'Audit' && <Audit />}
          <Conditions object={policy} word="policy" />
          <Rules rules={policy.spec.rules} />
          <Settings policy={policy} />
        </>
      )}
    </One>
  );
}

function Facts({ policy }: { policy: AccessPolicy }): JSX.Element {
  const { metadata, spec, status } = policy;
  return (
    <>
      <Fact name="Mode">
        <Mode of={policy} />
      </Fact>
      {metadata.generation !== undefined && <Fact name="Generation">{metadata.generation.toLocaleString('en')}</Fact>}
      <Fact name="Selects">
        <Said words={selectsWords(spec.agents)} frame={false} />
      </Fact>
      {status?.selectedPods !== undefined && (
        <Fact name="In force on">
          {(status.programmedPods ?? 0).toLocaleString('en')} of {status.selectedPods.toLocaleString('en')}{' '}
          {status.selectedPods === 1 ? 'pod' : 'pods'}
        </Fact>
      )}
      {metadata.creationTimestamp !== undefined && (
        <Fact name="Age">
          <Age at={Date.parse(metadata.creationTimestamp)} />
        </Fact>
      )}
    </>
  );
}

function Audit(): JSX.Element {
  return (
    <div class="banner held">
      <p>
        <Mark look="finding" word="Audit: its rules refuse nothing" /> on resources that allow that. What they would deny, hold or
        do not cover passes, and is marked in the record. Masking and recording hold.
      </p>
    </div>
  );
}

/** What holds on the resources of its rules, beside them. */
function Settings({ policy: { spec } }: { policy: AccessPolicy }): JSX.Element {
  const { purpose, purposeFrom, reveal, masking, inference, limits, recording, disclosure, inbound } = spec;
  const bounds = limitLines(limits);
  return (
    <section aria-labelledby="settings">
      <h2 id="settings">On the resources of these rules</h2>
      <p class="mute">Where several policies select one agent, the stricter setting holds.</p>
      <dl class="whole">
        {(purpose !== undefined || purposeFrom !== undefined) && (
          <Fact name="Purpose">
            {purpose !== undefined && <Recorded text={purpose} />}
            {purposeFrom !== undefined && (
              <>
                what the pod says in its annotation <Recorded text={purposeFrom.annotation} />
                {purposeFrom.required && '; without it no session opens'}
              </>
            )}
          </Fact>
        )}
        <Callers spec={spec} />
        <Fact name="Reveals">
          {reveal.length === 0 ? 'no label: all that is sensitive stays masked' : <Said words={named(reveal)} />}
          {reveal.length > 0 && <span class="mute"> as far as the owner lets it</span>}
        </Fact>
        <Fact name="Masks">
          <ul class="facts">
            {masking.map(({ label, strategy }) => (
              <li key={label}>
                <Mark look="mask" word="masked" quiet /> <Recorded text={label} names /> {maskWords(strategy)}
              </li>
            ))}
            <li>
              {masking.length === 0 ? 'every label' : 'every other label'} {maskWords({ redact: {} })}
            </li>
          </ul>
        </Fact>
        <Fact name="Compares">{INFERENCE_WORDS[inference]}</Fact>
        <Fact name="Limits">
          <Lines lines={bounds.length === 0 ? ['none'] : bounds} />
        </Fact>
        <Fact name="Records">
          <Lines lines={recordingLines(recording)} />
        </Fact>
        <Fact name="Tells">
          {disclosure === 'full'
            ? 'an agent that is refused: the rule, the policy and what is allowed'
            : 'an agent that is refused: what was refused and why, not by which rule'}
        </Fact>
        <Fact name="Inbound">
          {inbound === undefined
            ? 'nobody calls the agent but the kubelet’s probes'
            : `others reach port ${inbound.ports.join(', ')}`}
        </Fact>
      </dl>
    </section>
  );
}

/** The token that a caller must show. */
function Callers({ spec: { identity } }: Pick<AccessPolicy, 'spec'>): JSX.Element | null {
  if (identity === undefined) return null;
  const { issuer, audiences, requiredClaims = {}, userClaim, groupsClaim } = identity.oidc;
  return (
    <Fact name="Callers">
      <p>
        show a token of <Recorded text={issuer} names /> for <Said words={named(audiences)} />
      </p>
      <p class="mute">
        user by claim <Recorded text={userClaim} frame={false} />, groups by claim <Recorded text={groupsClaim} frame={false} />
      </p>
      {Object.entries(requiredClaims).map(([claim, values]) => (
        <p key={claim}>
          claim <Recorded text={claim} /> is one of <Said words={named(values)} />
        </p>
      ))}
    </Fact>
  );
}

function Lines({ lines }: { lines: readonly string[] }): JSX.Element {
  return (
    <ul class="facts">
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}
