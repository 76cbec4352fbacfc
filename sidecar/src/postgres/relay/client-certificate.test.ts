import {
  type Certified,
  eventually,
  startPostgres,
  testAuthority,
  type TestAuthority,
  type TestPostgres,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import { sendCancel } from './cancel.ts';
import { allowing, CREDENTIAL, type Governed, startGoverned } from './governed.test-support.ts';
import { QueryClient } from './query-client.ts';
import { connectUpstream, type UpstreamOptions } from './upstream.ts';

const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });
const shown = ({ certificate, key }: Certified): { cert: string; key: string } => ({ cert: certificate, key });
const HBA = [
  'hostssl all scrammed 127.0.0.1/32 scram-sha-256 clientcert=verify-full',
  'hostssl all trusted 127.0.0.1/32 trust',
  'hostssl all postgres 127.0.0.1/32 scram-sha-256',
  'hostssl all all 127.0.0.1/32 cert',
];

let authority: TestAuthority;
let stranger: TestAuthority;
beforeAll(async () => {
  authority = await testAuthority();
  stranger = await testAuthority('stranger');
});

for (const [version, settings] of [
  ['TLS 1.3', {}],
  ['TLS 1.2', { ssl_max_protocol_version: 'TLSv1.2' }],
] as const) {
  describe(`a server that asks for a client certificate, ${version}`, () => {
    let server: TestPostgres;
    const login = (mods: Partial<UpstreamOptions>): UpstreamOptions => ({
      host: '127.0.0.1',
      port: server.port,
      tls: { mode: 'verify-full', ca: authority.ca },
      username: 'certified',
      parameters: { database: 'postgres' },
      guard,
      ...mods,
    });
    const answer = async (mods: Partial<UpstreamOptions>, sql: string): Promise<unknown> => {
      await using client = new QueryClient(await connectUpstream(login(mods)));
      return await client.query(sql);
    };

    beforeAll(async () => {
      server = await startPostgres({
        tls: await authority.issue(['127.0.0.1']),
        clientAuthority: authority.ca,
        settings,
        hba: HBA,
      });
      const { user: username, password } = server.superuser;
      for (const sql of [
        'create role certified login',
        'create role trusted login',
        "create role scrammed login password 'scram'",
      ])
        await answer({ username, password }, sql);
    });
    afterAll(() => server.stop());

    it('takes it and asks for nothing else', async () => {
      const client = shown(await authority.issue(['certified']));
      const sql =
        "select current_user, client_dn from pg_stat_ssl where pid = pg_backend_pid() and version = '" +
        version.replace(' ', 'v') +
        "'";
      expect(await answer({ client, authentication: ['cert'] }, sql)).toEqual([['certified', '/CN=certified']]);
    });

    it('takes it together with SCRAM', async () => {
      const client = shown(await authority.issue(['scrammed']));
      const sql = 'select current_user, client_dn from pg_stat_ssl where pid = pg_backend_pid()';
      expect(await answer({ username: 'scrammed', password: 'scram', client }, sql)).toEqual([['scrammed', '/CN=scrammed']]);
      const wrong = answer({ username: 'scrammed', password: 'wrong', client }, sql);
      await expect(wrong).rejects.toMatchObject({ code: 'CredentialsRejected', sqlstate: '28P01' });
    });

    it.each<[string, () => Promise<Partial<UpstreamOptions>>, object]>([
      ['there is none', async () => ({}), { code: 'CredentialsRejected', sqlstate: '28000' }],
      [
        'it is somebody else’s',
        async () => ({ client: shown(await authority.issue(['other'])) }),
        { code: 'CredentialsRejected', sqlstate: '28000' },
      ],
      [
        'another authority signed it',
        async () => ({ client: shown(await stranger.issue(['certified'])) }),
        { code: 'CredentialsRejected', verifier: expect.stringMatching(/^ALERT_UNKNOWN_CA$/) as string },
      ],
      [
        'it has expired',
        async () => ({ client: shown(await authority.issue(['certified'], { notAfter: new Date(Date.now() - 1_000) })) }),
        { code: 'CredentialsRejected', verifier: expect.stringMatching(/^ALERT_CERTIFICATE_EXPIRED$/) as string },
      ],
      [
        'its key is another’s',
        async () => ({ client: { ...shown(await authority.issue(['certified'])), key: (await authority.issue(['x'])).key } }),
        { code: 'TLSFailed' },
      ],
      ['it is no certificate', async () => ({ client: { cert: 'CANARY', key: 'CANARY' } }), { code: 'TLSFailed' }],
      [
        'the resource does not accept that nothing more is asked',
        async () => ({ client: shown(await authority.issue(['certified'])), authentication: ['scram'] }),
        { code: 'UpstreamAuthUnsupported' },
      ],
      [
        'SCRAM is asked for and there is no password',
        async () => ({
          username: 'scrammed',
          client: shown(await authority.issue(['scrammed'])),
          authentication: ['scram', 'cert'],
        }),
        { code: 'UpstreamAuthUnsupported' },
      ],
    ])('is not signed in to where %s', async (_what, mods, error) => {
      const made = await mods();
      const attempt = connectUpstream(login({ authentication: ['cert'], ...made }));
      await expect(attempt).rejects.toMatchObject(error);
      const told = await attempt.catch((thrown: unknown) => thrown);
      const text = `${(told as Error).message} ${JSON.stringify(told)}`;
      expect(text).not.toContain('CANARY');
      if (made.client !== undefined) expect(text).not.toContain(made.client.key.slice(30, 60) || 'CANARY');
    });

    it('is not signed in to without the name in its own certificate', async () => {
      const client = shown(await authority.issue(['certified']));
      const tls = { mode: 'verify-ca', ca: authority.ca } as const;
      await expect(connectUpstream(login({ client, authentication: ['cert'], tls }))).rejects.toMatchObject({
        code: 'UpstreamAuthUnsupported',
      });
    });
  });
}

