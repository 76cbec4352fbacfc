import { isDeepStrictEqual } from 'node:util';
import { seededRandom } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import type { HeaderList } from '../../src/kubernetes/actions/headers.ts';
import { type PathRequest, readRequest, type ResourceRequest } from '../../src/kubernetes/actions/request.ts';
import { askPeer, HAS_PEER } from './peer.ts';

interface Question {
  readonly method: string;
  readonly target: string;
}
/** How kube-apiserver reads it; see programs/requestinfo. */
interface Answer {
  readonly error?: string;
  readonly isResource: boolean;
  readonly path: string;
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  readonly fieldSelector: string;
  readonly labelSelector: string;
  readonly query: Readonly<Record<string, readonly string[]>>;
  readonly listError?: string;
}

const SEED = 20_261_129;
const CONNECTS: readonly string[] = ['exec', 'attach', 'portforward', 'proxy'];
const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'];
const PREFIXES = [
  '/api/v1',
  '/api/v1',
  '/apis/apps/v1',
  '/apis/rbac.authorization.k8s.io/v1',
  '/api',
  '/apis',
  '/apis/apps',
  '/api/v1/watch',
  '/apis/apps/v1/watch',
  '/api/v1/proxy',
  '/openapi/v3',
  '',
];
const RESOURCES = ['pods', 'namespaces', 'deployments', 'secrets', 'nodes', 'watch', 'proxy', 'status', 'finalize', 'services'];
const NAMES = [
  'web-1',
  'shop',
  'system:node',
  'status',
  'finalize',
  'watch',
  'proxy',
  'namespaces',
  'http:web:80',
  'a.b',
  'a~b',
  'x+y',
  'a=b',
  'Ab',
  '%2e%2e',
  '..',
  '.',
  '',
  'a%2fb',
  'a%20b',
  'a;b',
  '*',
  'ü',
];
const SUBRESOURCES = [
  'log',
  'exec',
  'attach',
  'portforward',
  'proxy',
  'status',
  'scale',
  'token',
  'ephemeralcontainers',
  'finalize',
  'binding',
  'eviction',
];
const PARAMETERS = [
  'watch=1',
  'watch=true',
  'watch=0',
  'watch=false',
  'watch=False',
  'watch=TRUE',
  'watch=',
  'watch',
  'w%61tch=1',
  'Watch=1',
  'watch=1;limit=2',
  'watch=%zz',
  'limit=5',
  'limit=05',
  'limit=999999999999999999',
  'limit=99999999999999999999',
  'limit=x',
  'limit=+5',
  'limit=%2B5',
  'resourceVersion=',
  'resourceVersion=12',
  'resourceVersion=a+b',
  'resourceVersionMatch=Exact',
  'continue=abc%3D%3D',
  'continue=%00',
  'continue=%ff',
  'timeoutSeconds=5',
  'sendInitialEvents=true',
  'allowWatchBookmarks=1',
  'dryRun=All',
  'dryRun=all',
  'pretty=true',
  'timeout=32s',
  'timeout=1m30s',
  'includeObject=Object',
  'command=a',
  'command=',
  'command=%20',
  'command=%2525',
  'command=a%26command%3Db',
  'command=%C3%BC',
  'container=app',
  'stdin=true',
  'tty=1',
  'ports=80',
  'tailLines=5',
  'follow=true',
  'force=true',
  'fieldManager=kubectl',
  'propagationPolicy=Foreground',
  'hash=AB',
  'verbose',
  'x=1',
  '=1',
  '',
];
const FIELDS = [
  'metadata.name=web-1',
  'metadata.name==web-1',
  'metadata.name!=web-1',
  'metadata.name=',
  'metadata.name=a/b',
  'metadata.name=..',
  'metadata.name=a=b',
  'metadata.name',
  'metadata.name=a\\,b',
  'metadata.name=a b',
  ' metadata.name=a',
  'metadata.name =a',
  'metadata.name= a',
  'metadata.name=a,',
  ',metadata.name=a',
  'metadata.name=a,metadata.name=b',
  'spec.nodeName=n,metadata.name=web-1',
  'metadata.name=a,spec.nodeName!=n',
  'metadata.namespace=shop',
  'involvedObject.fieldPath=spec.containers{web}',
  'metadata.name=~a',
  'metadata.name=!a',
  '=a',
  '!=',
  '',
  'metadata.name===a',
  'metadata.name!==a',
];
const LABELS = [
  'a=b',
  'a==b',
  'a!=b',
  'a',
  '!a',
  '! a',
  'a in (b,c)',
  'a in (b, c)',
  'a in(b)',
  'a notin (b)',
  'a in ()',
  'a in (,)',
  'a in (b,)',
  'a in (b',
  'a>5',
  'a < 5',
  'a>b',
  'a=',
  'a= b',
  'a =b',
  'a=b,c!=d',
  'a=b,',
  ',a=b',
  'in=in',
  'a in (in)',
  'a=in',
  'in in (a)',
  'notin',
  'x.io/a=b',
  'x..io/a=b',
  '-x/a=b',
  'x-.io/a=b',
  'X.io/a=b',
  '/a=b',
  'a/b/c=d',
  'a=b c',
  'a=-b',
  'a=b-',
  `a=${'b'.repeat(64)}`,
  `${'a'.repeat(64)}=b`,
  'a=b=c',
  'a,!b,c in (d),e>1',
  '',
  ' ',
  'a  in  (b)',
];

