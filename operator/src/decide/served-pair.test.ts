import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { temporaryDirectory, testAuthority } from '@chaperone/testing';
import { expect, it } from 'vitest';
import { eventually } from '@chaperone/kube/fake-api-server';
import { createPublicServer } from '../public-server.ts';
import { ServedPair } from './served-pair.ts';

it('a pair from files is served as soon as it is there, and a half of one never', async () => {
  await using directory = await temporaryDirectory('chaperone-pair-');
  const files = { certFile: join(directory.path, 'tls.crt'), keyFile: join(directory.path, 'tls.key') };
  const authority = await testAuthority();
  const [own, first, second] = await Promise.all(
    ['own.corp', 'first.corp', 'second.corp'].map((name) => authority.issue([name])),
  );
  if (own === undefined || first === undefined || second === undefined) throw new Error('there are three');
  const errors: unknown[] = [];
  const pair = new ServedPair(files, (error) => errors.push(error), 20);
  expect(await pair.start()).toBeUndefined();
  expect(errors).toHaveLength(1);

  const server = createPublicServer({ cert: own.certificate, key: own.key }, (_request, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  pair.attach(server);
  const { port } = server.address() as AddressInfo;
  const served = (): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, ca: authority.ca, checkServerIdentity: () => undefined }, () => {
        resolve(socket.getPeerCertificate().subjectaltname);
        socket.destroy();
      }).on('error', reject);
    });
  const write = async ({ certificate, key }: { certificate: string; key: string }): Promise<void> => {
    await Promise.all([writeFile(files.certFile, certificate), writeFile(files.keyFile, key)]);
  };
  expect(await served()).toContain('own.corp');
  await write(first);
  await eventually(async () => expect(await served()).toContain('first.corp'));
  const before = errors.length;
  await write({ certificate: second.certificate, key: first.key });
  await eventually(() => expect(errors.length).toBeGreaterThan(before));
  expect(await served()).toContain('first.corp');
  await write(second);
  await eventually(async () => expect(await served()).toContain('second.corp'));
  pair.stop();
  await new Promise((resolve) => server.close(resolve));
});
