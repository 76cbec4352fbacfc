import type { AccessRequest } from '@chaperone/api';
import { grantScope, grantSteps, isOfKubernetes, minutesText, onceWhy, scopeWords } from '@chaperone/api/requests';
import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import { Recorded, RecordedBlock } from '../ui/recorded.tsx';
import { Said } from '../ui/words.tsx';

export interface GrantChoiceProps {
  readonly request: AccessRequest;
  /** Whether one more approval is enough. */
  readonly isLast: boolean;
  /** Seconds; 0: only this once. */
  readonly chosen: number;
  readonly onChoose: (seconds: number) => void;
}

/** Whether the same may run again, where a rule lets people say so: not unless somebody chooses it, and then with all that it is for. */
export function GrantChoice({ request, isLast, chosen, onChoose }: GrantChoiceProps): JSX.Element | null {
  const name = useId();
  const steps = grantSteps(request.spec);
  const once = onceWhy(request.spec);
  if (once !== undefined)
    return (
      <p class="scope">
        It can be approved for this once only: <Recorded text={once} frame={false} />.
      </p>
    );
  if (steps.length === 0) return null;
  return (
    <fieldset class="grant-choice">
      <legend>Approve it, and the same again (asks nobody while it lasts)</legend>
      {[0, ...steps].map((seconds) => (
        <label key={seconds}>
          <input type="radio" name={name} checked={chosen === seconds} onChange={() => onChoose(seconds)} />
          <span>{seconds === 0 ? 'only this once' : `for ${minutesText(seconds)}`}</span>
        </label>
      ))}
      <div role="status">
        {chosen > 0 && (
          <p class="scope">
            For {minutesText(chosen)} nobody is asked for {grantScope(request)}. It is for <Said words={scopeWords(request)} />.
            {!isLast && ' Everybody who approves has to say so; the shortest time counts.'}
          </p>
        )}
      </div>
      {chosen > 0 && <Template request={request} />}
    </fieldset>
  );
}

const TITLES = { whole: 'Runs again, with other values', template: 'Runs again, with any value for each ?' } as const;

/** What may run again: the statement, without its values. */
export function Template({ request }: { request: AccessRequest }): JSX.Element {
  const { spec } = request;
  // Of one that was granted before the template was told, the statement itself is what is known.
  const text = spec.templateText ?? spec.text;
  const title = isOfKubernetes(request) ? 'Runs again, as it is' : TITLES[spec.templateText === undefined ? 'whole' : 'template'];
  return <RecordedBlock text={text} title={title} bytes={new TextEncoder().encode(text).length} />;
}
