import type { AccessPolicy, ProtectedResource } from '@chaperone/api';
import type { JSX } from 'preact';
import type { PageProps } from '../app.tsx';
import { Conditions } from '../policies/conditions.tsx';
import { type ObjectList, useTold } from '../policies/load.ts';
import { One } from '../policies/one.tsx';
import { named } from '../policies/rule-words.ts';
import { PolicyTable } from '../policies/rows.tsx';
import { Fact } from '../ui/fact.tsx';
import { Skeleton } from '../ui/states.tsx';
import { Age } from '../ui/time.tsx';
import { Recorded } from '../ui/recorded.tsx';
import { Mark } from '../ui/verdict.tsx';
import { Said } from '../ui/words.tsx';

type Spec = ProtectedResource['spec'];
const TLS_WORDS = {
  'verify-full': 'TLS, certificate and name are checked',
  'verify-ca': 'TLS, the certificate is checked and its name is not',
  disable: 'no TLS: what is sent can be read and changed on the way',
} as const;

/** Whether a resource can be used, if not why, what is behind it, and whose policies may name it. */
export default function Resource({ caught: name }: PageProps): JSX.Element {
  const told = useTold<ProtectedResource>(`/v1/resources/${name}`);
  return (
    <One name={name} word="resource" told={told} facts={(resource) => <Facts resource={resource} />}>
      {(resource) => (
        <>
          <Conditions object={resource} word="resource" />
          <Behind resource={resource} />
          <Sensitive spec={resource.spec} />
          <Granted spec={resource.spec} />
          <Naming name={name} />
        </>
      )}
    </One>
  );
}

function Facts({ resource: { metadata, spec } }: { resource: ProtectedResource }): JSX.Element {
  return (
    <>
      <Fact name="Protocol">
        <Recorded text={spec.protocol} names frame={false} />
        {spec.protocol === 'tcp' && <span class="mute">, forwarded unseen</span>}
      </Fact>
      <Fact name="Reached at">
        <Said words={named(spec.hosts)} frame={false} /> port {spec.port}
      </Fact>
      {metadata.generation !== undefined && <Fact name="Generation">{metadata.generation.toLocaleString('en')}</Fact>}
      {metadata.creationTimestamp !== undefined && (
        <Fact name="Age">
          <Age at={Date.parse(metadata.creationTimestamp)} />
        </Fact>
      )}
    </>
  );
}

function Behind({ resource: { metadata, spec, status } }: { resource: ProtectedResource }): JSX.Element {
  const { upstream, credentials, postgres } = spec;
  const secret = (name: string): string => `${metadata.namespace ?? ''}/${name}`;
  return (
    <section aria-labelledby="behind">
      <h2 id="behind">What is behind it</h2>
      <dl class="whole">
        <Fact name="Address">
          <Recorded text={upstream.address} names />
        </Fact>
        {spec.ssh === undefined ? <Tls upstream={upstream} secret={secret} /> : <HostKey ssh={spec.ssh} />}
        <Fact name="Credential">
          {credentials === undefined ? (
            'none: nobody signs in'
          ) : (
            <>
              {credentials.secretRef === undefined ? 'Vault path ' : 'Secret '}
              <Recorded
                text={credentials.secretRef === undefined ? (credentials.vault?.path ?? '') : secret(credentials.secretRef.name)}
                names
              />
              {credentials.username !== undefined && (
                <>
                  {' '}
                  as user <Recorded text={credentials.username} names />
                </>
              )}
              <span class="mute">; never shown, and no agent holds it</span>
            </>
          )}
        </Fact>
        {postgres !== undefined && (
          <Fact name="Database">
            <Recorded text={postgres.database} names />
            <p class="mute">
              search_path <Said words={named(postgres.searchPath)} frame={false} />; signs in by{' '}
              {postgres.authentication.join(', ')}
            </p>
          </Fact>
        )}
        {(status?.addresses ?? []).length > 0 && (
          <Fact name="In agent pods">
            <ul class="facts">
              {status?.addresses?.map(({ host, ipv4, ipv6 }) => (
                <li key={host}>
                  <Recorded text={host} names frame={false} /> is{' '}
                  <Recorded text={ipv6 === undefined ? ipv4 : `${ipv4}, ${ipv6}`} names frame={false} />
                </li>
              ))}
            </ul>
          </Fact>
        )}
        <Fact name="Audit">
          {spec.allowAudit ? (
            <Mark look="finding" word="policies in Audit mode may let pass here what their rules do not cover" />
          ) : (
            'policies in Audit mode enforce here'
          )}
        </Fact>
      </dl>
    </section>
  );
}

