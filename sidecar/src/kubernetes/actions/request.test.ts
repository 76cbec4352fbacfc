import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import type { HeaderList } from './headers.ts';
import type { RefusalCode } from './refusal.ts';
import { MAX_TARGET_BYTES, type PathRequest, type RawRequest, readRequest, type ResourceRequest } from './request.ts';

const JSON_BODY: HeaderList = [['Content-Type', 'application/json']];
const WEBSOCKET: HeaderList = [
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Protocol', 'v5.channel.k8s.io'],
];
const SPDY: HeaderList = [
  ['Upgrade', 'SPDY/3.1'],
  ['X-Stream-Protocol-Version', 'v5.channel.k8s.io'],
  ['X-Stream-Protocol-Version', 'v4.channel.k8s.io'],
];

function ask(line: string, headers: HeaderList = [], hasBody = false): RawRequest {
  const [method = '', target = ''] = line.split(' ', 2);
  return { method, target, headers, hasBody };
}

function resource(line: string, headers?: HeaderList, hasBody?: boolean): ResourceRequest {
  const read = readRequest(ask(line, headers, hasBody));
  if (read.kind !== 'resource') throw new Error(`${line}: ${JSON.stringify(read)}`);
  return read;
}

function refusal(line: string, headers?: HeaderList, hasBody?: boolean): RefusalCode | 'read' {
  const read = readRequest(ask(line, headers, hasBody));
  return read.kind === 'refused' ? read.code : 'read';
}

const words = ({ verb, group, resource: plural, subresource, namespace, name }: ResourceRequest): string =>
  [verb, group, plural, subresource, namespace, name].map((word) => word || '-').join(' ');

