import { readFileSync } from 'node:fs';
import { type Governed, startGoverned } from './governed.test-support.ts';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
/** The tables of the lineage tests and what attacks need besides, for the role that the proxy signs in with. */
const SCHEMA = read('../masking/testdata/schema.sql')
  .replace(/^create role .*$/m, '')
  .replaceAll(/\bto agent\b/g, 'to agent_role')
  .concat(read('./testdata/attack-schema.sql'));
const CUSTOMERS = ['app.customers.ssn', 'app.part.ssn', 'app.kid.secret', 'app."odd name"."a.b"', 'app.child.ssn', 'app.big.doc'];
const RESOURCE = {
  sensitive: [
    { label: 'pii.ssn', columns: CUSTOMERS },
    { label: 'pii.email', columns: ['app.customers.email'], detector: 'email' },
  ],
};
const EVERYTHING = { statements: ['*'], relations: ['**'], functions: ['**'] };
/** As much as a policy can allow: what is still refused is refused by nature. */
const POLICY = {
  rules: [{ name: 'all', effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' }, sql: EVERYTHING }],
  inference: 'allow',
};

/**
 * A server that is attacked through the proxy. Its role can also sign in directly and in the clear to the database `control`, a
 * copy: what an attack shows there is what it would show without us.
 */
export async function startAttacked(name?: string): Promise<Governed> {
  const hba = ['hostnossl control agent_role 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'];
  const options = name === undefined ? { hba } : { package: name, hba };
  const governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE }, options);
  const admin = await governed.direct();
  await admin.query('create database control template orders');
  await admin.end();
  return governed;
}