function HostKey({ ssh }: { ssh: NonNullable<Spec['ssh']> }): JSX.Element {
  return (
    <Fact name="Host key">
      {(ssh.hostKeys ?? ssh.hostAuthorities ?? []).map((key) => (
        <p key={key}>
          <Recorded text={key} names />
        </p>
      ))}
      <p class="mute">{ssh.hostKeys === undefined ? 'authorities that vouch for it' : 'no other one is spoken to'}</p>
    </Fact>
  );
}

function Tls({ upstream, secret }: { upstream: Spec['upstream']; secret: (name: string) => string }): JSX.Element {
  const { mode, caRef, serverName } = upstream.tls;
  return (
    <Fact name="TLS">
      <p>{mode === 'disable' ? <Mark look="finding" word={TLS_WORDS[mode]} /> : TLS_WORDS[mode]}</p>
      {mode !== 'disable' && (
        <p class="mute">
          trusts {caRef === undefined ? 'the authorities of the system' : 'no authority but those of Secret '}
          {caRef !== undefined && (
            <>
              <Recorded text={secret(caRef.name)} names frame={false} /> key <Recorded text={caRef.key} names frame={false} />
            </>
          )}
          {serverName !== undefined && (
            <>
              , for the name <Recorded text={serverName} names frame={false} />
            </>
          )}
        </p>
      )}
    </Fact>
  );
}

function Sensitive({ spec: { sensitive, protocol } }: { spec: Spec }): JSX.Element {
  return (
    <section aria-labelledby="sensitive">
      <h2 id="sensitive">Sensitive data</h2>
      {sensitive.length === 0 ? (
        <p class="mute">
          {protocol === 'tcp' ? 'What is forwarded unseen is not masked.' : 'Nothing has a label, so nothing is masked.'}
        </p>
      ) : (
        <dl class="whole labels">
          {sensitive.map(({ label, columns = [], detector }) => (
            <div key={label}>
              <dt>
                <Mark look="mask" word="sensitive" quiet /> <Recorded text={label} names frame={false} />
              </dt>
              <dd>
                <ul class="inline-list">
                  {columns.map((column) => (
                    <li key={column}>
                      <Recorded text={column} names />
                    </li>
                  ))}
                  {detector !== undefined && <li>found by content: {detector}</li>}
                </ul>
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

/** Where a grant does not say. */
const GRANTED: Partial<Record<Spec['protocol'], readonly string[]>> = {
  postgres: ['select'],
  ssh: ['read', 'list'],
  kubernetes: ['get', 'list', 'watch'],
};

function shouted(each: string): string {
  return each === '*' ? 'every statement' : each.toUpperCase();
}

function Granted({ spec: { grantedTo, protocol } }: { spec: Spec }): JSX.Element {
  return (
    <section aria-labelledby="granted">
      <h2 id="granted">Granted to</h2>
      {grantedTo.length === 0 ? (
        <p class="mute">Nobody: no policy may name it.</p>
      ) : (
        <ul class="facts">
          {grantedTo.map(({ namespace, serviceAccounts, statements, operations, reveal, recording }, at) => (
            <li key={at}>
              namespace <Recorded text={namespace} names />
              {serviceAccounts !== undefined && (
                <>
                  , ServiceAccounts <Said words={named(serviceAccounts)} />
                </>
              )}
              {protocol !== 'tcp' && (
                <>
                  {': at most '}
                  {(operations ?? statements ?? GRANTED[protocol] ?? []).map(shouted).join(', ')};{' '}
                  {reveal === undefined ? (
                    'no label may be revealed'
                  ) : (
                    <>
                      may reveal <Said words={named(reveal)} />
                    </>
                  )}
                </>
              )}
              {recording !== undefined && `; recorded ${recording.minimum} at least`}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Policies whose rules name it, as far as this person may get them. */
function Naming({ name }: { name: string }): JSX.Element {
  const { data, error } = useTold<ObjectList<AccessPolicy>>(`/v1/policies?${new URLSearchParams({ resource: name }).toString()}`);
  const items = data?.value.items ?? [];
  return (
    <section aria-labelledby="naming">
      <h2 id="naming">Policies that name it</h2>
      {data === undefined && error === undefined && <Skeleton rows={2} label="Loading policies" />}
      {data === undefined && error !== undefined && (
        <p>
          <Mark look="finding" word="They could not be loaded:" /> {error.message} <span class="mute">{error.code}</span>
        </p>
      )}
      {data !== undefined && items.length === 0 && <p class="mute">None that you may get.</p>}
      {items.length > 0 && <PolicyTable items={items} label="Policies that name it" />}
    </section>
  );
}
