import { type Database, DATABASE, linkTables, ROLE } from './database.ts';

/** What a sidecar that stands alone is granted: the database as so many resources, plain, by the same policy. */
export function plainManifests(database: Database, names: readonly string[]): string {
  return [...names.map((name) => resourceOf(name, database, '{mode: disable}')), ...common(database, names)].join('---');
}

/** The database four times: plain, with TLS, with detectors, and with a rule that asks people about what no load does; by one policy. */
export function allManifests(database: Database): string {
  return [
    resourceOf('bench-plain', database, '{mode: disable}'),
    resourceOf('bench-tls', database, '{mode: verify-full, caRef: {name: bench-ca}}'),
    resourceOf('bench-scan', database, '{mode: disable}', DETECTORS),
    resourceOf('bench-asks', database, '{mode: disable}'),
    ...common(database, ['bench-plain', 'bench-tls', 'bench-scan', 'bench-asks'], [asking('bench-asks')]),
    `
apiVersion: v1
kind: Secret
metadata: {name: bench-ca, namespace: data}
stringData:
  ca.crt: |
    ${database.ca.trimEnd().replaceAll('\n', '\n    ')}
`,
  ].join('---');
}

const READABLE = ['accounts', 'people', ...linkTables].map((table) => `public.${table}`).join(', ');
const DETECTORS = ['credit-card', 'email', 'ssn']
  .map((detector) => `\n    - {label: found.${detector}, detector: ${detector}}`)
  .join('');

function resourceOf(name: string, { host, port }: Database, tls: string, detectors = ''): string {
  return `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: data}
spec:
  protocol: postgres
  hosts: [${name}]
  port: 5432
  upstream: {address: "${host}:${port}", tls: ${tls}}
  credentials: {secretRef: {name: bench-login}}
  postgres: {database: ${DATABASE}}
  sensitive:
    - {label: pii.ssn, columns: [public.people.ssn]}
    - {label: pii.note, columns: [public.accounts.note]}${detectors}
  grantedTo:
    - {namespace: agents, statements: [select, update, delete], recording: {minimum: durable}}
`;
}

function common({ host, port }: Database, resources: readonly string[], more: readonly string[] = []): string[] {
  return [
    `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bench, namespace: agents}
spec:
  agents: {podSelector: {matchLabels: {app: bench}}}
  purpose: measure what the proxy costs
  rules:${[...resources.map(rule), ...more].join('')}
  masking:
    - {label: pii.ssn, strategy: {partial: {last: 4}}}
  recording: {mode: durable, content: results}
`,
    `
apiVersion: v1
kind: Secret
metadata:
  name: bench-login
  namespace: data
  annotations: {chaperone.dev/upstream: "${host}:${port}"}
stringData: {username: ${ROLE.user}, password: ${ROLE.password}}
`,
  ];
}

function rule(name: string): string {
  return `
    - name: read-${name}
      effect: Allow
      resource: {namespace: data, name: ${name}}
      sql: {statements: [select], relations: [${READABLE}]}`;
}

function asking(name: string): string {
  return `
    - name: ask-${name}
      effect: RequireApproval
      resource: {namespace: data, name: ${name}}
      sql: {statements: [update, delete], relations: [${READABLE}]}
      approval: {approvers: {groups: [dba]}, maxGrant: 30m}`;
}