describe('a server that asks for no certificate', () => {
  it('is not one that takes it', async () => {
    await using server = await startPostgres({
      tls: await authority.issue(['127.0.0.1']),
      hba: ['hostssl all all 127.0.0.1/32 trust'],
    });
    const options: UpstreamOptions = {
      host: '127.0.0.1',
      port: server.port,
      tls: { mode: 'verify-full', ca: authority.ca },
      username: 'postgres',
      client: shown(await authority.issue(['postgres'])),
      parameters: { database: 'postgres' },
      guard,
    };
    await expect(connectUpstream({ ...options, authentication: ['cert'] })).rejects.toMatchObject({
      code: 'UpstreamAuthUnsupported',
    });
    const upstream = await connectUpstream({ ...options, authentication: ['none'] });
    if (upstream.key === undefined) throw new Error('no key');
    await sendCancel(options, upstream.key);
    upstream.socket.destroy();
  });
});

const POLICY = allowing({ statements: ['select'], relations: ['public.*'], functions: ['pg_catalog.pg_sleep'] });

describe('an agent whose proxy signs in by certificate', () => {
  let governed: Governed;
  const keys: string[] = [];
  const issue = async (): Promise<{ username: string; client: { cert: string; key: string } }> => {
    const client = shown(await governed.authority.issue([CREDENTIAL.username]));
    keys.push(client.key);
    return { username: CREDENTIAL.username, client };
  };
  beforeAll(async () => {
    governed = await startGoverned(
      {
        schema: 'create table things (n int); insert into things values (7); grant select on things to public',
        policy: POLICY,
        resource: { postgres: { database: 'orders', authentication: ['cert'] } },
      },
      { clients: true, hba: ['hostssl all postgres 127.0.0.1/32 scram-sha-256', 'hostssl all all 127.0.0.1/32 cert'] },
    );
    governed.setCredentials(await issue());
  });
  afterAll(() => governed[Symbol.asyncDispose]());

  it('works, and a statement of its is cancelled', async () => {
    const agent = await governed.connect();
    expect((await agent.query('select n, current_user::text as who from things')).rows).toEqual([
      { n: 7, who: CREDENTIAL.username },
    ]);
    governed.setPolicy({ ...POLICY, limits: { statementDuration: '1s' } });
    await expect(agent.query('select pg_sleep(20)')).rejects.toMatchObject({
      message: expect.stringContaining('the statement ran for longer') as string,
    });
    governed.setPolicy(POLICY);
    await agent.end();
  });

  it('is asked to connect again once the certificate is renewed and it is silent', async () => {
    const agent = await governed.connect();
    await agent.query('select n from things');
    const ended = new Promise<string>((resolve) => agent.once('error', ({ message }) => resolve(message)));
    governed.setCredentials(await issue());
    expect(await ended).toMatch(/the credential of the resource was replaced; connect again \(SessionEnded\)/);
    const next = await governed.connect();
    expect((await next.query('select n from things')).rows).toEqual([{ n: 7 }]);
    await next.end();
  });

  it('is refused with the reason where the server does not know the authority, and its owner is told', async () => {
    const { certificate: cert, key } = await stranger.issue([CREDENTIAL.username]);
    keys.push(key);
    const fresh = await governed.anew();
    fresh.setCredentials({ username: CREDENTIAL.username, client: { cert, key } });
    await expect(fresh.connect()).rejects.toThrow(/the database refused the proxy's certificate \(CredentialsRejected\)/);
    const seen = await eventually('the observation', () =>
      fresh.observations.find(({ reason }) => reason === 'CredentialsRejected'),
    );
    expect(seen).toMatchObject({
      type: 'CredentialsAvailable',
      status: 'False',
      message: expect.stringMatching(
        / refused user agent_role at .* UTC \(ALERT_UNKNOWN_CA\); update the Secret of spec\.credentials/,
      ) as string,
    });
    await fresh[Symbol.asyncDispose]();
  });

  it('leaves no key in records, logs and what owners are told', () => {
    const told = JSON.stringify([governed.records, governed.observations, governed.logged]);
    expect(governed.records.length).toBeGreaterThan(0);
    for (const key of keys)
      for (const line of key.split('\n').filter((each) => each.length > 30)) expect(told).not.toContain(line);
    expect(told).not.toContain('PRIVATE KEY');
  });
});
