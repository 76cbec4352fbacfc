import type { Condition } from '@chaperone/api';
import type { JSX } from 'preact';
import { counted } from '../time.ts';
import { CopyButton } from '../ui/copy.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Time } from '../ui/time.tsx';
import { type Look, Mark } from '../ui/verdict.tsx';
import { behind, inOrder, isFailing, type Known, lookOf, standing } from './standing.ts';

const HOLDS: Readonly<Partial<Record<Look, string>>> = { finding: 'fails', none: 'not known', allow: 'holds' };
const CODE = /^[A-Za-z]{1,64}$/;

/** How an object stands: whether it is ready, and each condition with its cause, what mends it, and since when. */
export function Conditions({ object, word }: { object: Known; word: 'policy' | 'resource' }): JSX.Element {
  const all = inOrder(object);
  const failing = all.filter(isFailing).length;
  const old = behind(object);
  const { look, word: said } = standing(object);
  return (
    <section class="conditions" aria-labelledby="conditions">
      <h2 id="conditions">
        <Mark look={look} word={said} />
        {failing > 0 && (
          <span class="of">
            {' '}
            {look === 'allow' ? `with ${counted(failing, 'finding')}` : `${failing} of ${fail(all.length, failing)}`}
          </span>
        )}
      </h2>
      {old !== undefined && (
        <p class="notice">
          <span aria-hidden="true">◌</span> This was said of generation {old}; the {word} is at {object.metadata.generation} by
          now.
        </p>
      )}
      {all.length === 0 ? (
        <p class="mute">Nothing is known here about how this {word} stands.</p>
      ) : (
        <ul>
          {all.map((condition) => (
            <Line key={condition.type} condition={condition} />
          ))}
        </ul>
      )}
    </section>
  );
}

/** 4 conditions fails, as of one of them; 4 conditions fail */
function fail(all: number, failing: number): string {
  return `${counted(all, 'condition')} ${failing === 1 ? 'fails' : 'fail'}`;
}

function Line({ condition }: { condition: Condition }): JSX.Element {
  const { type, reason, message, lastTransitionTime } = condition;
  const look = lookOf(condition);
  const failing = isFailing(condition);
  return (
    <li class={look}>
      <p class="type">
        <Mark look={look} word={HOLDS[look] ?? ''} quiet /> <Recorded text={type} names frame={false} />
      </p>
      <div class="why">
        {/* Of what holds the reason is its name once more. */}
        {reason !== type && (
          <p>
            <Recorded text={reason} names frame={false} />
          </p>
        )}
        <p class="cause">
          <Recorded text={message} frame={false} />
        </p>
        {failing && CODE.test(reason) && (
          <p class="mute">
            <code>chaperone explain {reason}</code> <CopyButton text={`chaperone explain ${reason}`} label="Copy" />
          </p>
        )}
      </div>
      <p class="since mute">
        since <Time at={Date.parse(lastTransitionTime)} />
      </p>
    </li>
  );
}
