import type { AccessRequest } from '@chaperone/api';
import type { JSX } from 'preact';
import { CopyButton } from '../ui/copy.tsx';
import type { LiveViewer } from './live.ts';
import { signingPage } from './signing-page.ts';
import { You } from './you.tsx';

interface ElsewhereProps {
  readonly request: AccessRequest;
  readonly viewer: LiveViewer;
  /** Every rule that asks this person wants an approval that is signed. */
  readonly signs: boolean;
}

/** Where this person answers what is only read here: on the page that signs, and at a terminal. */
export function Elsewhere({ request, viewer, signs }: ElsewhereProps): JSX.Element {
  const { namespace = '', name } = request.metadata;
  const hasPage = signingPage(request) !== undefined;
  const command = (verb: 'approve' | 'deny'): JSX.Element => {
    const text = `chaperone ${verb} ${name} -n ${namespace} --reason`;
    return (
      <li>
        <code>{text} …</code> <CopyButton text={`${text} `} label="Copy" title={`the command to ${verb}; add why`} />
      </li>
    );
  };
  return (
    <div class="elsewhere">
      <You viewer={viewer} />
      <SigningLink request={request} />
      {signs && !hasPage && <p class="count">It is approved with a signature only, and there is no page here to sign on.</p>}
      <p class="count">{hasPage ? 'Or at a terminal:' : 'It is answered at a terminal:'}</p>
      <ul class="commands">
        {!signs && command('approve')}
        {command('deny')}
      </ul>
    </div>
  );
}

interface SigningLinkProps {
  readonly request: AccessRequest;
  readonly does?: string;
}

/** The way to the page that signs; its host is said, as it is another site. */
export function SigningLink({ request, does = 'Decide' }: SigningLinkProps): JSX.Element | null {
  const page = signingPage(request);
  if (page === undefined) return null;
  return (
    <p>
      <a class="way primary" href={page.href} rel="noreferrer">
        {does} on the signing page
      </a>{' '}
      <span class="count">
        at <code>{page.host}</code>
      </span>
    </p>
  );
}
