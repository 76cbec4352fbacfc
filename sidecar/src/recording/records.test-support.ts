import type { RecordBody } from '@chaperone/evidence';

/** Whose sessions are recorded in tests. */
export const agent = { namespace: 'agents', serviceAccount: 'bot' };

export const opening = (session: string): RecordBody => ({
  type: 'session.open',
  session,
  agent,
  resource: { namespace: 'data', name: 'orders-db', protocol: 'postgres' },
  purpose: 'tests',
  policies: [],
  mode: 'Enforce',
  client: { address: '127.0.0.1:1', tls: false },
});

export const closing: RecordBody = {
  type: 'session.close',
  code: 'Closed',
  reason: 'done',
  actions: 0,
  denied: 0,
  maskedValues: 0,
};