describe('what a request is', () => {
  it.each([
    ['GET /api/v1/pods', 'list - pods - - -'],
    ['GET /api/v1/namespaces/shop/pods', 'list - pods - shop -'],
    ['GET /api/v1/namespaces/shop/pods?watch=true&resourceVersion=5', 'watch - pods - shop -'],
    ['GET /api/v1/namespaces/shop/pods?watch=1', 'watch - pods - shop -'],
    ['GET /api/v1/namespaces/shop/pods?watch=0', 'list - pods - shop -'],
    ['GET /api/v1/watch/namespaces/shop/pods', 'watch - pods - shop -'],
    ['GET /api/v1/watch/namespaces/shop/pods/web-1', 'watch - pods - shop web-1'],
    ['GET /apis/apps/v1/watch/deployments', 'watch apps deployments - - -'],
    ['GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb-1&watch=true', 'watch - pods - shop web-1'],
    ['GET /api/v1/namespaces/shop/pods?fieldSelector=spec.nodeName%3Dn,metadata.name==web-1', 'list - pods - shop web-1'],
    ['GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name!%3Dweb-1', 'list - pods - shop -'],
    ['GET /api/v1/namespaces/shop/pods/web-1', 'get - pods - shop web-1'],
    ['GET /api/v1/namespaces/shop/pods/web-1/log?container=app&follow=true&tailLines=5', 'get - pods log shop web-1'],
    ['GET /apis/apps/v1/namespaces/shop/deployments/web/scale', 'get apps deployments scale shop web'],
    ['GET /api/v1/namespaces', 'list - namespaces - - -'],
    ['GET /api/v1/namespaces/shop', 'get - namespaces - shop shop'],
    ['GET /api/v1/namespaces/shop/status', 'get - namespaces status shop shop'],
    [
      'GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system:node',
      'get rbac.authorization.k8s.io clusterroles - - system:node',
    ],
    ['DELETE /api/v1/namespaces/shop/pods/web-1?gracePeriodSeconds=0', 'delete - pods - shop web-1'],
    ['DELETE /api/v1/namespaces/shop/pods?labelSelector=app%3Dweb', 'deletecollection - pods - shop -'],
    // The API server takes the name of no other verb from a selector.
    ['DELETE /api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Da', 'deletecollection - pods - shop -'],
    ['GET /api/v1/nodes/n1/proxy/run/shop/web-1/app', 'proxy - nodes proxy - n1'],
    ['POST /api/v1/namespaces/shop/services/http:web:80/proxy', 'proxy - services proxy shop http:web:80'],
  ])('%s is %s', (line, expected) => {
    expect(words(resource(line))).toBe(expected);
  });

  it.each([
    ['POST /api/v1/namespaces/shop/pods?dryRun=All', 'create - pods - shop -'],
    ['POST /api/v1/namespaces/shop/pods/web-1/eviction', 'create - pods eviction shop web-1'],
    ['PUT /api/v1/namespaces/shop/finalize', undefined],
    ['PUT /api/v1/namespaces/shop/pods/web-1/ephemeralcontainers', 'update - pods ephemeralcontainers shop web-1'],
    ['PUT /api/v1/namespaces/shop', 'update - namespaces - shop shop'],
    ['PUT /api/v1/namespaces/shop/finalize?fieldManager=kubectl', 'update - namespaces finalize shop shop'],
  ])('%s with a body is %s', (line, expected) => {
    expect(words(resource(line, JSON_BODY, true))).toBe(expected ?? 'update - namespaces finalize shop shop');
  });

  it('exec, attach and port-forward are themselves, by GET with a WebSocket and by POST with SPDY', () => {
    const path = '/api/v1/namespaces/shop/pods/web-1';
    for (const verb of ['exec', 'attach', 'portforward'])
      for (const [method, headers] of [
        ['GET', WEBSOCKET],
        ['POST', SPDY],
        ['GET', SPDY],
      ] as const)
        expect(words(resource(`${method} ${path}/${verb}`, headers))).toBe(`${verb} - pods ${verb} shop web-1`);
    expect(resource(`POST ${path}/exec`, SPDY).upgrade).toEqual({
      transport: 'spdy',
      protocols: ['v5.channel.k8s.io', 'v4.channel.k8s.io'],
    });
  });

  it('every word of a command is kept in its place, whatever it holds, and written anew', () => {
    const target =
      '/api/v1/namespaces/shop/pods/w/exec?command=sh&command=-c&command=echo+%26%0A%20x%2B&container=app&stdout=true';
    const { parameters, target: sent } = resource(`GET ${target}`, WEBSOCKET);
    expect(parameters.get('command')).toEqual(['sh', '-c', 'echo &\n x+']);
    expect(sent).toBe(
      '/api/v1/namespaces/shop/pods/w/exec?command=sh&command=-c&command=echo+%26%0A+x%2B&container=app&stdout=true',
    );
  });

  it.each(['/', '/version', '/api', '/apis', '/apis/apps', '/apis/apps/v1', '/api/v1', '/openapi/v3', '/healthz/etcd'])(
    '%s is a path and no object',
    (path) => {
      const read = readRequest(ask(`GET ${path}?timeout=32s`)) as PathRequest;
      expect([read.kind, read.path, read.target]).toEqual(['path', path, `${path}?timeout=32s`]);
    },
  );
});

