import type { RequestListener } from 'node:http';
import { KINDS, type Kube, pathOf } from '@chaperone/kube';
import type { EventRecorder } from '../kube/events.ts';
import { type DecideConfig, termsOf } from './config.ts';
import { DecideDesk, type DeskOptions } from './desk.ts';
import { createDoor } from './door.ts';
import { Issuer } from './issuer.ts';
import { loadPage } from './page.ts';
import { Passkeys } from './passkeys.ts';
import { Seal } from './seal.ts';
import { Sessions } from './sessions.ts';

export interface DecideOptions {
  readonly kube: Kube;
  readonly config: DecideConfig;
  /** The operator's own. */
  readonly namespace: string;
  readonly events: Pick<EventRecorder, 'emit'>;
  readonly leads: () => boolean;
  readonly contentOf: DeskOptions['contentOf'];
  readonly now?: () => number;
  readonly onError: (error: unknown) => void;
}

/** The page where people decide, with all that is behind it. */
export function createDecide({
  kube,
  config,
  namespace,
  events,
  leads,
  contentOf,
  now = Date.now,
  onError,
}: DecideOptions): RequestListener {
  const terms = termsOf(config);
  const issuer = new Issuer(config, onError, now);
  const passkeys = new Passkeys({ kube, namespace, site: terms.site, now });
  const onPasskey: DeskOptions['onPasskey'] = (user, became) => {
    const regarding = { apiVersion: 'v1', kind: 'Secret', namespace, name: passkeys.nameOf(user) };
    const note = `${user} has ${became} a passkey for approvals`;
    const reason = became === 'registered' ? 'PasskeyRegistered' : 'PasskeyRemoved';
    void events.emit(regarding, { type: 'Warning', reason, action: became === 'registered' ? 'Register' : 'Remove', note });
  };
  return createDoor({
    origin: config.url,
    terms,
    page: loadPage(),
    desk: new DecideDesk({ kube, terms, keys: issuer.keys, passkeys, contentOf, now, onPasskey }),
    issuer,
    sessions: new Sessions(now),
    seal: new Seal(),
    isCredential: (token) => isCredential(kube, token),
    leads,
    now,
    onError,
  });
}

/** Whether the API server would let somebody in with this token. */
async function isCredential(kube: Kube, token: string): Promise<boolean> {
  const { apiVersion, kind } = KINDS.tokenReviews;
  const review = await kube.request<{ status?: { authenticated?: unknown } }>({
    method: 'POST',
    path: pathOf(KINDS.tokenReviews),
    body: { apiVersion, kind, spec: { token } },
    timeoutMs: 5_000,
  });
  return review.status?.authenticated === true;
}
