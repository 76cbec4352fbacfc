import type { PolicyRule } from '@chaperone/api';
import type { JSX } from 'preact';
import { ObjectLink } from '../ui/object-link.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { type Look, Mark } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';
import { approvalLines, callerWords, ruleWords } from './rule-words.ts';

const LOOKS: Readonly<Record<PolicyRule['effect'], Look>> = { Deny: 'deny', RequireApproval: 'held', Allow: 'allow' };
/** As they win. */
const ORDER = ['Deny', 'RequireApproval', 'Allow'] as const;

/** The rules as sentences, those first that win. */
export function Rules({ rules }: { rules: readonly PolicyRule[] }): JSX.Element {
  return (
    <section aria-labelledby="rules">
      <h2 id="rules">Rules</h2>
      <p class="mute">Any Deny wins, then what asks for approval, then Allow. What no rule covers is denied.</p>
      <ul class="rules-list">
        {ORDER.flatMap((effect) => rules.filter((rule) => rule.effect === effect)).map((rule) => (
          <Rule key={rule.name} rule={rule} />
        ))}
      </ul>
    </section>
  );
}

function Rule({ rule }: { rule: PolicyRule }): JSX.Element {
  const { name, effect, resource, message } = rule;
  const look = LOOKS[effect];
  return (
    <li class={look}>
      <h3>
        <Mark look={look} word={effect} quiet /> <Recorded text={name} names frame={false} />
      </h3>
      <p>
        <Said words={ruleWords(rule)} />
        <ObjectLink to="resources" of={resource} />
        <Said words={callerWords(rule)} />
      </p>
      <ul class="facts">
        {approvalLines(rule).map((words, at) => (
          <li key={at}>
            <Said words={words} />
          </li>
        ))}
        {message !== undefined && (
          <li>
            the agent reads: <Recorded text={message} />
          </li>
        )}
      </ul>
    </li>
  );
}