describe('what is refused', () => {
  it.each(['/api', '/apis', '/apis/apps', '/apis/apps/v1', '/api/v1'])('%s is discovery, also with a / behind it', (path) => {
    expect(readRequest(ask(`GET ${path}/`))).toMatchObject({ kind: 'path', path, target: path });
  });

  it.each(['/version/', '/healthz/', '/openapi/v3/', '/api//', '/api/v1//', '/apis/apps/v1/deployments/'])(
    '%s is not read',
    (path) => {
      expect(refusal(`GET ${path}`)).toBe('PathSegment');
    },
  );

  it('of discovery asks for what is there now, whatever its client has of it', () => {
    const has: HeaderList = [
      ['If-None-Match', '"a"'],
      ['If-Modified-Since', 'x'],
      ['User-Agent', 'me'],
    ];
    expect(readRequest(ask('GET /apis', has))).toMatchObject({ headers: { accept: expect.any(String), 'user-agent': 'me' } });
    expect(Object.keys((readRequest(ask('GET /apis', has)) as PathRequest).headers)).toEqual(['user-agent', 'accept']);
  });

  it.each<[line: string, code: RefusalCode]>([
    ['GET https://api/api/v1/pods', 'TargetForm'],
    ['GET //api/v1/pods', 'TargetForm'],
    ['GET *', 'TargetForm'],
    ['GET /api/v1/pods#x', 'TargetCharacter'],
    ['GET /api/v1/pods\\x', 'TargetCharacter'],
    ['GET /api/v1/pods\0', 'TargetCharacter'],
    ['GET /api/v1/pöds', 'TargetCharacter'],
    [`GET /api/v1/${'a'.repeat(MAX_TARGET_BYTES)}`, 'TargetTooLong'],
    ['GET /api/v1/namespaces/shop/pods/web%2D1', 'PathEncoded'],
    ['GET /api/v1/namespaces/shop/secrets/..%2fx', 'PathEncoded'],
    ['GET /api/v1/%6eamespaces', 'PathEncoded'],
    ['GET /api/v1//pods', 'PathSegment'],
    ['GET /api/v1/pods/', 'PathSegment'],
    ['GET /api/v1/./pods', 'PathSegment'],
    ['GET /api/v1/namespaces/shop/../kube-system/secrets', 'PathSegment'],
    ['GET /api/v1/Pods', 'PathSegment'],
    ['GET /api/v1/namespaces/Shop/pods', 'PathSegment'],
    ['GET /apis/Apps/v1/deployments', 'PathSegment'],
    ['GET /api/v1/namespaces/shop/pods/web/log/more', 'PathUnknown'],
    ['GET /api/v1/proxy/nodes/n1', 'PathUnknown'],
    ['GET /api/v1/watch', 'PathSegment'],
    ['HEAD /api/v1/pods', 'Method'],
    ['OPTIONS /api/v1/pods', 'Method'],
    ['get /api/v1/pods', 'Method'],
    ['POST /version', 'Method'],
    ['POST /api/v1/namespaces/shop/pods/web', 'Method'],
    ['PUT /api/v1/namespaces/shop/pods', 'Method'],
    ['DELETE /api/v1/watch/pods', 'Method'],
    ['DELETE /api/v1/namespaces/shop/pods/web/exec', 'Method'],
    ['GET /api/v1/pods?', 'Encoding'],
    ['GET /api/v1/pods?limit=%zz', 'Encoding'],
    ['GET /api/v1/pods?limit=5;watch=1', 'Encoding'],
    ['GET /api/v1/pods?continue=%ff', 'Encoding'],
    ['GET /api/v1/pods?limit=5&', 'ParameterUnknown'],
    ['GET /api/v1/pods?Watch=1', 'ParameterUnknown'],
    ['GET /api/v1/pods?__proto__=1', 'ParameterUnknown'],
    ['GET /api/v1/namespaces/shop/pods/web?watch=1', 'ParameterUnknown'],
    ['GET /api/v1/namespaces/shop/pods/web?export=1', 'ParameterUnknown'],
    ['GET /api/v1/pods?access_token=x', 'ParameterUnknown'],
    ['GET /api/v1/pods?watch=0&watch=1', 'ParameterRepeated'],
    ['GET /api/v1/pods?watch=0&w%61tch=1', 'ParameterRepeated'],
    ['GET /api/v1/pods?watch=', 'ParameterValue'],
    ['GET /api/v1/pods?watch=yes', 'ParameterValue'],
    ['GET /api/v1/pods?limit=-1', 'ParameterValue'],
    ['GET /api/v1/pods?labelSelector=a%3D%3D%3Db', 'ParameterValue'],
    ['GET /api/v1/pods?fieldSelector=metadata.name%3Da%5C,b', 'ParameterValue'],
    ['GET /api/v1/pods?fieldSelector=metadata.name%3Da,metadata.name%3Db', 'ParameterValue'],
    ['GET /api/v1/pods?fieldSelector=a%3Db,', 'ParameterValue'],
    [`GET /api/v1/pods?${'exclude=a&'.repeat(1_200)}`, 'ParametersTooMany'],
    ['GET /api/v1/namespaces/shop/pods/web/exec?command=a', 'Upgrade'],
    ['POST /api/v1/namespaces/shop/pods', 'BodyMissing'],
  ])('%s: %s', (line, code) => {
    expect(refusal(line)).toBe(code);
  });

  it.each<[says: string, line: string, headers: HeaderList, hasBody: boolean, code: RefusalCode]>([
    ['a body on GET', 'GET /api/v1/pods', JSON_BODY, true, 'Body'],
    ['a body on exec', 'POST /api/v1/namespaces/a/pods/b/exec', [...SPDY, ...JSON_BODY], true, 'Body'],
    ['an upgrade of a list', 'GET /api/v1/pods?watch=1', WEBSOCKET, false, 'Upgrade'],
    ['an upgrade of a path', 'GET /version', WEBSOCKET, false, 'Upgrade'],
    ['an upgrade to something else', 'GET /api/v1/namespaces/a/pods/b/exec', [['Upgrade', 'h2c']], false, 'Upgrade'],
    ['a WebSocket by POST', 'POST /api/v1/namespaces/a/pods/b/exec', WEBSOCKET, false, 'Method'],
    ['another method in a header', 'GET /api/v1/pods', [['X-HTTP-Method-Override', 'DELETE']], false, 'MethodOverride'],
    ['somebody else', 'GET /api/v1/pods', [['impersonate-USER', 'admin']], false, 'Impersonation'],
    ['extra of somebody else', 'GET /api/v1/pods', [['Impersonate-Extra-scopes', 'x']], false, 'Impersonation'],
    ['two media types', 'PUT /api/v1/nodes/n', [...JSON_BODY, ['content-type', 'application/yaml']], true, 'HeaderRepeated'],
    [
      'protobuf as a patch',
      'PATCH /api/v1/nodes/n',
      [['Content-Type', 'application/vnd.kubernetes.protobuf']],
      true,
      'MediaType',
    ],
    ['CBOR', 'POST /api/v1/nodes', [['Content-Type', 'application/cbor']], true, 'MediaType'],
    ['CBOR', 'POST /api/v1/nodes', [['Content-Type', 'application/cbor']], true, 'MediaType'],
    ['a patch without its sort', 'PATCH /api/v1/nodes/n', [], true, 'MediaType'],
    ['a patch that is an object', 'PATCH /api/v1/nodes/n', JSON_BODY, true, 'MediaType'],
    ['an object that is a patch', 'PUT /api/v1/nodes/n', [['Content-Type', 'application/json-patch+json']], true, 'MediaType'],
    ['another character set', 'PUT /api/v1/nodes/n', [['Content-Type', 'application/json; charset=utf-16']], true, 'MediaType'],
    ['a compressed body', 'PUT /api/v1/nodes/n', [...JSON_BODY, ['Content-Encoding', 'gzip']], true, 'MediaType'],
    ['options twice', 'DELETE /api/v1/nodes/n?dryRun=All', JSON_BODY, true, 'OptionsTwice'],
    ['no JSON taken', 'GET /api/v1/pods', [['Accept', 'application/vnd.kubernetes.protobuf']], false, 'Accept'],
    ['too many headers', 'GET /api/v1/pods', Array.from({ length: 200 }, () => ['a', 'b'] as const), false, 'HeadersTooLarge'],
    ['long headers', 'GET /api/v1/pods', [['cookie', 'x'.repeat(70_000)]], false, 'HeadersTooLarge'],
  ])('%s', (_, line, headers, hasBody, code) => {
    expect(refusal(line, headers, hasBody)).toBe(code);
  });
});