function table(size: number): Question[] {
  const random = seededRandom(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const chance = (part: number): boolean => random() < part;
  const path = (): string => {
    const isTame = chance(0.6);
    const name = (): string => pick(isTame ? NAMES.slice(0, 12) : NAMES);
    const parts = [pick(isTame ? PREFIXES.slice(0, 4) : PREFIXES)];
    if (chance(0.6)) parts.push('namespaces', isTame ? 'shop' : name());
    if (chance(0.95)) parts.push(pick(RESOURCES));
    if (chance(0.4)) parts.push(name());
    if (chance(0.3)) parts.push(pick(SUBRESOURCES));
    if (chance(0.03)) parts.push(name());
    return `${parts.join('/')}${chance(0.03) ? '/' : ''}` || '/';
  };
  const encode = (text: string): string => (chance(0.5) ? encodeURIComponent(text) : text.replaceAll(' ', '+'));
  const parameter = (): string => {
    if (chance(0.35)) return `fieldSelector=${encode(pick(FIELDS))}`;
    return chance(0.4) ? `labelSelector=${encode(pick(LABELS))}` : pick(PARAMETERS);
  };
  const query = (): string =>
    chance(0.3) ? '' : `?${Array.from({ length: 1 + Math.floor(random() ** 2 * 3) }, parameter).join('&')}`;
  return Array.from({ length: size }, () => ({ method: pick(METHODS), target: `${path()}${query()}` }));
}

const TRANSPORT: HeaderList = [['Upgrade', 'SPDY/3.1']];
const PATCH: HeaderList = [['Content-Type', 'application/merge-patch+json']];

/** As a client would ask that means it: with a body or an upgrade where one must be. */
function read({ method, target }: Question): ResourceRequest | PathRequest | undefined {
  const tries = [
    { headers: [], hasBody: false },
    { headers: TRANSPORT, hasBody: false },
    { headers: method === 'PATCH' ? PATCH : [], hasBody: true },
  ];
  for (const each of tries) {
    const request = readRequest({ method, target, ...each });
    if (request.kind !== 'refused') return request;
  }
  return undefined;
}

/** The same words for both. The API server tells connections by their method, which are read as verbs of their own here. */
function ours(request: ResourceRequest | PathRequest): unknown {
  const query = Object.fromEntries(request.parameters);
  if (request.kind === 'path') return { isResource: false, path: request.path, query };
  const { group, version, namespace, resource, subresource, name } = request;
  const verb = CONNECTS.includes(request.verb) ? subresource : request.verb;
  return { isResource: true, verb, group, version, namespace, resource, subresource, name, query };
}

function theirs(answer: Answer): unknown {
  const { isResource, path, group, version, namespace, resource, subresource, name, query } = answer;
  // Of discovery, which it serves the same with a / behind it; others with one are not read here.
  if (!isResource) return { isResource, path: path === '/' ? path : path.replace(/\/$/, ''), query };
  const verb = CONNECTS.includes(subresource) ? subresource : answer.verb;
  return { isResource, verb, group, version, namespace, resource, subresource, name, query };
}

describe.skipIf(!HAS_PEER)('kube-apiserver', () => {
  it(`reads each of 20,000 requests that are read here in the same way, and what is sent in its place (seed ${SEED})`, () => {
    const asked = table(20_000).map((question) => ({ question, request: read(question) }));
    const accepted = asked.flatMap(({ question, request }) => (request === undefined ? [] : [{ question, request }]));
    expect(accepted.length).toBeGreaterThan(3_000);
    const questions = accepted.flatMap(({ question, request }) => [question, { method: request.method, target: request.target }]);
    const answers = askPeer<Answer>('requests', questions);
    for (const [at, { question, request }] of accepted.entries()) {
      const isList = request.kind === 'resource' && (request.verb === 'list' || request.verb === 'watch');
      for (const answer of answers.slice(2 * at, 2 * at + 2)) {
        const same = answer.error === undefined && !(isList && answer.listError !== undefined);
        if (same && isDeepStrictEqual(theirs(answer), ours(request))) continue;
        expect({ question, ...(theirs(answer) as object), error: answer.error ?? answer.listError }).toEqual({
          question,
          ...(ours(request) as object),
        });
      }
    }
  });
});