describe('what goes upstream', () => {
  it('has no header that says who asks, or from where', () => {
    const secret = 'canary-of-a-token';
    const read = resource('GET /api/v1/namespaces/a/pods/b/exec?command=id', [
      ['User-Agent', 'kubectl/v1.34.4'],
      ['Authorization', `Bearer ${secret}`],
      ['X-Remote-User', secret],
      ['X-Remote-Group', 'system:masters'],
      ['X-Remote-Extra-Foo', secret],
      ['X-Forwarded-For', secret],
      ['Cookie', secret],
      ['Audit-ID', secret],
      ['traceparent', secret],
      ['Connection', 'Upgrade, User-Agent'],
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Protocol', `v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.${secret}`],
    ]);
    expect(read.headers).toEqual({ 'user-agent': 'kubectl/v1.34.4', accept: 'application/json' });
    expect(read.upgrade?.protocols).toEqual(['v5.channel.k8s.io']);
    expect(JSON.stringify(read)).not.toContain(secret);
  });

  it.each([
    [
      'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json',
      'application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json',
    ],
    ['application/vnd.kubernetes.protobuf,application/json', 'application/json'],
    ['application/vnd.kubernetes.protobuf, */*', 'application/json'],
    ['application/cbor, application/json;q=0.5', 'application/json'],
    ['application/json;as=Exploit, application/json', 'application/json'],
  ])('asks for JSON where the client takes %s', (accept, sent) => {
    expect(resource('GET /api/v1/pods', [['Accept', accept]]).headers['accept']).toBe(sent);
  });

  it('asks for text where logs are read, and for the description of the API as the client likes it', () => {
    const log = resource('GET /api/v1/namespaces/a/pods/b/log', [['Accept', 'application/json, */*']]);
    expect(log.headers['accept']).toBe('application/json, */*');
    const openApi = 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf';
    const read = readRequest(ask('GET /openapi/v3/apis/apps/v1?hash=A0', [['Accept', openApi]])) as PathRequest;
    expect(read.headers['accept']).toBe(openApi);
  });

  it('says how a body is written as it was read', () => {
    const patch = resource(
      'PATCH /apis/apps/v1/namespaces/a/deployments/b?force=true&fieldManager=k',
      [['Content-Type', 'application/apply-patch+YAML ; charset=UTF-8']],
      true,
    );
    expect([patch.verb, patch.body, patch.headers['content-type']]).toEqual([
      'patch',
      'apply-patch',
      'application/apply-patch+yaml',
    ]);
    expect(resource('POST /api/v1/namespaces', [], true).headers['content-type']).toBe('application/json');
  });

  it('is read as the same again, and nothing throws, whatever comes', () => {
    const part = fc.oneof(
      fc.constantFrom('api', 'apis', 'v1', 'namespaces', 'pods', 'watch', 'proxy', 'exec', 'status', '..', '', '%2e', 'a b', 'ü'),
      fc.string({ maxLength: 8 }),
    );
    const pair = fc.tuple(
      fc.constantFrom('watch', 'limit', 'command', 'fieldSelector', 'labelSelector', 'dryRun', 'x'),
      fc.string(),
    );
    const query = fc.array(pair, { maxLength: 4 }).map((pairs) => new URLSearchParams(pairs).toString());
    const target = fc.tuple(fc.array(part, { maxLength: 8 }), query).map(([parts, asked]) => `/${parts.join('/')}?${asked}`);
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'x');
    const headers = fc.constantFrom(JSON_BODY, WEBSOCKET, SPDY, []);
    fc.assert(
      fc.property(method, target, headers, fc.boolean(), (asked, at, list, hasBody) => {
        const read = readRequest({ method: asked, target: at, headers: list, hasBody });
        if (read.kind === 'refused') return;
        const again = readRequest({ method: read.method, target: read.target, headers: list, hasBody });
        expect(again).toEqual(read);
      }),
      { numRuns: 3_000 },
    );
  });
});
